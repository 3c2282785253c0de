"""The grid that clips are sampled on: how many frames, at which stride, and which crop at which scale."""

from dataclasses import dataclass

import numpy as np

from slowfast.config.node import CfgNode
from slowfast.datasets.spatial import SpatialChoice, center_crop, draw_crop, short_side_at, three_crops
from slowfast.errors import UserError
from slowfast.multigrid.schedule import jitter_range, stride_range


@dataclass(frozen=True)
class SamplingGrid:
    """The default grid of training and validation, and the views of testing.

    Attributes:
        frames, stride: of a clip.
        crop: side of a training clip, px.
        scales: (min, max) of the short side that training resizes to before it crops, px.
        inverse_uniform: draw the reciprocal of the short side uniformly, not the short side.
        flip: mirror half of the training clips.
        test_crop: side of a test clip, px.
        num_clips, num_crops: views of a test video, in time and in space (1 or 3).
        fit_crop: with one crop in testing, resize the short side to the crop, not to `scales[0]`.
    """

    frames: int
    stride: int
    crop: int
    scales: tuple[int, ...]
    inverse_uniform: bool = False
    flip: bool = True
    test_crop: int = 256
    num_clips: int = 10
    num_crops: int = 3
    fit_crop: bool = False

    @classmethod
    def from_cfg(cls, cfg: CfgNode, fit_crop: bool = False) -> "SamplingGrid":
        return cls(
            frames=cfg.DATA.NUM_FRAMES,
            stride=cfg.DATA.SAMPLING_RATE,
            crop=cfg.DATA.TRAIN_CROP_SIZE,
            scales=tuple(cfg.DATA.TRAIN_JITTER_SCALES),
            inverse_uniform=cfg.DATA.INV_UNIFORM_SAMPLE,
            flip=cfg.DATA.RANDOM_FLIP,
            test_crop=cfg.DATA.TEST_CROP_SIZE,
            num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
            num_crops=cfg.TEST.NUM_SPATIAL_CROPS,
            fit_crop=fit_crop,
        )

    def check(self, split: str) -> None:
        """Raise UserError where the crop of a split does not fit the resized picture."""
        scales = list(self.scales)
        if len(scales) != 2 or scales[0] > scales[1]:
            raise UserError(
                f"DATA.TRAIN_JITTER_SCALES: {scales} is not a range; give [lowest, highest] short side in px"
            )
        if split != "test" and self.crop > scales[0]:
            raise UserError(
                f"DATA.TRAIN_CROP_SIZE: {self.crop} px is larger than the resized short side, {scales[0]} px in "
                f"DATA.TRAIN_JITTER_SCALES {scales}; give at most {scales[0]} or raise the scales"
            )
        if split == "test" and self.test_crop > self.test_short_side:
            raise UserError(
                f"DATA.TEST_CROP_SIZE: {self.test_crop} px is larger than the resized short side of one-crop tests, "
                f"{scales[0]} px; give at most {scales[0]}, raise DATA.TRAIN_JITTER_SCALES or set "
                "TEST.NUM_SPATIAL_CROPS 3"
            )

    @property
    def test_short_side(self) -> int:
        """The short side that test videos are resized to, px."""
        return self.test_crop if self.fit_crop or self.num_crops == 3 else self.scales[0]

    def strides(self, frames: int) -> tuple[int, int]:
        """Return the lowest and the highest stride of a clip of `frames` frames."""
        return stride_range(self.stride, self.frames, frames)

    def draw_crop(self, rng: np.random.Generator, size: tuple[int, int], crop: int) -> SpatialChoice:
        """Draw a crop of a picture of `size` (height, width)."""
        return draw_crop(rng, *size, self.short_side(rng.random(), crop), crop, self.flip)

    def short_side(self, drawn: float, crop: int) -> int:
        """Return the short side before a crop that belongs to a number drawn uniformly from [0, 1)."""
        return short_side_at(drawn, jitter_range(self.scales, self.crop, crop), self.inverse_uniform)

    def shortest_side(self, crop: int) -> int:
        """Return the lowest of the short sides before a crop. It shrinks with the crop."""
        return jitter_range(self.scales, self.crop, crop)[0]

    def center_crop(self, size: tuple[int, int]) -> SpatialChoice:
        """Return the crop of validation."""
        return center_crop(*size, self.scales[0], self.crop)

    def view_crops(self, size: tuple[int, int]) -> list[SpatialChoice]:
        """Return the crops of testing, all of one short side."""
        if self.num_crops == 1:
            return [center_crop(*size, self.test_short_side, self.test_crop)]
        return three_crops(*size, self.test_short_side, self.test_crop)

    def shape(self, split: str) -> tuple[int, ...]:
        """Return the shape of a sample's clip at the default grid."""
        if split == "test":
            return (self.num_clips * self.num_crops, self.frames, self.test_crop, self.test_crop, 3)
        return (self.frames, self.crop, self.crop, 3)
