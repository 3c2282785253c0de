"""Measure the speed of a config on this machine: its data path, its model, its training steps or its test.

    slowfast benchmark data --cfg YAML [options] [KEY VALUE ...]     # clips/s and CPU time of reading, for every shape
    slowfast benchmark model --cfg YAML [options] [KEY VALUE ...]    # forward and backward pass, memory, size
    slowfast benchmark train --cfg YAML [options] [KEY VALUE ...]    # steps with data, and the wait for data
    slowfast benchmark test --cfg YAML [options] [KEY VALUE ...]     # views/s

The shapes are those of the config's schedule on one device. All figures are medians over repeats. `data`, `train` and
`test` read the videos of the config, `model` needs none.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from slowfast.benchmark import data, model, test, train
from slowfast.benchmark.report import Row, environment, table
from slowfast.config.node import CfgNode
from slowfast.utils.parser import argument_parser, fail_cleanly, load_config, parse_args, positive, split_overrides

PARTS: dict[str, Callable[[CfgNode, argparse.Namespace], list[Row]]] = {
    "data": lambda cfg, args: data.measure(cfg, args.repeats, args.clips),
    "model": lambda cfg, args: model.measure(cfg, torch.device(args.device), args.repeats),
    "train": lambda cfg, args: train.measure(cfg, torch.device(args.device), args.repeats, args.iterations),
    "test": lambda cfg, args: test.measure(cfg, torch.device(args.device), args.repeats, args.iterations),
}


@fail_cleanly()
def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    where, results = environment(args.device), {}
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    for path in args.cfg_files:
        results[path] = PARTS[args.part](load_config(args, path), args)
        print(f"\n{args.part}: {Path(path).name} {' '.join(map(str, args.opts))}\n\n{table(results[path])}", flush=True)
        if args.json:
            report = {"part": args.part, "environment": where, "overrides": args.opts, "results": results}
            Path(args.json).write_text(json.dumps(report, indent=1))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    words, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
    return parse_args([*part_first(words), *overrides], make_parser())


def make_parser() -> argparse.ArgumentParser:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("part", choices=list(PARTS), help="what to measure")
    parser.add_argument(
        "--repeats", type=positive, default=5, help="measurements of each row (5); it has their medians"
    )
    parser.add_argument("--clips", type=positive, default=32, help="data: clips of a measurement (32)")
    parser.add_argument("--iterations", type=positive, default=4, help="train, test: batches of a measurement (4)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    return parser


def part_first(words: list[str]) -> list[str]:
    """Move the part to the front: after `--cfg FILE`, argparse would take it for another file."""
    places = [i for i, word in enumerate(words) if word in PARTS and not words[max(i - 1, 0)].startswith("--")]
    return [words[i] for i in places] + [word for i, word in enumerate(words) if i not in places]
