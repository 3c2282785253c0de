"""Checks of what is in a checkpoint, before anything uses it. Each raises DamagedFile with the field or the tensor."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slowfast.utils.safe_pickle import DamagedFile

FIX = "Copy it again, or use the checkpoint before"
MOST_EPOCHS = 10**7
SCALER_STATE = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}


def _is_count(value: Any, low: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(fits, value))


def _is_optimizer_state(value: Any) -> bool:
    """Return whether a value has the structure that torch's optimizers write."""
    if value is None:
        return True
    if not isinstance(value, dict) or not isinstance(value.get("state"), dict):
        return False
    groups = value.get("param_groups")
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return False
    return all(_is_list(group.get("params"), _is_count) for group in groups) and all(
        _is_count(number) and isinstance(entry, dict) and all(map(_is_state_value, entry.values()))
        for number, entry in value["state"].items()
    )


def _is_state_value(value: Any) -> bool:
    return value is None or isinstance(value, Tensor | bool) or _is_number(value)


# Field -> whether a value fits, and what fits.
FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epoch": (lambda value: _is_count(value, -1) and value < MOST_EPOCHS, "a whole number from -1"),
    "iteration": (_is_count, "a whole number from 0"),
    "position": (lambda value: _is_number(value) and 0 <= value < MOST_EPOCHS, "a finite number from 0"),
    "plan": (lambda value: _is_list(value, _is_count) and len(value) == 4, "a list of four whole numbers"),
    "best": (lambda value: isinstance(value, dict) and all(map(_is_number, value.values())), "a mapping to numbers"),
    "without_gain": (_is_count, "a whole number from 0"),
    "average_updates": (_is_count, "a whole number from 0"),
    "trained_state": (
        lambda value: isinstance(value, dict) and all(isinstance(tensor, Tensor) for tensor in value.values()),
        "a mapping to tensors",
    ),
    "evaluation_due": (lambda value: isinstance(value, bool), "True or False"),
    "epoch_sums": (lambda value: _is_list(value, _is_number), "a list of finite numbers"),
    "rank_statistics": (
        lambda value: isinstance(value, Tensor) and value.ndim == 2 and bool(torch.isfinite(value).all()),
        "finite numbers, a row for each rank",
    ),
    "class_names": (
        lambda value: value is None or _is_list(value, _is_text),
        "a list of text",
    ),
    "cfg": (_is_text, "text"),
    "optimizer_state": (_is_optimizer_state, "the state of an optimizer: a mapping with state and param_groups"),
    "scaler_state": (
        lambda value: (
            not value
            or (isinstance(value, dict) and value.keys() >= SCALER_STATE and all(map(_is_number, value.values())))
        ),
        "the state of a GradScaler",
    ),
}


def check_fields(path: str | Path, content: Mapping[str, Any]) -> None:
    """Raise DamagedFile for the first field that a training resumes from and whose value does not fit."""
    for field, (fits, what) in FIELDS.items():
        if field in content and not fits(content[field]):
            value = repr(content[field])
            shown = value if len(value) < 60 else f"a {type(content[field]).__name__}"
            raise DamagedFile(f"{path} is damaged: its {field} is {shown}, not {what}. {FIX}")
    if "plan" in content and not content.get("iteration", math.inf) <= content["plan"][2]:
        raise DamagedFile(
            f"{path} is damaged: its iteration is {content.get('iteration', 'missing')}, and its plan has "
            f"{content['plan'][2]}. {FIX}"
        )


def check_tensors(path: Path, content: Mapping) -> None:
    """Raise DamagedFile for a tensor of an unusual kind, or if all claim far more memory than the file has bytes."""
    claimed = 0
    for name, tensor in _tensors_in(content):
        unusual = tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta
        if unusual:
            kind = f"{tensor.layout}, {tensor.dtype}, {tensor.device}"
            raise DamagedFile(f"{path} was not loaded: {name} is not a dense tensor of real numbers ({kind}). {FIX}")
        claimed += tensor.numel() * tensor.element_size()
    if claimed > most_bytes(path):
        raise DamagedFile(f"{path} was not loaded: its tensors claim {claimed:,} bytes, more than the file has. {FIX}")


def most_bytes(path: Path) -> int:
    """Return how many bytes the content of a file may have: some tensors are in it once and used several times."""
    return 4 * path.stat().st_size + 2**20


def _tensors_in(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in nested mappings and lists, with their names."""
    if isinstance(value, Tensor):
        yield name, value
    if depth < 8 and isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors_in(item, f"{name}.{key}".lstrip("."), depth + 1)
    if depth < 8 and isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _tensors_in(item, f"{name}.{number}", depth + 1)


def require_finite(path: str | Path, content: Mapping) -> None:
    """Raise DamagedFile that names the first tensor in `content` with a number that is not finite."""
    for name, tensor in _tensors_in(content):
        if not torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all():
            raise DamagedFile(f"{path} is damaged: {name} has numbers that are not finite. {FIX}")
