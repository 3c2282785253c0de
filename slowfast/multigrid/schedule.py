"""The multigrid schedule as plain numbers: which mini-batch shape, learning rate and normalisation, when.

Wu, Girshick, He, Feichtenhofer, Kraehenbuehl: A Multigrid Method for Efficiently Training Video Models, CVPR 2020.

A mini-batch of b clips of t frames of h x h pixels costs b * t * h * h. Multigrid keeps that product: it trains
with many small clips early (large steps, cheap clips) and few large clips late. The *long cycle* walks through
base shapes, once per learning-rate stage; the *short cycle* changes the size from one iteration to the next
(Section 3).

Standard library only.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import log
from typing import NamedTuple

from slowfast.errors import UserError
from slowfast.multigrid.plan import MultigridSchedule, Phase, Shape

# (time, space) as fractions of the default grid: 8B, 4B, 2B and B clips (Section 3.2).
LONG_CYCLE_FACTORS = ((1 / 4, 0.5**0.5), (1 / 2, 0.5**0.5), (1 / 2, 1.0), (1.0, 1.0))
# Space only, the smallest first: H/2, H/sqrt(2), and then the base size itself (Section 3.2).
SHORT_CYCLE_FACTORS = (0.5, 0.5**0.5)


@dataclass(frozen=True)
class Recipe:
    """A training recipe without multigrid.

    `stride` is the temporal stride in frames; `steps` are the epochs at which a learning-rate stage begins (0 first)
    and `rates` their learning rates over the base rate. Raises UserError where these do not fit together.
    """

    shape: Shape
    stride: int
    max_epoch: float
    steps: tuple[float, ...] = (0,)
    rates: tuple[float, ...] = (1.0,)
    warmup_epochs: float = 0.0

    def __post_init__(self):
        borders = [*self.steps, self.max_epoch]
        if borders[0] != 0 or borders != sorted({*borders}):
            raise UserError(f"the steps {self.steps} have to begin at epoch 0 and to rise, below {self.max_epoch:g}")
        if len(self.rates) < len(self.steps):
            raise UserError(f"the {len(self.steps)} steps {self.steps} need a rate each, and rates is {self.rates}")


@dataclass(frozen=True)
class Multigrid:
    """The options of the method. An empty cycle is switched off."""

    long_cycle: tuple[tuple[float, float], ...] = LONG_CYCLE_FACTORS
    short_cycle: tuple[float, ...] = SHORT_CYCLE_FACTORS
    design: str = "multi"  # a long cycle per stage, or "single": one over the whole training
    fine_tune: bool = True
    epoch_factor: float = 1.5
    align_to_epochs: bool = False
    bn_base_size: int = 8


def baseline_schedule(recipe: Recipe, bn_groups: int = 1, bn_sync_ranks: int = 1) -> MultigridSchedule:
    """The recipe as it is: one phase per learning-rate stage, all of one shape."""
    ends = (*recipe.steps[1:], recipe.max_epoch)
    stride = (recipe.stride, recipe.stride)
    phases = tuple(
        Phase(stage, start, end, (recipe.shape,), 1.0, rate, stride, bn_groups, bn_sync_ranks)
        for stage, (start, end, rate) in enumerate(zip(recipe.steps, ends, recipe.rates, strict=False))
        if end > start
    )
    return MultigridSchedule(phases, recipe.warmup_epochs)


def multigrid_schedule(recipe: Recipe, multigrid: Multigrid, world_size: int = 1) -> MultigridSchedule:
    """The recipe, trained with the multigrid method on `world_size` devices.

    Raises UserError when the recipe has no stage to fine-tune in, when a factor leaves nothing of a clip, when no
    epoch is left of a short training, or for an unknown design.
    """
    factors = multigrid.long_cycle or ((1.0, 1.0),)
    grids = [_base_grid(recipe, multigrid, factor, world_size) for factor in factors]
    spans = _spans(recipe, multigrid, grids)
    borders = pairwise(_borders(spans, multigrid.align_to_epochs))
    phases = tuple(
        replace(
            grids[span.base_shape],
            stage=span.stage,
            start_epoch=start,
            end_epoch=end,
            step_rate=recipe.rates[span.rate_stage],
        )
        for span, (start, end) in zip(spans, borders, strict=True)
        if end > start
    )
    if not phases:
        raise UserError(
            f"{multigrid.epoch_factor:g} x {recipe.max_epoch:g} epochs (MULTIGRID.EPOCH_FACTOR x SOLVER.MAX_EPOCH) "
            "are cut to whole ones here, and none is left: raise either"
        )
    warmup = min(recipe.warmup_epochs * min(1.0, multigrid.epoch_factor), phases[0].end_epoch)
    return MultigridSchedule(phases, warmup)


# --- shapes ---------------------------------------------------------------------------------------


def _base_grid(recipe: Recipe, multigrid: Multigrid, factor: tuple[float, float], world_size: int) -> Phase:
    """The base shape of `factor` with its short cycle, learning-rate factor and batch norm, at no time yet."""
    time, space = factor
    base = scaled_shape(recipe.shape, time, space)
    groups = bn_groups(base.batch_size, multigrid.bn_base_size)
    sizes = [min(space, size) for size in (1.0, *reversed(multigrid.short_cycle))]
    shapes = [scaled_shape(recipe.shape, time, size, multiple=groups) for size in sizes]
    return Phase(
        stage=0,
        start_epoch=0.0,
        end_epoch=0.0,
        shapes=tuple(shapes),
        lr_factor=_tidy(1.0 / (time * space * space)),
        stride=stride_range(recipe.stride, recipe.shape.frames, base.frames),
        bn_groups=groups,
        bn_sync_ranks=bn_sync_ranks(base.batch_size, multigrid.bn_base_size, world_size),
    )


def scaled_shape(shape: Shape, time: float, space: float, multiple: int = 1) -> Shape:
    """The shape of equal cost with `time` * frames and `space` * crop: b = B / (time * space^2) (Equation 1).

    From the factors, not from rounded pixels, so that 8B, 4B and 2B come out exactly. The batch is rounded to a
    multiple of `multiple`.
    """
    batch = round(shape.batch_size / (time * space * space))
    batch = max(round(batch / multiple), 1) * multiple
    frames, crop = round(time * shape.frames), round(space * shape.crop)
    if frames < 1 or crop < 1:
        raise UserError(
            f"the factors ({time:g}, {space:g}) leave nothing of a clip of {shape.frames} frames x {shape.crop} px: "
            "raise MULTIGRID.LONG_CYCLE_FACTORS, or give longer clips (DATA.NUM_FRAMES)"
        )
    return Shape(batch, frames, crop)


def stride_range(stride: int, base_frames: int, frames: int) -> tuple[int, int]:
    """Temporal strides, in frames, under which `frames` frames span at most what `base_frames` do (Section 3.3)."""
    return stride, stride * base_frames // frames


def jitter_range(scales: Sequence[int], base_crop: int, crop: int) -> tuple[int, int]:
    """Short sides, in px, from which a `crop` x `crop` window is cut (Section 3.3)."""
    shortest, longest = scales
    return round(shortest * crop / base_crop), longest


# --- batch norm -----------------------------------------------------------------------------------


def bn_groups(batch_size: int, base_size: int) -> int:
    """The number of groups of a device's batch whose size is nearest to `base_size` by ratio (Section 3.4)."""
    if batch_size < base_size:
        return 1
    return min(_divisors(batch_size), key=lambda groups: (_distance(batch_size / groups, base_size), groups))


def bn_sync_ranks(batch_size: int, base_size: int, world_size: int) -> int:
    """Over how many ranks a batch smaller than `base_size` shares its statistics: of the divisors of `world_size` the
    one that comes nearest to `base_size` by ratio, the larger where two do."""
    if batch_size >= base_size:
        return 1
    return min(_divisors(world_size), key=lambda ranks: (_distance(batch_size * ranks, base_size), -ranks))


def _distance(size: float, target: int) -> float:
    return _tidy(abs(log(size / target)))  # 4 and 16 are equally far from 8


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


# --- time -----------------------------------------------------------------------------------------


class Span(NamedTuple):
    """`epochs` of a learning-rate stage that train a base shape, both by number.

    `rate_stage` has the learning rate: the stage itself, but for the first half of the fine-tuning.
    """

    stage: int
    base_shape: int
    rate_stage: int
    epochs: float


def _spans(recipe: Recipe, multigrid: Multigrid, grids: Sequence[Phase]) -> list[Span]:
    """All of the training: EPOCH_FACTOR * MAX_EPOCH epochs, shared out by the design."""
    if not multigrid.long_cycle:  # as published: the recipe's own stages, stretched and truncated
        borders = [int(epoch * multigrid.epoch_factor) for epoch in (*recipe.steps, recipe.max_epoch)]
        return [Span(stage, 0, stage, end - start) for stage, (start, end) in enumerate(pairwise(borders))]

    designs = {"multi": _cycle_per_stage, "single": _one_cycle}
    if multigrid.design not in designs:
        raise UserError(f"MULTIGRID.LONG_CYCLE_DESIGN is {multigrid.design!r}: use one of {', '.join(designs)}")
    batches = [grid.mean_batch for grid in grids]
    spans = list(designs[multigrid.design](recipe, batches, multigrid.fine_tune))
    scale = multigrid.epoch_factor * recipe.max_epoch / sum(span.epochs for span in spans)
    return [span._replace(epochs=span.epochs * scale) for span in spans]


def _cycle_per_stage(recipe: Recipe, batches: Sequence[float], fine_tune: bool) -> Iterator[Span]:
    """A long cycle in every stage; with `fine_tune` the last stage trains the last shape alone.

    A shape gets epochs in proportion to its mean batch, so all shapes of a stage get the same number of iterations.
    Half of the fine-tuning is at the learning rate of the stage before.
    """
    last = len(recipe.steps) - 1
    if fine_tune and last == 0:
        raise UserError(
            "MULTIGRID.FINE_TUNE needs a learning-rate stage before the last one, and SOLVER.STEPS has only one: "
            "add a step, or set MULTIGRID.FINE_TUNE False"
        )
    for stage, (start, end) in enumerate(pairwise((*recipe.steps, recipe.max_epoch))):
        shares = [(end - start) * batch / sum(batches) for batch in batches]
        if fine_tune and stage == last:
            half = shares[-1] * len(batches) / 2  # as many iterations as the stage's whole long cycle would have
            yield Span(stage, len(batches) - 1, stage - 1, half)
            yield Span(stage, len(batches) - 1, stage, half)
        else:
            yield from (Span(stage, k, stage, share) for k, share in enumerate(shares))


def _one_cycle(recipe: Recipe, batches: Sequence[float], fine_tune: bool) -> Iterator[Span]:
    """One long cycle over all of the training; the learning-rate stages keep their fractions of the epochs.

    It ends at the last shape by itself: there is no fine-tuning phase to switch off.
    """
    shape_ends = [_tidy(end * recipe.max_epoch / sum(batches)) for end in accumulate(batches)]
    stage_ends = [_tidy(end) for end in (*recipe.steps[1:], recipe.max_epoch)]
    for start, end in pairwise(sorted({0.0, *shape_ends, *stage_ends})):
        stage = bisect_right(stage_ends, start)
        yield Span(stage, bisect_right(shape_ends, start), stage, end - start)


def _borders(spans: Sequence[Span], align: bool) -> list[float]:
    """Epochs at which spans begin and end.

    With `align` rounded to whole epochs, half to even, and the fine-tuning stage halved again, as published.
    """
    borders = list(accumulate((span.epochs for span in spans), initial=0.0))
    if not align:
        return [_tidy(border) for border in borders]
    borders = [round(_tidy(border)) for border in borders]
    for i, (span, after) in enumerate(pairwise(spans), start=1):
        if (span.stage, span.base_shape) == (after.stage, after.base_shape):
            borders[i] = (borders[i - 1] + borders[i + 1]) // 2
    return borders


def _tidy(number: float) -> float:
    """Without the last digits, in which floats differ that should be equal: 2.9999999999999996 is 3."""
    return round(number, 9)
