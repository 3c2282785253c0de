"""Rows of figures as a table, and the machine and the versions that they belong to."""

import os
from collections.abc import Sequence
from statistics import median

import av
import cv2

from slowfast.multigrid import Shape
from slowfast.utils import machine

Figure = str | int | float | None  # None: unknown
Row = dict[str, Figure]


def shape_columns(shape: Shape) -> Row:
    """Return the columns that identify the row of a shape."""
    return {"clips": shape.batch_size, "frames": shape.frames, "px": shape.crop}


def medians(rows: Sequence[Row]) -> Row:
    """Return the median of every column of repeated measurements; a column of texts or None has one value."""
    return {
        name: median(row[name] for row in rows) if isinstance(value, float) else value  # type: ignore[type-var]
        for name, value in rows[0].items()
    }


def table(rows: Sequence[Row]) -> str:
    """Return rows with the same columns as a Markdown table."""
    lines = [list(rows[0]), ["---:"] * len(rows[0]), *([text(figure) for figure in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def text(figure: Figure) -> str:
    """Return a figure with about three digits."""
    if figure is None:
        return "–"
    if isinstance(figure, int):
        return f"{figure:,}"
    if isinstance(figure, str):
        return figure
    return f"{figure:,.{0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2}f}"


def environment(device: str = "cpu") -> dict[str, Figure]:
    """Return the machine with its load, and the versions of everything that speed depends on."""
    of_speed = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "ffmpeg": av.ffmpeg_version_info,
        "opencv": cv2.__version__,
    }
    return {**machine.environment(device), **of_speed}
