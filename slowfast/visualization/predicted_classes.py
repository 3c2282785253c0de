"""The classes that the videos of each class are taken for, the most frequent ones first."""

from typing import TYPE_CHECKING

import numpy as np

from slowfast.visualization.confusion import Confusion
from slowfast.visualization.style import BLUE, ORANGE, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 16  # in a figure: those with the most wrong predictions
ACROSS = 4


@styled
def draw_predicted_classes(confusion: Confusion, topk: int) -> "Figure":
    """Return a figure with the `topk` most frequent predictions for each class that has videos."""
    counts = confusion.counts
    wrong = counts.sum(1) - counts.diagonal()
    classes = [int(k) for k in np.argsort(-wrong, kind="stable") if counts[k].any()][:MOST_CLASSES]
    rows = -(-len(classes) // ACROSS)
    figure = new_figure(2.6 * ACROSS, 0.6 + rows * (0.7 + 0.16 * min(topk, len(counts))))
    panels = figure.subplots(rows, ACROSS, squeeze=False).ravel()
    for axes in panels[len(classes) :]:
        axes.set_visible(False)
    for axes, label in zip(panels, classes, strict=False):
        _draw_class(axes, confusion, label, topk)
    figure.suptitle(f"Predictions for videos of a class, {len(classes)} of {len(counts)} classes. {confusion.protocol}")
    return figure


def _draw_class(axes: "Axes", confusion: Confusion, label: int, topk: int) -> None:
    row = confusion.counts[label]
    first = [int(k) for k in np.argsort(-row, kind="stable")[:topk] if row[k]][::-1]
    colors = [BLUE if k == label else ORANGE for k in first]
    axes.barh(range(len(first)), row[first], color=colors)
    axes.set_yticks(range(len(first)), [shorten(confusion.names[k], 20) for k in first])
    axes.set_xlim(0, row.sum())
    axes.set_title(f"{shorten(confusion.names[label], 24)}: {row[label]} of {row.sum()} right")
