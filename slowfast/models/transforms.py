"""Residual branches by the names of `RESNET.TRANS_FUNC`.

Legend: N clips, C channels, T frames, H x W pixels.
"""

from torch import Tensor, nn

from slowfast.models.specs import StageSpec, round_width
from slowfast.multigrid.batch_norm import SubBatchNorm3d


def conv(
    width_in: int, width_out: int, kernel: tuple[int, int, int], stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv3d:
    """Return a convolution without bias, padded to keep T and, at stride 1, H and W.

    `kernel` is (frames, rows, columns). Stride and dilation are those of H and W.
    """
    frames, rows, columns = kernel
    padding = (frames // 2, dilation * (rows // 2), dilation * (columns // 2))
    strides, dilations = (1, stride, stride), (1, dilation, dilation)
    return nn.Conv3d(width_in, width_out, kernel, strides, padding, dilations, groups, bias=False)


class Transform(nn.Module):
    """The residual branch of a block, which ends with the batch norm `last_norm`.

    Args:
        spec: the stage of the block.
        block: its number in the stage, from 0.
    """

    def __init__(self, spec: StageSpec, block: int):
        super().__init__()

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        raise NotImplementedError


class BottleneckTransform(Transform):
    """Convolutions a (kt, 1, 1), b (1, 3, 3) and c (1, 1, 1), each followed by a batch norm."""

    def __init__(self, spec: StageSpec, block: int):
        super().__init__(spec, block)
        inner, kernel = spec.width_inner, spec.temporal_kernels[block]
        stride_a, stride_b = spec.strides_of(block)
        self.a = conv(spec.width_into(block), inner, (kernel, 1, 1), stride_a)
        self.a_bn = SubBatchNorm3d(inner)
        self.a_relu = nn.ReLU(spec.inplace_relu)
        self.b = conv(inner, inner, (1, 3, 3), stride_b, spec.dilation, spec.groups)
        self.b_bn = SubBatchNorm3d(inner)
        self.b_relu = nn.ReLU(spec.inplace_relu)
        self.c = conv(inner, spec.width_out, (1, 1, 1))
        self.c_bn = SubBatchNorm3d(spec.width_out)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        return self.c_bn

    def forward(self, x: Tensor) -> Tensor:
        x = self.a_relu(self.a_bn(self.a(x)))
        x = self.b_relu(self.b_bn(self.b(x)))
        return self.c_bn(self.c(x))


class BasicTransform(Transform):
    """Convolutions a (kt, 3, 3) and b (1, 3, 3) of the stage's width, each followed by a batch norm."""

    def __init__(self, spec: StageSpec, block: int):
        super().__init__(spec, block)
        width, kernel = spec.width_out, spec.temporal_kernels[block]
        self.a = conv(spec.width_into(block), width, (kernel, 3, 3), spec.stride_of(block))
        self.a_bn = SubBatchNorm3d(width)
        self.a_relu = nn.ReLU(spec.inplace_relu)
        self.b = conv(width, width, (1, 3, 3), dilation=spec.dilation)
        self.b_bn = SubBatchNorm3d(width)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        return self.b_bn

    def forward(self, x: Tensor) -> Tensor:
        x = self.a_relu(self.a_bn(self.a(x)))
        return self.b_bn(self.b(x))


class SqueezeExcitation(nn.Module):
    """Scale every channel of a clip by a gate in (0, 1), computed from the clip's channel means. Biases start at 0."""

    RATIO, DIVISOR = 1 / 16, 8  # of the inner width to the channels; the inner width is a multiple of DIVISOR

    def __init__(self, width: int):
        super().__init__()
        inner = round_width(width, self.RATIO, self.DIVISOR)
        self.fc1 = nn.Conv3d(width, inner, 1)
        self.fc2 = nn.Conv3d(inner, width, 1)
        for layer in (self.fc1, self.fc2):
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3, 4), keepdim=True)  # (N, C, T, H, W) -> (N, C, 1, 1, 1)
        return x * self.fc2(self.fc1(means).relu()).sigmoid()


class X3DTransform(Transform):
    """Convolutions a (1, 1, 1), b (kt, 3, 3) and c (1, 1, 1), each followed by a batch norm.

    In every second block, from the first, squeeze-excitation follows the batch norm of b. Then comes a Swish.
    """

    def __init__(self, spec: StageSpec, block: int):
        super().__init__(spec, block)
        inner, kernel = spec.width_inner, spec.temporal_kernels[block]
        stride_a, stride_b = spec.strides_of(block)
        self.a = conv(spec.width_into(block), inner, (1, 1, 1), stride_a)
        self.a_bn = SubBatchNorm3d(inner)
        self.a_relu = nn.ReLU(spec.inplace_relu)
        self.b = conv(inner, inner, (kernel, 3, 3), stride_b, spec.dilation, spec.groups)
        self.b_bn = SubBatchNorm3d(inner)
        self.se = SqueezeExcitation(inner) if block % 2 == 0 else nn.Identity()
        self.b_swish = nn.SiLU()
        self.c = conv(inner, spec.width_out, (1, 1, 1))
        self.c_bn = SubBatchNorm3d(spec.width_out)

    @property
    def last_norm(self) -> nn.BatchNorm3d:
        return self.c_bn

    def forward(self, x: Tensor) -> Tensor:
        x = self.a_relu(self.a_bn(self.a(x)))
        x = self.b_swish(self.se(self.b_bn(self.b(x))))
        return self.c_bn(self.c(x))


TRANSFORMS: dict[str, type[Transform]] = {
    "bottleneck_transform": BottleneckTransform,
    "basic_transform": BasicTransform,
    "x3d_transform": X3DTransform,
}
