"""Where the time of an iteration goes, for each phase of a run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slowfast.multigrid import Phase
from slowfast.visualization.logs import Run
from slowfast.visualization.style import (
    AMBER,
    BLUE,
    COLUMN_IN,
    GRAY,
    ORANGE,
    SKY,
    legend_below,
    new_figure,
    plain_numbers,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARTS = {
    "waiting for data": ("dt_data", ORANGE),
    "transfer to the device": ("dt_transfer", AMBER),
    "forward and backward": ("dt_forward_backward", BLUE),
    "optimizer": ("dt_optimizer", SKY),
}
REST = "everything else"


@dataclass(frozen=True)
class Split:
    """The mean milliseconds of an iteration of a phase by part, and the words for the phase."""

    label: str
    parts: dict[str, float]


def time_splits(run: Run) -> list[Split]:
    """Return the split of every phase that the log has times of. Without a config, that of the entire training.

    Each record has the mean of the iterations since the one before. The first has only the first iteration, in which
    everything is prepared, and is left out. Logs of earlier versions have fewer parts.
    """
    records = [record for record in run.of("train_iter") if "dt" in record and "position" in record]
    steady = [record for record in records if record.get("iteration") != 1] or records
    if not run.phases:
        return [_split("training", steady)] if steady else []
    found = [
        (phase, [record for record in steady if phase.start_epoch <= record["position"] < phase.end_epoch])
        for phase in run.phases
    ]
    labels = [f"{i}: {_words(phase, run)}" for i, (phase, _) in enumerate(found, start=1)]
    return [_split(label, of_phase) for label, (_, of_phase) in zip(labels, found, strict=True) if of_phase]


def _words(phase: Phase, run: Run) -> str:
    shape = phase.shapes[0]
    clips = shape.batch_size * run.start.get("processes", 1)
    return f"{clips} x {shape.frames} x {shape.crop} px"


def _split(label: str, records: list[dict]) -> Split:
    names = {name: field for name, (field, _) in PARTS.items() if any(field in record for record in records)}
    parts = {name: 1000 * float(np.mean([r.get(field, 0.0) for r in records])) for name, field in names.items()}
    total = 1000 * float(np.mean([record["dt"] for record in records]))
    return Split(label, parts | {REST: max(total - sum(parts.values()), 0.0)})


@styled
def draw_time_split(run: Run) -> "Figure | None":
    """Return a figure with a bar for each phase; None if the log has no times."""
    splits = time_splits(run)
    if not splits:
        return None
    figure = new_figure(COLUMN_IN, 1.5 + 0.2 * len(splits))
    axes = figure.subplots()
    left = np.zeros(len(splits))
    places = range(len(splits))
    for name, (_, color) in (PARTS | {REST: ("", GRAY)}).items():
        if any(name in split.parts for split in splits):
            widths = np.array([split.parts.get(name, 0.0) for split in splits])
            axes.barh(places, widths, left=left, color=color, label=name, height=0.75)
            left += widths
    axes.set_yticks(places, [split.label for split in splits])
    axes.invert_yaxis()
    axes.set_xlabel("time of an iteration (ms)")
    axes.set_title("phase: clips x frames x size" if run.phases else "", loc="left")
    plain_numbers(axes.xaxis)
    legend_below(figure, axes)
    return figure
