#!/usr/bin/env python3
"""Check the bfloat16 convolutions of this torch on this CPU: the error of their weight gradients.

Each row is a temporal kernel and a number of frames; the error is relative to the gradient in float32, for tensors that
are contiguous and channels-last. Rounding to bfloat16 gives less than 1 %. Where it is more, mixed precision on a CPU
cannot train. Wrong kernels also write outside their memory: call `gradient_error` in a process of its own.
"""

import argparse

import torch
from torch import Tensor, nn

from slowfast.benchmark.report import Row, environment, table

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}
KERNELS, FRAMES = (1, 3, 5), (1, 2, 4, 8)


def rows() -> list[Row]:
    """Return the errors in percent for every kernel and number of frames."""
    return [
        {"kernel": f"{kernel}x1x1", "frames": frames}
        | {name: 100 * gradient_error(kernel, frames, layout) for name, layout in LAYOUTS.items()}
        for kernel in KERNELS
        for frames in FRAMES
    ]


def gradient_error(kernel: int, frames: int, layout: torch.memory_format, channels: int = 64) -> float:
    """Return the relative error of the weight gradient of a convolution over time in bfloat16."""
    torch.manual_seed(0)
    conv = nn.Conv3d(channels, channels, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False).bfloat16()
    clips = torch.randn(2, channels, frames, 14, 14).bfloat16()
    grad = torch.randn_like(clips)
    exact = weight_gradient(conv.float(), clips.float(), grad.float())
    conv = conv.to(torch.bfloat16, memory_format=layout)  # type: ignore[call-overload]
    clips, grad = (tensor.contiguous(memory_format=layout) for tensor in (clips, grad))
    return float((weight_gradient(conv, clips, grad).float() - exact).norm() / exact.norm())


def weight_gradient(conv: nn.Conv3d, clips: Tensor, grad: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(conv(clips), conv.weight, grad)
    return gradient


def main(argv: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    print(", ".join(f"{name} {value}" for name, value in environment().items()))
    print(f"instructions {torch.backends.cpu.get_cpu_capability()}\n\n{table(rows())}")


if __name__ == "__main__":
    main()
