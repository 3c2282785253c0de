"""The results of a test class by class: all of them in order, and the names of the worst."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from slowfast.utils.result_files import PER_CLASS, read_table
from slowfast.visualization.style import BLUE, COLUMN_IN, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {"top1_acc": "top-1 accuracy (%)", "average_precision": "average precision (%)"}
MOST_NAMED = 30  # with more classes, only the worst ones have a name
WORST = 15
LINE_IN = 0.16  # height of a line of text


@dataclass(frozen=True)
class ClassResults:
    """The classes that have videos, the best first: (name, percent, videos); the measure, and the protocol."""

    rows: list[tuple[str, float, int]]
    measure: str
    protocol: str


def read_class_results(folder: Path) -> ClassResults | None:
    """Return the results that a test wrote to `folder`; None if it wrote none."""
    table = read_table(folder / PER_CLASS)
    column = next((name for name in COLUMNS if table and name in table[0]), None)
    rows = [(row["name"], float(row[column]), int(row["videos"])) for row in table if column and row[column]]
    if not rows or column is None:
        return None
    return ClassResults(sorted(rows, key=lambda row: -row[1]), COLUMNS[column], table[0]["protocol"])


@styled
def draw_class_results(results: ClassResults) -> "Figure":
    """Return a figure with a bar for each class; of many classes, with all in order and the names of the worst."""
    few = len(results.rows) <= MOST_NAMED
    named = results.rows if few else results.rows[-WORST:]
    title = fill(results.protocol, 52)
    height = 0.95 + LINE_IN * (title.count("\n") + len(named)) + (0 if few else 1.5)
    figure = new_figure(COLUMN_IN, height)
    panels = [figure.subplots()] if few else figure.subplots(2, 1, height_ratios=[1.5, LINE_IN * WORST])
    if not few:
        panels[0].fill_between(range(1, len(results.rows) + 1), [row[1] for row in results.rows], color=BLUE)
        panels[0].set(xlabel="classes, the best first", ylabel=results.measure, ylim=(0, 100), xlim=(1, None))
    bars = panels[-1].barh(range(len(named)), [row[1] for row in named], color=BLUE)
    panels[-1].bar_label(bars, [f"{row[1]:.0f} %" for row in named], padding=2)
    panels[-1].set_yticks(range(len(named)), [f"{shorten(row[0], 26)} ({row[2]:,})" for row in named])
    panels[-1].set_title("classes (videos)" if few else f"the {WORST} worst classes (videos)", loc="left")
    panels[-1].invert_yaxis()
    panels[-1].set(xlabel=results.measure, xlim=(0, 140), xticks=[0, 25, 50, 75, 100])
    figure.suptitle(title, x=0.02, ha="left")
    return figure
