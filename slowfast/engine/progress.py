"""Where a training is in its plan: arithmetic on legs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from slowfast.multigrid import Leg


@dataclass(frozen=True)
class Place:
    """An iteration: its number in the training and in its epoch, from 0, and the clips seen with it by all ranks."""

    epoch: int
    position: float
    iteration: int
    iteration_of_epoch: int
    clips: int


class Progress:
    """A plan, and where its iterations stand in it."""

    def __init__(self, legs: Sequence[Leg], world_size: int = 1):
        self.legs, self.world_size = tuple(legs), world_size
        self.iterations_of_epoch = Counter()
        self._before: dict[float, tuple[int, int]] = {}  # a leg's start -> iterations before it: in all, in its epoch
        self.total_iterations = 0
        for leg in self.legs:
            self._before[leg.start] = self.total_iterations, self.iterations_of_epoch[leg.epoch]
            self.total_iterations += leg.iterations
            self.iterations_of_epoch[leg.epoch] += leg.iterations
        self.total_epochs = ceil(self.legs[-1].end)  # the last may be a part of one
        self.total_clips = self.clips_until(self.legs[-1])

    def clips_until(self, leg: Leg) -> int:
        """Clips that all ranks have trained on at the end of `leg`."""
        return leg.first_clip + self.world_size * leg.clips_before(leg.iterations)

    def at(self, leg: Leg, i: int) -> Place:
        """The place of iteration `i` of `leg`."""
        before, before_in_epoch = self._before[leg.start]
        clips = leg.first_clip + self.world_size * leg.clips_before(i + 1)
        return Place(leg.epoch, leg.position(i), before + i, before_in_epoch + i, clips)

    def iterations_until(self, position: float) -> int:
        """How many iterations begin before an exact epoch."""
        return sum(min(leg.iterations, max(0, _iterations_until(leg, position))) for leg in self.legs)

    def iterations_through(self, epoch: int) -> int:
        """Iterations of the training up to the end of `epoch`."""
        return sum(self.iterations_of_epoch[e] for e in range(epoch + 1))

    def is_last(self, epoch: int) -> bool:
        return epoch + 1 >= self.total_epochs

    def is_due(self, epoch: int, period: int) -> bool:
        """Whether what comes every `period` epochs comes after `epoch`: epochs without iterations put it off."""
        before = max((e for e in self.iterations_of_epoch if e < epoch), default=-1)
        return self.is_last(epoch) or (epoch + 1) // period > (before + 1) // period


def _iterations_until(leg: Leg, position: float) -> int:
    share = (position - leg.start) / (leg.end - leg.start)
    return ceil(round(share * leg.iterations, 6))
