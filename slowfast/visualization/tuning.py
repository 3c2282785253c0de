"""The figure of a learning-rate range test and of the memory of batches."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.visualization.style import (
    BLACK,
    COLORS,
    PAGE_IN,
    look,
    new_figure,
    plain_numbers,
    save_figure,
    spread_ticks,
    styled,
    ticks_at,
)


class RateCurve(NamedTuple):
    """The losses of a sweep over learning rates, and their means over neighbors. `suggested` may be None."""

    label: str
    rates: Sequence[float]
    losses: Sequence[float]
    smooth: Sequence[float]
    suggested: float | None


@styled
def plot_tuning(
    curves: Sequence[RateCurve], peaks: Mapping[str, Mapping[int, float]], limit_gib: float, path: str
) -> None:
    """Draw the loss over the learning rate, and the memory over the clips by shape; without data a panel is left out.

    Raises UserError if matplotlib is missing.
    """
    draw = [lambda axes: _draw_rates(axes, curves)] * bool(curves)
    draw += [lambda axes: _draw_memory(axes, peaks, limit_gib)] * bool(peaks)
    figure = new_figure(PAGE_IN, 3 * len(draw))
    for axes, panel in zip(figure.subplots(len(draw), 1, squeeze=False)[:, 0], draw, strict=True):
        panel(axes)
        axes.grid()
        axes.legend()
    save_figure(figure, Path(path))


def _draw_rates(axes, curves: Sequence[RateCurve]) -> None:
    for number, curve in enumerate(curves):
        color = COLORS[number % len(COLORS)]
        axes.plot(curve.rates, curve.losses, ".", color=color, alpha=0.3)
        axes.plot(curve.rates, curve.smooth, color=color, label=curve.label)
        if curve.suggested is not None:
            axes.axvline(curve.suggested, color=color, linestyle="--", label=f"suggested: {curve.suggested:.2g}")
    highest = max(curve.smooth[0] for curve in curves)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss", title="Learning-rate range test")
    plain_numbers(axes.xaxis)
    axes.set_ylim(0.9 * min(min(curve.smooth) for curve in curves), 1.5 * highest)


def _draw_memory(axes, peaks: Mapping[str, Mapping[int, float]], limit_gib: float) -> None:
    counts: set[int] = set()
    for number, (label, measured) in enumerate(peaks.items()):
        points = sorted((clips, peak) for clips, peak in measured.items() if clips and not math.isinf(peak))
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **look(number))
            counts.update(clips for clips, _ in points)
    axes.axhline(limit_gib, color=BLACK, linestyle="--", label=f"limit: {limit_gib:.1f} GiB")
    axes.set(xscale="log", xlabel="clips at a time on a device", ylabel="peak memory in GiB", title="Memory of a step")
    ticks_at(axes.xaxis, spread_ticks(counts))
