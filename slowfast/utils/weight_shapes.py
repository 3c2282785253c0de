"""Give a tensor of a checkpoint the shape that the model has: pure functions on one tensor.

Legend: O output and I input channels, T x H x W kernel, C channels, L positions.
"""

import re
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

from slowfast.utils.position_tables import resample_plane, resample_rows

INFLATED = "2-D kernels spread over time"
REPEATED = "2-D kernels repeated over time"
SUMMED = "3-D kernels summed over time"
INFLATE_HINT = "a 2-D kernel: set TRAIN.CHECKPOINT_INFLATE True to spread it over time"
REPEAT_HINT = "a kernel of a model for images: set TRAIN.CHECKPOINT_IN_INIT True to repeat it over time"

PATCH_AND_POOL_KERNELS = re.compile(r"(.*\.)?(patch_embed\.proj|attn\.pool_[qkv])\.weight")


class Adapted(NamedTuple):
    """A tensor in the model's shape, whether it was loaded, inflated or resampled, and how; or None and the reason."""

    kind: str
    tensor: Tensor | None
    note: str = ""


def adapt(name: str, tensor: Tensor, target: Tensor | None, inflate: bool = False, repeat: bool = False) -> Adapted:
    """Return `tensor` in the shape of `target`. See `slowfast.utils.weights.fit` for the arguments."""
    if target is None:
        return Adapted("skipped", None, "the model has no such name")
    if not isinstance(tensor, Tensor):
        return Adapted("skipped", None, f"not a tensor but a {type(tensor).__name__}")
    shape = target.shape
    if _without_trailing_ones(tensor.shape) == _without_trailing_ones(shape):
        return Adapted("loaded", tensor.reshape(shape))
    return (
        _resampled(name, tensor, shape)
        or (_repeated(name, tensor, shape) if repeat else None)
        or (_inflated(tensor, shape) if inflate else None)
        or Adapted("skipped", None, _reason(name, tensor.shape, shape))
    )


def _reason(name: str, shape: torch.Size, target: torch.Size) -> str:
    if _is_flat_kernel_of(shape, target):
        return REPEAT_HINT if PATCH_AND_POOL_KERNELS.fullmatch(name) else INFLATE_HINT
    return _sizes(shape, target)


# Kernels --------------------------------------------------------------------------------------------------------------


def inflate_kernel(kernel: Tensor, frames: int) -> Tensor:
    """Repeat a 2-D kernel over time and divide it by the length, so that a still clip gives the image's output."""
    return repeat_kernel(kernel, frames) / frames


def repeat_kernel(kernel: Tensor, frames: int) -> Tensor:
    """Repeat a 2-D kernel over time."""
    kernel = kernel.reshape(*kernel.shape[:2], 1, *kernel.shape[-2:])  # (O, I, H, W) -> (O, I, 1, H, W)
    return kernel.repeat(1, 1, frames, 1, 1)  # (O, I, 1, H, W) -> (O, I, T, H, W)


def _inflated(kernel: Tensor, target: torch.Size) -> Adapted | None:
    if not _is_flat_kernel_of(kernel.shape, target):
        return None
    return Adapted("inflated", inflate_kernel(kernel, target[2]), INFLATED)


def _repeated(name: str, kernel: Tensor, target: torch.Size) -> Adapted | None:
    """Return a kernel of an MViT for images as one for clips, or the reverse for its patches."""
    if not PATCH_AND_POOL_KERNELS.fullmatch(name):
        return None
    if _is_flat_kernel_of(kernel.shape, target):
        return Adapted("inflated", repeat_kernel(kernel, target[2]), REPEATED)
    if len(target) == 4 and _is_flat_kernel_of(target, kernel.shape):
        return Adapted("inflated", kernel.sum(2), SUMMED)  # (O, I, T, H, W) -> (O, I, H, W)
    return None


def _is_flat_kernel_of(shape: torch.Size, target: torch.Size) -> bool:
    flat = len(shape) == 4 or (len(shape) == 5 and shape[2] == 1)
    return flat and len(target) == 5 and (*shape[:2], *shape[-2:]) == (*target[:2], *target[-2:])


# Tables of positions --------------------------------------------------------------------------------------------------


def _resampled(name: str, table: Tensor, target: torch.Size) -> Adapted | None:
    """Return a table of positions, [1 x] L x C, at another length; None if it is none, or differs in more than that."""
    resample = next((function for pattern, function in TABLES if pattern.fullmatch(name)), None)
    if resample is None or not _is_longer_or_shorter(table.shape, target):
        return None
    rows = resample(table.float().reshape(-1, target[-1]), target[-2])
    if rows is None:
        return Adapted("skipped", None, f"{_sizes(table.shape, target)}: not both are square grids of positions")
    return Adapted("resampled", rows.reshape(target), _sizes(table.shape, target))


def _resample_square(table: Tensor, positions: int) -> Tensor | None:
    """Return a table of a square grid, L x C, as one of another square grid. None if one of them is not square."""
    before, after = isqrt(len(table)), isqrt(positions)
    if (before**2, after**2) != (len(table), positions):
        return None
    return resample_plane(table.reshape(before, before, -1), after, after)


def _is_longer_or_shorter(shape: torch.Size, target: torch.Size) -> bool:
    alike = len(shape) == len(target) >= 2 and (*shape[:-2], shape[-1]) == (*target[:-2], target[-1])
    return alike and shape[-2] > 0


# Names of tables in published MViTs, and how they get another length.
TABLES = (
    (re.compile(r"(.*\.)?attn\.rel_pos_\w+"), resample_rows),
    (re.compile(r"(.*\.)?pos_embed_temporal"), resample_rows),
    (re.compile(r"(.*\.)?pos_embed_spatial"), _resample_square),
)


# Shapes ---------------------------------------------------------------------------------------------------------------


def _without_trailing_ones(shape: torch.Size) -> tuple[int, ...]:
    sizes = tuple(shape)
    while sizes and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def _sizes(there: torch.Size, here: torch.Size) -> str:
    return f"{_text(there)} in the file, {_text(here)} here"


def _text(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "one number"
