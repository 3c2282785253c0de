"""Optimisers and their parameter groups."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from slowfast.errors import UserError


def construct_optimizer(model: nn.Module, cfg) -> torch.optim.Optimizer:
    """The optimiser that `cfg.SOLVER` names, over the parameters of `model` that are trained."""
    solver = cfg.SOLVER
    groups = parameter_groups(model, solver.WEIGHT_DECAY, cfg.BN.WEIGHT_DECAY, solver.ZERO_WD_1D_PARAM)
    build = OPTIMIZERS.get(solver.OPTIMIZING_METHOD)
    if build is None:
        raise UserError(f"SOLVER.OPTIMIZING_METHOD is {solver.OPTIMIZING_METHOD!r}: use one of {', '.join(OPTIMIZERS)}")
    return build(groups, solver)


def parameter_groups(
    model: nn.Module, weight_decay: float, bn_weight_decay: float, zero_1d: bool = False
) -> list[dict]:
    """Parameter groups in the published order: batch norm, the rest, those without weight decay; none is empty.

    With `zero_1d`, vectors outside batch norm (biases) have no weight decay.
    """
    batch_norm, rest, no_decay = [], [], []
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if isinstance(module, _BatchNorm):
                batch_norm.append(parameter)
            elif zero_1d and parameter.ndim == 1:
                no_decay.append(parameter)
            else:
                rest.append(parameter)
    groups = [(batch_norm, bn_weight_decay), (rest, weight_decay), (no_decay, 0.0)]
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def clip_gradients(
    parameters: Iterable[Tensor], value: float | None = None, l2norm: float | None = None
) -> Tensor | None:
    """Clip the gradients in place, each number to [-value, value] or all together to a norm of `l2norm`.

    Returns the norm before clipping (on the device, nothing waits for it), or None when no norm was asked for.
    """
    if value:
        nn.utils.clip_grad_value_(parameters, value)
    elif l2norm:
        return nn.utils.clip_grad_norm_(parameters, l2norm)
    return None


def _sgd(groups: list[dict], solver) -> torch.optim.Optimizer:
    if solver.NESTEROV and (solver.MOMENTUM <= 0 or solver.DAMPENING != 0):
        raise UserError(
            f"SOLVER.NESTEROV needs SOLVER.MOMENTUM above 0 and SOLVER.DAMPENING 0, and they are {solver.MOMENTUM} and "
            f"{solver.DAMPENING}: change them, or set SOLVER.NESTEROV False"
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
    return torch.optim.Adam(groups, lr=solver.BASE_LR, betas=tuple(solver.BETAS), fused=can_fuse(groups))


def _adamw(groups: list[dict], solver) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, betas=tuple(solver.BETAS), fused=can_fuse(groups))


OPTIMIZERS: dict[str, Callable] = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}


def can_fuse(groups: list[dict]) -> bool:
    """Whether one kernel can update all parameters: 2 to 3 times faster than one by one, and the same numbers."""
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return devices <= {"cpu", "cuda"}
