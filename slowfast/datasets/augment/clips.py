"""The augmentation of a training: what it draws for the clips of a video, in the order of the published recipes.

Frames are read at a short side of DATA.TRAIN_JITTER_SCALES[0], which shrinks with the crop of the clip's shape. In each
clip, the operations of RandAugment or color jitter change the whole frames; then they are cropped and mirrored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slowfast.config.node import CfgNode
from slowfast.datasets.augment.boxes import MovingBox, RelativeCrop
from slowfast.datasets.augment.erasing import Erasing
from slowfast.datasets.augment.operations import Applied, apply_operations
from slowfast.datasets.augment.policy import NO_OPERATIONS, ColorJitter, Policy, RandAugment
from slowfast.datasets.draws import rng_for
from slowfast.datasets.grid import SamplingGrid
from slowfast.datasets.spatial import Crop, SpatialChoice, Window, resize_part, resized_size
from slowfast.errors import UserError
from slowfast.utils.world import clips_per_video

OPERATIONS, CROP, ERASING = range(1, 4)  # purposes of generators: no choice shifts those of another kind
RELATIVE_KEYS = ("DATA.TRAIN_JITTER_SCALES_RELATIVE", "DATA.TRAIN_JITTER_ASPECT_RELATIVE")


@dataclass(frozen=True)
class Augmentation:
    """How the clips of a training are augmented; by default they are not.

    Attributes:
        num_clips: clips of each video in a batch, of the same frames.
        policy: draws the operations of a clip.
        crop: of any area and aspect; None: the short side is drawn, and then a square crop.
        erasing: boxes of noise.
    """

    num_clips: int = 1
    policy: Policy = NO_OPERATIONS
    crop: RelativeCrop | None = None
    erasing: Erasing = Erasing()

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> "Augmentation":
        """Return the augmentation of a training. Raises UserError."""
        aug, clips, crop = cfg.AUG, clips_per_video(cfg), relative_crop(cfg)
        if not aug.ENABLE:
            return cls(clips, crop=crop)
        policy: Policy = RandAugment.from_text(aug.AA_TYPE, aug.INTERPOLATION)
        if not aug.AA_TYPE and aug.COLOR_JITTER:
            policy = ColorJitter(aug.COLOR_JITTER)
        return cls(clips, policy, crop, Erasing(aug.RE_PROB, aug.RE_COUNT))

    @property
    def is_direct(self) -> bool:
        """Whether frames are read at the size that they are cropped at: nothing happens to them before the crop."""
        return self.num_clips == 1 and self.crop is None and self.policy == NO_OPERATIONS

    def short_side(self, grid: SamplingGrid, drawn: float, crop: int) -> int:
        """Return the short side that frames are read at, for a number drawn uniformly from [0, 1)."""
        return grid.short_side(drawn, crop) if self.is_direct else grid.shortest_side(crop)

    def draw_crops(
        self,
        rng: np.random.Generator,
        numbers: Sequence[int],
        grid: SamplingGrid,
        size: tuple[int, int],
        shape: tuple[int, int],
    ) -> list[Crop]:
        """Draw the crops of the clips of a video.

        Args:
            rng: of the video.
            numbers: of the video, by which its clips are drawn.
            size: (height, width) of its frames.
            shape: (frames, crop) of a clip.
        """
        frames, crop = shape
        if self.is_direct:
            return [grid.draw_crop(rng, size, crop)]
        short_side = grid.shortest_side(crop)
        size = resized_size(*size, short_side)
        return [
            AugmentedCrop(
                short_side=short_side,
                size=size,
                operations=self.policy.draw(rng_for(*numbers, clip, OPERATIONS), frames),
                place=self._place(rng_for(*numbers, clip, CROP), grid, size, crop),
            )
            for clip in range(self.num_clips)
        ]

    def _place(
        self, rng: np.random.Generator, grid: SamplingGrid, size: tuple[int, int], crop: int
    ) -> "MovingBox | RescaledCrop":
        if self.crop is not None:
            return self.crop.draw(rng, size, crop, grid.flip)
        return RescaledCrop(size, grid.draw_crop(rng, size, crop))

    def draw_boxes(self, numbers: Sequence[int], crop: int) -> np.ndarray | None:
        """Draw the boxes that are erased in each clip of a video (see `Erasing.draw`); None if none ever are."""
        if not self.erasing.probability:
            return None
        clips = range(self.num_clips)
        return np.stack([self.erasing.draw(rng_for(*numbers, clip, ERASING), crop) for clip in clips])


def relative_crop(cfg: CfgNode) -> RelativeCrop | None:
    """Return the crops of any area and aspect that a config asks for, or None."""
    areas, aspects = cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE, cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE
    moves = cfg.DATA.TRAIN_JITTER_MOTION_SHIFT
    if not areas and not aspects and not moves:
        return None
    for key, values in zip(RELATIVE_KEYS, (areas, aspects), strict=True):
        if len(values) != 2 or values[0] > values[1]:
            also = " and DATA.TRAIN_JITTER_MOTION_SHIFT False" if moves else ""
            raise UserError(
                f"{key}: {values} is not a range; give [lowest, highest], or leave {' and '.join(RELATIVE_KEYS)} "
                f"empty{also}"
            )
    return RelativeCrop((areas[0], areas[1]), (aspects[0], aspects[1]), moves)


@dataclass(frozen=True)
class RescaledCrop:
    """Resize frames of `size` (height, width) again, and cut and mirror a crop."""

    size: tuple[int, int]
    choice: SpatialChoice

    @property
    def window(self) -> Window:
        return Window(0, 0, *self.size)

    def cut(self, frames: np.ndarray, window: Window) -> np.ndarray:
        """Return the crop of whole frames: T x H x W x C -> T x crop x crop x C."""
        size, part = resized_size(*self.size, self.choice.short_side), self.choice.window
        return self.choice.cut(np.stack([resize_part(frame, size, part) for frame in frames]), part)

    def __str__(self) -> str:
        return str(self.choice)


@dataclass(frozen=True)
class AugmentedCrop:
    """Change frames of `size` (height, width), whose short side is `short_side` px, by operations, and crop them."""

    short_side: int
    size: tuple[int, int]
    operations: tuple[Applied, ...]
    place: MovingBox | RescaledCrop

    @property
    def window(self) -> Window:
        """The part of the frames that is needed: all, if an operation changes them."""
        return Window(0, 0, *self.size) if self.operations else self.place.window

    def cut(self, frames: np.ndarray, window: Window) -> np.ndarray:
        """Return the clip of frames, or of a `window` of them: T x H x W x C -> T x crop x crop x C."""
        return self.place.cut(apply_operations(frames, self.operations), window)

    def __str__(self) -> str:
        named = [f"{operation.name} {operation.argument:.3g}" for operation in self.operations]
        return f"short side {self.short_side} px\n" + "; ".join([*named, str(self.place)])
