"""Positions of tokens for clips of any size, from learned tables of one size.

Legend: N clips, M heads, D channels of a head, C channels; T x H x W grid of patches, or of queries beside a
grid T' x H' x W' of keys; Q queries and K keys.
"""

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from slowfast.models.mvit_specs import Triple
from slowfast.utils.position_tables import resample_plane, resample_rows


def separate_positions(spatial: Tensor, temporal: Tensor, stored: Triple, grid: Triple) -> Tensor:
    """Return the positions of a grid, 1 x THW x C: the sum of a table over H x W and one over T, stored for a grid."""
    plane = resample_plane(spatial[0].unflatten(0, stored[1:]), *grid[1:])  # (1, HW, C) -> (H, W, C)
    rows = resample_rows(temporal[0], grid[0])
    return (plane + rows[:, None, None]).flatten(0, 2)[None]  # (T, H, W, C) -> (1, THW, C)


def joint_positions(table: Tensor, stored: Triple, grid: Triple) -> Tensor:
    """Return the positions of a grid, 1 x THW x C, from a table that is stored for another grid."""
    if stored == grid:
        return table
    rows = resample_rows(table[0].unflatten(0, stored).flatten(1), grid[0])  # (1, THW, C) -> (T, HWC)
    planes = rows.unflatten(1, (*stored[1:], -1)).permute(1, 2, 0, 3)  # (T, HWC) -> (H, W, T, C)
    planes = resample_plane(planes.flatten(2), *grid[1:]).unflatten(2, (grid[0], -1))  # (H, W, T, C), of the grid
    return planes.permute(2, 0, 1, 3).flatten(0, 2)[None]  # (H, W, T, C) -> (1, THW, C)


def relative_index(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
    """Return the row of the table for each query and key along an axis, Q x K, of a table of 2 max(Q, K) - 1 rows.

    Places are compared on the finer of the two grids. Distance 0 of query 0 and the last key is row 0.
    """
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    query_places = torch.arange(queries, dtype=torch.float32, device=device) * query_step
    key_places = torch.arange(keys, dtype=torch.float32, device=device) * key_step
    return (query_places[:, None] - key_places + (keys - 1) * key_step).long()


def rows_between(table: Tensor, queries: int, keys: int) -> Tensor:
    """Return the entry of a table of relative positions for each query and key along an axis, Q x K x D."""
    rows = resample_rows(table, 2 * max(queries, keys) - 1)
    return rows[relative_index(queries, keys, table.device)]


def relative_bias(q: Tensor, tables: Sequence[Tensor | None], grid: Triple, keys: Triple, class_tokens: int) -> Tensor:
    """Return what relative positions add to the scores of queries and keys, N x M x Q x K (MViTv2, Section 4.1).

    Args:
        q: queries, N x M x Q x D, `class_tokens` before those of the patches. The former have no position.
        tables: of time, height and width, rows x D; None: no bias along this axis. There is one table at least.
        grid, keys: the grids of the queries and of the keys.
    """
    q = q[:, :, class_tokens:].unflatten(2, grid)  # (N, M, THW, D) -> (N, M, T, H, W, D)
    biases = [_bias_along(q, axis, table, keys) for axis, table in enumerate(tables) if table is not None]
    bias = reduce(torch.add, biases).expand(*q.shape[:5], *keys)
    bias = bias.flatten(5).flatten(2, 4)  # (N, M, T, H, W, T', H', W') -> (N, M, Q, K)
    return F.pad(bias, (class_tokens, 0, class_tokens, 0))


def _bias_along(q: Tensor, axis: int, table: Tensor, keys: Triple) -> Tensor:
    """Return the bias along an axis, N x M x T x H x W x T' x H' x W', with a size of 1 for the keys' other axes."""
    entries = rows_between(table, q.shape[2 + axis], keys[axis])
    products = torch.einsum(f"nmthwd,{'thw'[axis]}kd->nmthwk", q, entries)
    return products.unflatten(-1, [keys[axis] if other == axis else 1 for other in range(3)])
