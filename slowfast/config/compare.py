"""Compare the config in a checkpoint with the current one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from slowfast.config.node import CfgNode, coerce, flatten
from slowfast.errors import UserError


class Difference(NamedTuple):
    """A key with another value in the checkpoint (`there`) than in the current config (`here`)."""

    key: str
    there: Any
    here: Any

    def __str__(self) -> str:
        return f"{self.key}: {self.there!r} in the checkpoint, {self.here!r} here"


# Sections and keys of the function that the weights are part of, ...
OUTPUT_KEYS = (
    *("MODEL", "RESNET", "SLOWFAST", "X3D", "MVIT", "NONLOCAL", "BN.EPSILON"),
    *("DATA.MEAN", "DATA.STD", "DATA.REVERSE_INPUT_CHANNEL", "DATA.INPUT_CHANNEL_NUM"),
)
# ... except these, which matter in training only or have no effect; shapes of tensors show the number of classes.
NOT_OUTPUT_KEYS = (
    *("MODEL.NUM_CLASSES", "MODEL.LOSS_FUNC", "MODEL.DROPOUT_RATE", "MODEL.FC_INIT_STD", "MODEL.FREEZE"),
    "MODEL.LABEL_SMOOTHING",
    *("MODEL.SINGLE_PATHWAY_ARCH", "MODEL.MULTI_PATHWAY_ARCH", "MODEL.DROPCONNECT_RATE", "MODEL.DETACH_FINAL_FC"),
    *("MODEL.FROZEN_BN", "MODEL.ACT_CHECKPOINT", "MODEL.FP16_ALLREDUCE", "MODEL.HEAD_ACT", "MODEL.GLOBAL_POOL"),
    *("MVIT.DROPPATH_RATE", "MVIT.DROPOUT_RATE", "MVIT.ZERO_DECAY_POS_CLS", "MVIT.REL_POS_ZERO_INIT"),
    *("MVIT.HEAD_INIT_SCALE", "MVIT.USE_FIXED_SINCOS_POS", "MVIT.LAYER_SCALE_INIT_VALUE", "MVIT.REV"),
    *("RESNET.INPLACE_RELU", "RESNET.ZERO_INIT_FINAL_BN", "RESNET.ZERO_INIT_FINAL_CONV"),
)
# Keys of the clips and the scores of a test, which may differ from those of the training.
VIEW_KEYS = (
    *("DATA.NUM_FRAMES", "DATA.SAMPLING_RATE", "DATA.TARGET_FPS", "DATA.TRAIN_CROP_SIZE"),
    *("MODEL.HEAD_ACT", "MODEL.GLOBAL_POOL"),
)
# Keys that do not change a training: the machine, paths, logs, periods and tests.
HARMLESS_KEYS = (
    *("NUM_GPUS", "NUM_SHARDS", "SHARD_ID", "DIST_BACKEND", "OUTPUT_DIR", "LOG_PERIOD", "LOG_MODEL_INFO", "TASK"),
    *("TRAIN.ENABLE", "TRAIN.AUTO_RESUME", "TRAIN.EVAL_PERIOD", "TRAIN.CHECKPOINT_PERIOD", "TRAIN.CHECKPOINT_TYPE"),
    *("TRAIN.CHECKPOINT_MINUTES", "TRAIN.CHECKPOINT_KEEP", "TRAIN.EARLY_STOP"),
    *("TRAIN.CHECKPOINT_FILE_PATH", "TRAIN.CHECKPOINT_INFLATE", "TRAIN.CHECKPOINT_IN_INIT"),
    *("TRAIN.CHECKPOINT_EPOCH_RESET", "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN", "TRAIN.COMPILE"),
    *("TEST", "TENSORBOARD", "DATA_LOADER", "BENCHMARK"),
    *("DATA.PATH_TO_DATA_DIR", "DATA.PATH_PREFIX", "DATA.DECODING_BACKEND", "DATA.MAX_BAD_FRACTION"),
    *("DATA.TEST_CROP_SIZE", "DATA.ENSEMBLE_METHOD", "DATA.USE_OFFSET_SAMPLING", "MODEL.GLOBAL_POOL"),
    *("MULTIGRID.EVAL_FREQ", "MULTIGRID.DEFAULT_B", "MULTIGRID.DEFAULT_T", "MULTIGRID.DEFAULT_S"),
    "MULTIGRID.LONG_CYCLE_SAMPLING_RATE",
)
# Keys that X3D does not read.
RESNET_ONLY_KEYS = tuple(
    f"RESNET.{name}" for name in ("DEPTH", "WIDTH_PER_GROUP", "SPATIAL_STRIDES", "NUM_BLOCK_TEMP_KERNEL")
)
# Sections that models read. Other models than these read RESNET only.
SECTIONS = {"X3D": ("RESNET", "X3D"), "MViT": ("MVIT",)}
OLD_MODEL_NAMES = {"SlowFastModel": "SlowFast", "ResNetModel": "ResNet"}


def differences(there: Mapping, here: Mapping) -> list[Difference]:
    """Return the keys that two configs both have, with different values."""
    values = dict(flatten(dict(there)))
    return [
        Difference(key, values[key], value)
        for key, value in flatten(dict(here))
        if key in values and _comparable(key, values[key], value) != _comparable(key, value, value)
    ]


def _comparable(key: str, value: Any, here: Any) -> Any:
    """Return `value` as a config that has `here` would read it: lists for tuples, numbers for their text."""
    if key == "MODEL.MODEL_NAME":
        return OLD_MODEL_NAMES.get(str(value), value)
    try:
        return coerce(key, value, here)
    except UserError:
        return value


def among(found: Iterable[Difference], keys: Iterable[str], but: Iterable[str] = ()) -> list[Difference]:
    """Return the differences in `keys`, which may be sections, without those in `but`."""
    return [one for one in found if _is_in(one.key, keys) and not _is_in(one.key, but)]


def of_output(found: Iterable[Difference], here: CfgNode) -> list[Difference]:
    """Return the differences that change the output of a model with the same weights."""
    unused = tuple(_unused_sections(here))
    return among(found, OUTPUT_KEYS, NOT_OUTPUT_KEYS + unused)


def of_training(found: Iterable[Difference]) -> list[Difference]:
    """Return the differences that change a training."""
    return [one for one in found if not _is_in(one.key, HARMLESS_KEYS)]


def changes_since(checkpoint: Mapping, here: CfgNode) -> list[Difference]:
    """Return the keys in which a config differs from the one in a checkpoint."""
    return differences(read_saved(checkpoint.get("cfg")), here)


def read_saved(text: Any) -> dict:
    """Return the config in a checkpoint, a YAML text; empty where there is none that can be read."""
    try:
        saved = yaml.safe_load(text) if isinstance(text, str) else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return saved if isinstance(saved, dict) else {}


def _is_in(key: str, sections: Iterable[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def _unused_sections(cfg: CfgNode) -> Iterator[str]:
    """Yield the sections of parts that the model of `cfg` does not have."""
    if cfg.MODEL.ARCH not in cfg.MODEL.MULTI_PATHWAY_ARCH:
        yield "SLOWFAST"
    read = SECTIONS.get(cfg.MODEL.MODEL_NAME, ("RESNET",))
    yield from {"RESNET", "X3D", "MVIT"}.difference(read)
    if cfg.MODEL.MODEL_NAME == "X3D":
        yield from RESNET_ONLY_KEYS
    if not any(blocks for stage in cfg.NONLOCAL.LOCATION for blocks in stage):
        yield "NONLOCAL.GROUP"
        yield "NONLOCAL.POOL"
        yield "NONLOCAL.INSTANTIATION"
