"""Load the state of an optimizer: momenta and counters, but not the settings."""

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from slowfast.errors import UserError
from slowfast.utils.checkpoint_checks import require_finite

logger = logging.getLogger(__name__)

WEIGHTS_ONLY = "set TRAIN.CHECKPOINT_EPOCH_RESET True to load only its weights"
ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


def load_optimizer(path: str | Path, optimizer: torch.optim.Optimizer, state: dict | None) -> None:
    """Load momenta and counters. Settings such as the weight decay stay those of the current config."""
    if state is None:
        logger.warning("%s has no state of an optimizer: momenta start at zero", path)
        return
    problem = _layout_problem(optimizer, state)
    if problem:
        raise UserError(
            f"the optimizer's state in {path} does not fit: {problem}. It was saved with another model, other "
            "weight-decay groups, another MODEL.FREEZE, SOLVER.LAYER_DECAY or SOLVER.OPTIMIZING_METHOD: use those "
            f"again, or {WEIGHTS_ONLY} (with another OUTPUT_DIR, or TRAIN.AUTO_RESUME False)"
        )
    require_finite(path, {"optimizer_state": state["state"]})
    groups = [
        {**group, "params": saved_group["params"]}
        for group, saved_group in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    moments = {
        number: _laid_out_like(parameter, state["state"][number])
        for number, parameter in _numbered_parameters(optimizer, state)
        if number in state["state"]
    }
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _numbered_parameters(optimizer: torch.optim.Optimizer, state: dict) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of each parameter in the saved state, and the parameter."""
    for saved_group, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        yield from zip(saved_group["params"], group["params"], strict=True)


def _laid_out_like(parameter: Tensor, saved: dict) -> dict:
    """Return the saved state of `parameter`, with its moments in the memory format of the parameter.

    Fused optimizers walk through the memory of a parameter and its moments in step. The format may have changed since
    the state was saved, with TRAIN.MIXED_PRECISION.
    """
    result = dict(saved)
    for key, value in saved.items():
        if isinstance(value, Tensor) and value.ndim and value.shape == parameter.shape:
            result[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return result


def _layout_problem(optimizer: torch.optim.Optimizer, state: dict) -> str:
    """Return why the saved state does not fit this optimizer, or an empty text if it does."""
    there = [len(group["params"]) for group in state["param_groups"]]
    here = [len(group["params"]) for group in optimizer.param_groups]
    if there != here:
        return f"it has groups of {there} parameters, this training {here}"
    is_adam = isinstance(optimizer, torch.optim.Adam)  # AdamW is an Adam
    for number, parameter in _numbered_parameters(optimizer, state):
        saved = state["state"].get(number, {})
        if saved and not (saved.keys() >= set(ADAM_STATE) if is_adam else "exp_avg" not in saved):
            return f"it is not of {type(optimizer).__name__}"
        for key, value in saved.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                return f"{key} {number} is {tuple(value.shape)}, the parameter {tuple(parameter.shape)}"
    return ""
