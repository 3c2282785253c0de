"""Freeze parts of a model: their weights get no gradient, and their batch norms do not change."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from slowfast.errors import UserError

KEY = "MODEL.FREEZE"
NAMES_SHOWN = 5


def freeze(model: nn.Module, entries: Sequence[str]) -> list[str]:
    """Freeze the parts of `model` that `entries` name, in place, and return the names of the frozen parameters.

    An entry is the name of a module or a parameter, such as `s1` or `head.projection.bias`, or a pattern such as
    `*bn` or `s[12]`. An entry for a module is also one for its parts. A batch norm without a parameter left to train
    keeps its running statistics and normalizes by them, in training too.

    Raises UserError for an entry that matches nothing, and if nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for entry in entries:
        _check_matches(entry, model)
    frozen = [name for name in parameters if _is_named(name, entries)]
    if frozen and len(frozen) == len(parameters):
        raise UserError(f"{KEY}: {list(entries)} leaves no parameter of the model to train; leave out an entry")
    for name in frozen:
        parameters[name].requires_grad_(False)
    for norm in _norms_to_stop(model, entries):
        _keep_in_evaluation(norm)
    return frozen


def _is_named(name: str, entries: Sequence[str]) -> bool:
    """Return whether an entry names a module, a parameter, or a part that it belongs to."""
    parts = name.split(".")
    prefixes = [".".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatchcase(prefix, entry) for prefix in prefixes for entry in entries)


def _check_matches(entry: str, model: nn.Module) -> None:
    names = [name for name, _ in (*model.named_modules(), *model.named_parameters()) if name]
    if any(fnmatchcase(name, entry) for name in names):
        return
    near = get_close_matches(entry, names, NAMES_SHOWN) or [name for name, _ in model.named_children()]
    raise UserError(f"{KEY}: {entry!r} matches no module or parameter of the model; near it are {', '.join(near)}")


def _norms_to_stop(model: nn.Module, entries: Sequence[str]) -> Iterator[nn.Module]:
    """Yield the batch norms of which no parameter is left to train."""
    for name, module in model.named_modules():
        if isinstance(module, _NormBase):
            own = list(module.parameters(recurse=False))
            if not any(parameter.requires_grad for parameter in own) if own else _is_named(name, entries):
                yield module


class _InEvaluation:
    """A mixin for a module that `train()` leaves in evaluation mode."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)  # type: ignore[misc]  # nn.Module follows in the order of resolution


def _keep_in_evaluation(module: nn.Module) -> None:
    """Let `module` stay in evaluation mode. It remains the same object, of a subclass of its class."""
    if not isinstance(module, _InEvaluation):
        module.__class__ = type(f"Frozen{type(module).__name__}", (_InEvaluation, type(module)), {})
    module.eval()
