"""Predictions as a table, as JSON and as CSV."""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, Protocol, TextIO

from slowfast.datasets.files import one_line
from slowfast.errors import errors_name_output
from slowfast.inference.prediction import Label, Prediction

MAX_PATH_COLUMNS = 60


class Row(NamedTuple):
    """The prediction for a video, or for a part of it from and to the seconds of `span`; or the error in reading it."""

    path: str
    prediction: Prediction | None = None
    span: tuple[float, float] | None = None
    error: str = ""


class Report(Protocol):
    """Takes the rows of all videos, in order."""

    def add(self, row: Row) -> None: ...

    def close(self) -> None: ...


class Table:
    """Prints a line for each class, or for each part of a video, when it is added."""

    def __init__(self, paths: Sequence[str], top: int):
        self._columns = min(max(map(len, paths)), MAX_PATH_COLUMNS)
        self._top = top
        self._path = ""

    def add(self, row: Row) -> None:
        path = one_line(row.path) if row.path != self._path or row.span is None else ""
        self._path = row.path
        for line in self._lines(row):
            print(f"{path.ljust(self._columns)}  {line}".rstrip(), flush=True)
            path = ""

    def _lines(self, row: Row) -> list[str]:
        if row.prediction is None:
            return [f"error: {row.error}"]
        labels = row.prediction.top(self._top)
        if row.span is None:
            return [f"{confidence:6.3f}  {one_line(name)}" for name, confidence in labels]
        start, end = row.span
        return [f"{start:8.2f} - {end:8.2f} s  " + ", ".join(f"{one_line(n)} {c:.3f}" for n, c in labels)]

    def close(self) -> None:
        """Everything is printed."""


class JsonReport:
    """Writes a list with an object for each video: `path`, and `labels`, `windows` or `error`."""

    def __init__(self, file: TextIO, top: int):
        self._file, self._top = file, top
        self._videos: list[dict[str, Any]] = []

    def add(self, row: Row) -> None:
        if row.span is None or not self._videos or self._videos[-1]["path"] != row.path:
            self._videos.append({"path": row.path})
        video = self._videos[-1]
        if row.prediction is None:
            video["error"] = row.error
        elif row.span is None:
            video["labels"] = self._labels(row.prediction)
        else:
            window = {"start_sec": round(row.span[0], 3), "end_sec": round(row.span[1], 3)}
            video.setdefault("windows", []).append({**window, "labels": self._labels(row.prediction)})

    def _labels(self, prediction: Prediction) -> list[dict[str, Any]]:
        return [_rounded(label)._asdict() for label in prediction.top(self._top)]

    def close(self) -> None:
        json.dump(self._videos, self._file, indent=1, ensure_ascii=False)
        self._file.write("\n")


class CsvReport:
    """Writes a line for each video with its first classes, or for each part of one with the confidence of every class.

    The columns are path, error, name1, confidence1, ...; or path, start_sec, end_sec, error, and one for each class.
    """

    def __init__(self, file: TextIO, top: int, classes: Sequence[str], with_spans: bool):
        self._writer, self._top, self._with_spans = csv.writer(file), min(top, len(classes)), with_spans
        ranks = range(1, self._top + 1)
        of_ranks = [f"{field}{rank}" for rank in ranks for field in ("name", "confidence")]
        columns = ["start_sec", "end_sec", "error", *classes] if with_spans else ["error", *of_ranks]
        self._writer.writerow(["path", *columns])

    def add(self, row: Row) -> None:
        span = [f"{second:.3f}" for second in row.span or ()] or ["", ""]
        start = [row.path, *span, row.error] if self._with_spans else [row.path, row.error]
        self._writer.writerow([*start, *(self._fields(row.prediction) if row.prediction else ())])

    def _fields(self, prediction: Prediction) -> list:
        if self._with_spans:
            return [f"{confidence:.6g}" for confidence in prediction.confidences.tolist()]
        return [field for label in prediction.top(self._top) for field in _rounded(label)]

    def close(self) -> None:
        """Everything is written."""


def _rounded(label: Label) -> Label:
    return label._replace(confidence=float(f"{label.confidence:.6g}"))


@contextmanager
def opened(path: str, option: str) -> Iterator[TextIO]:
    """Open a file to write to; `-` is the standard output. Errors name the option of the command line."""
    if path == "-":
        context: Any = nullcontext(sys.stdout)
    else:
        with errors_name_output(path, option):
            context = open(path, "w", newline="", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    with context as file:
        yield file
