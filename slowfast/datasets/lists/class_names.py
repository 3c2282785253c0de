"""Classes given by name, and their numbers."""

import json
import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from glob import escape, glob

from slowfast.datasets.lists.rows import Row
from slowfast.datasets.targets import check_range
from slowfast.errors import UserError

CLASS_FILES = ("*classids*.json", "class*names*.json", "class*names*.txt", "classes.json", "classes.txt")


def are_names(labels: Sequence[str]) -> bool:
    """Return whether classes are given by name: fewer than half of the labels are numbers."""
    return sum(map(_is_number, labels)) * 2 < len(labels)


def _is_number(label: str) -> bool:
    return label.removeprefix("-").isdecimal()


def class_numbers(rows: Sequence[Row], names: dict[str, int] | None, num_classes: int) -> list[int]:
    """Return the class of each row, below `num_classes`. `names`: the number of each name; None: labels are numbers."""
    return [class_number(row, names, num_classes) for row in rows]


def class_number(row: Row, names: dict[str, int] | None, num_classes: int) -> int:
    """Return the class of a row; see `class_numbers`."""
    if names is None and not _is_number(row.label):
        raise UserError(f"{row.where}: label {row.label!r} is not a number, as most of the list's are: correct it")
    if names is not None and row.label not in names:
        near = get_close_matches(row.label, names, 1)
        hint = f": did you mean {near[0]!r}?" if near else f" of {len(names)} classes"
        raise UserError(f"{row.where}: {row.label!r} is not the name of a class{hint}")
    number = int(row.label) if names is None else names[row.label]
    check_range(number, num_classes, row.where)
    return number


def find_class_names(data_dir: str, configured: str = "") -> dict[str, int] | None:
    """Return the numbers of class names from the file that is configured or is beside the lists; None without one.

    A JSON file maps names to numbers (or is a list of names); a text file has one name on each line.
    """
    beside = [path for pattern in CLASS_FILES for path in sorted(glob(os.path.join(escape(data_dir), pattern)))]
    path = configured or next(iter(beside), None)
    return read_class_names(path) if path else None


def read_class_names(path: str) -> dict[str, int]:
    """Return the numbers of the class names in a file."""
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
    """Number names in alphabetical order from 0. Numbers among them are not names."""
    return {name: number for number, name in enumerate(sorted({name for name in names if not _is_number(name)}))}
