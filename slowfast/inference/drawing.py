"""Labels and heat maps on pictures.

Pictures are uint8 H x W x 3, RGB.
"""

import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

from slowfast.inference.prediction import Label

FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_PX = 22  # height of a capital letter at scale 1
LINES = 18  # of text that would fill a picture
MIN_LINE_PX, MAX_LINE_PX = 11, 64
ACCENT, WHITE = (0, 114, 178), (255, 255, 255)
SHADE = 0.35  # brightness behind a text
TEXT_SHARE = 0.75  # of a line's height, from the top of capitals to the bottom of descenders
SPELLED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"ı": "i", "þ": "th", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"}
)


def drawable(name: str, number: int) -> str:
    """Return a name in ASCII, which is what OpenCV draws. Accents are left out, and other characters become `?`.

    A name in another script becomes the number of its class.
    """
    apart = unicodedata.normalize("NFKD", name.translate(SPELLED))
    text = "".join(character for character in apart if not unicodedata.combining(character))
    ascii_text = "".join(character if " " <= character <= "~" else "?" for character in text)
    return ascii_text if ascii_text.count("?") * 2 <= len(ascii_text) else f"class {number}"


def draw_labels(picture: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Return a copy of a picture with a line for each label at its top, and a bar as long as its confidence.

    Lines that would fill more than half of the picture are left out, and names that are too long are cut.
    """
    height, width = picture.shape[:2]
    line = min(max(round(height / LINES), MIN_LINE_PX), MAX_LINE_PX)
    drawn = np.array(picture, order="C")
    for row, label in enumerate(labels[: max(height // 2 // line, 1)]):
        band = drawn[row * line : (row + 1) * line]
        band[:] = band * SHADE
        length = round(min(max(label.confidence, 0), 1) * width)
        band[:, :length] = band[:, :length] * 0.5 + np.array(ACCENT) * 0.5
        _write(band, label)
    return drawn


def _write(band: np.ndarray, label: Label) -> None:
    """Write a label into its line of a picture: the name at the left, the confidence at the right."""
    height, width = band.shape[:2]
    scale, thickness = TEXT_SHARE * height / (FONT_PX * 1.3), max(1, round(height / 16))
    base, margin = round(height * 0.75), max(2, height // 5)
    value = f"{label.confidence:.2f}"
    value_left = width - margin - _text_width(value, scale, thickness)
    name = _fitting(label.name, value_left - 2 * margin, scale, thickness)
    for text, left in ((name, margin), (value, value_left)):
        cv2.putText(band, text, (left, base), FONT, scale, WHITE, thickness, cv2.LINE_AA)


def _fitting(name: str, width: int, scale: float, thickness: int) -> str:
    """Return a name, or its beginning and two dots where it is wider than `width`."""
    if _text_width(name, scale, thickness) <= width:
        return name
    fitting = (f"{name[:end]}.." for end in range(len(name) - 1, 0, -1))
    return next((text for text in fitting if _text_width(text, scale, thickness) <= width), "")


def _text_width(text: str, scale: float, thickness: int) -> int:
    return cv2.getTextSize(text, FONT, scale, thickness)[0][0]


def draw_heat(picture: np.ndarray, heat: np.ndarray, strength: float = 0.7) -> np.ndarray:
    """Return a picture under the colors of a map of any size. Where the map is 0 the picture stays; 1 is red."""
    height, width = picture.shape[:2]
    large = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    colors = cv2.applyColorMap((large * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    opacity = strength * large[..., None]
    return ((1 - opacity) * picture + opacity * colors).round().astype(np.uint8)


def side_by_side(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return one picture with pictures of one size side by side, in rows of `columns`."""
    blank = np.zeros_like(pictures[0])
    filled = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.hstack(filled[first : first + columns]) for first in range(0, len(filled), columns)]
    return np.vstack(rows)
