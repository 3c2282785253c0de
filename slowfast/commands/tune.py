"""Find a learning rate and the largest batch for a config on this machine.

    slowfast tune --cfg YAML [options] [KEY VALUE ...]

The learning rate: a range test on the training videos, from the initial weights (TRAIN.CHECKPOINT_FILE_PATH), with the
batch of all devices at the default shape, and at the coarsest shape, where multigrid raises the rate. The result is the
SOLVER.BASE_LR for the batch of the config.

The batch: training steps on random clips of every shape of the schedule, of which as many as fit. It needs no videos.
"""

import argparse
from collections.abc import Sequence

import torch

from slowfast.benchmark.largest_batch import Fit, find_fits, memory_limit, parts_that_fit
from slowfast.benchmark.lr_range import Finding, base_lr_of, digits, find_rates, rates_between
from slowfast.benchmark.report import table
from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.engine.learner import Learner
from slowfast.engine.schedule import build_schedule
from slowfast.engine.training import seed_everything
from slowfast.errors import UserError
from slowfast.multigrid import Schedule
from slowfast.utils.label_order import class_names_of
from slowfast.utils.parser import argument_parser, fail_cleanly, load_config, parse_args
from slowfast.utils.training_checkpoint import load_for_training
from slowfast.utils.world import World
from slowfast.visualization.style import require_matplotlib
from slowfast.visualization.tuning import RateCurve, plot_tuning

PARTS = ("lr", "batch")
# From initial weights, also if OUTPUT_DIR has checkpoints.
FROM_THE_START = ["TRAIN.AUTO_RESUME", False, "TRAIN.CHECKPOINT_EPOCH_RESET", True]
RATES = {"sgd": (1e-4, 10.0), "adam": (1e-7, 0.1), "adamw": (1e-7, 0.1)}  # lowest and highest of a sweep

NO_FALL = (
    "the loss falls at no rate of the sweep of a shape: give more iterations (--iterations 500) between closer rates "
    "(--lowest, --highest), or check the labels and the initial weights (TRAIN.CHECKPOINT_FILE_PATH)"
)


@fail_cleanly()
def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    args = parse_args(argv, parser)
    if len(args.cfg_files) > 1:
        parser.error("give one --cfg file")
    args.opts = [*args.opts, *FROM_THE_START]
    cfg, device = load_config(args), torch.device(args.device)
    if args.plot:
        require_matplotlib("--plot")
    limit = memory_limit(device, args.memory_gb)
    seed_everything(cfg.RNG_SEED)
    schedule, learner = build_schedule(cfg), Learner.from_cfg(cfg, device)
    findings = tune_rate(cfg, learner, schedule, args) if args.only != "batch" else []
    max_batch = args.max_batch or 8 * cfg.TRAIN.BATCH_SIZE
    fits = tune_batch(cfg, learner, schedule, limit, max_batch) if args.only != "lr" else []
    if args.plot:
        plot_tuning([_curve(finding) for finding in findings], _peaks(fits), limit, args.plot)
    base_lr = base_lr_of(findings)
    print_lines(cfg, base_lr, fits)
    if findings and base_lr is None:
        raise UserError(NO_FALL)


def make_parser() -> argparse.ArgumentParser:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="lr: the learning rate; batch: the batch; default: both")
    parser.add_argument("--iterations", type=int, default=200, help="of a sweep of the learning rate (200)")
    parser.add_argument("--lowest", type=float, help="rate of a sweep (sgd: 1e-4, adam, adamw: 1e-7)")
    parser.add_argument("--highest", type=float, help="rate of a sweep (sgd: 10, adam, adamw: 0.1)")
    parser.add_argument("--memory-gb", type=float, help="limit in GiB; default: 90 %% of what is free")
    parser.add_argument("--max-batch", type=int, help="largest TRAIN.BATCH_SIZE to try; default: 8 times the config's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the losses and the memory")
    return parser


def tune_rate(cfg: CfgNode, learner: Learner, schedule: Schedule, args: argparse.Namespace) -> list[Finding]:
    """Sweep the learning rate, and print the table."""
    if args.iterations < 10:
        raise UserError(f"--iterations: {args.iterations} is too few for a sweep; give 10 or more")
    dataset, world = build_dataset(cfg.TRAIN.DATASET, cfg, "train"), World.from_cfg(cfg).size
    load_for_training(cfg, learner.model, class_names=class_names_of(dataset))
    lowest, highest = RATES[cfg.SOLVER.OPTIMIZING_METHOD]
    rates = rates_between(args.lowest or lowest, args.highest or highest, args.iterations)
    findings = find_rates(cfg, learner, dataset, schedule, rates, world)
    clips = [world * finding.phase.shapes[0].batch_size for finding in findings]
    print(f"learning rate: {args.iterations} iterations from {rates[0]:g} to {rates[-1]:g}\n")
    print(table([finding.columns(count) for finding, count in zip(findings, clips, strict=True)]), flush=True)
    return findings


def tune_batch(cfg: CfgNode, learner: Learner, schedule: Schedule, limit: float, max_batch: int) -> list[Fit]:
    """Find how many clips fit, and print the table."""
    fits = find_fits(cfg, learner, schedule, limit, max_batch)
    where = f"on one {learner.device.type}, within {limit:.2f} GiB"
    print(f"\nbatch: clips at a time {where}, up to TRAIN.BATCH_SIZE {max_batch}\n")
    print(table([fit.columns() for fit in fits]), flush=True)
    return fits


def print_lines(cfg: CfgNode, base_lr: float | None, fits: Sequence[Fit]) -> None:
    """Print the lines to paste after a command."""
    if base_lr is not None:
        print(f"\nfor the batch of the config:\n    SOLVER.BASE_LR {base_lr:g}")
    if not fits:
        return
    batch, parts = min(fit.batch for fit in fits), parts_that_fit(cfg, fits)
    rate = (base_lr or cfg.SOLVER.BASE_LR) * batch / cfg.TRAIN.BATCH_SIZE
    if not batch and not parts:
        raise UserError(
            "no batch fits: lower DATA.NUM_FRAMES or DATA.TRAIN_CROP_SIZE, set TRAIN.MIXED_PRECISION True, or raise "
            "--memory-gb"
        )
    if batch:
        print(
            "\nfor the largest batch, with the rate scaled linearly:\n"
            f"    TRAIN.BATCH_SIZE {batch} SOLVER.BASE_LR {digits(rate)}"
        )
    if parts and parts > cfg.SOLVER.ACCUMULATE:
        print(f"\nto keep the batch of {cfg.TRAIN.BATCH_SIZE} clips, in parts:\n    SOLVER.ACCUMULATE {parts}")


def _curve(finding: Finding) -> RateCurve:
    shape = finding.phase.shapes[0]
    return RateCurve(f"{shape.frames} frames x {shape.crop} px", *finding.sweep, finding.rate)


def _peaks(fits: Sequence[Fit]) -> dict[str, dict[int, float]]:
    return {f"{fit.shape.frames} frames x {fit.shape.crop} px": fit.peaks for fit in fits}
