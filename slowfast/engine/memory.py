"""Errors of memory that name the batch and the cures.

Legend: N clips, T frames, H x W pixels, C channels.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from slowfast.datasets.pathways import Clips
from slowfast.errors import UserError

# of CUDA, its libraries and the CPU
MESSAGES = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "ALLOCATION_FAILED")


class OutOfMemory(UserError):
    """A batch did not fit into memory."""


@contextmanager
def memory_errors_name(clips: Clips, cures: str) -> Iterator[None]:
    """Turn an error of memory into an OutOfMemory that names the shape of `clips` and the cures."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if isinstance(error, RuntimeError) and not any(text in str(error) for text in MESSAGES):
            raise
        raise OutOfMemory(f"out of memory on {shape_text(clips)}: {cures}") from error


def shape_text(clips: Clips) -> str:
    """Return the shape of clips in words. Several pathways are named by the one with the most frames, the last."""
    clip = clips if isinstance(clips, Tensor) else clips[-1]
    clip = clip if clip.dtype == torch.uint8 else clip.movedim(1, -1)  # (N, C, T, H, W) -> (N, T, H, W, C)
    count, frames, height, width = clip.shape[:4]
    return f"a batch of {count} clips x {frames} frames x {height} x {width} px"
