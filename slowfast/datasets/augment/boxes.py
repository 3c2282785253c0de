"""Random boxes of any area and aspect in a picture. All lengths are in px."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from slowfast.datasets.spatial import Window, mirrored

CROP_TRIES = 10
Range = tuple[float, float]


def draw_box(
    rng: np.random.Generator, size: tuple[int, int], most: tuple[int, int], areas: Range, aspects: Range, tries: int
) -> Window | None:
    """Draw a box in a picture of `size` (height, width); None if none of `tries` fits into `most` (height, width).

    Args:
        areas: the range of the area, a share of the picture's; it is drawn uniformly.
        aspects: the range of width / height, whose logarithm is drawn uniformly.
    """
    height, width = size
    logs = np.log(aspects)
    for area, aspect, top, left in rng.random((tries, 4)).tolist():
        pixels = (areas[0] + area * (areas[1] - areas[0])) * height * width
        ratio = math.exp(logs[0] + aspect * (logs[1] - logs[0]))
        wide, tall = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < wide <= most[1] and 0 < tall <= most[0]:
            return Window(int(top * (height - tall + 1)), int(left * (width - wide + 1)), tall, wide)
    return None


def central_box(size: tuple[int, int], aspects: Range) -> Window:
    """Return the largest box in the center of a picture whose width / height is in the range `aspects`."""
    height, width = size
    wide = min(width, round(height * aspects[1]))
    tall = min(height, round(width / aspects[0]))
    return Window((height - tall) // 2, (width - wide) // 2, tall, wide)


@dataclass(frozen=True)
class MovingBox:
    """Cut a box out of every frame, resize it to `crop` x `crop`, and mirror it if `flip`.

    The box moves evenly from `first` in the first frame to `last` in the last one.
    """

    first: Window
    last: Window
    crop: int
    flip: bool

    @property
    def window(self) -> Window:
        """The part of the frames that holds all boxes."""
        return self.first.union(self.last)

    def cut(self, frames: np.ndarray, window: Window) -> np.ndarray:
        """Return the boxes of frames, or of a `window` of them: T x H x W x C -> T x crop x crop x C."""
        boxes = self.boxes(len(frames)) - [window.y, window.x, 0, 0]
        clip = np.empty((len(frames), self.crop, self.crop, frames.shape[-1]), np.uint8)
        for (y, x, height, width), frame, result in zip(boxes.tolist(), frames, clip, strict=True):
            part = frame[y : y + height, x : x + width]
            cv2.resize(part, (self.crop, self.crop), dst=result, interpolation=cv2.INTER_LINEAR)
        return mirrored(clip) if self.flip else clip

    def boxes(self, frames: int) -> np.ndarray:
        """Return (y, x, height, width) of the box in each frame, cut to integers."""
        first, last = np.array(self.first), np.array(self.last)
        return np.linspace(first, last, frames).astype(int)

    def __str__(self) -> str:
        y, x, height, width = self.first
        moving = ", moving" if self.last != self.first else ""
        return f"box of {width} x {height} px at ({x}, {y}){moving}{', mirrored' if self.flip else ''}"


@dataclass(frozen=True)
class RelativeCrop:
    """Crops whose area is a share of the picture's, and whose aspect varies ("Inception" crops).

    Attributes:
        areas, aspects: ranges, see `draw_box`.
        moves: the crop moves through the clip, between two that are drawn.
    """

    areas: Range
    aspects: Range
    moves: bool = False

    def draw(self, rng: np.random.Generator, size: tuple[int, int], crop: int, flip: bool) -> MovingBox:
        """Draw a crop of a picture of `size` (height, width), and with `flip` whether it is mirrored.

        Where `CROP_TRIES` tries do not fit into the picture, it is the largest one in the center.
        """
        first, *rest = (self._box(rng, size) for _ in range(2 if self.moves else 1))
        return MovingBox(first, rest[0] if rest else first, crop, bool(rng.random() < 0.5) and flip)

    def _box(self, rng: np.random.Generator, size: tuple[int, int]) -> Window:
        found = draw_box(rng, size, size, self.areas, self.aspects, CROP_TRIES)
        return found or central_box(size, self.aspects)
