"""Which part of the picture a clip shows: sizes, crops and flips. All lengths are in px."""

import math
from dataclasses import dataclass

import numpy as np

from slowfast.datasets.draws import draw_integer


@dataclass(frozen=True)
class SpatialChoice:
    """Resize the short side to `short_side`, cut a square of side `crop` at (y, x), mirror it if `flip`."""

    short_side: int
    crop: int
    y: int
    x: int
    flip: bool = False


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return (height, width) with the short side at `short_side`. The aspect is kept, the long side floored."""
    if width < height:
        return height * short_side // width, short_side
    return short_side, width * short_side // height


def short_side_at(drawn: float, scales: tuple[float, float], inverse_uniform: bool = False) -> int:
    """Return the short side for a number drawn uniformly from [0, 1): then it is uniform in `scales`.

    With `inverse_uniform` its reciprocal is uniform instead.
    """
    lowest, highest = scales
    if inverse_uniform:
        return round(1 / (1 / highest + drawn * (1 / lowest - 1 / highest)))
    return round(lowest + drawn * (highest - lowest))


def draw_crop(
    rng: np.random.Generator, height: int, width: int, short_side: int, crop: int, flip: bool = True
) -> SpatialChoice:
    """Draw the place of a crop, and with `flip` whether it is mirrored, in half of the cases."""
    most_y, most_x = _largest_offsets(height, width, short_side, crop)
    y, x = draw_integer(rng, 0, most_y), draw_integer(rng, 0, most_x)
    return SpatialChoice(short_side, crop, y, x, bool(rng.random() < 0.5) and flip)


def center_crop(height: int, width: int, short_side: int, crop: int) -> SpatialChoice:
    """Return the crop in the center; halves are rounded up."""
    most_y, most_x = _largest_offsets(height, width, short_side, crop)
    return SpatialChoice(short_side, crop, math.ceil(most_y / 2), math.ceil(most_x / 2))


def three_crops(height: int, width: int, short_side: int, crop: int) -> list[SpatialChoice]:
    """Return the crops at the left, in the center and at the right; of a portrait at the top, center and bottom."""
    most_y, most_x = _largest_offsets(height, width, short_side, crop)
    center = center_crop(height, width, short_side, crop)
    return [SpatialChoice(short_side, crop, 0, 0), center, SpatialChoice(short_side, crop, most_y, most_x)]


def apply_crop_flip(frames: np.ndarray, choice: SpatialChoice) -> np.ndarray:
    """Return the chosen part of resized frames as a view: T x H x W x C -> T x crop x crop x C."""
    clip = frames[:, choice.y : choice.y + choice.crop, choice.x : choice.x + choice.crop]
    return clip[:, :, ::-1] if choice.flip else clip


def _largest_offsets(height: int, width: int, short_side: int, crop: int) -> tuple[int, int]:
    """How far down and to the right a crop can be placed in the resized picture."""
    assert crop <= short_side, f"a crop of {crop} px from a short side of {short_side} px"  # see SamplingGrid.check
    tall, wide = resized_size(height, width, short_side)
    return tall - crop, wide - crop
