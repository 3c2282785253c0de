#!/usr/bin/env python3
"""Check this project on a GPU: one line PASS, FAIL or INFO for every case of a check.

checks.py [--device cuda|cpu] [--only NAME ...] [--without NAME ...] [--quick] [--json FILE]

The exit status is 1 if a check failed. On a CPU this is a dry run, which takes less time with --quick.
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.gpu import layers, speed, steps
from benchmarks.gpu.checking import INFO, Check, Runner, Settings, cases, report

DTYPES = ("float32", "float16", "bfloat16")
TWO = ("float32", "bfloat16")
CHECKS = (
    Check("versions", speed.versions, kind=INFO),
    Check("batch_norm", layers.batch_norm, cases(dtype=DTYPES, layout=layers.LAYOUTS, groups=(1, 2, 4))),
    Check("synchronized_batch_norm", layers.synchronized_batch_norm),
    Check("no_waiting", steps.no_waiting, cases(dtype=DTYPES)),
    Check("layouts", steps.layouts, cases(dtype=TWO)),
    Check("convolution", layers.convolution, cases(kernel=((1, 3, 3), (3, 1, 1), (1, 1, 1)), channels=(8, 64))),
    Check("resume", steps.resume, cases(before=TWO, after=TWO)[1:3]),
    Check("first_overflow", steps.first_overflow),
    Check("world_of_one", steps.world_of_one),
    Check("pinned_evaluation", steps.pinned_evaluation),
    Check("out_of_memory", steps.out_of_memory),
    Check("first_losses", speed.first_losses, cases(dtype=TWO, tf32=(True, False))[:3]),
    Check("step_time", speed.step_time, cases(model=speed.MODELS, dtype=TWO, groups=(1, 2)), INFO),
    Check("kernels", speed.kernels, cases(model=["R50"], dtype=TWO, groups=(2,)), INFO),
    Check("compiled", steps.compiled, cases(dtype=TWO), seconds=240.0),
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [check.name for check in CHECKS]
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--only", metavar="NAME", nargs="+", default=names, choices=names, help=", ".join(names))
    parser.add_argument("--without", metavar="NAME", nargs="+", default=[], choices=names, help="checks to leave out")
    parser.add_argument("--quick", action="store_true", help="smaller models and fewer steps")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all results to a file, after each of them")
    args = parser.parse_args(argv)
    device = torch.device("cuda", 0) if args.device == "cuda" else torch.device("cpu")
    runner = Runner(Settings(device, args.quick))
    chosen = [check for check in CHECKS if check.name in args.only and check.name not in args.without]
    return report(runner.results(chosen), args.json)


if __name__ == "__main__":
    sys.exit(main())
