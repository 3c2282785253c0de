"""Lists of videos with a class each: lines of `path label`, and classes by name."""

import json
import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from glob import escape, glob
from typing import NamedTuple

from slowfast.datasets.targets import check_range
from slowfast.errors import UserError

CLASS_FILES = ("*classids*.json", "class*names*.json", "class*names*.txt", "classes.json", "classes.txt")


class Row(NamedTuple):
    """One line of a list; `where` names file and line, for messages."""

    path: str
    label: str
    where: str


def require(path: str, data_dir: str) -> str:
    """The path of a list, which must exist."""
    if not os.path.isfile(path):
        raise UserError(
            f"{os.path.abspath(path)} does not exist: DATA.PATH_TO_DATA_DIR is {data_dir!r}, the folder that must "
            f"hold {os.path.basename(path)}: set the key, or put the file there"
        )
    return path


def read_lines(path: str, skip_rows: int = 0) -> list[tuple[str, str]]:
    """(line, "FILE, line N") for every line that is not blank."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = [(line.strip(), f"{path}, line {number}") for number, line in enumerate(file, 1)]
    lines = [(line, where) for line, where in lines[skip_rows:] if line]
    if not lines:
        raise UserError(f"{path} lists no videos" + (f" after DATA.SKIP_ROWS {skip_rows}" if skip_rows else ""))
    return lines


def read_rows(path: str, separator: str = " ", skip_rows: int = 0) -> list[Row]:
    """The lines `path label` of a list."""
    return [Row(*_split(line, separator, where), where) for line, where in read_lines(path, skip_rows)]


def _split(line: str, separator: str, where: str) -> tuple[str, str]:
    fields = [field.strip() for field in line.split(separator)]
    if separator.isspace():
        fields = [field for field in fields if field]
    if len(fields) == 2 and all(fields):
        return fields[0], fields[1]
    mend = "" if len(fields) < 2 else ": with blanks in paths or names, use and configure another separator"
    raise UserError(
        f"{where}: expected 'path label' with {separator!r} between (DATA.PATH_LABEL_SEPARATOR), not {line!r}{mend}"
    )


def are_names(labels: Sequence[str]) -> bool:
    """Whether classes are given by name: most of the labels are no numbers."""
    return sum(map(_is_number, labels)) * 2 < len(labels)


def _is_number(label: str) -> bool:
    return label.removeprefix("-").isdecimal()


def class_numbers(rows: Sequence[Row], names: dict[str, int] | None, num_classes: int) -> list[int]:
    """The classes of rows as numbers below `num_classes`. `names`: the number of each name, or None for numbers."""
    return [class_number(row, names, num_classes) for row in rows]


def class_number(row: Row, names: dict[str, int] | None, num_classes: int) -> int:
    if names is None and not _is_number(row.label):
        raise UserError(f"{row.where}: label {row.label!r} is not a number, as most of the list's are: mend it")
    if names is not None and row.label not in names:
        near = get_close_matches(row.label, names, 1)
        hint = f": did you mean {near[0]!r}?" if near else f" of {len(names)} classes"
        raise UserError(f"{row.where}: {row.label!r} is not the name of a class{hint}")
    number = int(row.label) if names is None else names[row.label]
    check_range(number, num_classes, row.where)
    return number


def find_class_names(data_dir: str, configured: str = "") -> dict[str, int] | None:
    """The numbers of class names, from the file that is configured or lies beside the lists; None without one.

    A json file maps names to numbers (or is a list of names); a text file has one name a line.
    """
    beside = [path for pattern in CLASS_FILES for path in sorted(glob(os.path.join(escape(data_dir), pattern)))]
    path = configured or next(iter(beside), None)
    return read_class_names(path) if path else None


def read_class_names(path: str) -> dict[str, int]:
    if not os.path.isfile(path):
        raise UserError(f"the file of class names {path} (TENSORBOARD.CLASS_NAMES_PATH) does not exist")
    with open(path, encoding="utf-8-sig") as file:
        content = json.load(file) if path.endswith(".json") else [line.strip() for line in file if line.strip()]
    if isinstance(content, list):
        return {name: number for number, name in enumerate(content)}
    pairs = [(key.strip('"'), value) for key, value in content.items()]
    if all(isinstance(value, str) and _is_number(key) for key, value in pairs):
        return {value: int(key) for key, value in pairs}  # number -> name
    return {name: int(number) for name, number in pairs}


def number_names(names: Iterable[str]) -> dict[str, int]:
    """Names in alphabetical order, numbered from 0. Numbers among them are no names."""
    return {name: number for number, name in enumerate(sorted({name for name in names if not _is_number(name)}))}


def start_folder(prefix: str, data_dir: str, first_path: str) -> str:
    """The folder that paths of a list start from: DATA.PATH_PREFIX; without one the working directory or, where only
    that has the first video, the folder of the list."""
    beside = os.path.join(data_dir, first_path)
    return data_dir if not prefix and not os.path.exists(first_path) and os.path.exists(beside) else prefix
