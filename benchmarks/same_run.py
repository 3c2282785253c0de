#!/usr/bin/env python3
"""Train and test a config on 1, 2 and 4 processes with the same global batch, and compare the results.

same_run.py OUT [--processes 1 2 4] --cfg FILE [KEY VALUE ...]

For each phase of the training the table has the largest relative difference of a loss from that of one process, then
the validation and the test. Dropout is switched off, since each process draws its own.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from slowfast.config.load import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.engine.schedule import build_schedule
from slowfast.errors import UserError
from slowfast.multigrid import Leg, build_plan
from slowfast.utils.json_log import read_json_log
from slowfast.utils.parser import argument_parser, fail_cleanly, parse_args

RUN_NET = Path(__file__).resolve().parents[1] / "tools" / "run_net.py"
ACCURACIES = ("top1_acc", "top5_acc", "map")


def main() -> None:
    with fail_cleanly():
        parser = argument_parser(__doc__)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("out", type=Path, help="folder of the runs")
        parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
        args = parse_args(None, parser)
        options = [*args.opts, "LOG_PERIOD", "1", "MODEL.DROPOUT_RATE", "0"]
        logs = [train(args.out / str(count), args.cfg_files[0], options, count) for count in args.processes]
        cfg = load_cfg(args.cfg_files[0], [*options, "NUM_GPUS", "0"])
        legs = build_plan(build_schedule(cfg), len(build_dataset(cfg.TRAIN.DATASET, cfg, "train")))
        print("\n".join(table(args.processes, logs, legs)))


def train(output: Path, config: str, options: list[str], processes: int) -> list[dict]:
    """Run a config on some processes and return the records of its log."""
    if output.exists():
        raise UserError(f"{output} exists already; name a new folder")
    words = ["--cfg", config, *options, "OUTPUT_DIR", str(output), "NUM_GPUS", str(processes if processes > 1 else 0)]
    subprocess.run([sys.executable, str(RUN_NET), *words], check=True, stdout=subprocess.DEVNULL)
    return read_json_log(output)


def table(processes: list[int], logs: list[list[dict]], legs: tuple[Leg, ...]) -> list[str]:
    """Return the lines of the comparison, in Markdown."""
    lines = ["| | " + " | ".join(f"{count} process(es)" for count in processes) + " |", "|---" * (len(logs) + 1) + "|"]
    for name, (first, last) in phase_ranges(legs).items():
        curves = [losses(log, first, last) for log in logs]
        cells = [f"{curves[0][0]:.4f} to {curves[0][-1]:.4f}", *(f"{difference(curves[0], c):.1e}" for c in curves[1:])]
        lines.append(f"| loss, {name} | " + " | ".join(cells) + " |")
    for kind, title in (("val_epoch", "validation"), ("test_epoch", "test")):
        for number, records in enumerate(
            zip(*([r for r in log if r.get("_type") == kind] for log in logs), strict=True)
        ):
            texts = [", ".join(f"{key} {r[key]:.4g}" for key in ACCURACIES if key in r) for r in records]
            lines.append(f"| {title} {number + 1} | " + " | ".join(texts) + " |")
    return lines


def phase_ranges(legs: tuple[Leg, ...]) -> dict[str, tuple[int, int]]:
    """Return the iterations of each phase, from the first and without the last, by its description."""
    ranges: dict[str, tuple[int, int]] = {}
    done = 0
    for leg in legs:
        phase, shape = leg.phase, leg.phase.shapes[-1]
        name = f"epoch {phase.start_epoch:.2f} to {phase.end_epoch:.2f}, "
        name += f"{shape.batch_size} x {shape.frames} x {shape.crop} px"
        ranges[name] = ranges.get(name, (done,))[0], done + leg.iterations
        done += leg.iterations
    return ranges


def losses(log: list[dict], first: int, last: int) -> list[float]:
    return [r["loss"] for r in log if r.get("_type") == "train_iter" and first < r["iteration"] <= last]


def difference(curve: list[float], other: list[float]) -> float:
    """Return the largest relative difference of two curves."""
    return max(abs(a - b) / abs(a) for a, b in zip(curve, other, strict=True))


if __name__ == "__main__":
    main()
