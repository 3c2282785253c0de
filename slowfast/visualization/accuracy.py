"""Accuracy over wall-clock, iterations or epochs: several recipes, each with one run or with the mean of several seeds.

These are the paper's Figures 1 and 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast.visualization.logs import METRICS, Group, Run
from slowfast.visualization.style import COLUMN_IN, GRAY, legend_below, look, new_figure, plain_numbers, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNITS = ((2 * 86_400, 86_400, "days"), (2 * 3600, 3600, "hours"), (600, 60, "minutes"), (0, 1, "seconds"))
FIELDS = {"seconds": "wall-clock of training", "iteration": "iterations", "position": "epochs"}


@dataclass(frozen=True)
class Curve:
    """The evaluations of a run: `iterations` and `x`, both rising, `y` in percent, and the result of its test."""

    iterations: Sequence[float]
    x: Sequence[float]
    y: Sequence[float]
    test: float | None = None


@dataclass(frozen=True)
class Recipe:
    """The curves of the runs of a recipe."""

    label: str
    curves: Sequence[Curve]

    @property
    def tests(self) -> list[float]:
        """The results of the tests, in percent."""
        return [curve.test for curve in self.curves if curve.test is not None]

    @property
    def legend(self) -> str:
        runs = len(self.curves)
        return self.label if runs == 1 else f"{self.label}: mean and standard deviation of {runs} runs"

    def mean(self) -> "Mean":
        """Return the mean over runs, at each iteration at which one was evaluated."""
        points: dict[float, list[tuple[float, float]]] = {}
        for curve in self.curves:
            for iteration, x, y in zip(curve.iterations, curve.x, curve.y, strict=True):
                points.setdefault(iteration, []).append((x, y))
        mean = Mean()
        for iteration in sorted(points):
            xs, ys = np.array(points[iteration]).T
            mean.x.append(float(xs.mean()))
            mean.y.append(float(ys.mean()))
            mean.deviation.append(deviation(ys))
        return mean


@dataclass
class Mean:
    """The mean over runs: `x`, `y` and the standard deviation of `y`."""

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    deviation: list[float] = field(default_factory=list)


def deviation(values: Sequence[float] | np.ndarray) -> float:
    """Return the standard deviation of a sample; 0 of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def accuracy_curve(run: Run, x: str) -> Curve:
    """Return the validation accuracy of a run over a field of its log: "seconds", "iteration" or "position"."""
    metric = run.metric or "top1_acc"
    iterations, xs, ys = run.series("val_epoch", "iteration", x, metric)
    test = (run.test or {}).get(metric)
    return Curve(list(iterations), list(xs), list(in_percent(metric, ys)), in_percent(metric, test))


def in_percent(metric: str, value):
    """Return an accuracy, or an array of them, in percent: that of mAP is logged from 0 to 1."""
    return value if value is None or metric != "map" else 100 * value


def recipes_of(groups: Sequence[Group], x: str) -> list[Recipe]:
    """Return the curves of groups of runs over a field of their logs. Groups without a curve are left out."""
    found = [Recipe(group.label, [accuracy_curve(run, x) for run in group.runs]) for group in groups]
    with_points = [Recipe(recipe.label, [curve for curve in recipe.curves if len(curve.x)]) for recipe in found]
    return [recipe for recipe in with_points if recipe.curves]


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the seconds of a unit, and its name, in which an axis up to `seconds` has readable numbers."""
    return next((size, name) for least, size, name in UNITS if seconds >= least)


def draw_runs(groups: Sequence[Group], x: str) -> "Figure | None":
    """Return a figure of the accuracy of runs over a field of their logs; None if no log has both."""
    recipes = recipes_of(groups, x)
    runs = [run for group in groups for run in group.runs]
    metric = next((run.metric for run in runs if run.metric), "top1_acc")
    chances = {run.chance for run in runs}
    chance = chances.pop() if len(chances) == 1 else None
    return draw_accuracy(recipes, x, f"validation {METRICS[metric]}", chance) if recipes else None


@styled
def draw_accuracy(recipes: Sequence[Recipe], x: str, ylabel: str, chance: float | None = None) -> "Figure":
    """Return a figure with a curve and a band for each recipe, the results of tests, and a line at chance."""
    last = max(max(curve.x) for recipe in recipes for curve in recipe.curves)
    size, unit = time_unit(last) if x == "seconds" else (1, "")
    figure = new_figure(COLUMN_IN, 2.5 + 0.16 * (2 * len(recipes) + 1))
    axes = figure.subplots()
    for number, recipe in enumerate(recipes):
        _draw_recipe(axes, recipe, number, size, last)
    if chance is not None:
        axes.axhline(chance, color=GRAY, linestyle="--", linewidth=0.8, label=f"chance: {chance:.3g} %")
    highest = max(max([*curve.y, curve.test or 0]) for recipe in recipes for curve in recipe.curves)
    axes.set(xlabel=FIELDS[x] + (f" ({unit})" if unit else ""), ylabel=ylabel, ylim=(0, min(100, 1.15 * highest + 3)))
    axes.set_xlim(left=0)
    axes.grid(axis="y")
    plain_numbers(axes.xaxis)
    legend_below(figure, axes, columns=1)
    return figure


def _draw_recipe(axes: "Axes", recipe: Recipe, number: int, size: float, last: float) -> None:
    mean, style = recipe.mean(), look(number)
    x, y, spread = np.array(mean.x) / size, np.array(mean.y), np.array(mean.deviation)
    axes.plot(x, y, **style, label=recipe.legend)
    if len(recipe.curves) > 1:
        axes.fill_between(x, y - spread, y + spread, color=style["color"], alpha=0.2, linewidth=0)
    if recipe.tests:
        test, error = float(np.mean(recipe.tests)), deviation(recipe.tests)
        text = f"{test:.1f}" + (f" ± {error:.1f}" if len(recipe.tests) > 1 else "")
        place = x[-1] + 0.025 * last / size  # beside the last evaluation, which it would hide
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markersize": 6, "linestyle": "none"}
        axes.plot([place], [test], **style, **hollow, zorder=3, label=f"{recipe.label}: test {text} %")
        axes.plot([place] * 2, [test - error, test + error], color=style["color"], zorder=2)
