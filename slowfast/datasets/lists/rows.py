"""Lists of videos with their labels: lines of `path label`.

A path with blanks, or with another separator in it, can be quoted as in CSV files: `"my video.mp4" 3`.
"""

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from slowfast.datasets.files import is_video
from slowfast.datasets.lists.text import read_lines
from slowfast.errors import UserError

NUMBER = re.compile(r"([+-]?\d+)(\.\d*)?")  # 3, -1, 3.0, 3.5
QUOTED = re.compile(r'"((?:[^"]|"")+)"(.*)')
LABEL_FIRST = ": the label is in front of the path: write the path first"
SEPARATORS = {"a tab": "\t", "a comma": ",", "a semicolon": ";", "a vertical bar": "|", "a blank": " "}


class Row(NamedTuple):
    """One video of a list; `place` is the file or folder that names it, `line` the number of its line there or 0."""

    path: str
    label: str
    place: str
    line: int = 0

    @property
    def where(self) -> str:
        """Its place and line, for messages."""
        return f"{self.place}, line {self.line}" if self.line else self.place


class Labels(Enum):
    """What follows the path in a line."""

    ONE = "path label"
    ONE_OR_NONE = "path label, or the path alone in every line"
    SET = "path 3,17"
    SET_OR_NONE = "path 3,17, or the path alone in every line"
    ANY = "path label (or the path alone)"


SETS = (Labels.SET, Labels.SET_OR_NONE)
OPTIONAL = (Labels.ONE_OR_NONE, Labels.SET_OR_NONE, Labels.ANY)


class Format(NamedTuple):
    """The form of a list: the keys DATA.PATH_LABEL_SEPARATOR and DATA.SKIP_ROWS, and the labels."""

    separator: str = " "
    skip_rows: int = 0
    labels: Labels = Labels.ONE


PLAIN = Format()


def is_number(label: str) -> bool:
    """Return whether a label is a number, whole or not."""
    return NUMBER.fullmatch(label) is not None


def read_rows(path: str, form: Format = PLAIN) -> list[Row]:
    """Return the lines of a list. Raises UserError, with file and line, for a line that does not have the format."""
    with _no_garbage_collection():
        rows = [_row(line, form, path, number) for line, number in read_lines(path, form.skip_rows)]
    if _has_header(rows):
        raise UserError(f"{rows[0].where}: {rows[0][:2]} is a header: set DATA.SKIP_ROWS to {rows[0].line}")
    if _has_labels_first(rows):
        raise UserError(f"{rows[0].where}: {rows[0][:2]}{LABEL_FIRST}")
    return rows


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the collector: it would go through a growing list again and again, a third of the time of a long one."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def are_labeled(rows: list[Row]) -> bool:
    """Return whether the rows have labels. Raises UserError where some have one and others do not."""
    labeled, bare = [row for row in rows if row.label], [row for row in rows if not row.label]
    if labeled and bare:
        few, what = (labeled, "a label, and most lines have none") if len(labeled) < len(bare) else (bare, "no label")
        raise UserError(f"{few[0].where}: {few[0].path!r} has {what}: give every line one, or none")
    return not bare


def video_paths(rows: list[Row], prefix: str, data_dir: str) -> Iterator[str]:
    """Return the paths of the videos of a list, from the folder that they start from (see `start_folder`)."""
    start = start_folder(prefix, data_dir, rows[0].path)
    with_backslash = next((row for row in rows if "\\" in row.path), None)
    if with_backslash:
        _check_backslash(with_backslash, start)
    folder = os.path.join(start, "")
    return (row.path if row.path.startswith(os.sep) else folder + row.path for row in rows)


def start_folder(prefix: str, data_dir: str, first_path: str) -> str:
    """Return the folder that the paths of a list start from.

    It is DATA.PATH_PREFIX; without one the working directory, or the folder of the list where only that folder has
    the first video.
    """
    beside = os.path.join(data_dir, first_path)
    return data_dir if not prefix and not os.path.exists(first_path) and os.path.exists(beside) else prefix


def _row(line: str, form: Format, file: str, number: int) -> Row:
    path, label = _split_set(line, form) if form.labels in SETS else _split(line, form)
    row = Row(path, intern(label), file, number)  # most labels come again
    fits = not _hides_a_separator(label) if label else form.labels in OPTIONAL and not _other_separator(line, form)
    if path and fits and not line.startswith("#"):
        return row
    or_skip = "; a header is left out with DATA.SKIP_ROWS 1" if number == 1 else ""
    raise UserError(f"{row.where}: {_problem(line, form, or_skip)}")


def _problem(line: str, form: Format, or_skip: str) -> str:
    """Return why a line does not have the format, and how it could be corrected."""
    if line.startswith("#"):
        return f"{line!r} is a comment, and lists cannot have comments: remove it{or_skip}"
    return (
        f"expected {form.labels.value!r} with {form.separator!r} between (DATA.PATH_LABEL_SEPARATOR), "
        f"not {line!r}{_other_separator(line, form) or _hint(line, form, or_skip)}"
    )


def _split(line: str, form: Format) -> tuple[str, str]:
    """Return path and label without quotes; ("", "") where there are too many fields."""
    path, rest = _quoted_path(line, form.separator)
    fields = [path, *_fields(rest, form.separator)] if path else _fields(rest, form.separator)
    if len(fields) == 1:
        return fields[0], ""
    if form.labels is Labels.ANY and all(map(is_number, fields[1:])):  # a set
        return fields[0], ",".join(fields[1:])
    return (fields[0], fields[1].strip('"')) if len(fields) == 2 else ("", "")


def _split_set(line: str, form: Format) -> tuple[str, str]:
    """Return path and labels; the labels keep their quotes, since `""` is the empty set."""
    path, rest = _quoted_path(line, form.separator)
    if not path:
        path, _, rest = rest.partition(form.separator)
    label = rest.strip() or ('""' if not form.separator.isspace() and line.endswith(form.separator) else "")
    return path.strip(), label


def _quoted_path(line: str, separator: str) -> tuple[str, str]:
    """Return a quoted path without its quotes, and what follows the separator; ("", line) where it is not quoted."""
    match = QUOTED.fullmatch(line)
    if match is None:
        return "", line
    path, rest = match.groups()
    if rest and not rest.lstrip(" ").startswith(separator) and not rest.startswith(separator):
        return "", line
    return path.replace('""', '"'), rest.strip().removeprefix(separator.strip() or separator).strip()


def _fields(text: str, separator: str) -> list[str]:
    fields = map(str.strip, text.split(separator))
    return list(filter(None, fields) if separator.isspace() else fields)


@lru_cache(maxsize=10_000)
def _hides_a_separator(label: str) -> bool:
    """Return whether a label contains the end of a path: the blank before it was not the separator."""
    return "\t" in label or is_video(re.split(r"[\s,;|]", label)[0])


def _other_separator(line: str, form: Format) -> str:
    """Return the hint that the line has a separator other than the configured one; "" if it has not."""
    has_separator = form.separator in line
    for name, other in SEPARATORS.items():
        if other == form.separator or (other == " " and has_separator) or other not in line:
            continue
        path, label = (field.strip().strip('"') for field in line.rsplit(other, 1))
        if is_video(path) or is_number(label) or (not has_separator and _is_turned(path, label)):
            return f": the separator here is {name}: set DATA.PATH_LABEL_SEPARATOR to {other!r}"
    return ""


def _is_turned(first: str, second: str) -> bool:
    """Return whether a label is in front of a path."""
    return _is_label(first) and is_video(second.strip().strip('"'))


def _is_label(text: str) -> bool:
    """Return whether a field is a number or a comma list of numbers, in quotes or not."""
    return all(map(is_number, text.strip().strip('"').split(",")))


def _hint(line: str, form: Format, or_skip: str) -> str:
    """Return how a line could be corrected."""
    first, found, rest = line.partition(form.separator)
    if found and _is_turned(first, rest):
        return LABEL_FIRST
    if found:
        fix = ': the separator is also in the path or name: write "path" in quotes, or use and configure another one'
        return fix + or_skip
    hints = {
        Labels.SET: ': for a video without labels, write path ""; only a list for testing may have paths alone',
        Labels.ONE: ": add the label; only a list for testing may have paths alone, for predictions without accuracy",
    }
    return hints.get(form.labels, "")


def _has_header(rows: list[Row]) -> bool:
    first = rows[0]
    if len(rows) == 1 or is_video(first.path) or is_number(first.label):
        return False
    others = rows[1:]
    return all(is_number(row.label) for row in others) or all(is_video(row.path) for row in others)


def _has_labels_first(rows: list[Row]) -> bool:
    return all(is_number(row.path) and os.sep in row.label for row in rows)


def _check_backslash(row: Row, start: str) -> None:
    if os.sep != "\\" and not os.path.exists(os.path.join(start, row.path)):
        raise UserError(
            f"{row.where}: the file {row.path!r} does not exist; on this system a backslash is part of a name: write / "
            "in paths"
        )
