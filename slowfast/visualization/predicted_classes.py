"""A figure of the most frequent predictions for the videos of each class."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from slowfast.visualization.confusion import Confusion
from slowfast.visualization.style import BLUE, ORANGE, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_IN, TITLE_IN, LINE_IN = 2.6, 0.6, 0.16  # width of a panel, heights of a title and of a bar


@styled
def draw_predicted_classes(confusion: Confusion, topk: int, size_in: tuple[float, float]) -> "Figure":
    """Return a figure with the `topk` most frequent predictions for each class.

    It has as many classes as fit into `size_in`, width and height, those with the most wrong predictions first.
    """
    counts = confusion.counts
    bars = max(min(topk, int((counts > 0).sum(1).max())), 1)
    across = max(int(size_in[0] / PANEL_IN), 1)
    most = across * max(int((size_in[1] - TITLE_IN) / (TITLE_IN + bars * LINE_IN)), 1)
    wrong = counts.sum(1) - counts.diagonal()
    classes = [int(k) for k in np.argsort(-wrong, kind="stable") if counts[k].any()][:most]
    figure = new_figure(*size_in)
    panels = figure.subplots(max(-(-len(classes) // across), 1), across, squeeze=False).ravel()
    for axes in panels[len(classes) :]:
        axes.set_visible(False)
    for axes, label in zip(panels, classes, strict=False):
        _draw_class(axes, confusion, label, bars)
    title = f"Predictions for the videos of {len(classes)} of {len(counts)} classes; blue ones are right."
    figure.suptitle(fill(f"{title} {confusion.protocol}", int(size_in[0] * 15)))
    return figure


def _draw_class(axes: "Axes", confusion: Confusion, label: int, bars: int) -> None:
    row = confusion.counts[label]
    first = [int(k) for k in np.argsort(-row, kind="stable")[:bars] if row[k]]
    axes.barh(range(len(first)), row[first], color=[BLUE if k == label else ORANGE for k in first])
    axes.set_yticks(range(len(first)), [shorten(confusion.names[k], 16) for k in first])
    axes.set_ylim(bars - 0.5, -0.5)  # the first at the top, and bars of the same height everywhere
    axes.set_xlim(0, row.sum())
    axes.set_xticks([0, int(row.sum())])
    axes.set_title(f"{shorten(confusion.names[label], 16)}: {row[label]} of {row.sum()}")
