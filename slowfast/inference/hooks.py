"""What a module receives and returns while another one runs."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle


def input_of(module: nn.Module, call: Callable[[], object]) -> Any:
    """Return the first argument that a module receives during a call."""
    (inputs,) = _kept(module.register_forward_pre_hook, call)
    return inputs[0]


def output_of(module: nn.Module, call: Callable[[], object]) -> Any:
    """Return what a module returns during a call."""
    _, output = _kept(module.register_forward_hook, call)
    return output


def _kept(register: Callable[..., RemovableHandle], call: Callable[[], object]) -> tuple:
    """Return the arguments of a hook, without the module, at its first use during a call."""
    kept: list[tuple] = []
    handle = register(lambda module, *values: kept.append(values))
    try:
        call()
    finally:
        handle.remove()
    return kept[0]
