#!/usr/bin/env python3
"""Measure choices in a training step on this CPU: how the optimizer updates, and the layout of the tensors.

step.py [--cfg YAML] [--repeats N] [KEY VALUE ...]

The model is that of the config (SlowFast R50), the clips are from memory. The choices take turns; the figures are
medians of CPU milliseconds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import nn

from slowfast.benchmark.batches import random_batch
from slowfast.benchmark.report import Row, environment, shape_columns, table
from slowfast.config.load import load_cfg
from slowfast.config.node import CfgNode
from slowfast.datasets.pathways import PackPathways
from slowfast.models import build_model
from slowfast.multigrid import Shape
from slowfast.optim.build import construct_optimizer

RECIPE = Path(__file__).resolve().parents[1] / "configs/Kinetics/SLOWFAST_8x8_R50.yaml"
UPDATES = {
    "one by one": {"fused": False, "foreach": False},
    "foreach": {"fused": False, "foreach": True},
    "fused": {"fused": True, "foreach": False},
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}
SHAPES = (Shape(2, 8, 112), Shape(2, 16, 112))


def measure_updates(cfg: CfgNode, repeats: int) -> Row:
    """Return the time of an optimizer's step for every way to update."""
    model = build_model(cfg)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e-6)
    optimizer = construct_optimizer(model, cfg)
    return interleaved(
        {name: lambda choice=choice: update(optimizer, choice) for name, choice in UPDATES.items()}, repeats
    )


def update(optimizer: torch.optim.Optimizer, choice: dict[str, bool]) -> None:
    for group in optimizer.param_groups:
        group.update(choice)
    optimizer.step()


def measure_layouts(cfg: CfgNode, shape: Shape, repeats: int) -> Row:
    """Return the time of forward and backward pass for every layout."""
    batch = random_batch(cfg, shape, torch.device("cpu"))
    choices = {}
    for name, layout in LAYOUTS.items():
        model = build_model(cfg).to(memory_format=layout)
        pack = PackPathways.from_cfg(cfg, layout)
        choices[name] = partial(passes, model, pack, batch)
    return interleaved(choices, repeats)


def passes(model: nn.Module, pack: PackPathways, batch: dict[str, torch.Tensor]) -> None:
    nn.functional.cross_entropy(model(pack(batch["clip"])), batch["label"]).backward()


def interleaved(choices: dict[str, Callable[[], None]], repeats: int) -> Row:
    """Return the median CPU milliseconds of every choice; a first round warms up."""
    rounds = [{name: cpu_ms(run) for name, run in choices.items()} for _ in range(1 + repeats)][1:]
    return {name: median(times[name] for times in rounds) for name in choices}


def cpu_ms(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return 1000 * (time.process_time() - start)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", default=str(RECIPE), help="config (SlowFast R50 on Kinetics)")
    parser.add_argument("--repeats", type=int, default=5, help="times that the choices take turns (5)")
    parser.add_argument("overrides", metavar="KEY VALUE", nargs="*")
    args = parser.parse_args(argv)
    cfg = load_cfg(args.cfg, args.overrides)
    print(", ".join(f"{name} {value}" for name, value in environment().items()))
    print(f"\nupdate of {cfg.SOLVER.OPTIMIZING_METHOD}\n\n{table([measure_updates(cfg, args.repeats)])}", flush=True)
    rows = [shape_columns(shape) | measure_layouts(cfg, shape, args.repeats) for shape in SHAPES]
    print(f"\nforward and backward pass\n\n{table(rows)}")


if __name__ == "__main__":
    main()
