"""The checks at load: tables of small functions, each with a message that names the key, the value and the mend.

What needs the data (missing lists, labels beyond NUM_CLASSES) is checked where data sets are built, and what needs
a registry (names of models and data sets) where that is, so that a configuration loads anywhere.
"""

from slowfast.config import cross_checks
from slowfast.config.defaults import get_cfg
from slowfast.config.node import CfgNode, flatten
from slowfast.errors import UserError

NO_EFFECT = {
    "AUG": "strong augmentation is not part of this project",
    "MIXUP": "mixing of clips is not part of this project",
    "DETECTION": "detection is not part of this project",
    "X3D": "X3D is not part of this project",
    "TASK": "only classification is part of this project",
    "TRAIN.CHECKPOINT_IN_INIT": "self-supervised training is not part of this project",
    "TRAIN.KILL_LOSS_EXPLOSION_FACTOR": "a loss that is not finite always stops the training",
    "TEST.NUM_TEMPORAL_CLIPS": "run one test for each TEST.NUM_ENSEMBLE_VIEWS",
    "MULTIGRID.EVAL_FREQ": "TRAIN.EVAL_PERIOD says how often to evaluate",
    "MODEL.SINGLE_PATHWAY_ARCH": "what is not in MODEL.MULTI_PATHWAY_ARCH has one pathway",
    "MODEL.DROPCONNECT_RATE": "only MODEL.DROPOUT_RATE is supported",
    "MODEL.DETACH_FINAL_FC": "the gradient always reaches the whole model",
    "MODEL.FROZEN_BN": "batch norms always train",
    "MODEL.ACT_CHECKPOINT": "activations are always kept",
    "MODEL.FP16_ALLREDUCE": "gradients are always reduced in their own precision",
    "RESNET.ZERO_INIT_FINAL_CONV": "RESNET.ZERO_INIT_FINAL_BN is the one supported",
    "DATA.DECODING_SHORT_SIZE": "frames are always decoded at the size that is wanted",
    "DATA.DUMMY_LOAD": "projects/multigrid/speedup.py times a model without data",
    "DATA.PATH_TO_PRELOAD_IMDB": "lists are read from DATA.PATH_TO_DATA_DIR",
    "DATA.LOADER_CHUNK_SIZE": "lists are read whole",
    "DATA.LOADER_CHUNK_OVERALL_SIZE": "lists are read whole",
    "DATA.TRAIN_CROP_NUM_TEMPORAL": "a video gives one clip an epoch",
    "DATA.TRAIN_CROP_NUM_SPATIAL": "a video gives one clip an epoch",
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": "DATA.TRAIN_JITTER_SCALES is the one supported",
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": "crops are always square",
    "DATA.TRAIN_JITTER_FPS": "multigrid training is the one that varies the stride",
    "DATA.TRAIN_JITTER_MOTION_SHIFT": "a clip's crop always stands still",
    "DATA.TIME_DIFF_PROB": "clips are always of pictures",
    "DATA.COLOR_RND_GRAYSCALE": "colours are always kept",
    "DATA.TRAIN_PCA_EIGVAL": "colours are always kept",
    "DATA.TRAIN_PCA_EIGVEC": "colours are always kept",
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": "raise DATA_LOADER.NUM_WORKERS to decode faster",
    "SOLVER.WARMUP_FACTOR": "SOLVER.WARMUP_START_LR says where the warm-up starts",
    "SOLVER.STEP_SIZE": "SOLVER.STEPS says where the steps are",
    "SOLVER.LAYER_DECAY": "all layers learn at one rate",
    "SOLVER.LARS_ON": "SOLVER.OPTIMIZING_METHOD names the optimisers there are",
    "TENSORBOARD.CATEGORIES_PATH": "curves are the only thing written for TensorBoard",
    "TENSORBOARD.PREDICTIONS_PATH": "curves are the only thing written for TensorBoard",
    "TENSORBOARD.CONFUSION_MATRIX": "curves are the only thing written for TensorBoard",
    "TENSORBOARD.HISTOGRAM": "curves are the only thing written for TensorBoard",
    "TENSORBOARD.MODEL_VIS": "curves are the only thing written for TensorBoard",
    "TENSORBOARD.WRONG_PRED_VIS": "curves are the only thing written for TensorBoard",
}

# State that published code kept in the configuration: any value is accepted, none is read.
STATE_KEYS = {
    "MULTIGRID.DEFAULT_B",
    "MULTIGRID.DEFAULT_T",
    "MULTIGRID.DEFAULT_S",
    "MULTIGRID.LONG_CYCLE_SAMPLING_RATE",
}

# Accepted as published, with one meaning for all values: PyAV decodes, and a checkpoint's content tells its format.
ACCEPTED_KEYS = {"DATA.DECODING_BACKEND", "TRAIN.CHECKPOINT_TYPE", "TEST.CHECKPOINT_TYPE"}

CHOICES = {
    "BN.NORM_TYPE": ("batchnorm", "sub_batchnorm", "sync_batchnorm"),
    "DATA.ENSEMBLE_METHOD": ("sum", "max"),
    "TRAIN.CHECKPOINT_TYPE": ("pytorch", "caffe2"),
    "TEST.CHECKPOINT_TYPE": ("pytorch", "caffe2"),
    "TEST.NUM_SPATIAL_CROPS": (1, 3),
    "DIST_BACKEND": ("nccl", "gloo"),
}

# Lowest and highest value (None: no limit). A list's limits hold for each of its numbers.
LIMITS = {
    "NUM_GPUS": (0, None),
    "NUM_SHARDS": (1, None),
    "SHARD_ID": (0, None),
    "LOG_PERIOD": (1, None),
    "TRAIN.BATCH_SIZE": (1, None),
    "TRAIN.EVAL_PERIOD": (1, None),
    "TRAIN.CHECKPOINT_PERIOD": (1, None),
    "TEST.BATCH_SIZE": (1, None),
    "TEST.NUM_ENSEMBLE_VIEWS": (1, None),
    "BN.NUM_BATCHES_PRECISE": (1, None),
    "BN.NUM_SPLITS": (1, None),
    "BN.NUM_SYNC_DEVICES": (1, None),
    "BN.WEIGHT_DECAY": (0, None),
    "MULTIGRID.BN_BASE_SIZE": (1, None),
    "MULTIGRID.NUM_LONG_CYCLES": (1, None),
    "MODEL.NUM_CLASSES": (1, None),
    "MODEL.DROPOUT_RATE": (0, 1),
    "MODEL.FC_INIT_STD": (0, None),
    "RESNET.WIDTH_PER_GROUP": (1, None),
    "RESNET.NUM_GROUPS": (1, None),
    "SLOWFAST.ALPHA": (1, None),
    "SLOWFAST.BETA_INV": (1, None),
    "SLOWFAST.FUSION_CONV_CHANNEL_RATIO": (1, None),
    "SLOWFAST.FUSION_KERNEL_SZ": (1, None),
    "DATA.SKIP_ROWS": (0, None),
    "DATA.NUM_FRAMES": (1, None),
    "DATA.SAMPLING_RATE": (1, None),
    "DATA.MAX_BAD_FRACTION": (0, 1),
    "DATA.TRAIN_JITTER_SCALES": (1, None),
    "DATA.TRAIN_CROP_SIZE": (1, None),
    "DATA.TEST_CROP_SIZE": (1, None),
    "DATA.INPUT_CHANNEL_NUM": (1, None),
    "DATA_LOADER.NUM_WORKERS": (0, None),
    "SOLVER.BASE_LR": (0, None),
    "SOLVER.LRS": (0, None),
    "SOLVER.COSINE_END_LR": (0, None),
    "SOLVER.WARMUP_EPOCHS": (0, None),
    "SOLVER.WARMUP_START_LR": (0, None),
    "SOLVER.WEIGHT_DECAY": (0, None),
    "BENCHMARK.NUM_EPOCHS": (1, None),
    "BENCHMARK.LOG_PERIOD": (1, None),
}

# Above this, not at it.
ABOVE = {
    "SOLVER.MAX_EPOCH": 0,
    "SOLVER.GAMMA": 0,
    "MULTIGRID.EPOCH_FACTOR": 0,
    "DATA.STD": 0,
    "SOLVER.CLIP_GRAD_VAL": 0,
    "SOLVER.CLIP_GRAD_L2NORM": 0,
}


def check_cfg(cfg: CfgNode) -> None:
    """Raise a `UserError` for the first thing in `cfg` that cannot work."""
    values = dict(flatten(cfg))
    check_no_effect(values, dict(flatten(get_cfg())))
    check_choices(values)
    check_limits(values)
    for check in cross_checks.CHECKS:
        check(cfg)


def check_no_effect(values: dict, defaults: dict) -> None:
    """Keys without effect stand at their default."""
    for key, value in values.items():
        why = no_effect_reason(key)
        if why is not None and key in defaults and value != defaults[key]:
            raise UserError(f"{key}: {value!r} has no effect here ({why}); leave the key out ({defaults[key]!r})")


def no_effect_reason(key: str) -> str | None:
    """Why a key has no effect; None for a key that has one."""
    parts = key.split(".")
    prefixes = (".".join(parts[: i + 1]) for i in range(len(parts)))
    return next((NO_EFFECT[prefix] for prefix in prefixes if prefix in NO_EFFECT), None)


def check_choices(values: dict) -> None:
    """Keys with a few possible values have one of them."""
    for key, choices in CHOICES.items():
        if values[key] not in choices:
            raise UserError(f"{key}: {values[key]!r} is not known, give one of {', '.join(map(str, choices))}")


def check_limits(values: dict) -> None:
    """Numbers are within their limits."""
    for key, (low, high) in LIMITS.items():
        for value in _numbers(values[key]):
            if value < low or (high is not None and value > high):
                span = f"{low} or more" if high is None else f"{low} to {high}"
                raise UserError(f"{key}: {value!r} is out of range, give {span}")
    for key, low in ABOVE.items():
        for value in _numbers(values[key]):
            if value <= low:
                raise UserError(f"{key}: {value!r} is out of range, give more than {low}")


def _numbers(value) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]
