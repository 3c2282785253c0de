"""All figures of runs, and the reasons for those that their logs cannot give."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from slowfast.visualization.accuracy import draw_runs
from slowfast.visualization.confusion import draw_confusion, read_confusion
from slowfast.visualization.logs import Group, Run
from slowfast.visualization.loss import draw_loss
from slowfast.visualization.per_class import draw_class_results, read_class_results
from slowfast.visualization.shapes import draw_shapes
from slowfast.visualization.time_split import draw_time_split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARISONS = {
    "accuracy_wall_clock": "seconds",
    "accuracy_iterations": "iteration",
    "accuracy_epochs": "position",
}
OF_A_RUN: dict[str, Callable[[Run], "Figure | None"]] = {
    "loss": draw_loss,
    "batch_shape": draw_shapes,
    "time_split": draw_time_split,
    "confusion": lambda run: _drawn(read_confusion(run.folder), draw_confusion),
    "per_class": lambda run: _drawn(read_class_results(run.folder), draw_class_results),
}


def comparison_figures(groups: Sequence[Group]) -> "dict[str, Figure]":
    """Return the figures that compare groups of runs, by name. What their logs have no numbers for is left out."""
    found = {name: draw_runs(groups, field) for name, field in COMPARISONS.items()}
    return {name: figure for name, figure in found.items() if figure is not None}


def run_figures(run: Run) -> "dict[str, Figure]":
    """Return the figures of one run, by name. What its log has no numbers for is left out."""
    found = {name: draw(run) for name, draw in OF_A_RUN.items()}
    return {name: figure for name, figure in found.items() if figure is not None}


def _drawn(values, draw):
    return None if values is None else draw(values)


def missing(run: Run) -> list[str]:
    """Return what the log of a run does not have, and which figures that concerns."""
    iterations, evaluations = run.of("train_iter"), run.of("val_epoch")
    facts = {
        run.problem: bool(run.problem),
        "there is no training in its log": not iterations,
        "there is no validation in its log, so it has no curve of accuracy": bool(iterations) and not evaluations,
        "an earlier version wrote its log, without `seconds`: it has no accuracy over wall-clock": (
            bool(evaluations) and not any("seconds" in record for record in evaluations)
        ),
        "an earlier version wrote its log, without the times of transfer, forward and backward, and optimizer": (
            bool(iterations) and not any("dt_optimizer" in record for record in iterations)
        ),
        "there is no test in its log": run.test is None,
        "its test has no results by class: test it again to get them": (
            run.test is not None and run.metric is not None and read_class_results(run.folder) is None
        ),
    }
    return [text for text, is_so in facts.items() if is_so]
