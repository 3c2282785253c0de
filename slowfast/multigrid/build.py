"""From a config to its schedule: the only file of the package that knows the keys of the config."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from slowfast.errors import UserError
from slowfast.multigrid.plan import Leg, Phase, Schedule, Shape, iterations_until
from slowfast.multigrid.schedule import (
    Cost,
    Multigrid,
    Recipe,
    baseline_schedule,
    bn_groups,
    bn_sync_ranks,
    multigrid_schedule,
)

logger = logging.getLogger(__name__)

STEP_POLICY = "steps_with_relative_lrs"
COSINE_FINE_TUNE = 0.18  # share of MAX_EPOCH for fine-tuning under the cosine policy (paper, appendix)

# Measured in projects/small_data: a network of 1.4 M parameters learns little in fewer updates.
FEW_ITERATIONS, FEW_WARMUP_ITERATIONS = 1000, 100

# The keys behind the arguments that errors of the schedule and the plan name.
KEYS = {
    "batch_size": "TRAIN.BATCH_SIZE",
    "frames": "DATA.NUM_FRAMES",
    "steps": "SOLVER.STEPS",
    "rates": "SOLVER.LRS",
    "max_epoch": "SOLVER.MAX_EPOCH",
    "parts": "SOLVER.ACCUMULATE",
    "epoch_factor": "MULTIGRID.EPOCH_FACTOR",
    "long_cycle": "MULTIGRID.LONG_CYCLE_FACTORS",
    "short_cycle": "MULTIGRID.SHORT_CYCLE_FACTORS",
    "design": "MULTIGRID.LONG_CYCLE_DESIGN",
    "fine_tune": "MULTIGRID.FINE_TUNE",
    "lr_scaling": "MULTIGRID.LR_SCALING",
}


def build_schedule(
    cfg,
    batch_size: int | None = None,
    world_size: int = 1,
    bn_groups: int = 1,
    bn_sync_ranks: int = 1,
    *,
    batch_norm: bool = True,
    cost: Cost | None = None,
) -> Schedule:
    """Return the schedule of `cfg`: multigrid where a cycle is on, else the recipe as it is.

    Args:
        batch_size: clips of one process at the default shape (default: all of TRAIN.BATCH_SIZE).
        world_size: number of processes.
        bn_groups, bn_sync_ranks: batch norm where no cycle is on; under multigrid the schedule decides.
        batch_norm: whether the model has batch norm.
        cost: returns what a clip of some frames and px costs, for MULTIGRID.COST flops; other costs do not use it.
    """
    if not has_cycle(cfg):
        return build_baseline(cfg, batch_size, bn_groups, bn_sync_ranks, batch_norm=batch_norm)
    options = multigrid_options(cfg, cost)
    with errors_name_keys():
        recipe = build_recipe(cfg, batch_size, _cosine_borders(cfg, options), batch_norm)
        schedule = multigrid_schedule(recipe, options, world_size)
    if batch_norm:
        _log_small_groups(schedule.phases, options.bn_base_size, world_size)
    _log_lost_stages(schedule.phases, len(recipe.steps))
    return schedule


def build_baseline(
    cfg, batch_size: int | None = None, bn_groups: int = 1, bn_sync_ranks: int = 1, *, batch_norm: bool = True
) -> Schedule:
    """Return the schedule of the recipe without multigrid. The arguments are those of `build_schedule`."""
    with errors_name_keys():
        return baseline_schedule(build_recipe(cfg, batch_size, batch_norm=batch_norm), bn_groups, bn_sync_ranks)


def build_plan(schedule: Schedule, num_videos: int, world_size: int = 1) -> tuple[Leg, ...]:
    """Return `schedule.plan(num_videos, world_size)`, with errors that name keys of the config."""
    with errors_name_keys():
        return schedule.plan(num_videos, world_size)


def plan_warnings(schedule: Schedule, legs: Sequence[Leg]) -> list[str]:
    """Return warnings of a training with few updates, and of a warm-up with few or none before a raised rate."""
    total, warmup = sum(leg.iterations for leg in legs), iterations_until(legs, schedule.warmup_epochs)
    factor = schedule.phase_at(schedule.warmup_epochs).lr_factor
    warnings = []
    if total < FEW_ITERATIONS:
        warnings.append(
            f"the training has {total:,} iterations, fewer than about {FEW_ITERATIONS:,}, and may learn little: "
            + _cures_of_few_iterations(schedule.phases)
        )
    if warmup < FEW_WARMUP_ITERATIONS and (schedule.warmup_epochs or factor > 1):
        target = "" if factor == 1 else f" to {factor:g} times the base rate"
        warnings.append(
            f"the warm-up{target} has {warmup} iterations, fewer than about {FEW_WARMUP_ITERATIONS}, and the training "
            "may not recover from a rate that rises so fast: raise SOLVER.WARMUP_EPOCHS or lower SOLVER.BASE_LR"
        )
    return warnings


def _cures_of_few_iterations(phases: Sequence[Phase]) -> str:
    """Return what makes a training of these phases longer. Only what it has is named: steps, and several shapes."""
    steps = " with SOLVER.STEPS" if len({phase.step_rate for phase in phases}) > 1 else ""
    cures = [f"raise SOLVER.MAX_EPOCH{steps}", "lower TRAIN.BATCH_SIZE together with SOLVER.BASE_LR"]
    if len({phase.shapes[0] for phase in phases}) > 1:
        cures.append("use fewer shapes in MULTIGRID.LONG_CYCLE_FACTORS")
    return f"{', '.join(cures[:-1])} or {cures[-1]}"


def default_groups(cfg, batch_size: int, world_size: int) -> tuple[int, int]:
    """Return `bn_groups` and `bn_sync_ranks` for `batch_size` clips of a process at the default shape.

    Without a cycle these are 1 and 1.
    """
    if not has_cycle(cfg):
        return 1, 1
    base_size = cfg.MULTIGRID.BN_BASE_SIZE
    return bn_groups(batch_size, base_size), bn_sync_ranks(batch_size, base_size, world_size)


def has_cycle(cfg) -> bool:
    """Return whether the config asks for multigrid training."""
    return cfg.MULTIGRID.LONG_CYCLE or cfg.MULTIGRID.SHORT_CYCLE


def default_shape(cfg, batch_size: int | None = None) -> Shape:
    """Return the shape of the recipe's own mini-batches, which are also those of evaluation."""
    return Shape(batch_size or cfg.TRAIN.BATCH_SIZE, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)


def build_recipe(
    cfg, batch_size: int | None = None, cosine_borders: tuple[float, ...] = (0,), batch_norm: bool = True
) -> Recipe:
    """Return the recipe of `cfg`. `cosine_borders`: the stages under the cosine policy, which has no steps."""
    solver = cfg.SOLVER
    steps, rates = cosine_borders, (1.0,) * len(cosine_borders)
    if solver.LR_POLICY == STEP_POLICY:
        steps = _steps(cfg)
        rates = tuple(solver.LRS or (solver.GAMMA**i for i in range(len(steps))))
    shape, stride = default_shape(cfg, batch_size), cfg.DATA.SAMPLING_RATE
    warmup_epochs = max(solver.WARMUP_EPOCHS, 0.0)
    return Recipe(shape, stride, solver.MAX_EPOCH, steps, rates, warmup_epochs, solver.ACCUMULATE, batch_norm)


def counts_cost(cfg) -> bool:
    """Return whether the schedule needs the counted cost of clips."""
    return has_cycle(cfg) and cfg.MULTIGRID.COST == "flops"


def clip_costs(schedule: Schedule, batch_size: int) -> list[tuple[int, int, float]]:
    """Return (frames, px, cost) of a clip of every shape, in units of one of the recipe. `recorded_cost` takes it."""
    costs = {
        (shape.frames, shape.crop): cost * batch_size / shape.batch_size
        for phase in schedule.phases
        for shape, cost in zip(phase.shapes, phase.costs, strict=True)
    }
    return [(frames, crop, cost) for (frames, crop), cost in costs.items()]


def recorded_cost(cfg, costs: Iterable[tuple[int, int, float]]) -> Cost:
    """Return the function that a schedule took its `clip_costs` from, but for the unit."""
    full = default_shape(cfg)
    table = {(full.frames, full.crop): 1.0} | {(frames, crop): cost for frames, crop, cost in costs}

    def cost(frames: int, crop: int) -> float:
        if (frames, crop) not in table:
            raise UserError(f"MULTIGRID.COST: 'flops' of clips of {frames} frames x {crop} px is not in the log")
        return table[frames, crop]

    return cost


def multigrid_options(cfg, cost: Cost | None = None) -> Multigrid:
    """Return the options of the MULTIGRID section. `cost` is that of MULTIGRID.COST flops."""
    node = cfg.MULTIGRID
    if counts_cost(cfg) and cost is None:
        raise UserError(
            "MULTIGRID.COST: 'flops' is counted from the model, and no cost is given; give the schedule a `cost`, call "
            "slowfast.engine.schedule.build_schedule, which counts it, or set MULTIGRID.COST pixels"
        )
    if node.LONG_CYCLE and not node.LONG_CYCLE_FACTORS:
        raise UserError("MULTIGRID.LONG_CYCLE_FACTORS: [] has no shape for MULTIGRID.LONG_CYCLE; use at least [[1, 1]]")
    if node.SHORT_CYCLE and not node.SHORT_CYCLE_FACTORS:
        logger.warning("MULTIGRID.SHORT_CYCLE_FACTORS: [] leaves MULTIGRID.SHORT_CYCLE one size, so it changes nothing")
    with errors_name_keys():
        return Multigrid(
            long_cycle=tuple(node.LONG_CYCLE_FACTORS) if node.LONG_CYCLE else (),
            short_cycle=tuple(node.SHORT_CYCLE_FACTORS) if node.SHORT_CYCLE else (),
            design=node.LONG_CYCLE_DESIGN,
            fine_tune=node.FINE_TUNE,
            epoch_factor=node.EPOCH_FACTOR,
            align_to_epochs=node.ALIGN_TO_EPOCHS,
            bn_base_size=node.BN_BASE_SIZE,
            cost=cost if counts_cost(cfg) else None,
            lr_scaling=node.LR_SCALING,
        )


def _steps(cfg) -> tuple[float, ...]:
    """Return SOLVER.STEPS, without those at the end that a short trial of a recipe does not reach.

    A long cycle needs epochs in every stage, so there they stay, and the recipe refuses them.
    """
    steps = tuple(cfg.SOLVER.STEPS)
    while steps and steps[-1] >= cfg.SOLVER.MAX_EPOCH and not cfg.MULTIGRID.LONG_CYCLE:
        steps = steps[:-1]
    return steps


def _cosine_borders(cfg, options: Multigrid) -> tuple[float, ...]:
    """Return where long cycles begin under the cosine policy: at STEPS if given, else NUM_LONG_CYCLES equal ones."""
    max_epoch, cycles = cfg.SOLVER.MAX_EPOCH, cfg.MULTIGRID.NUM_LONG_CYCLES
    if not options.long_cycle or options.design != "multi":
        return (0,)
    if cfg.SOLVER.STEPS:
        return _steps(cfg)
    if not options.fine_tune:
        return tuple(max_epoch * i / cycles for i in range(cycles))
    return tuple(max_epoch * (1 - COSINE_FINE_TUNE) * i / cycles for i in range(cycles + 1))


@contextmanager
def errors_name_keys() -> Iterator[None]:
    """Replace the arguments that an error names in backquotes by the keys of the config."""
    try:
        yield
    except UserError as error:
        message = re.sub(r"`(\w+)`", lambda name: KEYS.get(name[1], name[1]), str(error))
        raise UserError(message) from error


def _log_small_groups(phases: Iterable[Phase], base_size: int, world_size: int) -> None:
    clips = min(phase.shapes[0].batch_size // phase.parts for phase in phases) * world_size
    if clips < base_size:
        logger.info(
            "batch norm: statistics over %d clips, not MULTIGRID.BN_BASE_SIZE %d: a batch of all devices, or its part "
            "under SOLVER.ACCUMULATE, has no more",
            *(clips, base_size),
        )


def _log_lost_stages(phases: Iterable[Phase], num_stages: int) -> None:
    """Warn of stages that truncation to whole epochs has left without any."""
    for stage in sorted({*range(num_stages)} - {phase.stage for phase in phases}):
        logger.warning(
            "learning-rate stage %d of %d is left without epochs, as its borders are truncated to whole epochs: "
            "raise MULTIGRID.EPOCH_FACTOR or SOLVER.MAX_EPOCH",
            *(stage + 1, num_stages),
        )
