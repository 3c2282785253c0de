"""The checks at load, as tables: keys without effect, features that are missing, choices and ranges.

Whoever builds a thing checks the rest: data sets, models, losses, optimizers, schedules. So a config loads anywhere.
"""

import logging
from collections.abc import Iterator

from slowfast.config.defaults import get_cfg
from slowfast.config.node import CfgNode, flatten
from slowfast.errors import UserError

logger = logging.getLogger(__name__)

# Published models that this project does not have.
MISSING_MODELS = ("X3D", "MViT", "MaskMViT", "ContrastiveModel", "PTVResNet", "PTVSlowFast", "PTVX3D", "PTVMViT")

# (Key, value) of the switches of published features that this project does not have.
MISSING_FEATURES = {
    ("AUG.ENABLE", True): "strong augmentation",
    ("MIXUP.ENABLE", True): "mixing of clips",
    ("DETECTION.ENABLE", True): "detection",
    ("DEMO.ENABLE", True): "the demo on videos and cameras",
    ("MASK.ENABLE", True): "masked pretraining",
    ("VIS_MASK.ENABLE", True): "visualization of masks",
    ("TASK", "ssl"): "self-supervised training",
}

# Keys that must have their default, and the reason.
NO_EFFECT = {
    "BN.FREEZE": "batch norms always train",
    "TRAIN.CHECKPOINT_IN_INIT": "self-supervised training is not part of this project",
    "TRAIN.KILL_LOSS_EXPLOSION_FACTOR": "a loss that is not finite always stops the training",
    "TEST.NUM_TEMPORAL_CLIPS": "run one test for each TEST.NUM_ENSEMBLE_VIEWS",
    "MULTIGRID.EVAL_FREQ": "use TRAIN.EVAL_PERIOD",
    "MODEL.SINGLE_PATHWAY_ARCH": "architectures that are not in MODEL.MULTI_PATHWAY_ARCH have one pathway",
    "MODEL.DROPCONNECT_RATE": "only MODEL.DROPOUT_RATE is supported",
    "MODEL.DETACH_FINAL_FC": "all layers get gradients",
    "MODEL.FROZEN_BN": "batch norms always train",
    "MODEL.ACT_CHECKPOINT": "activations are always stored",
    "MODEL.FP16_ALLREDUCE": "gradients are always reduced in their own precision",
    "RESNET.ZERO_INIT_FINAL_CONV": "use RESNET.ZERO_INIT_FINAL_BN",
    "DATA.DECODING_SHORT_SIZE": "frames are decoded at the size they are used at",
    "DATA.DUMMY_LOAD": "projects/multigrid/speedup.py times a model without data",
    "DATA.PATH_TO_PRELOAD_IMDB": "lists are read from DATA.PATH_TO_DATA_DIR",
    "DATA.LOADER_CHUNK_SIZE": "lists are read at once",
    "DATA.LOADER_CHUNK_OVERALL_SIZE": "lists are read at once",
    "DATA.TRAIN_CROP_NUM_TEMPORAL": "training takes one clip of a video per epoch",
    "DATA.TRAIN_CROP_NUM_SPATIAL": "training takes one clip of a video per epoch",
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": "use DATA.TRAIN_JITTER_SCALES",
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": "crops are always square",
    "DATA.TRAIN_JITTER_FPS": "only multigrid training varies the stride",
    "DATA.TRAIN_JITTER_MOTION_SHIFT": "the crop of a clip does not move",
    "DATA.TIME_DIFF_PROB": "clips are frames, not differences of frames",
    "DATA.COLOR_RND_GRAYSCALE": "colors are not changed",
    "DATA.TRAIN_PCA_EIGVAL": "colors are not changed",
    "DATA.TRAIN_PCA_EIGVEC": "colors are not changed",
    "SOLVER.WARMUP_FACTOR": "use SOLVER.WARMUP_START_LR",
    "SOLVER.STEP_SIZE": "use SOLVER.STEPS",
    "SOLVER.LAYER_DECAY": "all layers have the same learning rate",
    "SOLVER.LARS_ON": "choose among SOLVER.OPTIMIZING_METHOD",
    "BENCHMARK": "nothing here reads it",
}

# Keys without effect that change no result: other values than the default give a warning.
IGNORED = {
    "TASK": "only classification is part of this project",
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": "raise DATA_LOADER.NUM_WORKERS to decode faster",
    "TENSORBOARD.CATEGORIES_PATH": "TensorBoard shows curves only",
    "TENSORBOARD.PREDICTIONS_PATH": "TensorBoard shows curves only",
    "TENSORBOARD.CONFUSION_MATRIX": "TensorBoard shows curves only",
    "TENSORBOARD.HISTOGRAM": "TensorBoard shows curves only",
    "TENSORBOARD.MODEL_VIS": "TensorBoard shows curves only",
    "TENSORBOARD.WRONG_PRED_VIS": "TensorBoard shows curves only",
}

# State that published code kept in the config. Any value is accepted, and none is read.
STATE_KEYS = {
    "MULTIGRID.DEFAULT_B",
    "MULTIGRID.DEFAULT_T",
    "MULTIGRID.DEFAULT_S",
    "MULTIGRID.LONG_CYCLE_SAMPLING_RATE",
}

# Published keys whose values make no difference here: PyAV decodes, and the format of a checkpoint is detected.
ACCEPTED_KEYS = {"DATA.DECODING_BACKEND", "TRAIN.CHECKPOINT_TYPE", "TEST.CHECKPOINT_TYPE"}

CHOICES = {
    "BN.NORM_TYPE": ("batchnorm", "sub_batchnorm", "sync_batchnorm"),
    "DATA.ENSEMBLE_METHOD": ("sum", "max"),
    "TRAIN.CHECKPOINT_TYPE": ("pytorch", "caffe2"),
    "TEST.CHECKPOINT_TYPE": ("pytorch", "caffe2"),
    "TEST.NUM_SPATIAL_CROPS": (1, 3),
    "DIST_BACKEND": ("nccl", "gloo"),
}

# Lowest and highest value (None: no limit), also of each number in a list.
LIMITS = {
    "NUM_GPUS": (0, None),
    "NUM_SHARDS": (1, None),
    "SHARD_ID": (0, None),
    "RNG_SEED": (0, None),
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
    "BN.MOMENTUM": (0, 1),
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
    "SOLVER.WARMUP_START_LR": (0, None),
    "SOLVER.MOMENTUM": (0, None),
    "SOLVER.WEIGHT_DECAY": (0, None),
}

# Values must be above these.
ABOVE = {
    "DIST_TIMEOUT_MIN": 0,
    "SOLVER.MAX_EPOCH": 0,
    "SOLVER.GAMMA": 0,
    "BN.EPSILON": 0,
    "MULTIGRID.EPOCH_FACTOR": 0,
    "DATA.STD": 0,
    "SOLVER.CLIP_GRAD_VAL": 0,
    "SOLVER.CLIP_GRAD_L2NORM": 0,
}


def check_cfg(cfg: CfgNode) -> None:
    """Raise UserError for the first key of `cfg` with a value that this project cannot honor."""
    values, defaults = dict(flatten(cfg)), dict(flatten(get_cfg()))
    check_model_name(cfg.MODEL.MODEL_NAME)
    check_features(values)
    check_no_effect(values, defaults)
    warn_of_ignored(values, defaults)
    check_choices(values)
    check_limits(values)


def check_model_name(name: str | None) -> None:
    """Refuse published models that this project does not have."""
    if name in MISSING_MODELS:
        raise UserError(
            f"MODEL.MODEL_NAME: {name!r} is not part of this project; use SlowFast, ResNet or ResNet_nopool, or "
            "register your model under another name"
        )


def check_features(values: dict) -> None:
    """Refuse published features that this project does not have, where they are switched on."""
    for (key, on), feature in MISSING_FEATURES.items():
        if values[key] == on:
            raise UserError(f"{key}: {on!r} asks for {feature}, which is not part of this project; leave the key out")


def check_no_effect(values: dict, defaults: dict) -> None:
    """Refuse keys without effect that do not have their default."""
    for key, value, why in changed(NO_EFFECT, values, defaults):
        raise UserError(f"{key}: {value!r} has no effect here ({why}); leave the key out ({defaults[key]!r})")


def warn_of_ignored(values: dict, defaults: dict) -> None:
    """Log keys that change no result and do not have their default."""
    for key, value, why in changed(IGNORED, values, defaults):
        logger.warning("%s: %r has no effect here (%s)", key, value, why)
    if values["SOLVER.WARMUP_EPOCHS"] < 0:
        logger.warning("SOLVER.WARMUP_EPOCHS: %g is below 0; training has no warm-up", values["SOLVER.WARMUP_EPOCHS"])


def changed(reasons: dict[str, str], values: dict, defaults: dict) -> Iterator[tuple]:
    """Yield (key, value, reason) for keys, or keys of sections, in `reasons` that do not have their default."""
    for key in defaults:
        why = reason_for(key, reasons)
        if why is not None and values[key] != defaults[key]:
            yield key, values[key], why


def reason_for(key: str, reasons: dict[str, str]) -> str | None:
    """Return the reason that `reasons` has for a key or a section that it is in, or None."""
    parts = key.split(".")
    sections = (".".join(parts[: i + 1]) for i in range(len(parts)))
    return next((reasons[section] for section in sections if section in reasons), None)


def check_choices(values: dict) -> None:
    """Refuse values that are not among a key's choices."""
    for key, choices in CHOICES.items():
        if values[key] not in choices:
            raise UserError(f"{key}: {values[key]!r} is not known; choose one of {', '.join(map(str, choices))}")


def check_limits(values: dict) -> None:
    """Refuse numbers out of their limits."""
    for key, (low, high) in LIMITS.items():
        for value in _numbers(values[key]):
            if value < low or (high is not None and value > high):
                span = f"{low} or more" if high is None else f"{low} to {high}"
                raise UserError(f"{key}: {value!r} is out of range; give {span}")
    for key, low in ABOVE.items():
        for value in _numbers(values[key]):
            if value <= low:
                raise UserError(f"{key}: {value!r} is out of range; give more than {low}")


def _numbers(value) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]
