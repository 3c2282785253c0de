"""First aid: what to do about a training that goes wrong, the cheapest cure first, as commands for this run.

All texts of this kind are here. Each function returns them as lines, or nothing if all is well.
"""

import shlex
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple

from slowfast.config.node import CfgNode
from slowfast.multigrid import Schedule
from slowfast.multigrid.build import has_cycle
from slowfast.utils.config_file import CONFIG
from slowfast.utils.machine import allowed_cores
from slowfast.utils.program import program
from slowfast.utils.world import World, clips_per_video

LONG_WAIT = 1 / 3  # share of the time spent waiting for data, above which it is worth a cure
MOST = 3  # cures in a message
FEW_CLIPS = 4  # of a batch-norm statistic; fewer make it noisy
MANY_BASE_SIZES = 4  # clips of a batch-norm statistic over MULTIGRID.BN_BASE_SIZE; the method comes near 1
SHORT_SIDE = 8 / 7  # highest short side over the crop: 256 px for 224 px
LOWER_RATE = 0.1


class Cure(NamedTuple):
    """What to do, and the command that does it."""

    text: str
    command: str


def command(cfg: CfgNode, name: str, *words: object) -> str:
    """Return a command line for the config that the run has written to OUTPUT_DIR, in the form that started the run."""
    config = shlex.quote(str(Path(cfg.OUTPUT_DIR) / CONFIG))
    return " ".join([program(name), "--cfg", config, *map(str, words)])


def listed(problem: str, cures: Sequence[Cure]) -> str:
    """Return a problem with its cures as text, numbered."""
    lines = [f"  {number}. {cure.text}:\n     {cure.command}" for number, cure in enumerate(cures, start=1)]
    return "\n".join([f"{problem} The cheapest cures first:", *lines])


def waiting_for_data(cfg: CfgNode, share: float) -> str:
    """Return the cures of a training of which a `share` of the time is spent waiting for data."""
    problem = f"{100 * share:.0f} % of the time is spent waiting for data."
    return listed(problem, waiting_cures(cfg, allowed_cores())[:MOST])


def waiting_cures(cfg: CfgNode, cores: int) -> list[Cure]:
    """Return all cures of waiting for data on a machine where the run may use `cores`."""
    data, workers, processes = cfg.DATA, cfg.DATA_LOADER.NUM_WORKERS, World.from_cfg(cfg).processes
    per_process = max(cores // processes, 1)
    low, high = data.TRAIN_CROP_SIZE, round(data.TRAIN_CROP_SIZE * SHORT_SIDE)
    cures = []
    if workers < per_process:
        text = f"use the cores that are free: {cores} are allowed, for {processes} process(es) of {workers} worker(s)"
        cures.append(Cure(text, command(cfg, "run", "DATA_LOADER.NUM_WORKERS", per_process)))
    if not data.PREPARED_DIR:
        out = shlex.quote(f"{data.PATH_TO_DATA_DIR.rstrip('/') or '.'}/prepared")
        prepare = f"{command(cfg, 'prepare', out)} && {command(cfg, 'run', 'DATA.PREPARED_DIR', out)}"
        cures.append(Cure("read small copies of the videos that are fast to decode", prepare))
    if data.TRAIN_JITTER_SCALES[1] > high:
        text = "draw smaller pictures, which are faster to resize and, if prepared, to decode; this changes the recipe"
        cures.append(Cure(text, command(cfg, "run", "DATA.TRAIN_JITTER_SCALES", f'"[{low}, {high}]"')))
    where = "see which shapes of clips are slow to load, and give the run more cores or a faster disk"
    cures.append(Cure(where, command(cfg, "benchmark", "data")))
    return cures


def at_chance(cfg: CfgNode, evaluations: int, result: str) -> str:
    """Return the likely causes of a validation that stays at chance, the cheapest to find out first."""
    rate, epochs = cfg.SOLVER.BASE_LR * LOWER_RATE, max(cfg.SOLVER.WARMUP_EPOCHS * 2, 1)
    other = shlex.quote(f"{cfg.OUTPUT_DIR.rstrip('/')}_low_lr")
    cures = [
        Cure("look at training clips: does a clip show its class, in the right colors?", command(cfg, "show-clips")),
        Cure(
            "compare the classes with those of validation clips: are the numbers and names the same?",
            command(cfg, "show-clips", "--split", "val"),
        ),
        Cure(
            "lower the rate and warm up for longer",
            command(cfg, "run", f"SOLVER.BASE_LR {rate:g} SOLVER.WARMUP_EPOCHS {epochs:g} OUTPUT_DIR {other}"),
        ),
    ]
    return listed(f"the last {evaluations} evaluations are no better than guessing ({result}).", cures)


def unusual_batch_norm(cfg: CfgNode, schedule: Schedule) -> list[str]:
    """Return warnings of batch-norm statistics over unusually few or many clips, each with the keys to set."""
    if not schedule.batch_norm:
        return []
    repeats = clips_per_video(cfg)
    sizes = {
        shape: repeats * (shape.batch_size // phase.parts * phase.bn_sync_ranks // phase.bn_groups)
        for phase in schedule.phases
        for shape in phase.shapes
    }
    most = repeats * MANY_BASE_SIZES * cfg.MULTIGRID.BN_BASE_SIZE if has_cycle(cfg) else inf
    few = {shape: size for shape, size in sizes.items() if size < FEW_CLIPS}
    many = {shape: size for shape, size in sizes.items() if size > most}
    extremes = [min(few, key=few.__getitem__)] if few else [max(many, key=many.__getitem__)] if many else []
    return [
        f"batch norm computes statistics over {sizes[shape]} clip(s) at {shape.frames} frames x {shape.crop} px, which "
        f"{'makes them noisy' if few else 'is more than the method has'}: {_batch_norm_keys(cfg, sizes[shape])}"
        for shape in extremes
    ]


def _batch_norm_keys(cfg: CfgNode, clips: int) -> str:
    """Return the keys that change statistics over `clips` clips."""
    world, base = World.from_cfg(cfg), cfg.MULTIGRID.BN_BASE_SIZE
    if has_cycle(cfg) and cfg.TRAIN.BATCH_SIZE * world.machines > base:
        return (
            f"give each process clips in a number that divides well by MULTIGRID.BN_BASE_SIZE {base}, TRAIN.BATCH_SIZE "
            f"{-(-cfg.TRAIN.BATCH_SIZE // (base * world.processes)) * base * world.processes} for example"
        )
    factor = -(-FEW_CLIPS // clips)
    choices = [f"raise TRAIN.BATCH_SIZE to {cfg.TRAIN.BATCH_SIZE * factor} and SOLVER.BASE_LR with it"]
    if not has_cycle(cfg) and world.size > 1:
        choices.append("share statistics over devices with BN.NORM_TYPE sync_batchnorm and BN.NUM_SYNC_DEVICES")
    if not cfg.BN.USE_PRECISE_STATS:
        choices.append("compute those of evaluations anew with BN.USE_PRECISE_STATS True")
    return ", or ".join(choices)
