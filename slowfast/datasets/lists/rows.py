"""Lists of videos with a class each: lines of `path label`."""

import os
from typing import NamedTuple

from slowfast.errors import UserError


class Row(NamedTuple):
    """One line of a list; `where` names file and line, for messages."""

    path: str
    label: str
    where: str


def require(path: str, data_dir: str) -> str:
    """Return the path of a list. Raises UserError where it does not exist."""
    if not os.path.isfile(path):
        raise UserError(
            f"{os.path.abspath(path)} does not exist: DATA.PATH_TO_DATA_DIR is {data_dir!r}, the folder that must "
            f"hold {os.path.basename(path)}: set the key, or put the file there"
        )
    return path


def read_lines(path: str, skip_rows: int = 0) -> list[tuple[str, str]]:
    """Return (line, "FILE, line N") for every line that is not blank."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = [(line.strip(), f"{path}, line {number}") for number, line in enumerate(file, 1)]
    lines = [(line, where) for line, where in lines[skip_rows:] if line]
    if not lines:
        raise UserError(f"{path} lists no videos" + (f" after DATA.SKIP_ROWS {skip_rows}" if skip_rows else ""))
    return lines


def read_rows(path: str, separator: str = " ", skip_rows: int = 0) -> list[Row]:
    """Return the lines `path label` of a list."""
    return [Row(*_split(line, separator, where), where) for line, where in read_lines(path, skip_rows)]


def _split(line: str, separator: str, where: str) -> tuple[str, str]:
    fields = [field.strip() for field in line.split(separator)]
    if separator.isspace():
        fields = [field for field in fields if field]
    if len(fields) == 2 and all(fields):
        return fields[0], fields[1]
    fix = "" if len(fields) < 2 else ": with blanks in paths or names, use and configure another separator"
    raise UserError(
        f"{where}: expected 'path label' with {separator!r} between (DATA.PATH_LABEL_SEPARATOR), not {line!r}{fix}"
    )


def start_folder(prefix: str, data_dir: str, first_path: str) -> str:
    """Return the folder that the paths of a list start from.

    It is DATA.PATH_PREFIX; without one the working directory, or the folder of the list where only that folder has
    the first video.
    """
    beside = os.path.join(data_dir, first_path)
    return data_dir if not prefix and not os.path.exists(first_path) and os.path.exists(beside) else prefix
