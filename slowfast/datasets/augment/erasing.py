"""Random erasing: boxes through all frames of a clip that are filled with noise ("Random Erasing", Zhong et al., 2020).

The data set draws the boxes, and the device fills them in the normalized clips.

Legend: N clips, K boxes, T frames, H x W pixels, C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slowfast.datasets.augment.boxes import draw_box
from slowfast.datasets.draws import draw_integer

AREAS = (0.02, 1 / 3)  # of all boxes of a clip, a share of the picture
ASPECTS = (0.3, 1 / 0.3)
TRIES = 100
COLUMNS = 5  # of a box: the seed of its noise, top, left, height, width; all zero where there is no box


@dataclass(frozen=True)
class Erasing:
    """How clips are erased.

    Attributes:
        probability: that a clip has boxes; 0: none has.
        count: the largest number of its boxes, from 1 on; it is drawn uniformly.
    """

    probability: float = 0.0
    count: int = 1

    def draw(self, rng: np.random.Generator, crop: int) -> np.ndarray:
        """Draw the boxes of a clip of `crop` x `crop` px: int64, K x COLUMNS, with K = `count`."""
        boxes = np.zeros((self.count, COLUMNS), np.int64)
        erases, number = rng.random() < self.probability, draw_integer(rng, 1, self.count)
        areas = (AREAS[0] / number, AREAS[1] / number)
        for row in boxes[: number if erases else 0]:
            box = draw_box(rng, (crop, crop), (crop - 1, crop - 1), areas, ASPECTS, TRIES)
            row[:] = (int(rng.integers(2**63 - 1)), *box) if box else 0
        return boxes


def erase(clips: Tensor, boxes: Tensor, mode: str) -> None:
    """Fill boxes in normalized clips, N x C x T x H x W, in place.

    Args:
        boxes: of every clip, N x K x COLUMNS, on the host.
        mode: pixel, rand or const (see `FILLS`).
    """
    for clip, rows in zip(clips, boxes.tolist(), strict=True):
        for seed, top, left, height, width in rows:
            if height:
                part = clip[:, :, top : top + height, left : left + width]
                part.copy_(FILLS[mode](part, torch.Generator(clip.device).manual_seed(seed)))


def _noise(part: Tensor, generator: torch.Generator) -> Tensor:
    """Return normal noise of its own for every pixel, channel and frame."""
    return torch.randn(part.shape, generator=generator, device=part.device)


def _colors(part: Tensor, generator: torch.Generator) -> Tensor:
    """Return one color for each frame, C x T x 1 x 1, from a normal distribution."""
    return torch.randn((*part.shape[:2], 1, 1), generator=generator, device=part.device)


def _zeros(part: Tensor, generator: torch.Generator) -> Tensor:
    """Return zero, which is the mean color."""
    return torch.zeros((), device=part.device)


FILLS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {"pixel": _noise, "rand": _colors, "const": _zeros}
