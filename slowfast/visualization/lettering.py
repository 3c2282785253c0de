"""Texts on a picture, each inside a box of its own, so that no text covers another or a picture."""

import textwrap
import unicodedata
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slowfast.errors import UserError

WIDEST = 0.68  # width of a character of capitals, as a share of the size of the font
# DejaVu Sans comes with matplotlib; the others have the scripts that it lacks, where they are installed.
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "Noto Sans", "Arial Unicode MS")


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


def lettered(canvas: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 with labels in black. Raises UserError if matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.font_manager import fontManager
        from matplotlib.transforms import Bbox
    except ModuleNotFoundError as error:
        raise UserError("pictures with labels need matplotlib: pip install -e '.[plot]'") from error
    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    drawing = FigureCanvasAgg(figure)
    figure.figimage(canvas)
    installed = {entry.name for entry in fontManager.ttflist}
    family = [name for name in FONTS if name in installed]
    for label in labels:
        left, top = label.x, height - label.y
        text = figure.text(
            (left + label.width / 2 * label.centered) / width,
            top / height,
            fitted(label),
            fontsize=label.size * 0.72,  # from px to points at 100 dots per inch
            family=family,
            weight="bold" if label.bold else "normal",
            parse_math=False,
            linespacing=1.1,
            va="top",
            ha="center" if label.centered else "left",
        )
        text.set_clip_box(Bbox([[left, top - label.height], [left + label.width, top]]))
        text.set_clip_on(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # characters that no font has show as boxes
        drawing.draw()
    return np.array(drawing.buffer_rgba())[..., :3]
