"""Lists of videos with their labels: lines of `path label`.

A path with blanks, or with another separator in it, can be quoted as in CSV files: `"my video.mp4" 3`.
"""

import io
import os
import re
from enum import Enum
from typing import NamedTuple

from slowfast.datasets.files import is_video
from slowfast.errors import UserError

NUMBER = re.compile(r"([+-]?\d+)(\.\d*)?")  # 3, -1, 3.0, 3.5
QUOTED = re.compile(r'"((?:[^"]|"")+)"(.*)')
SEPARATORS = {"a tab": "\t", "a comma": ",", "a semicolon": ";", "a vertical bar": "|", "a blank": " "}


class Row(NamedTuple):
    """One line of a list; `where` names file and line, for messages."""

    path: str
    label: str
    where: str


class Labels(Enum):
    """What follows the path in a line."""

    ONE = "path label"
    ONE_OR_NONE = "path label, or the path alone in every line"
    SET = "path 3,17"
    ANY = "path label (or the path alone)"


class Format(NamedTuple):
    """The form of a list: the keys DATA.PATH_LABEL_SEPARATOR and DATA.SKIP_ROWS, and the labels."""

    separator: str = " "
    skip_rows: int = 0
    labels: Labels = Labels.ONE


PLAIN = Format()


def is_number(label: str) -> bool:
    """Return whether a label is a number, whole or not."""
    return NUMBER.fullmatch(label) is not None


def read_lines(path: str, skip_rows: int = 0) -> list[tuple[str, str]]:
    """Return (line, "FILE, line N") for every line that is not blank."""
    text = io.StringIO(read_text(path), newline=None)
    lines = [(line.strip(), f"{path}, line {number}") for number, line in enumerate(text, 1)]
    lines = [(line, where) for line, where in lines[skip_rows:] if line]
    if not lines:
        raise UserError(f"{path} lists no videos" + (f" after DATA.SKIP_ROWS {skip_rows}" if skip_rows else ""))
    return lines


def read_text(path: str) -> str:
    """Read a text in UTF-8 (other bytes stay as they are), or in UTF-16 with a byte-order mark."""
    with open(path, "rb") as file:
        content = file.read()
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16", "replace") if is_utf16 else content.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise UserError(f"{path} is not UTF-8 text: it has zero bytes, as UTF-16 and UTF-32 have; save it as UTF-8")
    return text


def read_rows(path: str, form: Format = PLAIN) -> list[Row]:
    """Return the lines of a list. Raises UserError, with file and line, for a line that does not have the format."""
    rows = [_row(line, form, where) for line, where in read_lines(path, form.skip_rows)]
    if _has_header(rows):
        number = rows[0].where.rpartition(" ")[2]
        raise UserError(f"{rows[0].where}: {rows[0][:2]} is a header: set DATA.SKIP_ROWS to {number}")
    return rows


def are_labeled(rows: list[Row]) -> bool:
    """Return whether the rows have labels. Raises UserError where some have one and others do not."""
    labeled, bare = [row for row in rows if row.label], [row for row in rows if not row.label]
    if labeled and bare:
        few, what = (labeled, "a label, and most lines have none") if len(labeled) < len(bare) else (bare, "no label")
        raise UserError(f"{few[0].where}: {few[0].path!r} has {what}: give every line one, or none")
    return not bare


def video_paths(rows: list[Row], prefix: str, data_dir: str) -> list[str]:
    """Return the paths of the videos of a list, from the folder that they start from (see `start_folder`)."""
    start = start_folder(prefix, data_dir, rows[0].path)
    for row in rows:
        if "\\" in row.path:
            _check_backslash(row, start)
            break
    return [os.path.join(start, row.path) for row in rows]


def start_folder(prefix: str, data_dir: str, first_path: str) -> str:
    """Return the folder that the paths of a list start from.

    It is DATA.PATH_PREFIX; without one the working directory, or the folder of the list where only that folder has
    the first video.
    """
    beside = os.path.join(data_dir, first_path)
    return data_dir if not prefix and not os.path.exists(first_path) and os.path.exists(beside) else prefix


def _row(line: str, form: Format, where: str) -> Row:
    if line.startswith("#"):
        raise UserError(f"{where}: {line!r} is a comment, and lists cannot have comments: remove it{_or_skip(where)}")
    path, label = _split_set(line, form) if form.labels is Labels.SET else _split(line, form)
    other = _other_separator(line, form.separator)
    fits = not _hides_a_separator(label) if label else form.labels in (Labels.ANY, Labels.ONE_OR_NONE) and not other
    if path and fits:
        return Row(path, label, where)
    raise UserError(
        f"{where}: expected {form.labels.value!r} with {form.separator!r} between (DATA.PATH_LABEL_SEPARATOR), "
        f"not {line!r}{other or _hint(line, form, where)}"
    )


def _split(line: str, form: Format) -> tuple[str, str]:
    """Return path and label without quotes; ("", "") where there are too many fields."""
    path, rest = _quoted_path(line, form.separator)
    fields = [path, *_fields(rest, form.separator)] if path else _fields(line, form.separator)
    if len(fields) == 1:
        return fields[0], ""
    if form.labels is Labels.ANY and all(map(is_number, fields[1:])):  # a set
        return fields[0], ",".join(fields[1:])
    return (fields[0], fields[1].strip('"')) if len(fields) == 2 else ("", "")


def _split_set(line: str, form: Format) -> tuple[str, str]:
    """Return path and labels; the labels keep their quotes, since `""` is the empty set."""
    path, rest = _quoted_path(line, form.separator)
    if not path:
        path, _, rest = line.partition(form.separator)
    label = rest.strip() or ('""' if not form.separator.isspace() and line.endswith(form.separator) else "")
    return path.strip(), label


def _quoted_path(line: str, separator: str) -> tuple[str, str]:
    """Return a quoted path without its quotes, and what follows the separator; ("", "") where it is not quoted."""
    match = QUOTED.fullmatch(line)
    if match is None:
        return "", ""
    path, rest = match.groups()
    if rest and not rest.lstrip(" ").startswith(separator) and not rest.startswith(separator):
        return "", ""
    return path.replace('""', '"'), rest.strip().removeprefix(separator.strip() or separator).strip()


def _fields(text: str, separator: str) -> list[str]:
    fields = [field.strip() for field in text.split(separator)]
    return [field for field in fields if field] if separator.isspace() else fields


def _hides_a_separator(label: str) -> bool:
    """Return whether a label contains the end of a path: the blank before it was not the separator."""
    return "\t" in label or is_video(re.split(r"[\s,;|]", label)[0])


def _other_separator(line: str, separator: str) -> str:
    """Return the hint that the line has a separator other than the configured one; "" if it has not."""
    for name, other in SEPARATORS.items():
        path, found, label = line.rpartition(other)
        if not found or other == separator or (other == " " and separator in line):
            continue
        if is_video(path.strip().strip('"')) or is_number(label.strip().strip('"')):
            return f": the separator here is {name}: set DATA.PATH_LABEL_SEPARATOR to {other!r}"
    return ""


def _hint(line: str, form: Format, where: str) -> str:
    """Return how a line could be corrected."""
    if form.separator in line:
        fix = ': the separator is also in the path or name: write "path" in quotes, or use and configure another one'
        return fix + _or_skip(where)
    hints = {
        Labels.SET: ': for a video without labels, write path ""',
        Labels.ONE: ": add the label; only a list for testing may have paths alone, for predictions without accuracy",
    }
    return hints.get(form.labels, "")


def _has_header(rows: list[Row]) -> bool:
    first, *others = rows
    if not others or is_video(first.path) or not first.label or is_number(first.label):
        return False
    return all(is_number(row.label) for row in others) or all(is_video(row.path) for row in others)


def _or_skip(where: str) -> str:
    return "; a header is left out with DATA.SKIP_ROWS 1" if where.endswith("line 1") else ""


def _check_backslash(row: Row, start: str) -> None:
    if os.sep != "\\" and not os.path.exists(os.path.join(start, row.path)):
        raise UserError(
            f"{row.where}: the file {row.path!r} does not exist; on this system a backslash is part of a name: write / "
            "in paths"
        )
