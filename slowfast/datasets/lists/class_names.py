"""Classes of videos: numbers, or names and their numbers. Names that differ in their Unicode form are the same."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from glob import escape, glob

from slowfast.datasets.lists.rows import NUMBER, Row, is_number
from slowfast.datasets.targets import check_range
from slowfast.errors import UserError
from slowfast.utils.label_order import normalized

CLASS_FILES = ("*classids*.json", "class*names*.json", "class*names*.txt", "classes.json", "classes.txt")


def are_names(labels: Sequence[str]) -> bool:
    """Return whether classes are given by name: fewer than half of the labels are numbers."""
    counts = Counter(labels)
    return sum(count for label, count in counts.items() if is_number(label)) * 2 < counts.total()


def class_numbers(rows: Sequence[Row], names: dict[str, int] | None, num_classes: int) -> list[int]:
    """Return the class of each row, below `num_classes`. `names`: the number of each name; None: labels are numbers."""
    numbers = {row.label: class_number(row, names, num_classes) for row in one_of_each(rows)}
    return [numbers[row.label] for row in rows]


def one_of_each(rows: Iterable[Row]) -> list[Row]:
    """Return the first row of each label."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.label, row)
    return list(first.values())


def class_number(row: Row, names: dict[str, int] | None, num_classes: int) -> int:
    """Return the class of a row; see `class_numbers`."""
    number = _whole_number(row) if names is None else _named_number(row, names)
    check_range(number, num_classes, row.where)
    return number


def _whole_number(row: Row) -> int:
    match = NUMBER.fullmatch(row.label)
    if match is None:
        raise UserError(f"{row.where}: label {row.label!r} is not a number, as most of the list's are: correct it")
    whole, fraction = match.groups(default="")
    if fraction.strip(".0"):
        raise UserError(f"{row.where}: label {row.label!r} is not a whole number: correct it")
    return int(whole)


def _named_number(row: Row, names: dict[str, int]) -> int:
    name = normalized(row.label)
    if name not in names:
        near = get_close_matches(name, names, 1)
        hint = f": did you mean {near[0]!r}?" if near else f" of {len(names)} classes"
        raise UserError(f"{row.where}: {row.label!r} is not the name of a class{hint}")
    return names[name]


def find_class_names(data_dir: str, configured: str = "") -> dict[str, int] | None:
    """Return the numbers of class names from the file that is configured or is beside the lists; None without one.

    A JSON file maps names to numbers (or is a list of names); a text file has one name on each line.
    """
    beside = [path for pattern in CLASS_FILES for path in sorted(glob(os.path.join(escape(data_dir), pattern)))]
    path = configured or next(iter(beside), None)
    return read_class_names(path) if path else None


def names_of_numbers(data_dir: str, configured: str, num_classes: int) -> list[str] | None:
    """Return the names of classes that lists give as numbers, from the file of `find_class_names`; None without one."""
    names = find_class_names(data_dir, configured)
    return in_order(names)[:num_classes] if names else None


def read_class_names(path: str, key: str = "TENSORBOARD.CLASS_NAMES_PATH") -> dict[str, int]:
    """Return the numbers of the class names in a file. `key` is that of the config which names it."""
    if not os.path.isfile(path):
        raise UserError(f"the file of class names {path} ({key}) does not exist")
    try:
        with open(path, encoding="utf-8-sig") as file:
            content = json.load(file) if path.endswith(".json") else [line.strip() for line in file if line.strip()]
    except ValueError as error:  # of the encoding or of the JSON syntax
        raise UserError(f"the file of class names {path} cannot be read: {error}") from error
    return {normalized(name): number for name, number in _pairs(content, path)}


def _pairs(content: object, path: str) -> list[tuple[str, int]]:
    """Return (name, number) of each class in the content of a file."""
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        return [(name, number) for number, name in enumerate(content)]
    pairs = [(key.strip('"'), value) for key, value in content.items()] if isinstance(content, dict) else []
    if pairs and all(isinstance(value, str) and key.isdecimal() for key, value in pairs):
        return [(value, int(key)) for key, value in pairs]
    if pairs and all(str(value).isdecimal() for _, value in pairs):
        return [(key, int(value)) for key, value in pairs]
    raise UserError(f"the file of class names {path} must map names to whole numbers, or be a list of names")


def number_names(names: Iterable[str]) -> dict[str, int]:
    """Number names from 0: names that are numbers first, by their value, and then the others alphabetically."""
    ordered = sorted({normalized(name) for name in names}, key=_order)
    return {name: number for number, name in enumerate(ordered)}


def _order(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def in_order(names: dict[str, int]) -> list[str]:
    """Return the name of each class by its number; "" for numbers without a name."""
    listed = [""] * (max(names.values(), default=-1) + 1)
    for name, number in names.items():
        listed[number] = name
    return listed
