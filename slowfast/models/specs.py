"""The plan of a stage in a pathway, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NonlocalSpec:
    """Non-local blocks of a stage in a pathway: the residual blocks they follow (from 0), and their settings."""

    after_blocks: tuple[int, ...] = ()
    pool: tuple[int, int, int] = (1, 1, 1)
    instantiation: str = "softmax"
    group: int = 1


@dataclass(frozen=True)
class StageSpec:
    """A stage in a pathway, with one temporal kernel per block. Basic blocks ignore the inner width and the groups.

    `drop_rate` is the probability with which a clip skips a residual branch in training.
    """

    width_in: int
    width_out: int
    width_inner: int
    temporal_kernels: tuple[int, ...]
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transform: str = "bottleneck_transform"
    stride_in_1x1: bool = False
    inplace_relu: bool = True
    drop_rate: float = 0.0
    nonlocal_blocks: NonlocalSpec = NonlocalSpec()

    def width_into(self, block: int) -> int:
        """Return the input channels of a block. The first block changes the width."""
        return self.width_in if block == 0 else self.width_out

    def stride_of(self, block: int) -> int:
        """Return the spatial stride of a block. Only the first has that of the stage."""
        return self.stride if block == 0 else 1

    def strides_of(self, block: int) -> tuple[int, int]:
        """Return the spatial strides of the convolutions a (1 x 1 in space) and b (3 x 3) of a bottleneck."""
        stride = self.stride_of(block)
        return (stride, 1) if self.stride_in_1x1 else (1, stride)


def round_width(width: float, factor: float, divisor: int = 1) -> int:
    """Return `width` times `factor`, rounded to a multiple of `divisor` as in published networks. A factor of 0 is 1.

    The nearest multiple is taken, but at least `divisor`, and the next larger one if it is more than a tenth too small.
    """
    if not factor:
        return int(width)
    exact = width * factor
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded
