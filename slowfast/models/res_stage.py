"""Residual blocks, and stages of them in every pathway.

Legend: N clips, C channels, T frames, H x W pixels. A list of features holds one N x C x T x H x W tensor per pathway.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from slowfast.models.nonlocal_block import Nonlocal
from slowfast.multigrid.batch_norm import SubBatchNorm3d


@dataclass(frozen=True)
class NonlocalSpec:
    """Non-local blocks of a stage in a pathway: the residual blocks they follow (from 0), and their settings."""

    after_blocks: tuple[int, ...] = ()
    pool: tuple[int, int, int] = (1, 1, 1)
    instantiation: str = "softmax"
    group: int = 1


@dataclass(frozen=True)
class StageSpec:
    """A stage in a pathway, with one temporal kernel per block. Basic blocks ignore the inner width and the groups."""

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
    nonlocal_blocks: NonlocalSpec = NonlocalSpec()


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


class BottleneckTransform(nn.Module):
    """Convolutions a (kt, 1, 1), b (1, 3, 3) and c (1, 1, 1), each followed by a batch norm."""

    def __init__(self, spec: StageSpec, width_in: int, temporal_kernel: int, stride: int):
        super().__init__()
        inner = spec.width_inner
        stride_a, stride_b = (stride, 1) if spec.stride_in_1x1 else (1, stride)
        self.a = conv(width_in, inner, (temporal_kernel, 1, 1), stride_a)
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


class BasicTransform(nn.Module):
    """Convolutions a (kt, 3, 3) and b (1, 3, 3) of the stage's width, each followed by a batch norm."""

    def __init__(self, spec: StageSpec, width_in: int, temporal_kernel: int, stride: int):
        super().__init__()
        width = spec.width_out
        self.a = conv(width_in, width, (temporal_kernel, 3, 3), stride)
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


TRANSFORMS = {"bottleneck_transform": BottleneckTransform, "basic_transform": BasicTransform}


class ResBlock(nn.Module):
    """A transform with a shortcut, which is a 1x1x1 convolution where the width or the stride changes."""

    def __init__(self, spec: StageSpec, width_in: int, temporal_kernel: int, stride: int):
        super().__init__()
        if width_in != spec.width_out or stride != 1:
            self.branch1 = conv(width_in, spec.width_out, (1, 1, 1), stride)
            self.branch1_bn = SubBatchNorm3d(spec.width_out)
        self.branch2 = TRANSFORMS[spec.transform](spec, width_in, temporal_kernel, stride)
        self.relu = nn.ReLU(spec.inplace_relu)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.branch1_bn(self.branch1(x)) if hasattr(self, "branch1") else x
        return self.relu(shortcut + self.branch2(x))


class ResStage(nn.Module):
    """The blocks of one stage in every pathway: `pathway{p}_res{i}`, and `pathway{p}_nonlocal{i}` after block i."""

    def __init__(self, specs: Sequence[StageSpec]):
        super().__init__()
        self.layers = [self._add_pathway(pathway, spec) for pathway, spec in enumerate(specs)]

    def _add_pathway(self, pathway: int, spec: StageSpec) -> list[str]:
        """Add the modules of a pathway and return their names in the order of use."""
        attention, names = spec.nonlocal_blocks, []
        for i, temporal_kernel in enumerate(spec.temporal_kernels):
            width_in, stride = (spec.width_in, spec.stride) if i == 0 else (spec.width_out, 1)
            names.append(f"pathway{pathway}_res{i}")
            self.add_module(names[-1], ResBlock(spec, width_in, temporal_kernel, stride))
            if i in attention.after_blocks:
                width = spec.width_out
                names.append(f"pathway{pathway}_nonlocal{i}")
                block = Nonlocal(width, width // 2, attention.pool, attention.instantiation, attention.group)
                self.add_module(names[-1], block)
        return names

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [self._run(names, x) for names, x in zip(self.layers, features, strict=True)]

    def _run(self, names: list[str], x: Tensor) -> Tensor:
        for name in names:
            x = getattr(self, name)(x)
        return x
