"""The position of a training in its plan: arithmetic on legs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from slowfast.multigrid import Leg, iterations_until, remaining


@dataclass(frozen=True)
class Place:
    """The place of an iteration in the training.

    `iteration` and `iteration_of_epoch` count from 0. `clips`: seen by all ranks up to this iteration and including it.
    `position`: the exact epoch.
    """

    epoch: int
    position: float
    iteration: int
    iteration_of_epoch: int
    clips: int


class Progress:
    """A plan, with the place of each of its iterations. Each video of a batch gives `clips_per_video`."""

    def __init__(self, legs: Sequence[Leg], world_size: int = 1, clips_per_video: int = 1):
        self.legs, self.world_size, self.clips_per_video = tuple(legs), world_size, clips_per_video
        self.iterations_of_epoch: Counter[int] = Counter()
        self._before: dict[
            float, tuple[int, int]
        ] = {}  # start of a leg -> iterations before it, in total and in its epoch
        self.total_iterations = 0
        for leg in self.legs:
            self._before[leg.start] = self.total_iterations, self.iterations_of_epoch[leg.epoch]
            self.total_iterations += leg.iterations
            self.iterations_of_epoch[leg.epoch] += leg.iterations
        self.total_epochs = ceil(self.legs[-1].end)  # the last one may be incomplete
        self.total_clips = self.clips_until(self.legs[-1])

    def clips_until(self, leg: Leg) -> int:
        """Return the number of clips that all ranks have trained on at the end of `leg`."""
        return self._clips_before(leg, leg.iterations)

    def clips_after(self, done: int) -> int:
        """Return the number of clips that all ranks have trained on after `done` iterations."""
        legs = self.remaining(done)
        if not legs:
            return self.total_clips
        return self._clips_before(legs[0], legs[0].first_iteration)

    def _clips_before(self, leg: Leg, i: int) -> int:
        """Return the number of clips that all ranks have trained on before iteration `i` of `leg`."""
        return self.clips_per_video * (leg.first_clip + self.world_size * leg.clips_before(i))

    def batch_clips(self, batch_size: int) -> int:
        """Return the clips of all ranks in an iteration whose shape has `batch_size`."""
        return self.clips_per_video * self.world_size * batch_size

    def at(self, leg: Leg, i: int) -> Place:
        """Return the place of iteration `i` of `leg`."""
        before, before_in_epoch = self._before[leg.start]
        clips = self._clips_before(leg, i + 1)
        return Place(leg.epoch, leg.position(i), before + i, before_in_epoch + i, clips)

    def iterations_until(self, position: float) -> int:
        """Return the number of iterations that begin before an exact epoch."""
        return iterations_until(self.legs, position)

    def iterations_through(self, epoch: int) -> int:
        """Return the number of iterations up to the end of `epoch`."""
        return sum(self.iterations_of_epoch[e] for e in range(epoch + 1))

    def remaining(self, done: int) -> tuple[Leg, ...]:
        """Return the legs that remain after `done` iterations."""
        return remaining(self.legs, done)

    def position(self, done: int) -> float:
        """Return the exact epoch after `done` iterations."""
        legs = self.remaining(done)
        return legs[0].position(legs[0].first_iteration) if legs else self.legs[-1].end

    def last_leg(self, done: int) -> Leg:
        """Return the leg that the first `done` iterations end with."""
        return self.legs[-1 - len(self.remaining(done))]

    def is_last(self, epoch: int) -> bool:
        """Return whether `epoch` is the last one."""
        return epoch + 1 >= self.total_epochs

    def is_due(self, epoch: int, period: int) -> bool:
        """Return whether something done every `period` epochs is done after `epoch`.

        It is always done after the last epoch, and with period 0 only then. If its epoch has no iteration, it is done
        after the next one that has.
        """
        if self.is_last(epoch) or not period:
            return self.is_last(epoch)
        before = max((e for e in self.iterations_of_epoch if e < epoch), default=-1)
        return (epoch + 1) // period > (before + 1) // period


def groups_text(bn_groups: int) -> str:
    """Return the groups of batch norm as text after a shape; "" for one, which a model without batch norm has, too."""
    return f", batch norm in {bn_groups} groups" if bn_groups > 1 else ""
