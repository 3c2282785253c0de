"""From uint8 clips to the input of a model, on the device: normalize, change the layout, split into pathways.

Legend: N clips, T frames, H x W pixels, C channels.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from slowfast.datasets.augment.erasing import erase
from slowfast.errors import UserError

COLORS = 3
Clips = Tensor | list[Tensor]  # a batch of clips, or one of each pathway


def each(function: Callable[[Tensor], Tensor], clips: Clips) -> Clips:
    """Return `function(clips)`, for every pathway if there are several."""
    return function(clips) if isinstance(clips, Tensor) else [function(pathway) for pathway in clips]


def flatten_views(clips: Clips) -> tuple[Clips, int]:
    """Return the views of N videos, (N, V, ...), as N * V clips, and V."""
    views = (clips if isinstance(clips, Tensor) else clips[0]).shape[1]
    return each(lambda clip: clip.flatten(0, 1), clips), views


def slow_positions(frames: int, alpha: int) -> list[int]:
    """Return the positions of the slow frames: floor(linspace(0, frames - 1, frames // alpha)).

    The arithmetic is in integers, so that no device rounds an exact position down to the frame before it.
    """
    count = frames // alpha
    if count < 1:
        raise UserError(
            f"SLOWFAST.ALPHA: {alpha} leaves the slow pathway no frame of a clip of {frames}; "
            "lower it, or use clips of at least ALPHA frames"
        )
    return [i * (frames - 1) // max(count - 1, 1) for i in range(count)]


@cache
def _positions_on(device: torch.device, frames: int, alpha: int) -> Tensor:
    """Return `slow_positions` on the device. It is cached, as a copy in every iteration would make the device wait."""
    return torch.tensor(slow_positions(frames, alpha), device=device)


class PackPathways:
    """Callable from uint8 clips N x T x H x W x C to a list of float N x C x T x H x W: `[slow, fast]` or `[clip]`.

    Float clips N x C x T x H x W are split into pathways as they are. A list of pathways stays as it is.
    `erased`: boxes of uint8 clips that are filled once the clips are normalized, N x K x 5, on the host.

    Args:
        mean, std: of the decoded channels, for values in [0, 1].
        reverse_channels: reverse the order of the channels of the normalized clip (RGB to BGR and back).
        alpha: the slow pathway takes 1/alpha of the frames. None: there is one pathway.
        memory_format: layout of the result. `torch.channels_last_3d` is that of the clips.
        erase_mode: what boxes are filled with (see `augment.erasing.erase`).
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        reverse_channels: bool = False,
        alpha: int | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
        erase_mode: str = "pixel",
    ):
        self.erase_mode = erase_mode
        self.reverse_channels, self.alpha, self.memory_format = reverse_channels, alpha, memory_format
        self._arguments = mean, std, reverse_channels, alpha, memory_format, erase_mode
        step = -1 if reverse_channels else 1
        scale = [1 / (255 * s) for s in std][::step]
        shift = [-m / s for m, s in zip(mean, std, strict=True)][::step]
        self._scale, self._shift = (torch.tensor(v).view(-1, 1, 1, 1) for v in (scale, shift))

    @classmethod
    def from_cfg(cls, cfg, memory_format: torch.memory_format = torch.contiguous_format) -> "PackPathways":
        for key, values in (("DATA.MEAN", cfg.DATA.MEAN), ("DATA.STD", cfg.DATA.STD)):
            if len(values) != COLORS:
                raise UserError(f"{key}: {values} has {len(values)} entries; give one for each of the {COLORS} colors")
        alpha = cfg.SLOWFAST.ALPHA if cfg.MODEL.ARCH in cfg.MODEL.MULTI_PATHWAY_ARCH else None
        reverse = cfg.DATA.REVERSE_INPUT_CHANNEL
        return cls(cfg.DATA.MEAN, cfg.DATA.STD, reverse, alpha, memory_format, cfg.AUG.RE_MODE)

    def __reduce__(self) -> tuple:
        """Send the arguments to other processes, not tensors, which would use shared memory."""
        return type(self), self._arguments

    def __call__(self, clips: Clips, erased: Tensor | None = None) -> list[Tensor]:
        if not isinstance(clips, Tensor):
            return [self._laid_out(pathway) for pathway in clips]
        if clips.is_floating_point():
            return self.split(self._laid_out(clips))
        if clips.device != self._scale.device:
            self._scale, self._shift = self._scale.to(clips.device), self._shift.to(clips.device)
        x = clips.flip(-1) if self.reverse_channels else clips
        x = x.permute(0, 4, 1, 2, 3)  # (N, T, H, W, C) -> (N, C, T, H, W)
        x = self._laid_out(x)
        torch.addcmul(self._shift, x, self._scale, out=x)
        if erased is not None:
            erase(x, erased, self.erase_mode)
        return self.split(x)

    def pictures(self, pathway: Tensor, reverse_channels: bool) -> Tensor:
        """Return a normalized pathway, N x C x T x H x W, as the uint8 clips N x T x H x W x C that it was made from.

        `reverse_channels`: this object has reversed their channels, which it does to uint8 clips only.
        """
        mean, std = map(torch.tensor, self._arguments[:2])
        x = pathway.float().cpu().permute(0, 2, 3, 4, 1)  # (N, C, T, H, W) -> (N, T, H, W, C)
        x = x.flip(-1) if reverse_channels else x
        return (255 * (x * std + mean)).round().clamp(0, 255).byte()

    def _laid_out(self, clip: Tensor) -> Tensor:
        return clip.to(torch.float32, memory_format=self.memory_format)

    def split(self, clip: Tensor) -> list[Tensor]:
        """Return the pathways of float clips, N x C x T x H x W."""
        if self.alpha is None:
            return [clip]
        slow = clip.index_select(2, _positions_on(clip.device, clip.shape[2], self.alpha))
        return [slow.contiguous(memory_format=self.memory_format), clip]
