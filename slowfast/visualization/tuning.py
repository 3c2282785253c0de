"""The figure of a learning-rate range test and of the memory of batches."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slowfast.errors import UserError


class RateCurve(NamedTuple):
    """The losses of a sweep over learning rates, and their means over neighbors. `suggested` may be None."""

    label: str
    rates: Sequence[float]
    losses: Sequence[float]
    smooth: Sequence[float]
    suggested: float | None


def plot_tuning(
    curves: Sequence[RateCurve], peaks: Mapping[str, Mapping[int, float]], limit_gib: float, path: str
) -> None:
    """Draw the loss over the learning rate, and the memory over the clips by shape; without data a panel is left out.

    Raises UserError if matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UserError("--plot needs matplotlib: pip install -e '.[plot]'") from error
    draw = [lambda axes: _draw_rates(axes, curves)] * bool(curves)
    draw += [lambda axes: _draw_memory(axes, peaks, limit_gib)] * bool(peaks)
    figure = Figure(figsize=(8, 4 * len(draw)), layout="constrained")
    for axes, panel in zip(figure.subplots(len(draw), 1, squeeze=False)[:, 0], draw, strict=True):
        panel(axes)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)


def _draw_rates(axes, curves: Sequence[RateCurve]) -> None:
    for number, curve in enumerate(curves):
        color = f"C{number}"
        axes.plot(curve.rates, curve.losses, ".", color=color, alpha=0.3)
        axes.plot(curve.rates, curve.smooth, color=color, label=curve.label)
        if curve.suggested is not None:
            axes.axvline(curve.suggested, color=color, linestyle="--", label=f"suggested: {curve.suggested:.2g}")
    highest = max(curve.smooth[0] for curve in curves)
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss", title="Learning-rate range test")
    axes.set_ylim(0.9 * min(min(curve.smooth) for curve in curves), 1.5 * highest)


def _draw_memory(axes, peaks: Mapping[str, Mapping[int, float]], limit_gib: float) -> None:
    for label, measured in peaks.items():
        points = sorted((clips, peak) for clips, peak in measured.items() if clips and not math.isinf(peak))
        axes.plot(*zip(*points, strict=True), "o-", markersize=4, label=label) if points else None
    axes.axhline(limit_gib, color="black", linestyle="--", label=f"limit: {limit_gib:.1f} GiB")
    axes.set(xscale="log", xlabel="clips at a time on a device", ylabel="peak memory in GiB", title="Memory of a step")
