"""The stem of a network: the first layers of every pathway.

Legend: N clips, C channels, T frames, H x W pixels. A list of features holds one N x C x T x H x W tensor per pathway.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.models.transforms import conv
from slowfast.multigrid.batch_norm import SubBatchNorm3d


class Stem(nn.Module):
    """Convolution (kt, 7, 7), batch norm, ReLU and max-pool of one pathway. Divides H and W by 4 and keeps T."""

    def __init__(self, width_in: int, width_out: int, temporal_kernel: int, inplace_relu: bool = True):
        super().__init__()
        kernel, padding = (temporal_kernel, 7, 7), (temporal_kernel // 2, 3, 3)
        self.conv = nn.Conv3d(width_in, width_out, kernel, stride=(1, 2, 2), padding=padding, bias=False)
        self.bn = SubBatchNorm3d(width_out)
        self.relu = nn.ReLU(inplace_relu)
        self.pool_layer = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool_layer(self.relu(self.bn(self.conv(x))))


class X3DStem(nn.Module):
    """Convolution (1, 3, 3) over space, channelwise convolution (kt, 1, 1) over time, batch norm and ReLU.

    Divides H and W by 2 and keeps T.
    """

    def __init__(self, width_in: int, width_out: int, temporal_kernel: int, inplace_relu: bool = True):
        super().__init__()
        self.conv_xy = conv(width_in, width_out, (1, 3, 3), stride=2)
        self.conv = conv(width_out, width_out, (temporal_kernel, 1, 1), groups=width_out)
        self.bn = SubBatchNorm3d(width_out)
        self.relu = nn.ReLU(inplace_relu)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(self.conv_xy(x))))


STEMS: dict[str, type[Stem] | type[X3DStem]] = {"resnet": Stem, "x3d": X3DStem}


class PathwayStems(nn.Module):
    """One stem per pathway, named `pathway{p}_stem`."""

    def __init__(self, stems: Sequence[nn.Module]):
        super().__init__()
        for pathway, stem in enumerate(stems):
            self.add_module(f"pathway{pathway}_stem", stem)

    def forward(self, clips: list[Tensor]) -> list[Tensor]:
        stems = list(self.children())
        if isinstance(clips, Tensor) or len(clips) != len(stems):
            given = "one tensor" if isinstance(clips, Tensor) else f"a list of {len(clips)}"
            raise UserError(f"the model takes a list of {len(stems)} clips, one per pathway, and not {given}")
        return [stem(clip) for stem, clip in zip(stems, clips, strict=True)]
