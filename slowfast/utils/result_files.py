"""The tables that a test writes to OUTPUT_DIR: their names, and how they are written and read.

They are CSV in UTF-8. Bytes of a path that are not UTF-8 are written as they are.
"""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

PREDICTIONS = "predictions.csv"
PER_CLASS = "per_class.csv"
CONFUSION = "confusion.csv"
CONFUSED_PAIRS = "confused_pairs.csv"
CONFUSION_PICTURE = "confusion.png"

ENCODING = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a table with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", **ENCODING) as file:  # type: ignore[call-overload]
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by the names of their columns; none if there is no file. Missing fields are empty."""
    if not path.exists():
        return []
    csv.field_size_limit(sys.maxsize)
    with open(path, **ENCODING) as file:  # type: ignore[call-overload]
        return [dict(row) for row in csv.DictReader(file, restkey="", restval="")]
