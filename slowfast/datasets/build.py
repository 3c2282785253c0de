"""The registry of data sets."""

from typing import Any

from fvcore.common.registry import Registry

from slowfast.config.node import CfgNode
from slowfast.datasets.adapter import PublishedDataset, is_published
from slowfast.errors import UserError, check_call

DATASET_REGISTRY = Registry("DATASET")
DATASET_REGISTRY.__doc__ = """
Classes with `from_cfg(cfg, split)`, or callables `(cfg, split)`, that return a data set. Its items are samples as
described in `slowfast.datasets.base.VideoDataset`. Classes in the published form, `__init__(self, cfg, mode)`, are
adapted (see `slowfast.datasets.adapter.PublishedDataset`). A config gives the name of the class, in any case.
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
    dataset = _build(entry, cfg, split)
    if not len(dataset):
        raise UserError(f"TRAIN.DATASET or TEST.DATASET {dataset_name!r}: the data set of the split {split!r} is empty")
    return dataset


def _build(entry: Any, cfg: CfgNode, split: str) -> Any:
    if is_published(entry):
        return PublishedDataset.from_entry(entry, cfg, split)
    build = getattr(entry, "from_cfg", entry)
    check_call(build, "from_cfg(cls, cfg, split)", cfg, split)
    return build(cfg, split)
