"""A schedule as a value: shapes, phases, and the plan that counts every iteration before the first.

    Shape     a mini-batch of one device
    Phase     a stretch of training with one base shape and its short cycle
    Leg       the part of one phase that lies in one epoch, with its exact number of iterations

Positions are in epochs, as floats: 2.5 is half-way through the third pass over the videos.
Standard library only.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor

from slowfast.errors import UserError


@dataclass(frozen=True)
class Shape:
    """A mini-batch of one device: `batch_size` clips of `frames` frames of `crop` x `crop` px."""

    batch_size: int
    frames: int
    crop: int


@dataclass(frozen=True)
class Phase:
    """Training from `start_epoch` to `end_epoch` on one base shape.

    Iteration i has the shape `shapes[i % len(shapes)]`, the base shape first. `lr_factor` is the long cycle's linear
    scaling of the learning rate, `step_rate` the stage's rate over the base rate. A clip's temporal stride is drawn
    from the integers `stride[0]..stride[1]`, which `stride_range` finds from its number of frames. Batch norm uses
    `bn_groups` groups of a device's clips, its statistics shared by `bn_sync_ranks` ranks.
    """

    stage: int
    start_epoch: float
    end_epoch: float
    shapes: tuple[Shape, ...]
    lr_factor: float = 1.0
    step_rate: float = 1.0
    stride: tuple[int, int] = (1, 1)
    bn_groups: int = 1
    bn_sync_ranks: int = 1

    @property
    def mean_batch(self) -> float:
        """Clips a batch of one device, over the short cycle."""
        return sum(shape.batch_size for shape in self.shapes) / len(self.shapes)

    def epochs(self) -> Iterator[tuple[float, float]]:
        """The phase, cut at whole epochs."""
        cuts = range(floor(self.start_epoch) + 1, ceil(self.end_epoch))
        borders = [self.start_epoch, *cuts, self.end_epoch]
        return pairwise(borders)


@dataclass(frozen=True)
class Leg:
    """The part of `phase` from `start` to `end` inside one epoch: `iterations` iterations, from `first_iteration` on.

    `first_clip` counts the clips that all ranks have trained on before the leg.
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
        """The exact epoch at which an iteration begins."""
        return self.start + (self.end - self.start) * iteration / self.iterations

    def clips_before(self, iteration: int) -> int:
        """Clips of one rank in the leg's iterations before this one."""
        sizes = [shape.batch_size for shape in self.phase.shapes]
        cycles, rest = divmod(iteration, len(sizes))
        return cycles * sum(sizes) + sum(sizes[:rest])


@dataclass(frozen=True)
class MultigridSchedule:
    """All phases of a training, in order and without gaps. A pure function of the recipe: there is no state to save."""

    phases: tuple[Phase, ...]
    warmup_epochs: float = 0.0

    @property
    def total_epochs(self) -> float:
        return self.phases[-1].end_epoch

    def phase_at(self, epoch: float) -> Phase:
        ends = [phase.end_epoch for phase in self.phases]
        return self.phases[min(bisect_right(ends, epoch), len(ends) - 1)]

    def plan(self, num_videos: int, world_size: int = 1) -> tuple[Leg, ...]:
        """Every iteration of the training, for `num_videos` videos on `world_size` ranks.

        A phase has as many iterations as its epochs are long, to the nearest, dealt over its epochs, and no leg where
        that gives none: the single design may cut a phase that short. Its short cycle starts anew with every leg. The
        clips of a training are one stream, a permutation of all videos after the other, from which batches are cut one
        after the other: no video is left out.

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
    """What is left of a plan after its first iterations."""
    legs = tuple(legs)
    for k, leg in enumerate(legs):
        if iterations_done < leg.iterations:
            return (replace(leg, first_iteration=iterations_done), *legs[k + 1 :])
        iterations_done -= leg.iterations
    return ()


def _nearest(iterations: float) -> int:
    """A whole number of iterations; halves that floats have moved a little off are halves."""
    return round(round(iterations, 3))


def _check_size(phase: Phase, num_videos: int, world_size: int) -> None:
    base = phase.shapes[0]
    clips = base.batch_size * world_size
    if clips > num_videos:
        raise UserError(
            f"the shape of {base.frames} frames x {base.crop} px takes {clips} clips a batch on {world_size} "
            f"device(s), and there are only {num_videos} training videos: an epoch would have no iteration; "
            f"lower TRAIN.BATCH_SIZE by a factor of {ceil(10 * clips / max(num_videos, 1)) / 10:g} or more"
        )


def _check_shares(phases: Iterable[Phase], legs: Iterable[Leg], num_videos: int) -> None:
    """Every learning-rate stage and every base shape trains."""
    stages = {leg.phase.stage for leg in legs}
    shapes = {leg.phase.shapes[0] for leg in legs}
    for phase in phases:
        if phase.stage not in stages or phase.shapes[0] not in shapes:
            base = phase.shapes[0]
            raise UserError(
                f"the phase of {base.frames} frames x {base.crop} px from epoch {phase.start_epoch:.3f} to "
                f"{phase.end_epoch:.3f} of {num_videos} videos would have no iteration: lower TRAIN.BATCH_SIZE, raise "
                "SOLVER.MAX_EPOCH or MULTIGRID.EPOCH_FACTOR"
            )
