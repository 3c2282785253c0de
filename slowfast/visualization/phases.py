"""The phases of a training as shades behind curves."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slowfast.multigrid import Phase
from slowfast.visualization.logs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = ("#ffffff", "#e2e2e2", "#cdcdcd", "#b9b9b9")  # of the finest base shape first
MORE_SHADES = ("#ffffff", "#e2e2e2")  # in turn, for phases of one shape


class Span(NamedTuple):
    """A phase from iteration `start` to `end`, as far as the log goes: its shade, and its words for the legend."""

    start: float
    end: float
    shade: str
    label: str


def spans(run: Run) -> list[Span]:
    """Return the phases that the log of a run has begun."""
    if not run.phases or not len(run.series("train_iter", "iteration")[0]):
        return []
    borders = run.iteration_at([phase.start_epoch for phase in run.phases] + [run.phases[-1].end_epoch])
    last = max(run.series("train_iter", "iteration")[0])
    starts, ends = borders[:-1], np.nan_to_num(borders[1:], nan=last)
    return [
        Span(start, end, *look)
        for start, end, look in zip(starts, ends, phase_looks(run.phases), strict=True)
        if not np.isnan(start)
    ]


def phase_looks(phases: Sequence[Phase]) -> list[tuple[str, str]]:
    """Return a shade and words for each phase: by its base shape, darker for smaller clips, or in turn by its stage."""
    shapes = sorted({phase.shapes[0] for phase in phases}, key=lambda shape: -shape.frames * shape.crop**2)
    if not 1 < len(shapes) <= len(SHADES):
        return [(MORE_SHADES[i % 2], "every other phase" if i % 2 else "") for i in range(len(phases))]
    found = [(shapes.index(phase.shapes[0]), phase.shapes[0]) for phase in phases]
    return [(SHADES[place], f"base shape: {shape.frames} frames of {shape.crop} px") for place, shape in found]


def shade_phases(panels: Iterable["Axes"], found: Sequence[Span]) -> None:
    """Draw phases behind the curves of panels over iterations. Legends have each kind of phase once."""
    for axes in panels:
        labeled: set[str] = set()
        for span in found:
            label = span.label if span.label not in labeled else ""
            labeled.add(span.label)
            band = axes.axvspan(span.start, span.end, facecolor=span.shade, edgecolor="#999999", zorder=0)
            band.set(linewidth=0.4, label=label or "_phase")
