"""The schedule of a config: the one place where multigrid reads it."""

import logging
from collections.abc import Iterable

from slowfast.errors import UserError
from slowfast.multigrid.plan import MultigridSchedule, Phase, Shape
from slowfast.multigrid.schedule import Multigrid, Recipe, baseline_schedule, multigrid_schedule

logger = logging.getLogger(__name__)

MIN_CROP_PX = 32  # the total stride of the published networks
COSINE_FINE_TUNE = 0.18  # share of MAX_EPOCH that fine-tunes under cosine, before the sharing (paper, appendix)


def build_schedule(cfg) -> MultigridSchedule:
    """The schedule that `cfg` asks for: with the long or the short cycle, multigrid; else the recipe as it is.

    The devices of a machine share TRAIN.BATCH_SIZE: NUM_GPUS, at least 1.
    Raises UserError when a shape does not fit the model.
    """
    if not _has_cycle(cfg):
        return build_baseline(cfg)
    options = multigrid_options(cfg)
    recipe = build_recipe(cfg, options)
    schedule = multigrid_schedule(recipe, options, world_size(cfg))
    check_shapes(cfg, schedule.phases)
    _say_small_groups(schedule.phases, options.bn_base_size, world_size(cfg))
    _say_lost_stages(schedule.phases, len(recipe.steps))
    return schedule


def build_baseline(cfg) -> MultigridSchedule:
    """The recipe of `cfg` without multigrid."""
    groups, ranks = _norm_type(cfg)
    schedule = baseline_schedule(build_recipe(cfg), groups, ranks)
    check_shapes(cfg, schedule.phases)
    return schedule


def build_recipe(cfg, options: Multigrid | None = None) -> Recipe:
    """The recipe itself. Under the cosine policy, the stages are the borders of the long cycles."""
    devices = devices_of_a_machine(cfg)
    if cfg.TRAIN.BATCH_SIZE % devices:
        raise UserError(
            f"TRAIN.BATCH_SIZE {cfg.TRAIN.BATCH_SIZE} is not divisible by {devices} devices: "
            f"use a multiple of {devices}"
        )
    shape = Shape(cfg.TRAIN.BATCH_SIZE // devices, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
    steps, rates = _stages(cfg, options)
    max_epoch = cfg.SOLVER.MAX_EPOCH
    return Recipe(shape, cfg.DATA.SAMPLING_RATE, max_epoch, steps, rates, cfg.SOLVER.WARMUP_EPOCHS)


def multigrid_options(cfg) -> Multigrid:
    node = cfg.MULTIGRID
    return Multigrid(
        long_cycle=tuple(map(tuple, node.LONG_CYCLE_FACTORS)) if node.LONG_CYCLE else (),
        short_cycle=tuple(node.SHORT_CYCLE_FACTORS) if node.SHORT_CYCLE else (),
        design=node.LONG_CYCLE_DESIGN,
        fine_tune=node.FINE_TUNE,
        epoch_factor=node.EPOCH_FACTOR,
        align_to_epochs=node.ALIGN_TO_EPOCHS,
        bn_base_size=node.BN_BASE_SIZE,
    )


def _has_cycle(cfg) -> bool:
    return cfg.MULTIGRID.LONG_CYCLE or cfg.MULTIGRID.SHORT_CYCLE


def devices_of_a_machine(cfg) -> int:
    """Processes on each machine: a NUM_GPUS of 0 is one, on the CPU."""
    return max(cfg.NUM_GPUS, 1)


def world_size(cfg) -> int:
    """Processes on all machines."""
    return devices_of_a_machine(cfg) * cfg.NUM_SHARDS


def check_shapes(cfg, phases: Iterable[Phase]) -> None:
    """Refuse what the model cannot be trained on, with the shape named."""
    two_pathways = len(cfg.DATA.INPUT_CHANNEL_NUM) == 2
    for shape in {shape: None for phase in phases for shape in phase.shapes}:
        name = f"the shape of {shape.frames} frames x {shape.crop} px"
        if shape.crop < MIN_CROP_PX:
            raise UserError(
                f"{name}: crops under {MIN_CROP_PX} px are too small for the network: raise DATA.TRAIN_CROP_SIZE "
                "or the spatial factors of MULTIGRID"
            )
        if two_pathways and shape.frames % cfg.SLOWFAST.ALPHA:
            raise UserError(
                f"{name}: {shape.frames} frames are not a multiple of SLOWFAST.ALPHA {cfg.SLOWFAST.ALPHA}: "
                "raise DATA.NUM_FRAMES, lower SLOWFAST.ALPHA or change MULTIGRID.LONG_CYCLE_FACTORS"
            )
        if shape.frames < 2 and cfg.MODEL.ARCH in ("c2d", "i3d"):
            raise UserError(
                f"{name}: {cfg.MODEL.ARCH} needs more frames: raise DATA.NUM_FRAMES "
                "or the temporal factors of MULTIGRID.LONG_CYCLE_FACTORS"
            )
        _check_nonlocal_groups(cfg, shape.frames, name)


def _check_nonlocal_groups(cfg, frames: int, name: str) -> None:
    """A non-local block cuts the frames that reach it into NONLOCAL.GROUP equal groups."""
    halved = cfg.MODEL.ARCH in ("c2d", "i3d") and cfg.MODEL.MODEL_NAME != "ResNet_nopool"
    for stage, (blocks, groups) in enumerate(zip(cfg.NONLOCAL.LOCATION, cfg.NONLOCAL.GROUP, strict=True)):
        for pathway, group in enumerate(groups):
            of_slow = len(groups) == 2 and pathway == 0
            left = frames // (cfg.SLOWFAST.ALPHA if of_slow else 2 if halved and stage else 1)
            if blocks[pathway] and left % group:
                raise UserError(
                    f"{name}: NONLOCAL.GROUP {group} does not divide the {left} frames that reach a non-local block "
                    f"of res{stage + 2}: use a divisor, raise DATA.NUM_FRAMES or change MULTIGRID.LONG_CYCLE_FACTORS"
                )


def _stages(cfg, options: Multigrid | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """First epochs of the stages and their rates over BASE_LR. Steps that MAX_EPOCH cuts off never begin."""
    solver = cfg.SOLVER
    if solver.LR_POLICY == "cosine":
        steps = _cosine_borders(cfg) if options and options.long_cycle and options.design == "multi" else (0,)
        return steps, (1.0,) * len(steps)
    steps = tuple(step for step in solver.STEPS if step < solver.MAX_EPOCH)
    return steps, tuple(solver.LRS or (solver.GAMMA**i for i in range(len(steps))))


def _cosine_borders(cfg) -> tuple[float, ...]:
    """Where long cycles begin when the learning rate has no steps: STEPS if given, else NUM_LONG_CYCLES equal ones."""
    max_epoch, cycles = cfg.SOLVER.MAX_EPOCH, cfg.MULTIGRID.NUM_LONG_CYCLES
    if cfg.SOLVER.STEPS:
        return tuple(step for step in cfg.SOLVER.STEPS if step < max_epoch)
    if not cfg.MULTIGRID.FINE_TUNE:
        return tuple(max_epoch * i / cycles for i in range(cycles))
    return tuple(max_epoch * (1 - COSINE_FINE_TUNE) * i / cycles for i in range(cycles + 1))


def _norm_type(cfg) -> tuple[int, int]:
    """Groups and ranks of the batch norm that BN.NORM_TYPE names; with multigrid it names none."""
    if _has_cycle(cfg):
        return 1, 1
    bn, devices, world = cfg.BN, devices_of_a_machine(cfg), world_size(cfg)
    if bn.NORM_TYPE == "sub_batchnorm":
        return bn.NUM_SPLITS, 1
    if bn.NORM_TYPE != "sync_batchnorm":
        return 1, 1
    if world == 1:
        logger.info("BN.NORM_TYPE sync_batchnorm on one process is plain batch norm")
        return 1, 1
    if bn.GLOBAL_SYNC:
        return 1, world
    if devices < bn.NUM_SYNC_DEVICES:
        logger.info("BN.NUM_SYNC_DEVICES %d: all %d devices of a machine share", bn.NUM_SYNC_DEVICES, devices)
        return 1, devices
    if devices % bn.NUM_SYNC_DEVICES:
        raise UserError(
            f"BN.NUM_SYNC_DEVICES {bn.NUM_SYNC_DEVICES} does not divide the {devices} devices of a machine: "
            "use a divisor, or BN.GLOBAL_SYNC True"
        )
    return 1, bn.NUM_SYNC_DEVICES


def _say_small_groups(phases: Iterable[Phase], base_size: int, world_size: int) -> None:
    clips = min(phase.shapes[0].batch_size for phase in phases) * world_size
    if clips < base_size:
        logger.info(
            "batch norm: statistics over %d clips, not MULTIGRID.BN_BASE_SIZE %d: the devices together have no more",
            clips,
            base_size,
        )


def _say_lost_stages(phases: Iterable[Phase], num_stages: int) -> None:
    """Where epochs are cut to whole ones, a short stage may have none left."""
    for stage in sorted({*range(num_stages)} - {phase.stage for phase in phases}):
        logger.warning(
            "learning-rate stage %d of %d has no epoch, as its borders are cut to whole ones: "
            "raise MULTIGRID.EPOCH_FACTOR or SOLVER.MAX_EPOCH",
            *(stage + 1, num_stages),
        )
