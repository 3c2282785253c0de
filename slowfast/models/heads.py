"""The head of a network, from features to scores.

Legend: N clips, C channels, T frames, H x W pixels, K classes; T' x H' x W' positions of the pooling window,
D channels that are classified.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.models.norm import PlainBatchNorm3d
from slowfast.models.transforms import conv

ACTIVATIONS = {
    "softmax": lambda scores: scores.softmax(dim=-1),
    "sigmoid": torch.sigmoid,
    "none": lambda scores: scores,
}


class Head(nn.Module):
    """Average pool of every pathway, concatenation, dropout and a linear `projection`.

    Training takes features of any shape and returns logits, N x K. Evaluation averages over a window with stride 1,
    activates the scores at every remaining position, and returns their mean, N x K.

    Args:
        widths: channels of every pathway.
        windows: frames, rows and columns of every pathway's window in evaluation, at most the map. None: the map.
        activation: `softmax` over the classes, `sigmoid` or `none`, in evaluation only.
        layers: modules of a subclass by name, whose parameters come before those of `projection`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        num_classes: int,
        windows: Sequence[tuple[int, int, int]] | None = None,
        dropout_rate: float = 0.0,
        activation: str = "softmax",
        layers: Mapping[str, nn.Module] = MappingProxyType({}),
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(f"MODEL.HEAD_ACT: {activation!r} is not known; choose one of {', '.join(ACTIVATIONS)}")
        self.windows = windows
        self.activate = activation
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.dropout = nn.Dropout(dropout_rate)
        self.projection = nn.Linear(sum(widths), num_classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.embed(features).permute(0, 2, 3, 4, 1)  # (N, C, T', H', W') -> (N, T', H', W', C)
        x = self.projection(self.dropout(x))
        if self.training:
            return x.flatten(1)  # (N, 1, 1, 1, K) -> (N, K)
        return ACTIVATIONS[self.activate](x).mean((1, 2, 3))

    def embed(self, features: list[Tensor]) -> Tensor:
        """Return what is classified, N x C x T' x H' x W'."""
        return self._pool(features)

    def _pool(self, features: list[Tensor]) -> Tensor:
        if self.training or self.windows is None:
            return torch.cat([x.mean((2, 3, 4), keepdim=True) for x in features], dim=1)
        pooled = [_average_window(x, window) for x, window in zip(features, self.windows, strict=True)]
        if any(x.shape[2:] != pooled[0].shape[2:] for x in pooled):
            frames, needed = features[-1].shape[2], self.windows[-1][0]
            positions = " and ".join(str(x.shape[2]) for x in pooled)
            raise UserError(
                f"evaluation needs clips of {needed} frames (DATA.NUM_FRAMES), and this one has {frames}: "
                f"the pathways would have {positions} positions in time"
            )
        return torch.cat(pooled, dim=1)


class X3DHead(Head):
    """Convolution `conv_5`, average pool and layer `lin_5` in front of the classifier of one pathway.

    Its batch norms see the batch of a process without groups, as published, whatever the others do.

    Args:
        widths: channels of the features, of `conv_5` and of `lin_5`.
        norm_lin5: batch norm after `lin_5`.
    """

    conv_5: nn.Conv3d
    conv_5_bn: PlainBatchNorm3d
    lin_5: nn.Conv3d
    lin_5_bn: PlainBatchNorm3d | nn.Identity

    def __init__(
        self,
        widths: tuple[int, int, int],
        num_classes: int,
        window: tuple[int, int, int] | None = None,
        dropout_rate: float = 0.0,
        activation: str = "softmax",
        norm_lin5: bool = False,
    ):
        width, inner_width, embed_width = widths
        layers = {
            "conv_5": conv(width, inner_width, (1, 1, 1)),
            "conv_5_bn": PlainBatchNorm3d(inner_width),
            "lin_5": conv(inner_width, embed_width, (1, 1, 1)),
            "lin_5_bn": PlainBatchNorm3d(embed_width) if norm_lin5 else nn.Identity(),
        }
        windows = None if window is None else [window]
        super().__init__([embed_width], num_classes, windows, dropout_rate, activation, layers)

    def embed(self, features: list[Tensor]) -> Tensor:
        x = self.conv_5_bn(self.conv_5(features[0])).relu()
        return self.lin_5_bn(self.lin_5(self._pool([x]))).relu()  # (N, C, T, H, W) -> (N, D, T', H', W')


class TokenHead(Head):
    """Dropout and a linear `projection` of one vector per clip, N x C, to logits or scores, N x K."""

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]  # the vector of a clip, not its maps
        return super().forward([features[:, :, None, None, None]])


def _average_window(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    return F.avg_pool3d(x, [min(k, size) for k, size in zip(window, x.shape[2:], strict=True)], stride=1)
