"""A figure of the scores of classes over the time of a video."""

import importlib.util
from collections.abc import Mapping, Sequence
from itertools import cycle

from slowfast.errors import UserError, errors_name_output

# Okabe and Ito's colors, which people with color blindness can distinguish, and a style for each to print in gray.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
TICKS_SEC, MOST_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600), 10


def plot_scores(
    spans: Sequence[tuple[float, float]], curves: Mapping[str, Sequence[float]], title: str, path: str
) -> None:
    """Draw curves over the centers of `spans`, (start, end) in seconds, to a file. Its suffix is its format."""
    find_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    centers = [(start + end) / 2 for start, end in spans]
    marker = "o" if len(centers) < 30 else None
    for (name, values), color, style in zip(curves.items(), cycle(COLORS), cycle(STYLES)):
        axes.plot(centers, values, style, color=color, marker=marker, markersize=4, label=name)
    axes.set(xlabel="time in the video (min:s)", ylabel="confidence", title=title, xlim=(spans[0][0], spans[-1][1]))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MultipleLocator(tick_step(spans[-1][1] - spans[0][0])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, place: clock(seconds)))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    with errors_name_output(path, "--plot"):
        figure.savefig(path, dpi=150)


def find_matplotlib() -> None:
    """Raise UserError if matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib: pip install -e '.[plot]'")


def tick_step(seconds: float) -> float:
    """Return a round time that a span has at most MOST_TICKS of."""
    return next((step for step in TICKS_SEC if seconds <= MOST_TICKS * step), seconds / MOST_TICKS)


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, 1:02.5."""
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{int(minutes)}:{rest:04.1f}" if rest % 1 else f"{int(minutes)}:{int(rest):02}"
