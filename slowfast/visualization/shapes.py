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
    plain_numbers,
    spread_ticks,
    styled,
    ticks_at,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    for number, (axes, name) in enumerate(zip(panels, PANELS, strict=True)):
        drawn = [*shapes[:, number], *_draw_known(axes, run, number)]
        axes.plot(
            iterations, shapes[:, number], ".", markersize=3, color=BLUE, rasterized=True, label="logged iteration"
        )
        axes.set(ylabel=name, yscale="log", ylim=(min(drawn) / 1.35, max(drawn) * 1.35))
        ticks_at(axes.yaxis, spread_ticks(drawn))
        axes.grid(axis="y")
    panels[-1].set(xlabel="iterations", xlim=(0, max(iterations)))
    plain_numbers(panels[-1].xaxis)
    figure.align_ylabels(panels)
    legend_below(figure, panels[0], columns=1)
    return figure


def _draw_known(axes: "Axes", run: Run, number: int) -> list[float]:
    """Draw what the config says about one of PANELS: the base shapes, and the recipe without multigrid. Return it."""
    bases = base_shapes(run)
    steps = [shape[number] for _, shape in bases]
    if bases:
        borders = [bases[0][0].start, *(span.end for span, _ in bases)]
        axes.stairs(steps, borders, baseline=None, color=SKY, linewidth=3, label="base shape of the phase")
    if run.cfg is None:
        return []
    default = default_shape(run)[number]
    line = axes.axhline(default, color=BLACK, linestyle="--", linewidth=0.8)
    line.set_label("the recipe without multigrid")
    return [*steps, default]


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
