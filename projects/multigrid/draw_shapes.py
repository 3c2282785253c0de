#!/usr/bin/env python3
"""Draw the mini-batches of a recipe's long and short cycle: draw_shapes.py --cfg YAML OUT.png [KEY VALUE ...].

A column is a base shape of the long cycle, a row a step of the short cycle. A tile is a clip, or several: as wide as it
has frames, and as high as its frames have pixels. So the area of a batch is its cost.
"""

from dataclasses import replace
from math import ceil

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from slowfast.config.node import CfgNode
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.multigrid import Shape
from slowfast.utils.parser import argument_parser, fail_cleanly, load_config, parse_args
from slowfast.utils.world import World

COLORS = ("#0072B2", "#56B4E9", "#009E73", "#D55E00")  # for color-blind readers (Okabe and Ito)
TILES = (4, 2)  # of the full clip, in a row and in a column


def draw(full: Shape, cycles: list[tuple[Shape, ...]], path: str) -> None:
    """Write a figure of the batches of some short cycles. `full` is the default shape. Batches are totals."""
    rows, columns = max(map(len, cycles)), len(cycles)
    figure, grid = plt.subplots(rows, columns, figsize=(2.5 * columns, 1.5 * rows), squeeze=False, layout="constrained")
    clips_per_tile = max(full.batch_size // (TILES[0] * TILES[1]), 1)
    for column, cycle in enumerate(cycles):
        for row in range(rows):
            axes = grid[row][column]
            axes.axis("off")
            if row < len(cycle):
                _draw_batch(axes, cycle[row], full, clips_per_tile, COLORS[column % len(COLORS)])
        grid[0][column].annotate(
            f"base shape {column + 1}", (0.5, 1.3), xycoords="axes fraction", ha="center", weight="bold", fontsize=10
        )
    tile = "one clip" if clips_per_tile == 1 else f"{clips_per_tile} clips"
    figure.supxlabel(f"a tile is {tile}: as wide as it has frames, as high as its frames have pixels", fontsize=9)
    figure.supylabel("steps of the short cycle", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_batch(axes: Axes, shape: Shape, full: Shape, clips_per_tile: int, color: str) -> None:
    """Draw a batch as tiles. Lengths are those of the full clip, which is a square of side 1."""
    width, height = shape.frames / full.frames, (shape.crop / full.crop) ** 2
    per_row = round(TILES[0] / width)
    for i in range(ceil(shape.batch_size / clips_per_tile)):
        at = width * (i % per_row), -height * (i // per_row + 1)
        axes.add_patch(Rectangle(at, width, height, facecolor=color, edgecolor="white", linewidth=1))
    axes.set(xlim=(-0.05, TILES[0] + 0.05), ylim=(-1.1 * TILES[1], 0.05), aspect="equal")
    axes.set_title(f"{shape.batch_size} clips x {shape.frames} frames x {shape.crop} px", fontsize=9)


def main(argv: list[str] | None = None) -> None:
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("out", metavar="OUT.png")
    args = parse_args(argv, parser)
    (path,) = args.cfg_files
    cfg = load_config(args, path)
    cycles = dict.fromkeys(phase.shapes for phase in build_schedule(cfg).phases)
    total = [tuple(on_all_devices(shape, cfg) for shape in cycle) for cycle in cycles]
    draw(on_all_devices(build_baseline(cfg).phases[0].shapes[0], cfg), total, args.out)


def on_all_devices(shape: Shape, cfg: CfgNode) -> Shape:
    return replace(shape, batch_size=shape.batch_size * World.from_cfg(cfg).size)


if __name__ == "__main__":
    with fail_cleanly():
        main()
