"""The sampler that turns a plan into batches of clip indices.

The index of a clip carries its shape, so a data set never changes while worker processes hold copies of it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from slowfast.multigrid.plan import Leg

REPEAT = 2**31  # more than all epochs of a training


class ClipIndex(NamedTuple):
    """The index of a clip: `frames` frames of `crop` x `crop` px of video number `video`, as drawn in `epoch`.

    If an epoch has a video several times, `epoch` is raised by a multiple of REPEAT, so that its clips differ.
    """

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
        classes: the class of every video, to draw all classes equally often (see `balanced_order`); None: every video
            once in an epoch.
    """

    def __init__(
        self,
        legs: Sequence[Leg],
        num_videos: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        classes: np.ndarray | None = None,
    ):
        self.legs = tuple(legs)
        self.num_videos = num_videos
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self._order = lru_cache(maxsize=2)(partial(epoch_order, seed, num_videos, classes))

    def __len__(self) -> int:
        return sum(leg.iterations - leg.first_iteration for leg in self.legs)

    def __iter__(self) -> Iterator[list[ClipIndex]]:
        for leg in self.legs:
            for iteration in range(leg.first_iteration, leg.iterations):
                yield self.batch(leg, iteration)

    def batch(self, leg: Leg, iteration: int) -> list[ClipIndex]:
        """Return this rank's part of the batch. Every rank's part has the same shape."""
        shape = leg.shape(iteration)
        first = leg.first_clip + self.world_size * leg.clips_before(iteration)
        places = (divmod(first + clip, self.num_videos) for clip in self._own_clips(leg, shape.batch_size))
        indices = []
        for epoch, place in places:
            videos, repeats = self._order(epoch)
            draw = epoch + REPEAT * int(repeats[place])
            indices.append(ClipIndex(int(videos[place]), draw, shape.frames, shape.crop))
        return indices

    def _own_clips(self, leg: Leg, batch_size: int) -> Iterator[int]:
        """Yield the positions of this rank's clips in the global batch.

        The groups of batch norm consist of the same clips for any W ranks. Clip j of rank r is clip c = r + W * j of
        the global batch. It belongs to part j mod P, and SubBatchNorm3d puts the clips of a part in turns into G
        groups. So the clips of a group have c mod (W * P * G) in common: they are one of the groups that one process
        would form. Where k consecutive ranks share their statistics, with one group each, the clips of a part of these
        ranks have c mod (W / k * P) in common.
        """
        ranks, parts = leg.phase.bn_sync_ranks, leg.phase.parts
        block, member = divmod(self.rank, ranks)
        step = self.world_size // ranks
        for turn in range(batch_size // parts):
            for part in range(parts):
                yield block + step * (part + parts * (member + ranks * turn))


def epoch_order(seed: int, num_videos: int, classes: np.ndarray | None, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the videos of an epoch in their order, and how often each of them has come before in this epoch."""
    if classes is None:
        return permutation(seed, epoch, num_videos), np.zeros(num_videos, np.int8)
    videos = balanced_order(seed, epoch, classes)
    return videos, times_before(videos)


def permutation(seed: int, epoch: int, num_videos: int) -> np.ndarray:
    """Return the order of the videos in an epoch: 4 bytes a video."""
    return np.random.default_rng([seed, epoch]).permutation(np.arange(num_videos, dtype=np.int32))


def balanced_order(seed: int, epoch: int, classes: np.ndarray) -> np.ndarray:
    """Return N of N videos for an epoch, with weights inverse to the frequency of their class, in random order.

    Systematic sampling: on a line, each video has a piece as long as its weight, and the pieces of a class follow each
    other. N points at equal distances choose the videos. So every class has N / K places, and a video of weight w has
    N * w of them, each rounded up or down.
    """
    rng, total = np.random.default_rng([seed, epoch]), len(classes)
    shuffled = rng.permutation(np.arange(total, dtype=np.int32))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    weights = 1 / np.bincount(classes)[classes[by_class]]
    ends = np.cumsum(weights) / weights.sum()
    chosen = np.searchsorted(ends, (np.arange(total) + rng.random()) / total)
    return rng.permutation(by_class[chosen.clip(max=total - 1)])


def times_before(values: np.ndarray) -> np.ndarray:
    """Return for every value how often it occurs before its place."""
    places = np.argsort(values, kind="stable")
    _, starts, counts = np.unique(values[places], return_index=True, return_counts=True)
    result = np.empty(len(values), np.int32)
    result[places] = np.arange(len(values)) - np.repeat(starts, counts)
    return result
