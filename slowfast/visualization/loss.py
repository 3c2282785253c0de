"""The loss and the learning rate of a run over iterations, with its phases shaded."""

from typing import TYPE_CHECKING

from slowfast.visualization.logs import Run
from slowfast.visualization.phases import shade_phases, spans
from slowfast.visualization.style import BLUE, COLUMN_IN, ORANGE, legend_below, new_figure, plain_numbers, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def draw_loss(run: Run) -> "Figure | None":
    """Return a figure of the loss of logged iterations, the mean of each epoch, and the rate; None without a log."""
    x, loss, rate = run.series("train_iter", "iteration", "loss", "lr")
    if not len(x):
        return None
    ended, mean = run.series("train_epoch", "iteration", "loss")
    found = spans(run)
    figure = new_figure(COLUMN_IN, 3.5 + 0.16 * len({span.label for span in found}))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    shade_phases([above, below], found)
    above.plot(x, loss, ".", markersize=2.5, color=BLUE, label="logged iteration", rasterized=True)
    above.plot(ended, mean, color=ORANGE, label="mean of an epoch" if len(ended) else "_")
    above.set(ylabel="loss", ylim=(0, None))
    below.plot(x, rate, color=BLUE)
    below.set(ylabel="learning rate", xlabel="iterations", xlim=(0, max([*x, *ended])), yscale="log")
    plain_numbers(below.xaxis)
    plain_numbers(below.yaxis)
    legend_below(figure, above, columns=1)
    return figure
