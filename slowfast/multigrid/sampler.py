"""From the plan to batches of (video, grid).

The index of a clip carries its grid, so a data set never changes while worker processes hold copies of it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from slowfast.multigrid.plan import Leg


class ClipIndex(NamedTuple):
    """What a data set is asked for: `frames` x `crop` x `crop` px of video number `video`, as drawn in `epoch`."""

    video: int
    epoch: int
    frames: int
    crop: int


class ShortCycleBatchSampler:
    """The batches of one rank over some legs of a plan: lists of ClipIndex, one shape a batch.

    Pass it as `batch_sampler` to a torch DataLoader, with one leg or with all that is left of the training: then the
    workers load ahead across epochs and phases.

    Args:
        legs: from `Schedule.plan`, with the same `num_videos` and `world_size`.
        seed: of the order of the videos, a new permutation every epoch. The same on all ranks.
        rank, world_size: each rank takes its own part of every batch.
    """

    def __init__(self, legs: Sequence[Leg], num_videos: int, seed: int = 0, rank: int = 0, world_size: int = 1):
        self.legs = tuple(legs)
        self.num_videos = num_videos
        self.seed = seed
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return sum(leg.iterations - leg.first_iteration for leg in self.legs)

    def __iter__(self) -> Iterator[list[ClipIndex]]:
        for leg in self.legs:
            for iteration in range(leg.first_iteration, leg.iterations):
                yield self.batch(leg, iteration)

    def batch(self, leg: Leg, iteration: int) -> list[ClipIndex]:
        """This rank's part of the batch: every rank's has the same shape."""
        shape = leg.shape(iteration)
        first = leg.first_clip + self.world_size * leg.clips_before(iteration) + self.rank * shape.batch_size
        places = (divmod(clip, self.num_videos) for clip in range(first, first + shape.batch_size))
        return [
            ClipIndex(int(permutation(self.seed, epoch, self.num_videos)[place]), epoch, shape.frames, shape.crop)
            for epoch, place in places
        ]


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, num_videos: int) -> np.ndarray:
    """The order of the videos in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(num_videos)
