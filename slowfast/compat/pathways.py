"""What the published `slowfast.datasets.utils` has.

Legend: C channels, T frames, H x W pixels.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from slowfast.config.node import CfgNode
from slowfast.datasets.pathways import PackPathways

REVERSED_CHANNELS = [2, 1, 0]


def pack_pathway_output(cfg: CfgNode, frames: Tensor) -> list[Tensor]:
    """Return the pathways of a float clip C x T x H x W, `[slow, fast]` or `[clip]`."""
    if cfg.DATA.REVERSE_INPUT_CHANNEL:
        frames = frames[REVERSED_CHANNELS]
    return [pathway[0] for pathway in PackPathways.from_cfg(cfg).split(frames[None])]


def tensor_normalize(
    tensor: Tensor,
    mean: float | Sequence[float] | Tensor,
    std: float | Sequence[float] | Tensor,
    func: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return (tensor - mean) / std; the last axis has the channels. uint8 values are divided by 255 first.

    `func` is applied before the mean is subtracted.
    """
    tensor = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor
    tensor = tensor if func is None else func(tensor)
    return (tensor - torch.as_tensor(mean)) / torch.as_tensor(std)
