"""The registry of data sets."""

from typing import Any

from fvcore.common.registry import Registry

from slowfast.config.node import CfgNode
from slowfast.errors import UserError

DATASET_REGISTRY = Registry("DATASET")
DATASET_REGISTRY.__doc__ = """
Classes with `from_cfg(cfg, split)`, or callables `(cfg, split)`, that return a data set. Its items are samples as
described in `slowfast.datasets.base.VideoDataset`. A config gives the name of the class, in upper or lower case.
"""


def build_dataset(dataset_name: str, cfg: CfgNode, split: str) -> Any:
    """Build the data set `dataset_name` (TRAIN.DATASET or TEST.DATASET) for the split "train", "val" or "test"."""
    entries = {name.lower(): entry for name, entry in DATASET_REGISTRY}
    if dataset_name.lower() not in entries:
        raise UserError(
            f"TRAIN.DATASET or TEST.DATASET {dataset_name!r} is not a data set: use one of {', '.join(sorted(entries))}"
        )
    if split not in ("train", "val", "test"):
        raise UserError(f"split {split!r}: use train, val or test")
    entry = entries[dataset_name.lower()]
    return getattr(entry, "from_cfg", entry)(cfg, split)
