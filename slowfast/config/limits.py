"""Choices and ranges of values, as tables."""

from math import inf

from slowfast.errors import UserError

CHOICES = {
    "AUG.INTERPOLATION": ("bicubic", "bilinear", "random"),
    "AUG.RE_MODE": ("pixel", "rand", "const"),
    "BN.NORM_TYPE": ("batchnorm", "sub_batchnorm", "sync_batchnorm"),
    "DATA.ENSEMBLE_METHOD": ("sum", "max"),
    "MULTIGRID.COST": ("pixels", "flops"),
    "MULTIGRID.LR_SCALING": ("linear", "sqrt"),
    "TRAIN.CHECKPOINT_TYPE": ("pytorch", "caffe2"),
    "TEST.CHECKPOINT_TYPE": ("pytorch", "caffe2"),
    "TEST.NUM_SPATIAL_CROPS": (1, 3),
    "DIST_BACKEND": ("nccl", "gloo"),
}

HIGHEST = 1e9  # of numbers that need no lower limit

# Lowest and highest value, also of each number in a list.
LIMITS = {
    "NUM_GPUS": (0, 1024),
    "NUM_SHARDS": (1, 100_000),
    "SHARD_ID": (0, 100_000),
    "RNG_SEED": (0, 2**63 - 1),
    "DIST_TIMEOUT_MIN": (0, HIGHEST),
    "LOG_PERIOD": (1, HIGHEST),
    "TRAIN.BATCH_SIZE": (1, 1_000_000),
    "TRAIN.EVAL_PERIOD": (0, HIGHEST),
    "TRAIN.CHECKPOINT_PERIOD": (0, HIGHEST),
    "TRAIN.CHECKPOINT_MINUTES": (0, HIGHEST),
    "TRAIN.EARLY_STOP": (0, HIGHEST),
    "TRAIN.CHECKPOINT_KEEP": (0, HIGHEST),
    "TEST.BATCH_SIZE": (1, 1_000_000),
    "TEST.NUM_ENSEMBLE_VIEWS": (1, 10_000),
    "BN.NUM_BATCHES_PRECISE": (1, HIGHEST),
    "BN.NUM_SPLITS": (1, 1_000_000),
    "BN.NUM_SYNC_DEVICES": (1, HIGHEST),
    "BN.WEIGHT_DECAY": (0, 1000),
    "BN.MOMENTUM": (0, 1),
    "MULTIGRID.BN_BASE_SIZE": (1, 1_000_000),
    "MULTIGRID.SHORT_CYCLE_FACTORS": (0, 1),
    "MULTIGRID.EPOCH_FACTOR": (0, 1000),
    "MULTIGRID.NUM_LONG_CYCLES": (1, 1000),
    "MODEL.NUM_CLASSES": (1, 1_000_000),
    "MODEL.DROPOUT_RATE": (0, 1),
    "MODEL.LABEL_SMOOTHING": (0, 1),
    "MODEL.FC_INIT_STD": (0, 1000),
    "MODEL.DROPCONNECT_RATE": (0, 1),
    "MIXUP.ALPHA": (0, HIGHEST),
    "MIXUP.CUTMIX_ALPHA": (0, HIGHEST),
    "MIXUP.PROB": (0, 1),
    "MIXUP.SWITCH_PROB": (0, 1),
    "MIXUP.LABEL_SMOOTH_VALUE": (0, 1),
    "X3D.WIDTH_FACTOR": (0, 1000),
    "X3D.DEPTH_FACTOR": (0, 1000),
    "X3D.BOTTLENECK_FACTOR": (0, 1000),
    "X3D.DIM_C1": (1, 10_000),
    "X3D.DIM_C5": (1, 1_000_000),
    "MVIT.PATCH_KERNEL": (1, 1000),
    "MVIT.PATCH_STRIDE": (1, 1000),
    "MVIT.PATCH_PADDING": (0, 1000),
    "MVIT.DEPTH": (1, 1000),
    "MVIT.EMBED_DIM": (1, 1_000_000),
    "MVIT.NUM_HEADS": (1, 10_000),
    "MVIT.MLP_RATIO": (0, 1000),
    "MVIT.DROPPATH_RATE": (0, 1),
    "MVIT.DROPOUT_RATE": (0, 1),
    "MVIT.POOL_KVQ_KERNEL": (1, 1000),
    "MVIT.POOL_KV_STRIDE_ADAPTIVE": (1, 1000),
    "MVIT.HEAD_INIT_SCALE": (-HIGHEST, HIGHEST),
    "MVIT.LAYER_SCALE_INIT_VALUE": (-HIGHEST, HIGHEST),
    "RESNET.WIDTH_PER_GROUP": (1, 10_000),
    "RESNET.NUM_GROUPS": (1, 10_000),
    "SLOWFAST.ALPHA": (1, 10_000),
    "SLOWFAST.BETA_INV": (1, 10_000),
    "SLOWFAST.FUSION_CONV_CHANNEL_RATIO": (1, 1000),
    "SLOWFAST.FUSION_KERNEL_SZ": (1, 1000),
    "DATA.SKIP_ROWS": (0, HIGHEST),
    "DATA.NUM_FRAMES": (1, 10_000),
    "DATA.SAMPLING_RATE": (1, 10_000),
    "DATA.MAX_BAD_FRACTION": (0, 1),
    "DATA.MAX_DECODE_SEC": (0, HIGHEST),
    "DATA.MAX_PIXELS": (0, 10**12),
    "AUG.NUM_SAMPLE": (1, 1000),
    "AUG.COLOR_JITTER": (0, 1000),
    "AUG.RE_PROB": (0, 1),
    "AUG.RE_COUNT": (1, 1000),
    "DATA.TRAIN_CROP_NUM_SPATIAL": (1, 1000),
    "DATA.TRAIN_JITTER_SCALES": (1, 10_000),
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": (0, 1),
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": (0, 1000),
    "DATA.TRAIN_CROP_SIZE": (1, 10_000),
    "DATA.TEST_CROP_SIZE": (1, 10_000),
    "DATA.INPUT_CHANNEL_NUM": (1, 1000),
    "DATA_LOADER.NUM_WORKERS": (0, 1000),
    "DATA_LOADER.TIMEOUT_SEC": (0, HIGHEST),
    "TENSORBOARD.CONFUSION_MATRIX.FIGSIZE": (1, 100),
    "TENSORBOARD.HISTOGRAM.FIGSIZE": (1, 100),
    "TENSORBOARD.HISTOGRAM.TOPK": (1, 1000),
    "SOLVER.MAX_EPOCH": (0, 1_000_000),
    "SOLVER.GAMMA": (0, HIGHEST),
    "BN.EPSILON": (0, 1),
    "DATA.TARGET_FPS": (-HIGHEST, 100_000),
    "DATA.TRAIN_JITTER_FPS": (0, 100_000),
    "DATA.MEAN": (-HIGHEST, HIGHEST),
    "DATA.STD": (0, HIGHEST),
    "SOLVER.CLIP_GRAD_VAL": (0, HIGHEST),
    "SOLVER.CLIP_GRAD_L2NORM": (0, HIGHEST),
    "SOLVER.BASE_LR": (0, inf),
    "SOLVER.LRS": (0, HIGHEST),
    "SOLVER.COSINE_END_LR": (0, HIGHEST),
    "SOLVER.WARMUP_START_LR": (0, HIGHEST),
    "SOLVER.WARMUP_EPOCHS": (-HIGHEST, HIGHEST),
    "SOLVER.STEPS": (0, HIGHEST),
    "SOLVER.BETAS": (0, 1),
    "SOLVER.DAMPENING": (0, 1),
    "SOLVER.MOMENTUM": (0, 1),
    "SOLVER.ACCUMULATE": (1, 1_000_000),
    "SOLVER.EMA_DECAY": (0, 1),
    "SOLVER.LAYER_DECAY": (0, 1),
    "SOLVER.WEIGHT_DECAY": (0, 1000),
}

# Values must be above these.
ABOVE = {
    "DIST_TIMEOUT_MIN": 0,
    "SOLVER.MAX_EPOCH": 0,
    "SOLVER.GAMMA": 0,
    "BN.EPSILON": 0,
    "MULTIGRID.EPOCH_FACTOR": 0,
    "X3D.BOTTLENECK_FACTOR": 0,
    "MVIT.MLP_RATIO": 0,
    "DATA.STD": 0,
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": 0,
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": 0,
    "SOLVER.CLIP_GRAD_VAL": 0,
    "SOLVER.CLIP_GRAD_L2NORM": 0,
    "SOLVER.LAYER_DECAY": 0,
}


def check_choices(values: dict) -> None:
    """Refuse values that are not among a key's choices."""
    for key, choices in CHOICES.items():
        if values[key] not in choices:
            raise UserError(f"{key}: {values[key]!r} is not known; choose one of {', '.join(map(str, choices))}")


def check_limits(values: dict) -> None:
    """Refuse numbers out of their limits."""
    for key, least in ABOVE.items():
        for value in _numbers(values[key]):
            if value <= least:
                raise UserError(f"{key}: {value!r} is out of range; give more than {least}")
    for key, (low, high) in LIMITS.items():
        for value in _numbers(values[key]):
            if not low <= value <= high:
                span = f"{low} or more" if high >= HIGHEST else f"{low} to {high}"
                raise UserError(f"{key}: {value!r} is out of range; give {span}")


def _numbers(value) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]
