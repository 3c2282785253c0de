"""The grid that clips are sampled on: how many frames how far apart, from which crop at which scale."""

from dataclasses import dataclass

import numpy as np

from slowfast.datasets.sampling import SpatialChoice, centre_crop, draw_spatial, test_crops
from slowfast.multigrid.schedule import jitter_range, stride_range


@dataclass(frozen=True)
class SamplingGrid:
    """The default grid and its views in testing.

    Attributes:
        frames, stride: of a clip.
        crop: side of a training clip, px.
        scales: (min, max) of the short side that training resizes to before it crops, px.
        inverse_uniform: draw the reciprocal of the short side uniformly, not the short side.
        flip: training clips at random.
        test_crop: side of a test clip, px.
        num_clips, num_crops: views of a test video, in time and in space (1 or 3).
    """

    frames: int
    stride: int
    crop: int
    scales: tuple[int, int]
    inverse_uniform: bool = False
    flip: bool = True
    test_crop: int = 256
    num_clips: int = 10
    num_crops: int = 3

    @classmethod
    def from_cfg(cls, cfg) -> "SamplingGrid":
        data = cfg.DATA
        return cls(
            data.NUM_FRAMES,
            data.SAMPLING_RATE,
            data.TRAIN_CROP_SIZE,
            tuple(data.TRAIN_JITTER_SCALES),
            data.INV_UNIFORM_SAMPLE,
            data.RANDOM_FLIP,
            data.TEST_CROP_SIZE,
            cfg.TEST.NUM_ENSEMBLE_VIEWS,
            cfg.TEST.NUM_SPATIAL_CROPS,
        )

    def strides(self, frames: int) -> tuple[int, int]:
        """Lowest and highest stride of a clip of `frames` frames."""
        return stride_range(self.stride, self.frames, frames)

    def draw_crop(self, rng: np.random.Generator, size: tuple[int, int], crop: int) -> SpatialChoice:
        """A random crop of a picture of `size` (height, width)."""
        scales = jitter_range(self.scales, self.crop, crop)
        return draw_spatial(rng, *size, scales, crop, self.flip, self.inverse_uniform)

    def centre_crop(self, size: tuple[int, int]) -> SpatialChoice:
        return centre_crop(*size, self.scales[0], self.crop)

    def test_crops(self, size: tuple[int, int], fit_crop: bool) -> list[SpatialChoice]:
        """With `fit_crop`, or several crops, the short side becomes that of the crop."""
        if self.num_crops == 1:
            return [centre_crop(*size, self.test_crop if fit_crop else self.scales[0], self.test_crop)]
        return test_crops(*size, self.test_crop, self.num_crops)

    def shape(self, split: str) -> tuple[int, ...]:
        """Of a sample's clip at the default grid."""
        if split == "test":
            return (self.num_clips * self.num_crops, self.frames, self.test_crop, self.test_crop, 3)
        return (self.frames, self.crop, self.crop, 3)
