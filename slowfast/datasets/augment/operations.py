"""The operations of RandAugment on 8-bit pictures of three channels, with the results of Pillow.

"RandAugment: Practical automated data augmentation with a reduced search space" (Cubuk et al., 2020), Section 3, with
the ranges and weights of the published recipes.

Pillow is imported where it is used: it takes 0.1 s, a fifteenth of the start of a training, which few need.

Legend: T frames, H x W pixels, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image, Resampling

Effect = Callable[["Image", float, "Resampling"], "Image"]  # of a picture, an argument and a filter

FILL = (128, 128, 128)  # pixels from outside of the picture


class Applied(NamedTuple):
    """An operation with its argument. `filters` are names: one of every frame, or one for all."""

    name: str
    argument: float
    filters: Sequence[str] = ("bicubic",)


def apply_operations(frames: np.ndarray, operations: Sequence[Applied]) -> np.ndarray:
    """Return frames, uint8 T x H x W x C, after these operations in turn; the frames themselves if there are none."""
    if not operations:
        return frames
    from PIL import Image

    filter_of = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    changed = np.empty(frames.shape, np.uint8)
    for t, frame in enumerate(frames):
        picture = Image.fromarray(np.ascontiguousarray(frame))
        for name, argument, filters in operations:
            picture = OPERATIONS[name].effect(picture, argument, filter_of[filters[t % len(filters)]])
        changed[t] = np.asarray(picture)
    return changed


def _plain(name: str) -> Effect:
    """Return the effect of a function of PIL.ImageOps without an argument."""

    def effect(picture: "Image", argument: float, resample: "Resampling") -> "Image":
        from PIL import ImageOps

        return getattr(ImageOps, name)(picture)

    return effect


def _by_value(value_of: Callable[[int, float], int]) -> Effect:
    """Return the effect that maps every value v of every channel to `value_of(v, argument)`."""

    def effect(picture: "Image", argument: float, resample: "Resampling") -> "Image":
        return picture.point([value_of(v, argument) for v in range(256)] * 3)

    return effect


def _enhanced(name: str) -> Effect:
    """Return the effect of mixing a picture with the poorer one of a class of PIL.ImageEnhance, by the argument."""

    def effect(picture: "Image", argument: float, resample: "Resampling") -> "Image":
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(picture).enhance(argument)

    return effect


def _affine(matrix: Callable[[float, int, int], tuple[float, ...]]) -> Effect:
    """Return the effect in which pixel (x, y) takes the input at (a x + b y + c, d x + e y + f).

    `matrix(argument, width, height)` returns (a, ..., f).
    """

    def effect(picture: "Image", argument: float, resample: "Resampling") -> "Image":
        from PIL.Image import Transform

        data = matrix(argument, *picture.size)
        return picture.transform(picture.size, Transform.AFFINE, data, resample=resample, fillcolor=FILL)

    return effect


def _rotated(picture: "Image", degrees: float, resample: "Resampling") -> "Image":
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
    "AutoContrast": Operation(0.025, _plain("autocontrast")),
    "Equalize": Operation(0.005, _plain("equalize")),
    "Invert": Operation(0.0, _plain("invert")),
    "Rotate": Operation(0.3, _rotated, lambda level: 30 * level),
    "Posterize": Operation(
        0.0, _by_value(_posterized), lambda level: int(4 * abs(level)), lambda level: 4 - int(4 * abs(level))
    ),
    "Solarize": Operation(
        0.005, _by_value(_solarized), lambda level: int(256 * abs(level)), lambda level: 256 - int(256 * abs(level))
    ),
    "SolarizeAdd": Operation(0.005, _by_value(_brightened), lambda level: int(110 * abs(level))),
    "Color": Operation(0.025, _enhanced("Color"), _factor, _factor_around_one),
    "Contrast": Operation(0.005, _enhanced("Contrast"), _factor, _factor_around_one),
    "Brightness": Operation(0.005, _enhanced("Brightness"), _factor, _factor_around_one),
    "Sharpness": Operation(0.025, _enhanced("Sharpness"), _factor, _factor_around_one),
    "ShearX": Operation(0.2, _affine(lambda f, width, height: (1, f, 0, 0, 1, 0)), lambda level: 0.3 * level),
    "ShearY": Operation(0.2, _affine(lambda f, width, height: (1, 0, 0, f, 1, 0)), lambda level: 0.3 * level),
    "TranslateXRel": Operation(
        0.1, _affine(lambda f, width, height: (1, 0, f * width, 0, 1, 0)), lambda level: 0.45 * level
    ),
    "TranslateYRel": Operation(
        0.1, _affine(lambda f, width, height: (1, 0, 0, 0, 1, f * height)), lambda level: 0.45 * level
    ),
}
