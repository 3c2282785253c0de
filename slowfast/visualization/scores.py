"""A figure of the scores of classes over the time of a video."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from slowfast.errors import errors_name_output
from slowfast.visualization.style import COLORS, PAGE_IN, new_figure, save_figure, styled

STYLES = ("-", "--", "-.", ":")  # so that curves differ in gray print too
TICKS_SEC, MOST_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600), 10


@styled
def plot_scores(
    spans: Sequence[tuple[float, float]], curves: Mapping[str, Sequence[float]], title: str, path: str
) -> None:
    """Draw curves over the centers of `spans`, (start, end) in seconds, to a file. Its suffix is its format."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    figure = new_figure(PAGE_IN, 3.5)
    axes = figure.subplots()
    centers = [(start + end) / 2 for start, end in spans]
    marker = "o" if len(centers) < 30 else None
    for (name, values), color, style in zip(curves.items(), cycle(COLORS), cycle(STYLES)):
        axes.plot(centers, values, style, color=color, marker=marker, markersize=4, label=name)
    axes.set(xlabel="time in the video (min:s)", ylabel="confidence", title=title, xlim=(spans[0][0], spans[-1][1]))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MultipleLocator(tick_step(spans[-1][1] - spans[0][0])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, place: clock(seconds)))
    axes.grid()
    figure.legend(loc="outside right upper")
    with errors_name_output(path, "--plot"):
        save_figure(figure, Path(path))


def tick_step(seconds: float) -> float:
    """Return a round time that a span has at most MOST_TICKS of."""
    return next((step for step in TICKS_SEC if seconds <= MOST_TICKS * step), seconds / MOST_TICKS)


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, 1:02.5."""
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{int(minutes)}:{rest:04.1f}" if rest % 1 else f"{int(minutes)}:{int(rest):02}"
