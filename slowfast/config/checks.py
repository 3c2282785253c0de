"""The checks at load, as tables: keys without effect, and features that are missing.

Whoever builds a thing checks the rest: data sets, models, losses, optimizers, schedules. So a config loads anywhere.
"""

import logging
from collections.abc import Iterator

from slowfast.config.defaults import get_cfg
from slowfast.config.limits import check_choices, check_limits
from slowfast.config.node import CfgNode, flatten
from slowfast.config.paths import check_outputs
from slowfast.errors import UserError

logger = logging.getLogger(__name__)

# Published models and data sets that this project does not have.
MISSING_MODELS = ("MaskMViT", "ContrastiveModel", "PTVResNet", "PTVSlowFast", "PTVX3D", "PTVMViT")
MISSING_DATASETS = ("ava", "imagenet", "imagenetprefetch", "ptvkinetics", "ptvcharades", "ptvssv2", "ucf101ssl")

# Keys that name a model or a data set: the missing ones, and the fix.
MISSING_NAMES = {
    "MODEL.MODEL_NAME": (MISSING_MODELS, "use SlowFast, ResNet, ResNet_nopool, X3D or MViT, or register your model"),
    "TRAIN.DATASET": (MISSING_DATASETS, "use kinetics, ssv2, charades or folder, or register your data set"),
    "TEST.DATASET": (MISSING_DATASETS, "use kinetics, ssv2, charades or folder, or register your data set"),
}

# (Key, value) of the switches of published features that this project does not have.
MISSING_FEATURES = {
    ("DETECTION.ENABLE", True): "detection",
    ("DEMO.ENABLE", True): "the demo on videos and cameras",
    ("MASK.ENABLE", True): "masked pretraining",
    ("VIS_MASK.ENABLE", True): "visualization of masks",
    ("MVIT.REV.ENABLE", True): "a reversible model",
    ("TASK", "ssl"): "self-supervised training",
}

# Keys that must have their default, and the reason.
NO_EFFECT = {
    "BN.FREEZE": "MODEL.FREEZE ['*bn'] stops all batch norms",
    "TRAIN.KILL_LOSS_EXPLOSION_FACTOR": "a loss that is not finite always stops the training",
    "TEST.NUM_TEMPORAL_CLIPS": "run one test for each TEST.NUM_ENSEMBLE_VIEWS",
    "MULTIGRID.EVAL_FREQ": "use TRAIN.EVAL_PERIOD",
    "MODEL.SINGLE_PATHWAY_ARCH": "architectures that are not in MODEL.MULTI_PATHWAY_ARCH have one pathway",
    "MODEL.FROZEN_BN": "MODEL.FREEZE ['*bn'] stops all batch norms",
    "MODEL.FP16_ALLREDUCE": "gradients are always reduced in their own precision",
    "MVIT.USE_FIXED_SINCOS_POS": "positions are learned",
    "RESNET.ZERO_INIT_FINAL_CONV": "use RESNET.ZERO_INIT_FINAL_BN",
    "DATA.DECODING_SHORT_SIZE": "frames are decoded at the size they are used at",
    "DATA.DUMMY_LOAD": "projects/multigrid/speedup.py times a model without data",
    "DATA.PATH_TO_PRELOAD_IMDB": "lists are read from DATA.PATH_TO_DATA_DIR",
    "DATA.LOADER_CHUNK_SIZE": "lists are read at once",
    "DATA.LOADER_CHUNK_OVERALL_SIZE": "lists are read at once",
    "DATA.TRAIN_CROP_NUM_TEMPORAL": "all clips of a video in a batch have the same frames: use AUG.NUM_SAMPLE",
    "DATA.TIME_DIFF_PROB": "clips are frames, not differences of frames",
    "DATA.COLOR_RND_GRAYSCALE": "AUG changes colors",
    "DATA.TRAIN_PCA_EIGVAL": "AUG changes colors",
    "DATA.TRAIN_PCA_EIGVEC": "AUG changes colors",
    "SOLVER.WARMUP_FACTOR": "use SOLVER.WARMUP_START_LR",
    "SOLVER.STEP_SIZE": "use SOLVER.STEPS",
    "SOLVER.LARS_ON": "choose among SOLVER.OPTIMIZING_METHOD",
    "BENCHMARK": "nothing here reads it",
}

# Keys without effect that change no result: other values than the default give a warning.
IGNORED = {
    "TASK": "only classification is part of this project",
    "AUG.RE_SPLIT": "a box is the same in all frames",
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": "raise DATA_LOADER.NUM_WORKERS to decode faster",
    "MVIT.LAYER_SCALE_INIT_VALUE": "published models do not read it",
    "MVIT.REV.RESPATH_FUSE": "reversible models are not part of this project",
    "MVIT.REV.BUFFER_LAYERS": "reversible models are not part of this project",
    "MVIT.REV.RES_PATH": "reversible models are not part of this project",
    "MVIT.REV.PRE_Q_FUSION": "reversible models are not part of this project",
    "TENSORBOARD.CATEGORIES_PATH": "classes have no groups here",
    "TENSORBOARD.PREDICTIONS_PATH": "TensorBoard shows the evaluations and the test of the run itself",
    "TENSORBOARD.MODEL_VIS.ACTIVATIONS": "TensorBoard shows weights and gradients",
    "TENSORBOARD.MODEL_VIS.COLORMAP": "TensorBoard shows weights and gradients as histograms",
    "TENSORBOARD.MODEL_VIS.INPUT_VIDEO": "TensorBoard always shows clips of every shape",
    "TENSORBOARD.MODEL_VIS.TOPK_PREDS": "TensorBoard shows weights and gradients",
    "TENSORBOARD.MODEL_VIS.GRAD_CAM": "TensorBoard shows weights and gradients",
    "TENSORBOARD.WRONG_PRED_VIS": "the table of a test has all wrong predictions",
}

# Keys that have an effect only where another key has one of these values; elsewhere they give a warning.
NEEDED = {
    **dict.fromkeys(
        ("AUG.AA_TYPE", "AUG.INTERPOLATION", "AUG.COLOR_JITTER", "AUG.RE_PROB", "AUG.RE_MODE", "AUG.RE_COUNT"),
        ("AUG.ENABLE", (True,)),
    ),
    "BN.NUM_SPLITS": ("BN.NORM_TYPE", ("sub_batchnorm",)),
    "BN.NUM_SYNC_DEVICES": ("BN.NORM_TYPE", ("sync_batchnorm",)),
    "BN.GLOBAL_SYNC": ("BN.NORM_TYPE", ("sync_batchnorm",)),
    "BN.NUM_BATCHES_PRECISE": ("BN.USE_PRECISE_STATS", (True,)),
    "MULTIGRID.SHORT_CYCLE_FACTORS": ("MULTIGRID.SHORT_CYCLE", (True,)),
    "MULTIGRID.LONG_CYCLE_FACTORS": ("MULTIGRID.LONG_CYCLE", (True,)),
    "MULTIGRID.LONG_CYCLE_DESIGN": ("MULTIGRID.LONG_CYCLE", (True,)),
    "MULTIGRID.FINE_TUNE": ("MULTIGRID.LONG_CYCLE", (True,)),
    "MULTIGRID.LR_SCALING": ("MULTIGRID.LONG_CYCLE", (True,)),
    "MODEL.DROPCONNECT_RATE": ("MODEL.MODEL_NAME", ("X3D",)),
    "MODEL.ACT_CHECKPOINT": ("MODEL.MODEL_NAME", ("MViT",)),
    "TRAIN.CHECKPOINT_IN_INIT": ("MODEL.MODEL_NAME", ("MViT",)),
    "MVIT.POOL_KV_STRIDE": ("MVIT.POOL_KV_STRIDE_ADAPTIVE", (None,)),
    **dict.fromkeys(
        ("MIXUP.ALPHA", "MIXUP.CUTMIX_ALPHA", "MIXUP.PROB", "MIXUP.SWITCH_PROB", "MIXUP.LABEL_SMOOTH_VALUE"),
        ("MIXUP.ENABLE", (True,)),
    ),
    "RESNET.NUM_GROUPS": ("RESNET.TRANS_FUNC", ("bottleneck_transform", "x3d_transform")),
    "SOLVER.BETAS": ("SOLVER.OPTIMIZING_METHOD", ("adam", "adamw")),
    "SOLVER.DAMPENING": ("SOLVER.OPTIMIZING_METHOD", ("sgd",)),
    "TEST.SAVE_RESULTS_PATH": ("TEST.ENABLE", (True,)),
    "TENSORBOARD.LOG_DIR": ("TENSORBOARD.ENABLE", (True,)),
    "TENSORBOARD.CONFUSION_MATRIX.ENABLE": ("TENSORBOARD.ENABLE", (True,)),
    "TENSORBOARD.CONFUSION_MATRIX.FIGSIZE": ("TENSORBOARD.CONFUSION_MATRIX.ENABLE", (True,)),
    "TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH": ("TENSORBOARD.CONFUSION_MATRIX.ENABLE", (True,)),
    "TENSORBOARD.HISTOGRAM.ENABLE": ("TENSORBOARD.ENABLE", (True,)),
    "TENSORBOARD.HISTOGRAM.FIGSIZE": ("TENSORBOARD.HISTOGRAM.ENABLE", (True,)),
    "TENSORBOARD.HISTOGRAM.SUBSET_PATH": ("TENSORBOARD.HISTOGRAM.ENABLE", (True,)),
    "TENSORBOARD.HISTOGRAM.TOPK": ("TENSORBOARD.HISTOGRAM.ENABLE", (True,)),
    "TENSORBOARD.MODEL_VIS.ENABLE": ("TENSORBOARD.ENABLE", (True,)),
    "TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS": ("TENSORBOARD.MODEL_VIS.ENABLE", (True,)),
    "TENSORBOARD.MODEL_VIS.LAYER_LIST": ("TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS", (True,)),
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


def check_cfg(cfg: CfgNode) -> None:
    """Raise UserError for the first key of `cfg` with a value that this project cannot honor."""
    values, defaults = dict(flatten(cfg)), dict(flatten(get_cfg()))
    check_names(values)
    check_features(values)
    check_no_effect(values, defaults)
    warn_of_ignored(values, defaults)
    check_choices(values)
    check_limits(values)
    check_outputs(values)


def check_names(values: dict) -> None:
    """Refuse published models and data sets that this project does not have."""
    for key, (missing, fix) in MISSING_NAMES.items():
        name = str(values.get(key)).lower()
        if name in map(str.lower, missing):
            raise UserError(f"{key}: {values[key]!r} is not part of this project; {fix} under another name")


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
    for key, (condition, needed) in NEEDED.items():
        if values[key] != defaults[key] and values[condition] not in needed:
            logger.warning("%s: %r has no effect with %s %s", key, values[key], condition, values[condition])
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
