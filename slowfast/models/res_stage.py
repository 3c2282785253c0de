"""Residual blocks, and stages of them in every pathway.

Legend: N clips, C channels, T frames, H x W pixels. A list of features holds one N x C x T x H x W tensor per pathway.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from slowfast.models.drop_path import drop_path
from slowfast.models.nonlocal_block import Nonlocal
from slowfast.models.specs import StageSpec
from slowfast.models.transforms import TRANSFORMS, conv
from slowfast.multigrid.batch_norm import SubBatchNorm3d


class ResBlock(nn.Module):
    """A transform with a shortcut, which is a 1x1x1 convolution where the width or the stride changes."""

    def __init__(self, spec: StageSpec, block: int):
        super().__init__()
        width_in, stride = spec.width_into(block), spec.stride_of(block)
        if width_in != spec.width_out or stride != 1:
            self.branch1 = conv(width_in, spec.width_out, (1, 1, 1), stride)
            self.branch1_bn = SubBatchNorm3d(spec.width_out)
        self.branch2 = TRANSFORMS[spec.transform](spec, block)
        self.drop_rate = spec.drop_rate
        self.relu = nn.ReLU(spec.inplace_relu)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.branch1_bn(self.branch1(x)) if hasattr(self, "branch1") else x
        return self.relu(shortcut + drop_path(self.branch2(x), self.drop_rate, self.training))


class ResStage(nn.Module):
    """The blocks of one stage in every pathway: `pathway{p}_res{i}`, and `pathway{p}_nonlocal{i}` after block i."""

    def __init__(self, specs: Sequence[StageSpec]):
        super().__init__()
        self.layers = [self._add_pathway(pathway, spec) for pathway, spec in enumerate(specs)]

    def _add_pathway(self, pathway: int, spec: StageSpec) -> list[str]:
        """Add the modules of a pathway and return their names in the order of use."""
        attention, names = spec.nonlocal_blocks, []
        for i in range(len(spec.temporal_kernels)):
            names.append(f"pathway{pathway}_res{i}")
            self.add_module(names[-1], ResBlock(spec, i))
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
