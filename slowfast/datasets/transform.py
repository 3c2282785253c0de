"""Sizes and crops of clips, uint8 T x H x W x C."""

import numpy as np


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) with the short side at `short_side` px; the aspect is kept, the long side floored."""
    if width < height:
        return height * short_side // width, short_side
    return short_side, width * short_side // height


def apply_crop_flip(frames: np.ndarray, choice) -> np.ndarray:
    """The part of resized frames that a SpatialChoice names: a view, T x H x W x C -> T x crop x crop x C."""
    clip = frames[:, choice.y : choice.y + choice.crop, choice.x : choice.x + choice.crop]
    return clip[:, :, ::-1] if choice.flip else clip
