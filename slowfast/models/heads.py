"""The head of a network, from features to scores.

Legend: N clips, C channels, T frames, H x W pixels, K classes; T' x H' x W' positions of the pooling window.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.errors import UserError

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
    """

    def __init__(
        self,
        widths: Sequence[int],
        num_classes: int,
        windows: Sequence[tuple[int, int, int]] | None = None,
        dropout_rate: float = 0.0,
        activation: str = "softmax",
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(f"MODEL.HEAD_ACT: {activation!r} is not known; choose one of {', '.join(ACTIVATIONS)}")
        self.windows = windows
        self.activate = activation
        self.dropout = nn.Dropout(dropout_rate)
        self.projection = nn.Linear(sum(widths), num_classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self._pool(features).permute(0, 2, 3, 4, 1)  # (N, C, T', H', W') -> (N, T', H', W', C)
        x = self.projection(self.dropout(x))
        if self.training:
            return x.flatten(1)  # (N, 1, 1, 1, K) -> (N, K)
        return ACTIVATIONS[self.activate](x).mean((1, 2, 3))

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


def _average_window(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    return F.avg_pool3d(x, [min(k, size) for k, size in zip(window, x.shape[2:], strict=True)], stride=1)
