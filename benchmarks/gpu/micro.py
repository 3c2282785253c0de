#!/usr/bin/env python3
"""Time the layers of SlowFast R50 on a GPU in different forms: number formats, memory formats and equivalent operators.

micro.py [--device cuda|cpu] [--rounds N] [--quick]

The layers are those of 8 clips of 32 frames and 224 px, forward and backward. Figures are median ms; of very small
layers they are the time of the host. Every form is compared with the plain operator first.

Legend: N clips, C channels, T frames, H x W pixels.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from slowfast.benchmark.report import Figure, Row, table
from slowfast.utils.device import synchronize
from slowfast.utils.machine import machine_name

Triple = tuple[int, int, int]
Form = Callable[[Tensor, Tensor, Triple, list[int]], Tensor]
CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last_3d
FORMATS = {
    "fp32": (torch.float32, CONTIGUOUS),
    "fp32, channels-last": (torch.float32, CHANNELS_LAST),
    "bf16": (torch.bfloat16, CONTIGUOUS),
    "bf16, channels-last": (torch.bfloat16, CHANNELS_LAST),
}
WARM_UP = 4
PASSES = {"cuda": 10, "cpu": 1}  # of a measurement: a GPU works while the host prepares the next pass
SAME = 2e-2  # relative difference that rounding to bfloat16 explains


class Conv(NamedTuple):
    """A convolution without bias, on clips of `channels`, `frames` and `px`."""

    name: str
    channels: int
    frames: int
    px: int
    out: int
    kernel: Triple
    stride: Triple = (1, 1, 1)
    clips: int = 8


CONVS = (
    Conv("fast stem", 3, 32, 224, 8, (5, 7, 7), (1, 2, 2)),
    Conv("slow stem", 3, 8, 224, 64, (1, 7, 7), (1, 2, 2)),
    Conv("fast res2 a", 32, 32, 56, 8, (3, 1, 1)),
    Conv("fast res2 b", 8, 32, 56, 8, (1, 3, 3)),
    Conv("fast res2 c", 8, 32, 56, 32, (1, 1, 1)),
    Conv("fast res4 b", 32, 32, 14, 32, (1, 3, 3)),
    Conv("lateral 1", 8, 32, 56, 16, (7, 1, 1), (4, 1, 1)),
    Conv("slow res2 b", 64, 8, 56, 64, (1, 3, 3)),
    Conv("slow res2 c", 64, 8, 56, 256, (1, 1, 1)),
    Conv("slow res4 a", 1024, 8, 14, 256, (3, 1, 1)),
    Conv("slow res4 b", 256, 8, 14, 256, (1, 3, 3)),
    Conv("slow res5 a", 2048, 8, 7, 512, (3, 1, 1)),
)
NORMS = ((8, 8, 32, 112), (8, 32, 32, 56), (8, 256, 8, 56), (8, 1024, 8, 14))  # N, C, T and H = W


def plain(x: Tensor, weight: Tensor, stride: Triple, padding: list[int]) -> Tensor:
    return F.conv3d(x, weight, None, stride, padding)


def frames_as_clips(x: Tensor, weight: Tensor, stride: Triple, padding: list[int]) -> Tensor:
    """Apply a kernel (1, k, k) in two dimensions. Both changes of shape are views of channels-last clips."""
    n, _, t = x.shape[:3]
    y = x.permute(0, 2, 1, 3, 4).flatten(0, 1)  # (N, C, T, H, W) -> (N*T, C, H, W)
    y = F.conv2d(y, _channels_last(weight[:, :, 0]), None, stride[1:], padding[1:])
    return y.unflatten(0, (n, t)).permute(0, 2, 1, 3, 4)  # -> (N, C, T, H, W)


def pixels_as_rows(x: Tensor, weight: Tensor, stride: Triple, padding: list[int]) -> Tensor:
    """Apply a kernel (k, 1, 1) in two dimensions: the pixels of a frame are one axis, a view."""
    y = F.conv2d(x.flatten(3), _channels_last(weight[..., 0]), None, (stride[0], 1), (padding[0], 0))
    return y.unflatten(3, x.shape[3:])  # (N, C, T, H*W) -> (N, C, T, H, W)


def product(x: Tensor, weight: Tensor, stride: Triple, padding: list[int]) -> Tensor:
    """Apply a kernel (1, 1, 1) as a product of matrices."""
    return (x.permute(0, 2, 3, 4, 1) @ weight.flatten(1).t()).permute(0, 4, 1, 2, 3)


def _channels_last(weight: Tensor) -> Tensor:
    return weight.contiguous(memory_format=torch.channels_last)


def other_form(kernel: Triple) -> Form | None:
    """Return an equivalent of the convolution with this kernel, if there is one."""
    if kernel == (1, 1, 1):
        return product
    if kernel[0] == 1:
        return frames_as_clips
    return pixels_as_rows if kernel[1:] == (1, 1) else None


class Timer:
    """Times a forward and backward pass."""

    def __init__(self, device: torch.device, rounds: int):
        self.device, self.rounds = device, rounds

    def ms(self, forward: Callable[[], Tensor], inputs: tuple[Tensor, ...]) -> float | str:
        """Return the median ms of `forward` and its gradients, or why the device cannot run it."""
        try:
            grad = torch.ones_like(forward())
            times = [self._seconds(forward, inputs, grad) for _ in range(WARM_UP + self.rounds)]
        except RuntimeError as error:
            return str(error).splitlines()[0][:60]
        return 1e3 * median(times[WARM_UP:])

    def _seconds(self, forward: Callable[[], Tensor], inputs: tuple[Tensor, ...], grad: Tensor) -> float:
        synchronize(self.device)
        passes = PASSES[self.device.type]
        start = perf_counter()
        for _ in range(passes):
            torch.autograd.grad(forward(), inputs, grad)
        synchronize(self.device)
        return (perf_counter() - start) / passes


def conv_row(conv: Conv, timer: Timer) -> Row:
    """Return the times of a convolution in all forms."""
    padding = [size // 2 for size in conv.kernel]
    times: dict[str, Figure] = {}
    for name, (dtype, layout) in FORMATS.items():
        x, weight = _random(conv, dtype, layout, timer.device)
        times[name] = timer.ms(lambda x=x, w=weight: plain(x, w, conv.stride, padding), (x, weight))
    times["other form"] = None
    if form := other_form(conv.kernel):  # x and weight are in bfloat16 and channels-last
        want, got = (each(x, weight, conv.stride, padding).float() for each in (plain, form))
        assert (got - want).norm() < SAME * want.norm(), f"{form.__name__} is not the convolution of {conv.name}"
        times["other form"] = timer.ms(lambda: form(x, weight, conv.stride, padding), (x, weight))
    return {"layer": f"{conv.name} {conv.channels}->{conv.out} {conv.kernel}"} | times


def _random(conv: Conv, dtype: torch.dtype, layout: torch.memory_format, device: torch.device) -> Iterator[Tensor]:
    for size in ((conv.clips, conv.channels, conv.frames, conv.px, conv.px), (conv.out, conv.channels, *conv.kernel)):
        yield torch.randn(size, device=device).to(dtype, memory_format=layout).requires_grad_()


def norm_row(size: tuple[int, int, int, int], timer: Timer) -> Row:
    """Return the times of batch norm, also with frames and rows as one axis, as SubBatchNorm3d has it."""
    n, c, t, px = size
    weight, bias = (torch.ones(c, device=timer.device, requires_grad=True) for _ in range(2))
    row: Row = {"clips x channels x frames x px": " x ".join(map(str, size))}

    def normalize(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, weight, bias, training=True)

    for name, (dtype, layout) in FORMATS.items():
        x = (
            torch.randn(n, c, t, px, px, device=timer.device)
            .to(dtype)
            .contiguous(memory_format=layout)
            .requires_grad_()
        )
        row[name] = timer.ms(lambda x=x: normalize(x, weight, bias), (x, weight, bias))
    row["bf16, flatten(2, 3)"] = timer.ms(lambda: normalize(x.flatten(2, 3), weight, bias), (x, weight, bias))
    return row


def reduced(conv: Conv) -> Conv:
    """Return a smaller convolution. No kernel spans more frames than there are (see `benchmarks/bfloat16.py`)."""
    return conv._replace(clips=1, frames=8, px=max(conv.px // 8, 7))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=20, help="timed passes; the figure is their median (20)")
    parser.add_argument("--quick", action="store_true", help="small layers, for a dry run on a CPU")
    args = parser.parse_args(argv)
    torch.backends.cudnn.benchmark = True
    timer = Timer(torch.device(args.device), args.rounds)
    print(f"forward and backward, ms, {machine_name(args.device)}")
    print_rows(norm_row((2, c, 8, px // 4) if args.quick else (n, c, t, px), timer) for n, c, t, px in NORMS)
    print_rows(conv_row(reduced(conv) if args.quick else conv, timer) for conv in CONVS)


def print_rows(rows: Iterable[Row]) -> None:
    """Print a table, each row when it is known."""
    for number, row in enumerate(rows):
        lines = table([row]).splitlines()
        print("\n".join(["", *lines] if number == 0 else lines[-1:]), flush=True)


if __name__ == "__main__":
    main()
