#!/usr/bin/env python3
"""Measure the cost of grouped batch norm: forward and backward of SubBatchNorm3d and nn.BatchNorm3d, in pairs.

    python projects/multigrid/bench_batch_norm.py [--rounds 31] [--dtype float32|bfloat16|float16] [--device cpu|cuda]

Each round times the plain and the grouped layer one after the other, in alternating order. The table lists the median
times and the median of the rounds' ratios. Tensors are (N, C, T, H, W).
"""

import argparse
from statistics import median
from time import perf_counter

import torch
from torch import nn

from slowfast.multigrid import SubBatchNorm3d, regroup
from slowfast.utils.machine import machine_name

SHAPES = [
    (8, 64, 8, 28, 28),
    (8, 256, 2, 28, 28),
    (16, 8, 8, 56, 56),
    (16, 512, 2, 7, 7),
    (32, 64, 8, 14, 14),
]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last_3d}
GROUPS = (2, 4)


def step(layer: nn.Module, x: torch.Tensor, grad: torch.Tensor) -> float:
    """Return the seconds of one forward and backward pass. As inside a model, the gradient of x is not accumulated."""
    synchronize(x.device)
    start = perf_counter()
    torch.autograd.grad(layer(x), (x, layer.weight, layer.bias), grad)
    synchronize(x.device)
    return perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compare(shape: tuple[int, ...], layout: torch.memory_format, groups: int, args) -> tuple[float, float, float]:
    """Return the median milliseconds of plain and grouped batch norm, and the median of their ratios."""
    like = {"dtype": getattr(torch, args.dtype), "device": args.device}
    x = torch.randn(shape, **like).contiguous(memory_format=layout).requires_grad_()
    grad = torch.randn(shape, **like).contiguous(memory_format=layout)
    plain, grouped = (kind(shape[1]).to(args.device) for kind in (nn.BatchNorm3d, SubBatchNorm3d))
    regroup(grouped, groups)
    times = []
    for i in range(args.rounds + 5):
        pair = [0.0, 0.0]
        for which in ((0, 1), (1, 0))[i % 2]:
            pair[which] = step((plain, grouped)[which], x, grad)
        times.append(pair)
    times = times[5:]  # warm-up
    return *(1e3 * median(t) for t in zip(*times, strict=True)), median(b / a for a, b in times)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    # A larger tensor that is freed first makes glibc keep freed memory, as it does in a training.
    torch.ones(7_500_000)
    print(f"Batch norm, forward and backward, {args.dtype}, on {machine_name(args.device)}\n")
    print("| tensor | layout | groups | plain ms | grouped ms | ratio |")
    print("|---|---|---:|---:|---:|---:|")
    for shape in SHAPES:
        for name, layout in LAYOUTS.items():
            for groups in GROUPS:
                plain, grouped, ratio = compare(shape, layout, groups, args)
                size = " x ".join(map(str, shape))
                print(f"| {size} | {name} | {groups} | {plain:.2f} | {grouped:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
