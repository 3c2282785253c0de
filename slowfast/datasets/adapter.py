"""Data sets as published code has them: `__init__(self, cfg, mode, num_retries=10)`, items (frames, label, index, ...).

Legend: V views of a video, C channels, T frames, H x W pixels.
"""

import inspect
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from slowfast.config.node import CfgNode
from slowfast.errors import UserError, check_call
from slowfast.multigrid.build import has_cycle
from slowfast.multigrid.sampler import ClipIndex

logger = logging.getLogger(__name__)


def is_published(entry: Any) -> bool:
    """Return whether a registered object is a data set class in the published form."""
    is_class = inspect.isclass(entry) and issubclass(entry, Dataset) and not hasattr(entry, "from_cfg")
    return is_class and "split" not in inspect.signature(entry).parameters


class PublishedDataset(Dataset):
    """Gives the items of a published data set the form of `slowfast.datasets.base.VideoDataset`.

    `dataset[i]` is (frames, label, index, ...). `frames` is a float tensor C x T x H x W, or a list of them, one per
    pathway, and normalized. For "test" the data set has V consecutive items for each video, its views.

    If the data set has a method `at_grid(index, frames, crop)`, training calls it in place of `dataset[index]`, for a
    clip of `frames` frames and `crop` x `crop` px. This is how a data set takes part in multigrid training. The random
    generators of Python, NumPy and PyTorch are seeded for each item, by the seed, the epoch and the index.
    """

    def __init__(self, dataset: Any, split: str, views: int, cfg: CfgNode):
        if not hasattr(type(dataset), "__len__"):
            raise UserError(f"{type(dataset).__name__} has no length: define __len__(self), the number of its items")
        self.dataset, self.split, self.seed = dataset, split, cfg.RNG_SEED
        self.num_classes, self.channels = cfg.MODEL.NUM_CLASSES, list(cfg.DATA.INPUT_CHANNEL_NUM)
        self.views = views if split == "test" else 1
        if len(dataset) % self.views:
            raise UserError(
                f"{type(dataset).__name__} has {len(dataset)} test items, not a multiple of the {self.views} views of "
                "TEST.NUM_ENSEMBLE_VIEWS and TEST.NUM_SPATIAL_CROPS: give one item for each view of each video, or "
                "set both to 1"
            )

    @classmethod
    def from_entry(cls, entry: type, cfg: CfgNode, split: str) -> "PublishedDataset":
        """Build the published class `entry`."""
        views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
        check_call(entry, "__init__(self, cfg, mode, num_retries=10)", cfg, split)
        adapted = cls(entry(cfg, split), split, views, cfg)
        if split == "train" and has_cycle(cfg) and not hasattr(entry, "at_grid"):
            logger.warning(
                "%s has no method at_grid(index, frames, crop): its clips keep their own shape, and only the batch "
                "sizes follow the multigrid schedule",
                entry.__name__,
            )
        return adapted

    @property
    def labels(self) -> Any:
        """The labels of all items, where the published data set has them."""
        return getattr(self.dataset, "labels", None)

    def __len__(self) -> int:
        return len(self.dataset) // self.views

    def __getitem__(self, index: int | ClipIndex) -> dict:
        video, epoch, *grid = index if isinstance(index, tuple) else (int(index), 0)
        first = video * self.views
        items = [self._item(i, epoch, grid) for i in range(first, first + self.views)]
        clips = [self._clip(item) for item in items]
        clip = _stack(clips) if self.split == "test" else clips[0]
        return {"clip": clip, "label": self._label(items[0][1]), "video": video, "bad": ""}

    def _item(self, index: int, epoch: int, grid: list[int]) -> Any:
        with _seeded(self.seed, epoch, index):
            if grid and hasattr(self.dataset, "at_grid"):
                return self.dataset.at_grid(index, *grid)
            return self.dataset[index]

    def _clip(self, item: Any) -> Tensor | list[Tensor]:
        """Return the frames of an item, in a form that `pathways.PackPathways` takes."""
        name = type(self.dataset).__name__
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise UserError(f"an item of {name} is a {type(item).__name__}: return (frames, label, index, ...)")
        frames = item[0]
        pathways = frames if isinstance(frames, tuple | list) else [frames]
        if not all(isinstance(x, Tensor) and x.is_floating_point() and x.ndim == 4 for x in pathways):
            raise UserError(f"the frames of {name} are not normalized: return float tensors C x T x H x W")
        if wrong := [len(x) for x in pathways if len(x) not in self.channels]:
            raise UserError(
                f"the frames of {name} have {wrong[0]} channels, and DATA.INPUT_CHANNEL_NUM is {self.channels}: return "
                "float tensors C x T x H x W"
            )
        return frames if isinstance(frames, Tensor) else list(frames)

    def _label(self, label: Any) -> Tensor:
        """Return the label of an item: a class, -1 where a test has none, or a value for each class."""
        name, classes = type(self.dataset).__name__, self.num_classes
        try:
            value = torch.as_tensor(label)
        except (TypeError, ValueError, RuntimeError):
            raise UserError(f"the label {label!r} of {name} is not a number: return a whole number") from None
        if value.ndim == 0 and value.is_floating_point():
            raise UserError(f"the label {label!r} of {name} is not a whole number: return an int")
        lowest = -1 if self.split == "test" else 0
        is_known = value.shape == (classes,) if value.ndim else lowest <= int(value) < classes
        if not is_known:
            raise UserError(
                f"the label {label!r} of {name} does not fit MODEL.NUM_CLASSES {classes}: return a whole number from 0 "
                f"to {classes - 1} or, with DATA.MULTI_LABEL, a vector of {classes} values"
            )
        return value


def _stack(clips: list) -> Tensor | list[Tensor]:
    """Stack the views of a video: V times (C, T, H, W) -> (V, C, T, H, W), for every pathway."""
    if isinstance(clips[0], Tensor):
        return torch.stack(clips)
    return [torch.stack(pathway) for pathway in zip(*clips, strict=True)]


@contextmanager
def _seeded(*numbers: int) -> Iterator[None]:
    """Seed the global random generators by `numbers`, and restore their states at the end."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
