"""The multigrid schedule: the mini-batch shape, learning rate and batch-norm groups at every epoch.

Wu, Girshick, He, Feichtenhofer, Kraehenbuehl: A Multigrid Method for Efficiently Training Video Models, CVPR 2020.

A mini-batch of b clips of t frames of h x h pixels costs b * t * h * h. Multigrid keeps that product, or a cost that
was counted otherwise: it trains with many small clips early (large steps, cheap clips) and few large clips late. The
*long cycle* goes through the base shapes once per learning-rate stage; the *short cycle* changes the size from one
iteration to the next (Section 3).

Errors name the arguments in backquotes; `build.py` replaces them by keys of the config.

Standard library only.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import floor, log, sqrt
from typing import NamedTuple

from slowfast.errors import UserError
from slowfast.multigrid.plan import Phase, Schedule, Shape, ShapeCycle

# (time, space) as fractions of the default grid: 8B, 4B, 2B and B clips (Section 3.2).
LONG_CYCLE_FACTORS = ((1 / 4, 0.5**0.5), (1 / 2, 0.5**0.5), (1 / 2, 1.0), (1.0, 1.0))
# Space only, the smallest first: H/2, H/sqrt(2), and then the base size itself (Section 3.2).
SHORT_CYCLE_FACTORS = (0.5, 0.5**0.5)

# The factor of the learning rate for k times the clips: the paper's rule (Section 3.2), and one for Adam, whose steps
# do not grow with the gradient.
LR_SCALINGS: dict[str, Callable[[float], float]] = {"linear": lambda k: k, "sqrt": sqrt}

Cost = Callable[[int, int], float]  # of one clip of `frames` frames of `crop` x `crop` px, in any unit
BUDGET = 1.01  # the largest cost of a batch over that of the recipe; at 1, rounding could take a clip of every group


@dataclass(frozen=True)
class Recipe:
    """A training recipe without multigrid.

    `stride` is the temporal stride in frames. `steps` are the epochs at which a learning-rate stage begins (0 first),
    and `rates` the stages' learning rates over the base rate. A batch is trained in `parts` parts (see ShapeCycle).
    `batch_norm`: whether the model has batch norm; without, there are no groups. Raises UserError where they do not fit
    together.
    """

    shape: Shape
    stride: int
    max_epoch: float
    steps: tuple[float, ...] = (0,)
    rates: tuple[float, ...] = (1.0,)
    warmup_epochs: float = 0.0
    parts: int = 1
    batch_norm: bool = True

    def __post_init__(self):
        if self.shape.batch_size % self.parts:
            raise UserError(
                f"`parts`: {self.parts} does not divide the {self.shape.batch_size} clips of a device's batch; use a "
                "divisor, or another `batch_size`"
            )
        borders = [*self.steps, self.max_epoch]
        if borders[0] != 0 or borders != sorted({*borders}):
            raise UserError(
                f"`steps`: {list(self.steps)} must start at 0, rise, and stay below `max_epoch` {self.max_epoch:g}"
            )
        if len(self.rates) < len(self.steps):
            raise UserError(
                f"`rates`: {list(self.rates)} must have {len(self.steps)} values, one for each of `steps` "
                f"{list(self.steps)}"
            )


@dataclass(frozen=True)
class Multigrid:
    """The options of the method. An empty cycle is off. Raises UserError for a factor that is not in (0, 1].

    A batch of any shape costs as much as one of the recipe: in pixels, as in the paper, or by another `cost`, in which
    it is rounded down.
    """

    long_cycle: tuple[Sequence[float], ...] = LONG_CYCLE_FACTORS
    short_cycle: tuple[float, ...] = SHORT_CYCLE_FACTORS
    design: str = "multi"  # a key of DESIGNS: a long cycle per stage, or "single", one over the training
    fine_tune: bool = True
    epoch_factor: float = 1.5
    align_to_epochs: bool = False
    bn_base_size: int = 8
    cost: Cost | None = None  # None: pixels
    lr_scaling: str = "linear"  # a key of LR_SCALINGS: how the rate grows with a base shape's batch

    def __post_init__(self):
        if self.lr_scaling not in LR_SCALINGS:
            raise UserError(f"`lr_scaling`: {self.lr_scaling!r} is not known; choose one of {', '.join(LR_SCALINGS)}")
        for factor in self.long_cycle:
            if not isinstance(factor, Sequence) or len(factor) != 2 or not all(map(_is_fraction, factor)):
                raise UserError(f"`long_cycle`: {factor!r} must be [time, space], each above 0 and at most 1")
        for size in self.short_cycle:
            if not _is_fraction(size):
                raise UserError(f"`short_cycle`: {size!r} must be above 0 and at most 1")


def _is_fraction(factor) -> bool:
    return isinstance(factor, int | float) and 0 < factor <= 1


def baseline_schedule(recipe: Recipe, bn_groups: int = 1, bn_sync_ranks: int = 1) -> Schedule:
    """Return the schedule of the recipe without multigrid: one phase per learning-rate stage, all of one shape."""
    cycle = ShapeCycle((recipe.shape,), 1.0, (recipe.stride, recipe.stride), bn_groups, bn_sync_ranks, recipe.parts)
    borders = pairwise((*recipe.steps, recipe.max_epoch))
    phases = tuple(
        Phase(**vars(cycle), stage=stage, start_epoch=start, end_epoch=end, step_rate=recipe.rates[stage])
        for stage, (start, end) in enumerate(borders)
    )
    return Schedule(phases, recipe.warmup_epochs, recipe.batch_norm)


def multigrid_schedule(recipe: Recipe, multigrid: Multigrid, world_size: int = 1) -> Schedule:
    """Return the multigrid schedule of the recipe on `world_size` devices.

    Raises UserError where the recipe has no stage to fine-tune in, a factor leaves a clip without frames or pixels,
    truncation to whole epochs leaves none, or the design is unknown.
    """
    factors = multigrid.long_cycle or ((1.0, 1.0),)
    cycles = [shape_cycle(recipe, multigrid, factor, world_size) for factor in factors]
    spans = _spans(recipe, multigrid, [cycle.mean_batch for cycle in cycles])
    borders = pairwise(_borders(spans, multigrid.align_to_epochs))
    phases = tuple(
        Phase(
            **vars(cycles[span.base_shape]),
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
            f"{multigrid.epoch_factor:g} x {recipe.max_epoch:g} epochs (`epoch_factor` x `max_epoch`) are truncated to "
            "whole epochs, and none is left: raise either"
        )
    warmup = min(recipe.warmup_epochs * min(1.0, multigrid.epoch_factor), phases[0].end_epoch)
    return Schedule(phases, warmup, recipe.batch_norm)


# --- shapes ---------------------------------------------------------------------------------------


def shape_cycle(recipe: Recipe, multigrid: Multigrid, factor: Sequence[float], world_size: int) -> ShapeCycle:
    """Return the base shape of the long cycle's `factor` (time, space) with its short cycle and its settings."""
    time, space = factor
    base = scaled_shape(recipe.shape, time, space, recipe.parts, multigrid.cost)
    groups, ranks = _statistics(base.batch_size // recipe.parts, recipe, multigrid, world_size)
    sizes = [min(space, size) for size in (1.0, *reversed(multigrid.short_cycle))]
    multiple = groups * recipe.parts
    shapes = [scaled_shape(recipe.shape, time, size, multiple, multigrid.cost) for size in sizes]
    return ShapeCycle(
        shapes=tuple(shapes),
        lr_factor=_tidy(LR_SCALINGS[multigrid.lr_scaling](shapes[0].batch_size / recipe.shape.batch_size)),
        stride=stride_range(recipe.stride, recipe.shape.frames, base.frames),
        bn_groups=groups,
        bn_sync_ranks=ranks,
        parts=recipe.parts,
        costs=_costs(shapes, recipe.shape, multigrid.cost or pixels),
    )


def scaled_shape(shape: Shape, time: float, space: float, multiple: int = 1, cost: Cost | None = None) -> Shape:
    """Return the shape of equal cost with `time` * frames and `space` * crop.

    In pixels it has b = B / (time * space^2) clips (Equation 1), rounded to a multiple of `multiple`. They come from
    the factors, not from rounded pixels, so that 8B, 4B and 2B are exact. By another `cost` it has the largest multiple
    of `multiple` whose clips together cost at most BUDGET times those of `shape`, but at least `multiple`.
    """
    frames, crop = round(time * shape.frames), round(space * shape.crop)
    if frames < 1 or crop < 1:
        raise UserError(
            f"the factors ({time:g}, {space:g}) leave nothing of a clip of {shape.frames} frames x {shape.crop} px: "
            "raise the factors of `long_cycle`, or use longer clips (`frames`)"
        )
    if cost is None:
        count = round(round(shape.batch_size / (time * space * space)) / multiple)
    else:
        budget = BUDGET * shape.batch_size * cost(shape.frames, shape.crop)
        count = floor(budget / cost(frames, crop) / multiple)
    return Shape(max(count, 1) * multiple, frames, crop)


def pixels(frames: int, crop: int) -> float:
    """Return the cost of a clip in pixels."""
    return frames * crop * crop


def _costs(shapes: Sequence[Shape], full: Shape, cost: Cost) -> tuple[float, ...]:
    """Return the costs of batches of `shapes` over that of a batch of the shape `full`."""
    unit = full.batch_size * cost(full.frames, full.crop)
    return tuple(shape.batch_size * cost(shape.frames, shape.crop) / unit for shape in shapes)


def stride_range(stride: int, base_frames: int, frames: int) -> tuple[int, int]:
    """Return the range of strides with which `frames` frames span at most what `base_frames` do (Section 3.3)."""
    return stride, stride * base_frames // frames


def jitter_range(scales: Sequence[int], base_crop: int, crop: int) -> tuple[int, int]:
    """Return the range of short sides, in px, from which a `crop` x `crop` window is cut (Section 3.3)."""
    shortest, longest = scales
    return round(shortest * crop / base_crop), longest


# --- batch norm -----------------------------------------------------------------------------------


def _statistics(batch_size: int, recipe: Recipe, multigrid: Multigrid, world_size: int) -> tuple[int, int]:
    """Return the batch-norm groups of a batch, and over how many ranks they share statistics; 1, 1 without batch norm.

    A batch in pixels is divided as it is. By another cost it may be any number, even a prime, and is rounded down.
    """
    if not recipe.batch_norm:
        return 1, 1
    groups = bn_groups(batch_size, multigrid.bn_base_size, exact=multigrid.cost is None)
    return groups, bn_sync_ranks(batch_size, multigrid.bn_base_size, world_size)


def bn_groups(batch_size: int, base_size: int, exact: bool = True) -> int:
    """Return the number of batch-norm groups whose size is nearest to `base_size` by ratio (Section 3.4).

    It is a divisor of `batch_size`. If it need not be `exact`, it is any number, for a batch of as many clips as fill
    the groups evenly, the most on a tie.
    """
    if batch_size < base_size:
        return 1
    choices = _divisors(batch_size) if exact else range(1, batch_size + 1)
    sizes = {groups: batch_size // groups for groups in choices}
    return min(sizes, key=lambda groups: (_distance(sizes[groups], base_size), -groups * sizes[groups], groups))


def bn_sync_ranks(batch_size: int, base_size: int, world_size: int) -> int:
    """Return over how many ranks a batch smaller than `base_size` shares its statistics.

    It is the divisor of `world_size` that comes nearest to `base_size` clips by ratio, the larger on a tie.
    """
    if batch_size >= base_size:
        return 1
    return min(_divisors(world_size), key=lambda ranks: (_distance(batch_size * ranks, base_size), -ranks))


def _distance(size: float, target: int) -> float:
    return _tidy(abs(log(size / target)))  # 4 and 16 are equally far from 8


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


# --- time -----------------------------------------------------------------------------------------


class Span(NamedTuple):
    """A number of epochs in which a learning-rate stage trains one base shape.

    `rate_stage` is the stage whose learning rate is used: `stage` itself, except in the first half of the fine-tuning.
    """

    stage: int
    base_shape: int
    rate_stage: int
    epochs: float


def _spans(recipe: Recipe, multigrid: Multigrid, batches: Sequence[float]) -> list[Span]:
    """Divide epoch_factor * max_epoch epochs as the design has it. `batches`: mean batch sizes of the base shapes."""
    if not multigrid.long_cycle:  # as published: the recipe's own stages, stretched and truncated
        borders = [int(epoch * multigrid.epoch_factor) for epoch in (*recipe.steps, recipe.max_epoch)]
        return [Span(stage, 0, stage, end - start) for stage, (start, end) in enumerate(pairwise(borders))]

    if multigrid.design not in DESIGNS:
        raise UserError(f"`design`: {multigrid.design!r} is not known; choose one of {', '.join(DESIGNS)}")
    spans = list(DESIGNS[multigrid.design](recipe, batches, multigrid.fine_tune))
    scale = multigrid.epoch_factor * recipe.max_epoch / sum(span.epochs for span in spans)
    return [span._replace(epochs=span.epochs * scale) for span in spans]


def _cycle_per_stage(recipe: Recipe, batches: Sequence[float], fine_tune: bool) -> Iterator[Span]:
    """Yield a long cycle for every stage; with `fine_tune` the last stage trains only the last shape.

    A shape gets epochs in proportion to its mean batch, so all shapes of a stage get the same number of iterations.
    The first half of the fine-tuning uses the learning rate of the stage before.
    """
    last = len(recipe.steps) - 1
    if fine_tune and last == 0:
        raise UserError(
            "`fine_tune` needs a learning-rate stage before the last one, but `steps` has only one stage: add a step, "
            "or set `fine_tune` to False"
        )
    for stage, (start, end) in enumerate(pairwise((*recipe.steps, recipe.max_epoch))):
        shares = [(end - start) * batch / sum(batches) for batch in batches]
        if fine_tune and stage == last:
            half = shares[-1] * len(batches) / 2  # as many iterations as a long cycle of the stage would have
            yield Span(stage, len(batches) - 1, stage - 1, half)
            yield Span(stage, len(batches) - 1, stage, half)
        else:
            yield from (Span(stage, k, stage, share) for k, share in enumerate(shares))


def _one_cycle(recipe: Recipe, batches: Sequence[float], fine_tune: bool) -> Iterator[Span]:
    """Yield one long cycle over all of the training. The learning-rate stages keep their fractions of the epochs.

    The cycle ends with the last shape, so `fine_tune` has no effect.
    """
    shape_ends = [_tidy(end * recipe.max_epoch / sum(batches)) for end in accumulate(batches)]
    stage_ends = [_tidy(end) for end in (*recipe.steps[1:], recipe.max_epoch)]
    for start, end in pairwise(sorted({0.0, *shape_ends, *stage_ends})):
        stage = bisect_right(stage_ends, start)
        yield Span(stage, bisect_right(shape_ends, start), stage, end - start)


# How long cycles are laid over a training. A design returns spans, from (recipe, mean batch sizes of the base shapes,
# fine_tune); their epochs count in proportion. Add your own before the config is loaded.
DESIGNS: dict[str, Callable[[Recipe, Sequence[float], bool], Iterable[Span]]] = {
    "multi": _cycle_per_stage,
    "single": _one_cycle,
}


def _borders(spans: Sequence[Span], align: bool) -> list[float]:
    """Return the epochs at which spans begin and end.

    With `align` they are rounded to whole epochs, half to even, and the fine-tuning stage is halved again afterwards,
    as published.
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
    """Round off float noise: 2.9999999999999996 becomes 3."""
    return round(number, 9)
