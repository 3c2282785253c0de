"""The look of all figures: sizes of print, colors that color-blind readers can distinguish, numbers without powers.

Colors: M. Okabe and K. Ito, Color Universal Design, 2008; its yellow is left out, since it is too pale for lines.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from slowfast.utils.extras import is_installed, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"),
)
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK)
MARKERS = "os^Dv*P"  # so that curves differ in gray print too
GRAY = "#666666"

COLUMN_IN, PAGE_IN = 3.4, 7.0  # widths in print
FONT_PT, DPI = 8, 200
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Arial Unicode MS")
RC: dict[Any, Any] = {
    "font.size": FONT_PT,
    **{f"{part}.labelsize": FONT_PT for part in ("axes", "xtick", "ytick")},
    **{f"{part}.titlesize": FONT_PT for part in ("axes", "figure")},
    "legend.fontsize": FONT_PT,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.4,
    "grid.color": "#cccccc",
    "savefig.dpi": DPI,
    "figure.dpi": DPI,
    "text.parse_math": False,  # names of classes may hold dollars
    "svg.hashsalt": "slowfast",  # the same figure gives the same file
}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def has_matplotlib() -> bool:
    """Return whether matplotlib is installed."""
    return is_installed("matplotlib")


def require_matplotlib(what: str = "a figure") -> None:
    """Raise UserError if matplotlib is not installed. `what` is what needs it."""
    require(what, "matplotlib")


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of this module. Raises UserError if matplotlib is not installed."""
    require_matplotlib()
    import matplotlib
    from matplotlib.font_manager import get_font_names

    fonts = [name for name in FONTS if name in get_font_names()]
    with matplotlib.rc_context(RC | {"font.family": fonts or ["sans-serif"]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of the name of a class: a box is shown
        yield


def styled(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function that draws a figure, so that it does so in `style`."""

    @wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with style():
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty figure, whose parts will not overlap."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


@styled
def save_figure(figure: "Figure", file: "Path | IO[bytes]", kind: str | None = None) -> None:
    """Write a figure to a file. The `kind` is "png" or "svg"; by default that of the file's suffix."""
    is_svg = kind == "svg" or (kind is None and isinstance(file, Path) and file.suffix == ".svg")
    figure.savefig(file, format=kind, metadata={"Date": None} if is_svg else None)


@styled
def figure_picture(figure: "Figure") -> "np.ndarray":
    """Return a figure as an RGB picture, uint8 (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawing = FigureCanvasAgg(figure)
    drawing.draw()
    return np.array(drawing.buffer_rgba())[..., :3]


def look(number: int) -> dict[str, Any]:
    """Return the color and the marker of a curve by its number."""
    return {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}


def shorten(text: str, length: int) -> str:
    """Return a name in one line of at most `length` characters, without its middle if it is longer."""
    line = " ".join(text.split())
    end = (length - 1) // 2
    return line if len(line) <= length else f"{line[: length - 1 - end]}…{line[len(line) - end :]}"


def number_text(value: float, _position: object = None) -> str:
    """Return a number as a reader writes it: 64, 0.8, 0.0125, 250k, 1.5M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (abs(value) >= size and unit == "M"):
            return f"{value / size:g}{unit}"
    return f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 0.001 and value else f"{value:g}"


def plain_numbers(axis: Any) -> None:
    """Write the ticks of an axis as `number_text` does; of a linear one, few enough for a column."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(number_text))
    axis.set_minor_formatter(NullFormatter())


def spread_ticks(values: Iterable[float], least_ratio: float = 1.25) -> list[float]:
    """Return the different values, without those so close on a logarithmic axis that their numbers would overlap."""
    ticks: list[float] = []
    for value in sorted({float(value) for value in values}, reverse=True):
        if not ticks or ticks[-1] / value >= least_ratio:
            ticks.append(value)
    return ticks[::-1]


def ticks_at(axis: Any, values: list[float]) -> None:
    """Put the ticks of an axis at some values, written as `number_text` does, and nowhere else."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axis.set_major_locator(FixedLocator(values))
    axis.set_minor_locator(NullLocator())
    plain_numbers(axis)


def legend_below(figure: "Figure", axes: "Axes", columns: int = 2) -> None:
    """Put a legend of the curves of `axes` below the figure, where it hides nothing."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=columns, columnspacing=1)
