"""The sampler that turns a plan into batches of clip indices.

The index of a clip carries its shape, so a data set never changes while worker processes hold copies of it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from slowfast.multigrid.plan import Leg


class ClipIndex(NamedTuple):
    """The index of a clip: `frames` frames of `crop` x `crop` px of video number `video`, as drawn in `epoch`."""

    video: int
    epoch: int
    frames: int
    crop: int


class ShortCycleBatchSampler:
    """Iterate over the batches of one rank for some legs of a plan: lists of ClipIndex, all of one shape.

    Pass it as `batch_sampler` to a torch DataLoader, with one leg or with all remaining legs. With all of them the
    workers load ahead across epochs and phases.

    Args:
        legs: from `Schedule.plan`, with the same `num_videos` and `world_size`.
        num_videos: the number of videos of the data set.
        seed: determines the order of the videos, a new permutation every epoch. The same on all ranks.
        rank, world_size: each rank takes a different part of every batch.
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
        """Return this rank's part of the batch. Every rank's part has the same shape."""
        shape = leg.shape(iteration)
        first = leg.first_clip + self.world_size * leg.clips_before(iteration) + self._first_of_batch(leg)
        clips = range(first, first + self.world_size * shape.batch_size, self.world_size)
        places = (divmod(clip, self.num_videos) for clip in clips)
        return [
            ClipIndex(int(permutation(self.seed, epoch, self.num_videos)[place]), epoch, shape.frames, shape.crop)
            for epoch, place in places
        ]

    def _first_of_batch(self, leg: Leg) -> int:
        """Return the position in the global batch of this rank's first clip; the others follow at steps of W ranks.

        The groups of batch norm then consist of the same clips for any W. Clip j of rank r is clip c = r + W * j of the
        global batch. SubBatchNorm3d puts it into group j mod G of the rank, so the clips of a group have c mod (W * G)
        in common: they are one of the W * G groups that one process would form. Where k consecutive ranks share their
        statistics, with one group each, the clips of these ranks are to have c mod (W / k) in common.
        """
        block, member = divmod(self.rank, leg.phase.bn_sync_ranks)
        return block + self.world_size // leg.phase.bn_sync_ranks * member


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, num_videos: int) -> np.ndarray:
    """Return the order of the videos in an epoch: 4 bytes a video."""
    return np.random.default_rng([seed, epoch]).permutation(np.arange(num_videos, dtype=np.int32))
