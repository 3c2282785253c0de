"""The shape of the batches of a run over iterations, as logged: the paper's Figure 2."""

from typing import TYPE_CHECKING

import numpy as np

from slowfast.visualization.logs import Run
from slowfast.visualization.phases import Span, spans
from slowfast.visualization.style import (
    BLACK,
    BLUE,
    COLUMN_IN,
    SKY,
    legend_below,
    new_figure,
    spread_ticks,
    styled,
    ticks_at,
)
from slowfast.visualization.style import plain_numbers as plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = ("clips in a batch", "frames", "size (px)")


def logged_shapes(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return the logged iterations, and their (clips, frames, px) as rows."""
    found = [(r["iteration"], *r["batch"]) for r in run.of("train_iter") if "iteration" in r and "batch" in r]
    table = np.array(found, float).reshape(-1, 4)
    return table[:, 0], table[:, 1:]


@styled
def draw_shapes(run: Run) -> "Figure | None":
    """Return a figure of the clips, the frames and the size of batches; None if the log has none."""
    iterations, shapes = logged_shapes(run)
    if not len(iterations):
        return None
    figure = new_figure(COLUMN_IN, 4.1)
    panels = figure.subplots(len(PANELS), 1, sharex=True)
    bases = base_shapes(run)
    for number, (axes, name, values) in enumerate(zip(panels, PANELS, shapes.T, strict=True)):
        if bases:
            borders = [bases[0][0].start, *(span.end for span, _ in bases)]
            steps = [shape[number] for _, shape in bases]
            axes.stairs(steps, borders, baseline=None, color=SKY, linewidth=3, label="base shape of the phase")
        axes.plot(iterations, values, ".", markersize=3, color=BLUE, label="logged iteration", rasterized=True)
        if run.cfg is not None:
            line = axes.axhline(default_shape(run)[number], color=BLACK, linestyle="--", linewidth=0.8)
            line.set_label("the recipe without multigrid")
        axes.set(ylabel=name, yscale="log")
        ticks_at(axes.yaxis, spread_ticks(values))
        axes.set_ylim(min(values) / 1.35, max(values) * 1.35)
        axes.grid(axis="y")
    panels[-1].set(xlabel="iterations", xlim=(0, max(iterations)))
    plain(panels[-1].xaxis)
    figure.align_ylabels(panels)
    legend_below(figure, panels[0], columns=1)
    return figure


def base_shapes(run: Run) -> list[tuple[Span, tuple[int, int, int]]]:
    """Return the phases that the log has begun, with the (clips, frames, px) of their base shapes on all devices."""
    processes = run.start.get("processes", 1)
    bases = [phase.shapes[0] for phase in run.phases]
    shapes = [(base.batch_size * processes, base.frames, base.crop) for base in bases]
    return list(zip(spans(run), shapes, strict=False))


def default_shape(run: Run) -> tuple[int, int, int]:
    """Return the clips, frames and px of a batch of the same recipe without multigrid. The config must be known."""
    assert run.cfg is not None
    data = run.cfg.DATA
    return run.cfg.TRAIN.BATCH_SIZE * run.cfg.NUM_SHARDS, data.NUM_FRAMES, data.TRAIN_CROP_SIZE
