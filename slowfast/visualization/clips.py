"""Clips as a network receives them: as a contact sheet and as a video.

Legend: T frames of a pathway, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import cv2
import numpy as np

from slowfast.visualization.lettering import Label, bottom, lettered, line_height

WHITE = 255
PAD = 8  # px between pictures
CELL = 128  # side of a picture on a sheet, px
COLUMNS = 16  # most pictures of a pathway on a sheet, evenly spaced
TEXT_WIDTH, MIN_TEXT_WIDTH = 300, 220  # px: beside the pictures of a sheet, and above those of a video
NAME_WIDTH = 68  # of a pathway, px
TITLE, SMALL = 16, 11  # sizes of fonts, px
SCREEN = 1920, 1080  # of a video, px
LARGEST, SMALLEST = 256, 96  # side of a picture of a video, px
SHORTEST = 24  # frames of a video; shorter clips repeat


@dataclass(frozen=True)
class Pathway:
    """The pictures of one input of the network: uint8 (T, H, W, 3), RGB.

    `positions` are the places of its frames in the clip, and `frames` their numbers in the video, if known.
    """

    name: str
    pictures: np.ndarray
    positions: Sequence[int]
    frames: Sequence[int] | None = None


@dataclass(frozen=True)
class SeenClip:
    """A clip with its texts: the class, and lines about its source."""

    heading: str
    details: Sequence[str]
    pathways: Sequence[Pathway]


def contact_sheet(title: str, clips: Sequence[SeenClip]) -> np.ndarray:
    """Return a picture with a row for each clip: its texts, and a line of pictures for each pathway."""
    columns = max(min(len(pathway.pictures), COLUMNS) for clip in clips for pathway in clip.pathways)
    line = CELL + line_height(SMALL) + PAD
    left = PAD + TEXT_WIDTH + PAD + NAME_WIDTH
    width = left + columns * (CELL + PAD)
    top = 2 * PAD + 2 * line_height(TITLE)
    row = max(len(clip.pathways) for clip in clips) * line + PAD
    canvas = np.full((top + len(clips) * row, width, 3), WHITE, np.uint8)
    labels = [Label(title, PAD, PAD, width - 2 * PAD, 2, TITLE, bold=True)]
    for number, clip in enumerate(clips):
        y = top + number * row
        canvas[y - PAD // 2, PAD:-PAD] = WHITE // 2  # a line above every clip
        labels += _texts(clip, PAD, y, TEXT_WIDTH, heading_lines=2, detail_lines=2)
        for k, pathway in enumerate(clip.pathways):
            labels += _draw_line(canvas, pathway, left, y + k * line, columns)
    return lettered(canvas, labels)


def _draw_line(canvas: np.ndarray, pathway: Pathway, left: int, y: int, columns: int) -> list[Label]:
    """Draw pictures of a pathway, each where its frame is in the clip, and return their captions."""
    count = len(pathway.pictures)
    shown = spread(count, COLUMNS)
    last = max(pathway.positions[-1], 1)
    names = [pathway.name, f"{len(shown)} of {count}" if len(shown) < count else f"{count} frames"]
    labels = [
        Label(text, left - NAME_WIDTH, y + CELL // 2 + k * line_height(SMALL), NAME_WIDTH, size=SMALL, bold=not k)
        for k, text in enumerate(names)
    ]
    for k, i in enumerate(shown):
        share = k / max(len(shown) - 1, 1) if last >= columns else pathway.positions[i] / last
        x = left + round(share * (columns - 1) * (CELL + PAD))
        canvas[y : y + CELL, x : x + CELL] = scaled(pathway.pictures[i], CELL)
        caption = f"{pathway.name} {i + 1}" if pathway.frames is None else f"frame {pathway.frames[i]}"
        labels.append(Label(caption, x, y + CELL + 1, CELL, size=SMALL, centered=True))
    return labels


def spread(count: int, most: int) -> list[int]:
    """Return the numbers below `count`, or `most` of them at about equal distances."""
    return [round(i * (count - 1) / (most - 1)) for i in range(most)] if count > most else list(range(count))


def scaled(picture: np.ndarray, side: int) -> np.ndarray:
    """Return a square picture at another size. Enlarged ones show the pixels that the network receives."""
    method = cv2.INTER_AREA if len(picture) > side else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(picture), (side, side), interpolation=method)


def _texts(clip: SeenClip, x: int, y: int, width: int, heading_lines: int, detail_lines: int) -> list[Label]:
    labels = [Label(clip.heading, x, y, width, heading_lines, 13, bold=True)]
    for text in clip.details:
        labels.append(Label(text, x, bottom(labels[-1]), width, detail_lines, SMALL))
    return labels


def clip_video(title: str, clips: Sequence[SeenClip]) -> Iterator[np.ndarray]:
    """Yield the pictures of a video that plays all clips beside each other, in all pathways, in the clips' order.

    The slow pathway holds a frame until its next one.
    """
    pathways = max(len(clip.pathways) for clip in clips)
    side = min(max(int(sqrt(SCREEN[0] * SCREEN[1] / (len(clips) * pathways))) - 8 * PAD, SMALLEST), LARGEST)
    width = max(pathways * (side + PAD), MIN_TEXT_WIDTH) + PAD
    text_height = 18 + max(len(clip.details) for clip in clips) * line_height(SMALL)
    height = text_height + line_height(SMALL) + side + 2 * PAD
    across = max(min(SCREEN[0] // width, len(clips)), 1)
    top = 2 * PAD + 2 * line_height(TITLE)
    canvas = np.full((top + ceil(len(clips) / across) * height, max(across * width, 480), 3), WHITE, np.uint8)
    labels = [Label(title, PAD, PAD, canvas.shape[1] - 2 * PAD, 2, TITLE, bold=True)]
    places: list[tuple[int, int, Pathway]] = []
    for number, clip in enumerate(clips):
        y, x = top + number // across * height, PAD + number % across * width
        labels += _texts(clip, x, y, width - PAD, heading_lines=1, detail_lines=1)
        for k, pathway in enumerate(clip.pathways):
            left = x + k * (side + PAD)
            caption = f"{pathway.name}: {len(pathway.pictures)} frames"
            labels.append(Label(caption, left, y + text_height, side, size=SMALL))
            places.append((y + text_height + line_height(SMALL), left, pathway))
    yield from _played(lettered(canvas, labels), places, side)


def _played(canvas: np.ndarray, places: Sequence[tuple[int, int, Pathway]], side: int) -> Iterator[np.ndarray]:
    """Yield the canvas with the pictures of every point in time."""
    length = max(pathway.positions[-1] + 1 for _, _, pathway in places)
    for time in range(length * ceil(SHORTEST / length)):
        for y, x, pathway in places:
            now = np.searchsorted(pathway.positions, time % length, side="right") - 1
            canvas[y : y + side, x : x + side] = scaled(pathway.pictures[now], side)
        yield canvas.copy()
