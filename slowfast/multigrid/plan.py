"""The schedule of a training, and the plan that counts all its iterations in advance.

    Shape     a mini-batch of one device
    Phase     a part of the training with one base shape and its short cycle
    Leg       the part of a phase within one epoch, with its exact number of iterations
    Schedule  all phases of a training

Positions are in epochs, as floats: 2.5 is halfway through the third pass over the videos.
Standard library only.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor
from typing import NamedTuple

from slowfast.errors import UserError


@dataclass(frozen=True)
class Shape:
    """A mini-batch of one device: `batch_size` clips of `frames` frames of `crop` x `crop` px."""

    batch_size: int
    frames: int
    crop: int


@dataclass(frozen=True)
class ShapeCycle:
    """A base shape with its short cycle, and the settings that go with it.

    Iteration i has the shape `shapes[i % len(shapes)]`, the base shape first. `lr_factor` is the long cycle's scaling
    of the learning rate. A clip's temporal stride is drawn from the integers `stride[0]..stride[1]`. A batch is trained
    in `parts` parts, one after the other, whose gradients are averaged. In a part, batch norm uses `bn_groups` groups
    of a device's clips, and `bn_sync_ranks` ranks share its statistics. `costs` are those of a batch of each shape over
    one of the recipe without multigrid; empty: they are the same.
    """

    shapes: tuple[Shape, ...]
    lr_factor: float = 1.0
    stride: tuple[int, int] = (1, 1)
    bn_groups: int = 1
    bn_sync_ranks: int = 1
    parts: int = 1
    costs: tuple[float, ...] = ()

    @property
    def mean_cost(self) -> float:
        """Mean cost of a batch over the short cycle."""
        return sum(self.costs) / len(self.costs) if self.costs else 1.0

    @property
    def mean_batch(self) -> float:
        """Mean number of clips in a device's batch over the short cycle."""
        return sum(shape.batch_size for shape in self.shapes) / len(self.shapes)


@dataclass(frozen=True, kw_only=True)
class Phase(ShapeCycle):
    """Training from `start_epoch` to `end_epoch` on one shape cycle.

    `stage` is the number of the learning-rate stage, `step_rate` its rate over the base rate.
    """

    stage: int
    start_epoch: float
    end_epoch: float
    step_rate: float = 1.0

    def epochs(self) -> Iterator[tuple[float, float]]:
        """Yield start and end of the parts of the phase between whole epochs."""
        cuts = range(floor(self.start_epoch) + 1, ceil(self.end_epoch))
        borders = [self.start_epoch, *cuts, self.end_epoch]
        return pairwise(borders)


@dataclass(frozen=True)
class Leg:
    """The part of `phase` from `start` to `end` within one epoch.

    It has `iterations` iterations, of which a resumed training runs those from `first_iteration` on. `first_clip` is
    the number of clips that all ranks have trained on before the leg.
    """

    phase: Phase
    start: float
    end: float
    first_clip: int
    iterations: int
    first_iteration: int = 0
    ends_epoch: bool = True

    @property
    def epoch(self) -> int:
        return floor(self.start)

    def shape(self, iteration: int) -> Shape:
        return self.phase.shapes[iteration % len(self.phase.shapes)]

    def position(self, iteration: int) -> float:
        """Return the exact epoch at which an iteration begins."""
        return self.start + (self.end - self.start) * iteration / self.iterations

    def clips_before(self, iteration: int) -> int:
        """Return the number of clips of one rank in the leg's iterations before this one."""
        sizes = [shape.batch_size for shape in self.phase.shapes]
        cycles, rest = divmod(iteration, len(sizes))
        return cycles * sum(sizes) + sum(sizes[:rest])


@dataclass(frozen=True)
class Schedule:
    """All phases of a training, in order and without gaps. `batch_norm`: whether the model has batch norm."""

    phases: tuple[Phase, ...]
    warmup_epochs: float = 0.0
    batch_norm: bool = True

    @property
    def total_epochs(self) -> float:
        return self.phases[-1].end_epoch

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All different shapes, in the order in which they first occur."""
        return tuple(dict.fromkeys(shape for phase in self.phases for shape in phase.shapes))

    def phase_at(self, epoch: float) -> Phase:
        """Return the phase that trains at an epoch."""
        ends = [phase.end_epoch for phase in self.phases]
        return self.phases[min(bisect_right(ends, epoch), len(ends) - 1)]

    def plan(self, num_videos: int, world_size: int = 1) -> tuple[Leg, ...]:
        """Return the legs of a training on `num_videos` videos and `world_size` ranks.

        The number of iterations of a phase is its length in epochs times the batches in an epoch, rounded; each of its
        epochs gets its share, and no leg where the share is zero. The short cycle restarts with every leg. The clips of
        a training form one stream, a new permutation of all videos per epoch, and batches are consecutive pieces of it:
        no video is left out.

        Raises UserError when a batch is larger than the data set, or a stage or a base shape has no iteration.
        """
        legs, clips = [], 0
        for phase in self.phases:
            per_epoch = num_videos / (phase.mean_batch * world_size)
            _check_size(phase, num_videos, world_size)
            for start, end in phase.epochs():
                before, after = (_nearest((epoch - phase.start_epoch) * per_epoch) for epoch in (start, end))
                leg = Leg(phase, start, end, clips, after - before)
                clips += leg.clips_before(leg.iterations) * world_size
                legs += [leg] if leg.iterations else []
        _check_shares(self.phases, legs, num_videos)
        epochs = [leg.epoch for leg in legs]
        return tuple(
            replace(leg, ends_epoch=leg.epoch != following)
            for leg, following in zip(legs, [*epochs[1:], None], strict=True)
        )


def remaining(legs: Iterable[Leg], iterations_done: int) -> tuple[Leg, ...]:
    """Return the legs that remain of a plan after its first `iterations_done` iterations."""
    legs = tuple(legs)
    for k, leg in enumerate(legs):
        if iterations_done < leg.iterations:
            return (replace(leg, first_iteration=iterations_done), *legs[k + 1 :])
        iterations_done -= leg.iterations
    return ()


def iterations_until(legs: Iterable[Leg], position: float) -> int:
    """Return the number of iterations of a plan that begin before an exact epoch."""
    return sum(min(leg.iterations, max(0, _begun(leg, position))) for leg in legs)


def phase_iterations(legs: Iterable[Leg]) -> Counter[Phase]:
    """Return the number of iterations of every phase."""
    counts: Counter[Phase] = Counter()
    for leg in legs:
        counts[leg.phase] += leg.iterations
    return counts


class Kind(NamedTuple):
    """What the time and the memory of an iteration depend on."""

    shape: Shape
    bn_groups: int
    bn_sync_ranks: int


def kind_iterations(legs: Iterable[Leg]) -> Counter[Kind]:
    """Return the number of iterations of every kind, in the order of their first ones."""
    counts: Counter[Kind] = Counter()
    for leg in legs:
        shapes = leg.phase.shapes
        for k, shape in enumerate(shapes[: leg.iterations]):
            counts[Kind(shape, leg.phase.bn_groups, leg.phase.bn_sync_ranks)] += len(
                range(k, leg.iterations, len(shapes))
            )
    return counts


def first_iterations(legs: Iterable[Leg]) -> dict[Kind, tuple[Leg, int]]:
    """Return the first iteration of every kind, as its leg and its number in it."""
    first: dict[Kind, tuple[Leg, int]] = {}
    for leg in legs:
        for i, shape in enumerate(leg.phase.shapes[: leg.iterations]):
            first.setdefault(Kind(shape, leg.phase.bn_groups, leg.phase.bn_sync_ranks), (leg, i))
    return first


def _begun(leg: Leg, position: float) -> int:
    share = (position - leg.start) / (leg.end - leg.start)
    return ceil(round(share * leg.iterations, 6))


def _nearest(iterations: float) -> int:
    """Round half to even, after removing float noise: 2.4999999 counts as 2.5."""
    return round(round(iterations, 3))


def _check_size(phase: Phase, num_videos: int, world_size: int) -> None:
    base = phase.shapes[0]
    clips = base.batch_size * world_size
    if clips > num_videos:
        raise UserError(
            f"a batch of the shape {base.frames} frames x {base.crop} px has {clips} clips on {world_size} device(s), "
            f"but there are only {num_videos} training videos: lower `batch_size` by a factor of "
            f"{ceil(10 * clips / max(num_videos, 1)) / 10:g} or more"
        )


def _check_shares(phases: Iterable[Phase], legs: Iterable[Leg], num_videos: int) -> None:
    """Raise UserError where a learning-rate stage or a base shape has no iteration."""
    stages = {leg.phase.stage for leg in legs}
    shapes = {leg.phase.shapes[0] for leg in legs}
    for phase in phases:
        if phase.stage not in stages or phase.shapes[0] not in shapes:
            base = phase.shapes[0]
            raise UserError(
                f"the phase of {base.frames} frames x {base.crop} px from epoch {phase.start_epoch:.3f} to "
                f"{phase.end_epoch:.3f} of {num_videos} videos would have no iteration: lower `batch_size`, or raise "
                "`max_epoch` or `epoch_factor`"
            )
