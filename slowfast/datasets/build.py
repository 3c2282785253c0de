"""Data sets by name."""

from fvcore.common.registry import Registry

from slowfast.errors import UserError

DATASET_REGISTRY = Registry("DATASET")
DATASET_REGISTRY.__doc__ = """
Classes with `from_cfg(cfg, split)`, or callables `(cfg, split)`, that give a data set whose items are the samples that
`slowfast.datasets.base.VideoDataset` describes. The name in a config is that of the class, in any case of letters.
"""


def build_dataset(dataset_name: str, cfg, split: str):
    """The data set `dataset_name` (as TRAIN.DATASET or TEST.DATASET has it) for "train", "val" or "test"."""
    entries = {name.lower(): entry for name, entry in DATASET_REGISTRY}
    if dataset_name.lower() not in entries:
        raise UserError(
            f"TRAIN.DATASET or TEST.DATASET {dataset_name!r} is not a data set: use one of {', '.join(sorted(entries))}"
        )
    if split not in ("train", "val", "test"):
        raise UserError(f"split {split!r}: use train, val or test")
    entry = entries[dataset_name.lower()]
    return getattr(entry, "from_cfg", entry)(cfg, split)
