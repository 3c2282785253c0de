"""Which sizes a store of prepared videos needs: the short sides that training draws, and a few levels that serve them.

All lengths are in px. A level is the short side of a copy of a video.
"""

from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations, pairwise

import numpy as np

from slowfast.datasets.augment.clips import Augmentation
from slowfast.datasets.grid import SamplingGrid
from slowfast.multigrid.plan import Schedule

MAX_LEVELS = 3
MIN_GAIN = 0.15  # by which one more level must reduce the pixels that are decoded, to be worth its space
QUANTILES = (np.arange(1000) + 0.5) / 1000


def short_side_shares(
    schedule: Schedule, grid: SamplingGrid, augmentation: Augmentation | None = None
) -> dict[int, float]:
    """Return the share of a training's clips that are read at each short side, in ascending order."""
    augmentation = augmentation or Augmentation()
    shares: defaultdict[int, float] = defaultdict(float)
    for crop, share in crop_shares(schedule).items():
        for drawn in QUANTILES:
            shares[augmentation.short_side(grid, drawn, crop)] += share / len(QUANTILES)
    return dict(sorted(shares.items()))


def crop_shares(schedule: Schedule) -> dict[int, float]:
    """Return the share of a training's clips that have each crop."""
    clips: defaultdict[int, float] = defaultdict(float)
    for phase in schedule.phases:
        cycle = sum(shape.batch_size for shape in phase.shapes)
        for shape in phase.shapes:
            clips[shape.crop] += (phase.end_epoch - phase.start_epoch) * shape.batch_size / cycle
    return {crop: share / sum(clips.values()) for crop, share in clips.items()}


def choose_levels(shares: Mapping[int, float]) -> list[int]:
    """Return at most MAX_LEVELS levels, even and in ascending order, that decode the fewest pixels.

    Each clip is read from the smallest level that is not below its short side; the last level serves the largest one.
    """
    candidates = sorted({even(short_side) for short_side in shares})
    best: list[int] = []
    for count in range(1, min(MAX_LEVELS, len(candidates)) + 1):
        ladders = [[*lower, candidates[-1]] for lower in combinations(candidates[:-1], count - 1)]
        found = min(ladders, key=lambda ladder: decoded_pixels(shares, ladder))
        if best and decoded_pixels(shares, found) > (1 - MIN_GAIN) * decoded_pixels(shares, best):
            break
        best = found
    return best


def decoded_pixels(shares: Mapping[int, float], levels: list[int]) -> float:
    """Return the mean over all clips of the pixels in a frame of the level read, for square frames."""
    return sum(share * level**2 for level, share in level_shares(shares, levels).items())


def level_shares(shares: Mapping[int, float], levels: list[int]) -> dict[int, float]:
    """Return the share of clips that each level serves."""
    sides, cumulated = np.array(list(shares)), np.cumsum([0.0, *shares.values()])
    served = cumulated[np.searchsorted(sides, [0, *levels], side="right")]
    return {level: float(high - low) for level, (low, high) in zip(levels, pairwise(served), strict=True)}


def levels_of(ladder: list[int], short_side: int) -> list[int]:
    """Return the levels to make of a video: those of the ladder, none above its own size, which stands for the rest."""
    return sorted({min(level, even(short_side)) for level in ladder})


def even(length: int) -> int:
    """Return the length or the next one: 4:2:0 has one color sample for two pixels."""
    return length + length % 2
