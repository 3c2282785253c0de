"""The plan of an MViT as plain values: patches, and widths, heads, strides and tables of every block.

The two versions differ in keys only: MViTv2 widens in the attention (MVIT.DIM_MUL_IN_ATT), pools the queries of every
block, and has relative positions.

Fan et al.: Multiscale Vision Transformers, ICCV 2021. Li et al.: MViTv2, CVPR 2022.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slowfast.errors import UserError
from slowfast.models.specs import round_width

Triple = tuple[int, int, int]  # frames, height, width

ONES: Triple = (1, 1, 1)
MODES = ("conv", "conv_unshared", "max", "avg")


@dataclass(frozen=True)
class PoolSpec:
    """A pool over a grid of patches. It pads by half the kernel, so that an odd kernel makes ceil(n / stride) of n."""

    kernel: Triple = ONES
    stride: Triple = ONES

    @property
    def padding(self) -> Triple:
        t, h, w = self.kernel
        return t // 2, h // 2, w // 2

    @property
    def is_identity(self) -> bool:
        return self.kernel == self.stride == ONES


@dataclass(frozen=True)
class PatchSpec:
    """The convolution that makes tokens of a clip. It is one over images if `is_2d`, with a kernel of 1 frame."""

    kernel: Triple
    stride: Triple
    padding: Triple
    is_2d: bool = False

    def grid(self, frames: int, crop: int) -> Triple:
        """Return the grid of the patches of a square clip. Numbers below 1 mean that it is smaller than a patch."""
        sizes = zip((frames, crop, crop), self.kernel, self.stride, self.padding, strict=True)
        t, h, w = ((size + 2 * pad - k) // s + 1 for size, k, s, pad in sizes)
        return t, h, w


@dataclass(frozen=True)
class AttentionSpec:
    """The attention of a block.

    Attributes:
        width_in, width: channels of the tokens that come in, and of queries, keys, values and the result.
        query, key_value: pools of the queries, and of keys and values.
        mode: kind of the pools, one of MODES.
        pool_first: pool the tokens, and project them afterwards.
        separate: three layers q, k, v. `pool_first` has them as well.
        rows: rows of the tables of relative positions in time, height and width; 0: there is none.
        residual: add the pooled queries to the result.
        class_tokens: tokens before those of the patches, which are not pooled and have no position.
    """

    width_in: int
    width: int
    heads: int
    query: PoolSpec = PoolSpec()
    key_value: PoolSpec = PoolSpec()
    mode: str = "conv"
    pool_first: bool = False
    separate: bool = False
    bias: bool = True
    residual: bool = False
    rows: Triple = (0, 0, 0)
    dropout_rate: float = 0.0
    class_tokens: int = 1

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def parts(self) -> int:
        """The parts that tokens are cut into where they are pooled first."""
        return 1 if self.mode == "conv_unshared" else self.heads

    @property
    def pooled_width(self) -> int:
        """The channels of what is pooled: of a head, or of a part of the tokens."""
        return self.width_in // self.parts if self.pool_first else self.head_width


@dataclass(frozen=True)
class BlockSpec:
    """A block: attention, then an MLP from its width over `width_inner` to `width_out` channels.

    `skip` is the max-pool of the tokens that pass the attention by. A clip skips a branch with `drop_rate` in training.
    """

    attention: AttentionSpec
    skip: PoolSpec
    width_inner: int
    width_out: int
    drop_rate: float
    dropout_rate: float = 0.0


def patch_spec(mvit) -> PatchSpec:
    """Return the patches of the config's section MVIT."""
    kernel, stride, padding = (_sizes(mvit, f"PATCH_{name}") for name in ("KERNEL", "STRIDE", "PADDING"))
    if not mvit.PATCH_2D:
        return PatchSpec(kernel, stride, padding)
    return PatchSpec((1, *kernel), (1, *stride), (0, *padding), is_2d=True)


def _sizes(mvit, name: str) -> Any:
    numbers, wanted = mvit[name], 2 if mvit.PATCH_2D and name.startswith("PATCH_") else 3
    if len(numbers) != wanted:
        names = "height, width" if wanted == 2 else "frames, height, width"
        raise UserError(f"MVIT.{name}: {numbers} must have {wanted} numbers, [{names}]")
    return tuple(numbers)


def mlp_width(mvit, width: int) -> int:
    """Return the channels inside an MLP after an attention of `width` channels."""
    inner = int(width * mvit.MLP_RATIO)
    if inner < 1:
        raise UserError(f"MVIT.MLP_RATIO: {mvit.MLP_RATIO:g} leaves nothing of {width} channels; raise it")
    return inner


def block_specs(mvit, grid: Triple) -> list[BlockSpec]:
    """Return the blocks of the config's section MVIT, whose patches have this grid at the clip of the config."""
    _check_choices(mvit)
    heads, widths = heads_per_block(mvit), widths_per_block(mvit)
    queries, keys = strides_per_block(mvit, "POOL_Q_STRIDE"), key_strides(mvit)
    specs, side = [], grid[1]
    for block in range(mvit.DEPTH):
        query, key = queries.get(block), keys.get(block)
        width_in, width_out = widths[block : block + 2]
        width = width_out if mvit.DIM_MUL_IN_ATT else width_in
        cuts_tokens = mvit.POOL_FIRST and mvit.MODE != "conv_unshared"
        _check_heads(block, heads[block], (width_in, width) if cuts_tokens else (width,))
        attention = AttentionSpec(
            width_in=width_in,
            width=width,
            heads=heads[block],
            query=pool_spec(mvit, query),
            key_value=pool_spec(mvit, key),
            mode=mvit.MODE,
            pool_first=mvit.POOL_FIRST,
            separate=mvit.SEPARATE_QKV,
            bias=mvit.QKV_BIAS,
            residual=mvit.RESIDUAL_POOLING,
            rows=table_rows(mvit, (grid[0], side, side), query or ONES, key or ONES),
            dropout_rate=mvit.DROPOUT_RATE,
            class_tokens=int(mvit.CLS_EMBED_ON),
        )
        spec = BlockSpec(
            attention=attention,
            skip=skip_spec(block, attention.query),
            width_inner=mlp_width(mvit, width),
            width_out=width_out,
            drop_rate=mvit.DROPPATH_RATE * block / max(mvit.DEPTH - 1, 1),
            dropout_rate=mvit.DROPOUT_RATE,
        )
        specs.append(spec)
        side //= attention.query.stride[1]
    return specs


def _check_choices(mvit) -> None:
    if mvit.NORM != "layernorm":
        raise UserError(f"MVIT.NORM: {mvit.NORM!r} is not known; use layernorm")
    if mvit.MODE not in MODES:
        raise UserError(f"MVIT.MODE: {mvit.MODE!r} is not known; choose one of {', '.join(MODES)}")
    if mvit.MODE == "conv_unshared" and not mvit.POOL_FIRST:
        raise UserError("MVIT.MODE: 'conv_unshared' pools all channels at once; use conv, or MVIT.POOL_FIRST True")


def _check_heads(block: int, heads: int, widths: Sequence[int]) -> None:
    for width in widths:
        if width % heads:
            raise UserError(
                f"MVIT.NUM_HEADS, MVIT.HEAD_MUL: the {heads} heads of block {block} do not divide its {width} "
                "channels; change them, MVIT.EMBED_DIM or MVIT.DIM_MUL"
            )


def factors_per_block(mvit, name: str) -> list[float]:
    """Return the factors of DIM_MUL or HEAD_MUL for the blocks, and one more for what follows the last; 1 elsewhere."""
    factors = [1.0] * (mvit.DEPTH + 1)
    for row in mvit[name]:
        if len(row) != 2 or row[0] not in range(len(factors)) or row[1] <= 0:
            raise UserError(
                f"MVIT.{name}: {row} must be [block, factor], a block from 0 to {mvit.DEPTH} (MVIT.DEPTH) and a "
                "factor above 0"
            )
        factors[int(row[0])] = row[1]
    require_blocks_once(mvit, name)
    return factors


def strides_per_block(mvit, name: str) -> dict[int, Triple]:
    """Return the strides of POOL_Q_STRIDE or POOL_KV_STRIDE for the blocks that it lists."""
    strides = {}
    for row in mvit[name]:
        if len(row) != 4 or row[0] not in range(mvit.DEPTH) or min(row[1:]) < 1:
            raise UserError(
                f"MVIT.{name}: {row} must be [block, frames, height, width], a block from 0 to {mvit.DEPTH - 1} "
                "(below MVIT.DEPTH) and strides of 1 or more"
            )
        strides[row[0]] = (row[1], row[2], row[3])
    require_blocks_once(mvit, name)
    return strides


def require_blocks_once(mvit, name: str) -> None:
    """Raise UserError if a key with a row for each of some blocks has a block twice."""
    for block, count in Counter(row[0] for row in mvit[name]).items():
        if count > 1:
            raise UserError(f"MVIT.{name}: block {block:g} has {count} rows in {mvit[name]}; keep one of them")


def key_strides(mvit) -> dict[int, Triple]:
    """Return the strides of keys and values for the blocks that pool them.

    POOL_KV_STRIDE_ADAPTIVE is that of block 0. Every stride of the queries divides it, down to 1, so that the grid of
    the keys hardly changes.
    """
    if mvit.POOL_KV_STRIDE_ADAPTIVE is None:
        return strides_per_block(mvit, "POOL_KV_STRIDE")
    queries, stride, strides = strides_per_block(mvit, "POOL_Q_STRIDE"), _sizes(mvit, "POOL_KV_STRIDE_ADAPTIVE"), {}
    for block in range(mvit.DEPTH):
        stride = tuple(max(s // q, 1) for s, q in zip(stride, queries.get(block, ONES), strict=True))
        strides[block] = stride
    return strides


def heads_per_block(mvit) -> list[int]:
    """Return the heads of every block."""
    heads, factors = [mvit.NUM_HEADS], factors_per_block(mvit, "HEAD_MUL")
    for factor in factors[:-1]:
        heads.append(round_width(heads[-1], factor))
    return heads[1:]


def widths_per_block(mvit) -> list[int]:
    """Return the channels of the tokens before the first block and after every block.

    Widths are rounded to a multiple of the heads, times the factor of the heads again. A factor of DIM_MUL acts in the
    block that it names with DIM_MUL_IN_ATT, and in the block before it otherwise.
    """
    heads, widths, ahead = heads_per_block(mvit), [mvit.EMBED_DIM], int(not mvit.DIM_MUL_IN_ATT)
    factors, head_factors = factors_per_block(mvit, "DIM_MUL"), factors_per_block(mvit, "HEAD_MUL")
    for block in range(mvit.DEPTH):
        divisor = round_width(heads[block], head_factors[block + ahead])
        widths.append(round_width(widths[-1], factors[block + ahead], divisor))
    return widths


def smallest_kernel(stride: Triple) -> Triple:
    """Return the kernel of a pool that has none of its own: stride + 1, or 1 where the stride is 1."""
    t, h, w = (s + 1 if s > 1 else 1 for s in stride)
    return t, h, w


def pool_spec(mvit, stride: Triple | None) -> PoolSpec:
    """Return the pool with this stride; None: there is none."""
    if stride is None:
        return PoolSpec()
    kernel = smallest_kernel(stride) if mvit.POOL_KVQ_KERNEL is None else _sizes(mvit, "POOL_KVQ_KERNEL")
    return PoolSpec(kernel, stride)


def skip_spec(block: int, query: PoolSpec) -> PoolSpec:
    """Return the pool of the tokens that pass the attention of a block by: to the grid of its queries."""
    skip = PoolSpec(smallest_kernel(query.stride), query.stride)
    if any((a - b) % 2 for a, b in zip(query.kernel, skip.kernel, strict=True)):
        raise UserError(
            f"MVIT.POOL_KVQ_KERNEL: {list(query.kernel)} does not fit the stride {list(query.stride)} of "
            f"MVIT.POOL_Q_STRIDE in block {block}: queries would have another grid than the tokens that they are added "
            f"to; use {list(skip.kernel)} or sizes that differ from it by an even number"
        )
    return skip


def table_rows(mvit, grid: Triple, query: Triple, key: Triple) -> Triple:
    """Return the rows of a block's tables of relative positions for clips of the config; 0: no table.

    Both sides have the stride of the height, and floors, as published. Where a grid differs, tables are resampled.
    """
    frames, side, _ = grid
    space = 2 * max(side // query[1], side // key[1], 1) - 1 if mvit.REL_POS_SPATIAL else 0
    return 2 * frames - 1 if mvit.REL_POS_TEMPORAL else 0, space, space
