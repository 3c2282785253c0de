"""Attention over pooled tokens: the queries, and the keys and values, are each on a coarser grid.

Legend: N clips, L tokens of C channels: class tokens, then the patches of a T x H x W grid; M heads, D channels of a
head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.models.mvit_positions import relative_bias
from slowfast.models.mvit_specs import AttentionSpec, PoolSpec, Triple

NORM_EPSILON = 1e-6
CONVOLUTIONS = ("conv", "conv_unshared")
NAMES = ("q", "k", "v")


def make_pool(spec: PoolSpec, mode: str, channels: int) -> nn.Module | None:
    """Return a pool of kind `mode` over `channels` channels; None where it changes nothing."""
    if spec.is_identity:
        return None
    if mode in CONVOLUTIONS:
        sizes = (spec.kernel, spec.stride, spec.padding)
        return nn.Conv3d(channels, channels, *sizes, groups=channels, bias=False)
    if mode == "max":
        return nn.MaxPool3d(spec.kernel, spec.stride, spec.padding)
    t, h, w = spec.padding  # zeros count; nn.AvgPool3d refuses grids that are smaller than its kernel without them
    return nn.Sequential(nn.ConstantPad3d((w, w, h, h, t, t), 0.0), nn.AvgPool3d(spec.kernel, spec.stride))


def pool_patches(x: Tensor, grid: Triple, pool: nn.Module, class_tokens: int) -> tuple[Tensor, Triple]:
    """Return tokens, N x M x L x D, with their patches pooled, and the grid of the result. Class tokens stay."""
    patches = x[:, :, class_tokens:].flatten(0, 1).transpose(1, 2)  # (N, M, THW, D) -> (NM, D, THW)
    pooled = pool(patches.unflatten(2, grid))  # (NM, D, THW) -> (NM, D, T', H', W')
    _, _, t, h, w = pooled.shape
    patches = pooled.flatten(2).transpose(1, 2).unflatten(0, x.shape[:2])  # (NM, D, T', H', W') -> (N, M, T'H'W', D)
    return torch.cat([x[:, :, :class_tokens], patches], 2), (t, h, w)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Cut the channels of tokens into heads: (N, L, M * D) -> (N, M, L, D)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Join the heads of tokens: (N, M, L, D) -> (N, L, M * D)."""
    return x.transpose(1, 2).flatten(2)


class PooledAttention(nn.Module):
    """Multi-head attention that pools queries, keys and values over the grid of the patches.

    Takes tokens, N x L x C, and their grid. Returns the result for the pooled queries, N x L' x C', and their grid.
    Products and softmax are one fused operation, with the bias of relative positions as its mask.

    One core, one clip of 16 frames x 112 px: MViT-B and MViTv2-S take 0.97 to 1.00 times as long as with separate
    products and softmax, forward alone and with backward.
    """

    rel_pos_h: Tensor | None
    rel_pos_w: Tensor | None
    rel_pos_t: Tensor | None

    def __init__(self, spec: AttentionSpec):
        super().__init__()
        self.spec = spec
        for name, rows in zip("hwt", (spec.rows[1], spec.rows[2], spec.rows[0]), strict=True):
            table = nn.Parameter(torch.zeros(rows, spec.head_width)) if rows else None
            self.register_parameter(f"rel_pos_{name}", table)
        layers = dict.fromkeys(NAMES, spec.width) if spec.separate or spec.pool_first else {"qkv": 3 * spec.width}
        for name, width in layers.items():
            self.add_module(name, nn.Linear(spec.width_in, width, spec.bias))
        self.proj = nn.Linear(spec.width, spec.width)
        for name, pool in zip(NAMES, (spec.query, spec.key_value, spec.key_value), strict=True):
            self._add_pool(name, make_pool(pool, spec.mode, spec.pooled_width))
        self.dropout = nn.Dropout(spec.dropout_rate)

    def _add_pool(self, name: str, pool: nn.Module | None) -> None:
        """Add a pool, and the norm that follows convolutions."""
        has_norm = pool is not None and self.spec.mode in CONVOLUTIONS
        self.add_module(f"pool_{name}", pool)
        self.add_module(f"norm_{name}", nn.LayerNorm(self.spec.pooled_width, NORM_EPSILON) if has_norm else None)

    def forward(self, x: Tensor, grid: Triple) -> tuple[Tensor, Triple]:
        make = self._pool_and_project if self.spec.pool_first else self._project_and_pool
        (q, query_grid), (k, key_grid), (v, _) = make(x, grid)  # each N x M x L x D
        result = F.scaled_dot_product_attention(q, k, v, self._bias(q, query_grid, key_grid))
        if self.spec.residual:
            result = result + F.pad(q[:, :, self.spec.class_tokens :], (0, 0, self.spec.class_tokens, 0))
        return self.dropout(self.proj(join_heads(result))), query_grid

    def _project_and_pool(self, x: Tensor, grid: Triple) -> list[tuple[Tensor, Triple]]:
        if self.spec.separate:
            projected = [self.get_submodule(name)(x) for name in NAMES]
        else:
            projected = self.get_submodule("qkv")(x).chunk(3, dim=2)
        heads = [split_heads(one, self.spec.heads) for one in projected]
        return [self._pool(one, grid, name) for one, name in zip(heads, NAMES, strict=True)]

    def _pool_and_project(self, x: Tensor, grid: Triple) -> list[tuple[Tensor, Triple]]:
        made, parts = [], split_heads(x, self.spec.parts)
        for name in NAMES:
            pooled, pooled_grid = self._pool(parts, grid, name)
            projected = self.get_submodule(name)(join_heads(pooled))
            made.append((split_heads(projected, self.spec.heads), pooled_grid))
        return made

    def _pool(self, x: Tensor, grid: Triple, name: str) -> tuple[Tensor, Triple]:
        pool, norm = getattr(self, f"pool_{name}"), getattr(self, f"norm_{name}")
        if pool is not None:
            x, grid = pool_patches(x, grid, pool, self.spec.class_tokens)
        return x if norm is None else norm(x), grid

    def _bias(self, q: Tensor, grid: Triple, keys: Triple) -> Tensor | None:
        tables = (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w)
        if all(table is None for table in tables):
            return None
        return relative_bias(q, tables, grid, keys, self.spec.class_tokens)
