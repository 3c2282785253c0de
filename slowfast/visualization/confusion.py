"""The confusion matrix of a test: for few classes with all counts, for many with a list of the most confused pairs.

Legend: K classes.
"""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from slowfast.utils.result_files import CONFUSION, read_table
from slowfast.visualization.style import PAGE_IN, new_figure, number_text, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 40  # classes that the axes have names for
MOST_COUNTED = 25  # classes whose counts are written into the cells
LISTED = 18  # pairs beside a matrix of many classes


@dataclass(frozen=True)
class Confusion:
    """The numbers of videos by label (row) and prediction (column), K x K; the names, and the protocol of the test."""

    counts: np.ndarray
    names: list[str]
    protocol: str

    @property
    def accuracies(self) -> np.ndarray:
        """The accuracy of each class in percent; NaN for a class without videos."""
        return self.percent.diagonal()

    @property
    def percent(self) -> np.ndarray:
        """The counts as percent of their row; NaN for a class without videos."""
        videos = self.counts.sum(1, keepdims=True)
        return 100 * self.counts / np.where(videos, videos, np.nan)

    @property
    def accuracy(self) -> float:
        """The accuracy over all videos in percent."""
        return 100 * self.counts.trace() / max(self.counts.sum(), 1)

    def pairs(self) -> list[tuple[int, int, int]]:
        """Return (label, prediction, videos) of the wrong predictions, the most frequent pair first."""
        wrong = self.counts - np.diag(self.counts.diagonal())
        rows, columns = np.nonzero(wrong)
        order = np.argsort(-wrong[rows, columns], kind="stable")
        return [(int(rows[i]), int(columns[i]), int(wrong[rows[i], columns[i]])) for i in order]

    def of_present(self) -> "Confusion":
        """Return the matrix of the classes that are a label or a prediction."""
        present = np.flatnonzero(self.counts.sum(0) + self.counts.sum(1))
        return Confusion(self.counts[np.ix_(present, present)], [self.names[k] for k in present], self.protocol)


def read_confusion(folder: Path) -> Confusion | None:
    """Return the matrix that a test wrote to `folder`; None if it wrote none."""
    rows = read_table(folder / CONFUSION)
    if not rows:
        return None
    counts = np.array([[int(row[str(k)]) for k in range(len(rows))] for row in rows])
    return Confusion(counts, [row["label_name"] for row in rows], rows[0]["protocol"])


@styled
def draw_confusion(confusion: Confusion) -> "Figure":
    """Return a figure of the matrix, in percent of each label."""
    shown = confusion.of_present()
    classes = len(shown.names)
    has_list = classes > MOST_NAMED
    side = 4.1 if has_list else max(3.0, min(PAGE_IN - 0.6, 1.6 + 0.3 * classes))
    figure = new_figure(PAGE_IN if has_list else side + 0.6, side + 0.4)
    columns = figure.subplots(1, 2, width_ratios=[1.35, 1]) if has_list else [figure.subplots()]
    _draw_matrix(columns[0], shown)
    if has_list:
        _list_pairs(columns[1], confusion)
    title = f"{confusion.accuracy:.2f} % of the videos are right. {confusion.protocol}"
    figure.suptitle(fill(title, int(figure.get_figwidth() * 17)))
    return figure


def _draw_matrix(axes: "Axes", shown: Confusion) -> None:
    from matplotlib.colors import PowerNorm

    percent, classes = np.nan_to_num(shown.percent), len(shown.names)
    norm = PowerNorm(0.5, 0, 100)  # a few percent beside the diagonal stay visible
    image = axes.imshow(percent, cmap="Blues", norm=norm, interpolation="nearest", aspect="equal")
    axes.spines[:].set_visible(False)
    axes.set(xlabel="prediction", ylabel="label")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, ticks=[0, 5, 20, 50, 100])
    bar.set_label("videos of the label (%)")
    if classes <= MOST_NAMED:
        names = [shorten(name, 28) for name in shown.names]
        axes.set_xticks(range(classes), names, rotation=90)
        axes.set_yticks(range(classes), names)
    if classes <= MOST_COUNTED:
        for row, column in zip(*np.nonzero(shown.counts), strict=True):
            color = "white" if percent[row, column] > 40 else "black"
            text = number_text(shown.counts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=color)


def _list_pairs(axes: "Axes", confusion: Confusion) -> None:
    videos, names = confusion.counts.sum(1), [shorten(name, 20) for name in confusion.names]
    lines = [
        f"{count:,} of {videos[label]:,}   {names[label]} → {names[other]}"
        for label, other, count in confusion.pairs()[:LISTED]
    ]
    axes.axis("off")
    axes.text(0, 1, "Most confused: label → prediction\n", va="top", weight="bold", transform=axes.transAxes)
    axes.text(0, 0.94, "\n".join(lines), va="top", linespacing=1.5, transform=axes.transAxes)
