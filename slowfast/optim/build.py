"""Optimizers, their parameter groups, and gradient clipping."""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slowfast.errors import UserError
from slowfast.utils.checkpoint_folder import unwrap


def construct_optimizer(model: nn.Module, cfg) -> torch.optim.Optimizer:
    """Return the optimizer that `cfg.SOLVER` names, over the trainable parameters of `model`."""
    solver = cfg.SOLVER
    groups = parameter_groups(
        unwrap(model), solver.WEIGHT_DECAY, cfg.BN.WEIGHT_DECAY, solver.ZERO_WD_1D_PARAM, solver.LAYER_DECAY
    )
    build = OPTIMIZERS.get(solver.OPTIMIZING_METHOD)
    if build is None:
        known = ", ".join(OPTIMIZERS)
        raise UserError(f"SOLVER.OPTIMIZING_METHOD: {solver.OPTIMIZING_METHOD!r} is not known; choose one of {known}")
    return build(groups, solver)


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    bn_weight_decay: float,
    zero_1d: bool = False,
    layer_decay: float = 1.0,
) -> list[dict]:
    """Return the parameter groups that are not empty, in the published order: batch norm, the rest, no weight decay.

    Parameters that the model's `no_weight_decay()` names have none. Each kind is split into groups of one `lr_factor`,
    the lowest first: what `set_lr` multiplies the learning rate by.

    Args:
        zero_1d: no weight decay either for parameters of one dimension and for biases, outside batch norm.
        layer_decay: factor of the learning rate from each layer to the one before; 1: all layers have the same.
    """
    names = _names_without_decay(model)
    decays = {Kind.BATCH_NORM: bn_weight_decay, Kind.REST: weight_decay, Kind.NO_DECAY: 0.0}
    lr_factor = _lr_factors(model, layer_decay)
    groups: dict[tuple[Kind, float], list[Tensor]] = {}
    for name, parameter, is_norm in _trainable(model):
        is_bias = parameter.ndim == 1 or name.endswith(".bias")
        bare = name in names or (zero_1d and is_bias)
        kind = Kind.BATCH_NORM if is_norm else Kind.NO_DECAY if bare else Kind.REST
        groups.setdefault((kind, lr_factor(name)), []).append(parameter)
    return [
        {"params": groups[kind, factor], "weight_decay": decays[kind], "lr_factor": factor}
        for kind, factor in sorted(groups)
    ]


class Kind(IntEnum):
    """The kinds of parameters, in the order of their groups in published states of optimizers."""

    BATCH_NORM = 0
    REST = 1
    NO_DECAY = 2


def _trainable(model: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Yield (name, parameter, whether it is of a batch norm) of the parameters that are trained."""
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if parameter.requires_grad:
                yield name, parameter, isinstance(module, _BatchNorm)


def _names_without_decay(model: nn.Module) -> frozenset[str]:
    """Return the names that the model wants no weight decay for; none if it has no such method."""
    return getattr(model, "no_weight_decay", frozenset)()


def _lr_factors(model: nn.Module, decay: float) -> Callable[[str], float]:
    """Return a function from a parameter's name to the factor of its learning rate: decay^(layers above its own)."""
    if decay == 1:
        return lambda name: 1.0
    key = f"SOLVER.LAYER_DECAY: {decay:g}"
    if not isinstance(model, Layered):
        raise UserError(
            f"{key} needs a model with numbered layers, such as MViT, and {type(model).__name__} has no layer_of(name) "
            "and num_layers; set it to 1"
        )
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise UserError(f"{key} is for models without batch norm, and {type(model).__name__} has some; set it to 1")
    return lambda name: decay ** (model.num_layers - model.layer_of(name))


@runtime_checkable
class Layered(Protocol):
    """A model that numbers its layers: `layer_of` gives that of a parameter, from 0 to `num_layers`."""

    num_layers: int

    def layer_of(self, name: str) -> int: ...


def clip_gradients(
    parameters: Iterable[Tensor], value: float | None = None, l2norm: float | None = None
) -> Tensor | None:
    """Clip the gradients in place: every element to [-value, value], then the norm of all together to `l2norm`.

    Return the norm before it was clipped, on the device, or None without `l2norm`.
    """
    parameters = list(parameters)
    if value:
        nn.utils.clip_grad_value_(parameters, value)
    return nn.utils.clip_grad_norm_(parameters, l2norm) if l2norm else None


def _sgd(groups: list[dict], solver) -> torch.optim.Optimizer:
    if solver.NESTEROV and (solver.MOMENTUM <= 0 or solver.DAMPENING != 0):
        raise UserError(
            "SOLVER.NESTEROV: True needs SOLVER.MOMENTUM above 0 and SOLVER.DAMPENING 0, and they are "
            f"{solver.MOMENTUM} and {solver.DAMPENING}; change them, or set SOLVER.NESTEROV False"
        )
    return torch.optim.SGD(
        groups,
        lr=solver.BASE_LR,
        momentum=solver.MOMENTUM,
        dampening=solver.DAMPENING,
        nesterov=solver.NESTEROV,
        fused=can_fuse(groups),
    )


def _adam(groups: list[dict], solver) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=solver.BASE_LR, betas=_betas(solver), fused=can_fuse(groups))


def _adamw(groups: list[dict], solver) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, betas=_betas(solver), fused=can_fuse(groups))


def _betas(solver) -> tuple[float, float]:
    betas = solver.BETAS
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"SOLVER.BETAS: {betas} does not fit; give two numbers from 0 and below 1")
    return betas[0], betas[1]


OPTIMIZERS: dict[str, Callable] = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}


def can_fuse(groups: list[dict]) -> bool:
    """Return whether one kernel can update all parameters: 2 to 3 times faster, with the same results."""
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return devices <= {"cpu", "cuda"}
