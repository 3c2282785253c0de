"""The operations of RandAugment on 8-bit pictures of three channels, with the results of Pillow.

"RandAugment: Practical automated data augmentation with a reduced search space" (Cubuk et al., 2020), Section 3, with
the ranges and weights of the published recipes.

Legend: T frames, H x W pixels, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Picture = Image.Image
Effect = Callable[[Picture, float, Image.Resampling], Picture]  # of a picture, an argument and a filter

FILL = (128, 128, 128)  # pixels from outside of the picture
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Applied(NamedTuple):
    """An operation with its argument. `filters` are names: one of every frame, or one for all."""

    name: str
    argument: float
    filters: Sequence[str] = ("bicubic",)


def apply_operations(frames: np.ndarray, operations: Sequence[Applied]) -> np.ndarray:
    """Return frames, uint8 T x H x W x C, after these operations in turn; the frames themselves if there are none."""
    if not operations:
        return frames
    changed = np.empty(frames.shape, np.uint8)
    for t, frame in enumerate(frames):
        picture = Image.fromarray(np.ascontiguousarray(frame))
        for name, argument, filters in operations:
            picture = OPERATIONS[name].effect(picture, argument, FILTERS[filters[t % len(filters)]])
        changed[t] = np.asarray(picture)
    return changed


def _plain(function: Callable[[Picture], Picture]) -> Effect:
    """Return the effect of a function without an argument."""
    return lambda picture, argument, resample: function(picture)


def _by_value(value_of: Callable[[int, float], int]) -> Effect:
    """Return the effect that maps every value v of every channel to `value_of(v, argument)`."""

    def effect(picture: Picture, argument: float, resample: Image.Resampling) -> Picture:
        return picture.point([value_of(v, argument) for v in range(256)] * 3)

    return effect


def _enhanced(kind: Callable[[Picture], Any]) -> Effect:
    """Return the effect of mixing the picture with a poorer one, of `kind`, in the share of the argument."""
    return lambda picture, argument, resample: kind(picture).enhance(argument)


def _affine(matrix: Callable[[float, int, int], tuple[float, ...]]) -> Effect:
    """Return the effect in which pixel (x, y) takes the input at (a x + b y + c, d x + e y + f).

    `matrix(argument, width, height)` returns (a, ..., f).
    """

    def effect(picture: Picture, argument: float, resample: Image.Resampling) -> Picture:
        data = matrix(argument, *picture.size)
        return picture.transform(picture.size, Image.Transform.AFFINE, data, resample=resample, fillcolor=FILL)

    return effect


def _rotated(picture: Picture, degrees: float, resample: Image.Resampling) -> Picture:
    return picture.rotate(degrees, resample=resample, fillcolor=FILL)


def _posterized(value: int, bits: float) -> int:
    return value & ~((1 << (8 - int(bits))) - 1)


def _solarized(value: int, threshold: float) -> int:
    return value if value < threshold else 255 - value


def _brightened(value: int, add: float) -> int:
    return min(255, value + int(add)) if value < 128 else value


def _none(level: float) -> float:
    return 0.0


def _factor(level: float) -> float:
    return 0.1 + 1.8 * abs(level)


def _factor_around_one(level: float) -> float:
    return 1 + 0.9 * level


@dataclass(frozen=True)
class Operation:
    """An operation: its effect, and its argument as a function of the level, -1 to 1.

    Attributes:
        weight: the frequency with which the weighted choice takes it.
        increasing: the argument in the increasing set, where a higher level changes more; default: the same.
    """

    weight: float
    effect: Effect
    argument: Callable[[float], float] = _none
    increasing: Callable[[float], float] | None = None


OPERATIONS = {
    "AutoContrast": Operation(0.025, _plain(ImageOps.autocontrast)),
    "Equalize": Operation(0.005, _plain(ImageOps.equalize)),
    "Invert": Operation(0.0, _plain(ImageOps.invert)),
    "Rotate": Operation(0.3, _rotated, lambda level: 30 * level),
    "Posterize": Operation(
        0.0, _by_value(_posterized), lambda level: int(4 * abs(level)), lambda level: 4 - int(4 * abs(level))
    ),
    "Solarize": Operation(
        0.005, _by_value(_solarized), lambda level: int(256 * abs(level)), lambda level: 256 - int(256 * abs(level))
    ),
    "SolarizeAdd": Operation(0.005, _by_value(_brightened), lambda level: int(110 * abs(level))),
    "Color": Operation(0.025, _enhanced(ImageEnhance.Color), _factor, _factor_around_one),
    "Contrast": Operation(0.005, _enhanced(ImageEnhance.Contrast), _factor, _factor_around_one),
    "Brightness": Operation(0.005, _enhanced(ImageEnhance.Brightness), _factor, _factor_around_one),
    "Sharpness": Operation(0.025, _enhanced(ImageEnhance.Sharpness), _factor, _factor_around_one),
    "ShearX": Operation(0.2, _affine(lambda f, width, height: (1, f, 0, 0, 1, 0)), lambda level: 0.3 * level),
    "ShearY": Operation(0.2, _affine(lambda f, width, height: (1, 0, 0, f, 1, 0)), lambda level: 0.3 * level),
    "TranslateXRel": Operation(
        0.1, _affine(lambda f, width, height: (1, 0, f * width, 0, 1, 0)), lambda level: 0.45 * level
    ),
    "TranslateYRel": Operation(
        0.1, _affine(lambda f, width, height: (1, 0, 0, 0, 1, f * height)), lambda level: 0.45 * level
    ),
}
