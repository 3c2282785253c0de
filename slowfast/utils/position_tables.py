"""Resample tables of positions to other sizes, with half-pixel centers. At its own size a table stays as it is.

The same functions serve clips of another size than the model's and checkpoints of another size.

Legend: C channels, T positions in time, H x W positions in space.
"""

import torch.nn.functional as F
from torch import Tensor


def resample_rows(table: Tensor, rows: int) -> Tensor:
    """Return a table T x C with `rows` rows, linearly interpolated."""
    if len(table) == rows:
        return table
    resampled = F.interpolate(table.t()[None], rows, mode="linear")  # (T, C) -> (1, C, rows)
    return resampled[0].t()


def resample_plane(table: Tensor, height: int, width: int) -> Tensor:
    """Return a table H x W x C with `height` x `width` positions, interpolated with bicubic splines (a = -0.75)."""
    if table.shape[:2] == (height, width):
        return table
    planes = table.permute(2, 0, 1)[None]  # (H, W, C) -> (1, C, H, W)
    return F.interpolate(planes, (height, width), mode="bicubic")[0].permute(1, 2, 0)
