"""Texts on a picture, each inside a box of its own, so that no text covers another or a picture."""

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast.visualization.style import styled

POINTS = 72  # of an inch
WIDEST = 0.68  # width of a character of capitals, as a share of the size of the font


class Label(NamedTuple):
    """A text in a box: (x, y) is its top left corner. All lengths are in px, the size of the font too."""

    text: str
    x: int
    y: int
    width: int
    lines: int = 1
    size: int = 12
    bold: bool = False
    centered: bool = False

    @property
    def height(self) -> int:
        return self.lines * line_height(self.size)


def line_height(size: int) -> int:
    """Return the distance of lines, in px."""
    return round(1.35 * size)


def fitted(label: Label) -> str:
    """Return the text of a label in lines that fit its box. What is left out is marked by an ellipsis."""
    columns = max(int(label.width / (WIDEST * label.size)), 4)
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in label.text)
    return textwrap.fill(label.text, columns // (1 + wide), max_lines=label.lines, placeholder=" …")


def bottom(label: Label) -> int:
    """Return where the lines of a label end, in px from the top."""
    return label.y + (fitted(label).count("\n") + 1) * line_height(label.size)


@styled
def lettered(canvas: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 with labels in black. Raises UserError if matplotlib is missing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width, height), dpi=1)  # so that an inch is a pixel, without rounding
    drawing = FigureCanvasAgg(figure)
    figure.figimage(canvas)
    for label in labels:
        left, top = label.x, height - label.y
        text = figure.text(
            (left + label.width / 2 * label.centered) / width,
            top / height,
            fitted(label),
            fontsize=label.size * POINTS,
            weight="bold" if label.bold else "normal",
            linespacing=1.1,
            va="top",
            ha="center" if label.centered else "left",
        )
        text.set_clip_box(Bbox([[left, top - label.height], [left + label.width, top]]))
        text.set_clip_on(True)
    drawing.draw()
    return np.array(drawing.buffer_rgba())[..., :3]
