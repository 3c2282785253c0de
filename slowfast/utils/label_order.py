"""The order of the classes of a checkpoint and of a data set: pure functions on names and state dicts."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

NAMES_SHOWN = 10
HEAD_ROWS = re.compile(r"(.*\.)?(head|projection)\d*\.(.*\.)?(weight|bias)")


def class_names_of(dataset: object) -> list[str] | None:
    """Return the names of the classes of a data set in the order of their labels; None if it does not know them."""
    names = getattr(dataset, "class_names", None)
    is_list = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return list(names) if names and is_list else None


def normalized(name: str) -> str:
    """Return a name in one Unicode form (NFC): macOS stores the names of files in another (NFD)."""
    return unicodedata.normalize("NFC", name)


def same_form(names: Sequence[str] | None) -> list[str]:
    """Return class names in one Unicode form, NFC; empty if they are not known. Classes without a name get a number."""
    return [normalized(name) or f"class {label}" for label, name in enumerate(names or ())]


def compare_names(there: Sequence[str], here: Sequence[str]) -> str:
    """Return how the classes of a checkpoint differ from those of a data set, as text with both lists."""
    only_there = [name for name in there if name not in set(here)]
    only_here = [name for name in here if name not in set(there)]
    if not only_there and not only_here:
        return f"the same {len(here)} classes are in another order: {names_text(there)} there, {names_text(here)} here"
    return (
        f"only in the checkpoint ({len(there)} classes): {names_text(only_there)}; "
        f"only in the data set ({len(here)} classes): {names_text(only_here)}"
    )


def names_of_scores(there: Sequence[str] | None, here: Sequence[str] | None) -> list[str]:
    """Return the names of all scores of a test: the classes of the data set, then those only in the checkpoint."""
    known = set(same_form(here))
    return [*(here or ()), *(name for name in same_form(there) if name not in known)]


def names_text(names: Sequence[str]) -> str:
    """Return names as text, the first ones of a long list."""
    shown = ", ".join(names[:NAMES_SHOWN]) or "none"
    return shown + (f", ... ({len(names) - NAMES_SHOWN} more)" if len(names) > NAMES_SHOWN else "")


def head_of(state: Mapping[str, Tensor], classes: int) -> list[str]:
    """Return the names of the tensors of the heads that have a row for each class.

    Where no layer is called head or projection, this is the last linear layer with that many rows.
    """
    heads = [
        name for name, value in state.items() if HEAD_ROWS.fullmatch(name) and value.ndim and len(value) >= classes
    ]
    linear = [name for name, value in state.items() if name.endswith("weight") and value.shape[:-1] == (classes,)]
    last = [linear[-1], linear[-1].removesuffix("weight") + "bias"] if linear else []
    return heads or [name for name in last if name in state]


def reorder_head(state: Mapping[str, Tensor], there: Sequence[str], here: Sequence[str]) -> dict[str, Tensor]:
    """Return `state` with the rows of its heads, which are in the order of `there`, in the order of `here`.

    Rows of classes that `here` lacks follow, in their order. Every name of `here` must be in `there`.
    """
    known = {name: row for row, name in enumerate(there)}
    first = [known[name] for name in here]
    heads = set(head_of(state, len(there)))
    return {name: _with_first(value, first) if name in heads else value for name, value in state.items()}


def _with_first(rows: Tensor, first: Sequence[int]) -> Tensor:
    chosen = set(first)
    return rows[torch.tensor([*first, *(row for row in range(len(rows)) if row not in chosen)])]


def without_head(state: Mapping[str, Tensor], classes: int) -> dict[str, Tensor]:
    """Return `state` without the tensors of the heads that have a row for each of its `classes`."""
    heads = set(head_of(state, classes))
    return {name: value for name, value in state.items() if name not in heads}
