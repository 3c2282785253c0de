"""The batch shape and the learning rate over a planned training, as in the paper's Figure 2."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast.visualization.style import (
    BLACK,
    BLUE,
    COLORS,
    PAGE_IN,
    legend_below,
    new_figure,
    plain_numbers,
    save_figure,
    spread_ticks,
    styled,
    ticks_at,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"batch_size": "clips in a batch", "frames": "frames", "crop": "size (px)"}
ORDINALS = ("1st", "2nd", "3rd")
WIDTHS = (5.0, 2.8, 1.0)  # thinner ones are drawn over thicker ones, so that equal curves stay visible
POINTS = 100  # of the rate, in a phase
BASELINE: dict[str, Any] = {"color": BLACK, "linestyle": "--", "linewidth": 0.9}


def plot_plan(
    plan: dict, rate: Callable[[float], float], path: str, baseline_rate: Callable[[float], float] | None = None
) -> None:
    """Draw a plan of `describe_plan` to a file. The rates are functions of the epoch, of the plan and its baseline."""
    save_figure(draw_plan(plan, rate, baseline_rate), Path(path))


@styled
def draw_plan(
    plan: dict, rate: Callable[[float], float], baseline_rate: Callable[[float], float] | None = None
) -> "Figure":
    """Return a figure of the shapes of the short cycle, the learning rate, and the baseline as broken lines."""
    rows, iterations = plan["phases"], plan["multigrid"]["iterations"]
    borders = list(accumulate((row["iterations"] for row in rows), initial=0))
    figure = new_figure(PAGE_IN, 5.6)
    panels = figure.subplots(4, 1, sharex=True)
    for axes, (key, name) in zip(panels, PANELS.items(), strict=False):
        _draw_shapes(axes, _curves(rows, key), borders, plan["baseline_shape"][key])
        axes.set_ylabel(name)
    _draw_rates(panels[3], rows, borders, rate)
    if plan["baseline"] != plan["multigrid"]:
        _draw_baseline(panels, plan, baseline_rate)
    panels[3].set(xlabel=f"iterations ({iterations:,} in total)", xlim=(0, iterations))
    plain_numbers(panels[3].xaxis)
    for axes in panels:
        for border in borders[1:-1]:
            axes.axvline(border, color="#bbbbbb", linewidth=0.5, zorder=0)
    figure.align_ylabels(panels)
    legend_below(figure, panels[0])
    return figure


def _curves(rows: Sequence[dict], key: str) -> list[list[float]]:
    """Return the values of each shape of the short cycle: a list over phases."""
    if key == "frames":
        return [[row["frames"] for row in rows]] * len(rows[0]["short_cycle"])
    return [list(values) for values in zip(*([s[key] for s in row["short_cycle"]] for row in rows), strict=True)]


def _draw_shapes(axes: "Axes", curves: list[list[float]], borders: list[int], baseline: int) -> None:
    for number, curve in enumerate(curves):
        width = WIDTHS[min(number, len(WIDTHS) - 1)] if len(curves) > 1 else 2
        color, label = COLORS[(number, 4, 1)[number] if number < 3 else number], _words(number, len(curves))
        axes.stairs(curve, borders, baseline=None, linewidth=width, color=color, label=label)
    values = np.array([baseline, *(value for curve in curves for value in curve)], float)
    axes.set(yscale="log", ylim=(values.min() / 1.35, values.max() * 1.35))
    ticks_at(axes.yaxis, spread_ticks(values))


def _words(number: int, count: int) -> str:
    if count == 1:
        return "every iteration"
    ordinal = ORDINALS[number] if number < len(ORDINALS) else f"{number + 1}th"
    return f"{ordinal} of {count} iterations" + (": the base shape" if number == 0 else "")


def _draw_baseline(panels: Sequence["Axes"], plan: dict, rate: Callable[[float], float] | None) -> None:
    """Draw the same recipe without multigrid to the length of the plan."""
    label = f"without multigrid: {plan['baseline']['iterations']:,} iterations, drawn to the same length"
    for axes, key in zip(panels, PANELS, strict=False):
        axes.axhline(plan["baseline_shape"][key], label=label, **BASELINE)
    if rate is not None:
        end, length = plan["baseline"]["epochs"], plan["multigrid"]["iterations"]
        panels[-1].plot(*_sampled(rate, [(0, end)], [0, length], 10 * POINTS), **BASELINE)


def _draw_rates(axes: "Axes", rows: Sequence[dict], borders: list[int], rate: Callable[[float], float]) -> None:
    x, y = _sampled(rate, [(row["start_epoch"], row["end_epoch"]) for row in rows], borders)
    axes.plot(x, y, color=BLUE)
    axes.set(ylabel="learning rate", yscale="log")
    positive = [value for value in y if value > 0] or [1.0]
    decades = 10.0 ** np.arange(np.ceil(np.log10(min(positive))), np.floor(np.log10(max(positive))) + 1)
    ticks_at(axes.yaxis, list(decades) if len(decades) > 1 else spread_ticks(np.array([row["lr"] for row in rows])))


def _sampled(
    rate: Callable[[float], float],
    epochs: Sequence[tuple[float, float]],
    borders: Sequence[float],
    points: int = POINTS,
) -> tuple[list[float], list[float]]:
    """Return iterations and their learning rates, at some points of phases between `borders` in iterations."""
    x, y = [], []
    for (start, end), (first, last) in zip(epochs, pairwise(borders), strict=True):
        for done in (i / points for i in range(points)):
            x.append(first + (last - first) * done)
            y.append(rate(start + (end - start) * done))
    return x, y
