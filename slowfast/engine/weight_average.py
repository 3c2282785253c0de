"""The exponential moving average of the weights of a model."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An average of the weights of `model` over the iterations, in a copy of it, `averaged`.

    Without `decay`, `averaged` is the model itself. In iteration n, from 0, the decay is the lower one of `decay` and
    (1 + n) / (10 + n), so that the first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float = 0.0):
        self.model, self.decay, self.updates = model, decay, 0
        self.averaged = copy.deepcopy(model).requires_grad_(False) if decay else model

    @property
    def is_on(self) -> bool:
        return self.averaged is not self.model

    @torch.no_grad()
    def start(self) -> None:
        """Take the weights of the model as they are, unless the average has begun."""
        if self.is_on and not self.updates:
            self.averaged.load_state_dict(self.model.state_dict())

    @torch.no_grad()
    def update(self) -> None:
        """Move the average toward the weights of the model."""
        if self.is_on:
            decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
            torch._foreach_lerp_(_values(self.averaged.parameters()), _values(self.model.parameters()), 1 - decay)
            self.updates += 1

    @torch.no_grad()
    def take_buffers(self) -> None:
        """Copy the buffers of the model, such as the statistics of batch norm."""
        if self.is_on:
            for mine, other in zip(self.averaged.buffers(), self.model.buffers(), strict=True):
                mine.copy_(other)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint with the averaged weights needs beside them, for `load`."""
        return {"trained_state": self.model.state_dict(), "average_updates": self.updates} if self.is_on else {}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Continue from the entries of a checkpoint, in which `averaged_state` has the averaged weights."""
        if self.is_on and "averaged_state" in saved:
            self.averaged.load_state_dict(saved["averaged_state"])
            self.updates = saved["average_updates"]


def _values(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach() for parameter in parameters]
