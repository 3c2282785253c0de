"""Reasons to end a training early: a loss or a weight that is not finite."""

import torch
from torch import Tensor, nn

from slowfast.errors import UserError


class LossGuard:
    """Ends the training on a loss that is not finite.

    Each loss is checked one iteration late. By then it has reached the host, so the host never waits for the device.
    """

    def __init__(self) -> None:
        self._pending: tuple[Tensor, torch.cuda.Event | None, int] | None = None

    def watch(self, loss: Tensor, iteration: int) -> None:
        """Check the previous loss, and start the copy of this one to the host."""
        self.check()
        arrival = None
        if loss.is_cuda:
            host = torch.empty((), dtype=loss.dtype, pin_memory=True)
            loss = host.copy_(loss, non_blocking=True)
            arrival = torch.cuda.Event()
            arrival.record()
        self._pending = loss, arrival, iteration

    def check(self) -> None:
        """Check the last loss now. Raise UserError if it is not finite."""
        if self._pending is None:
            return
        loss, arrival, iteration = self._pending
        self._pending = None
        if arrival is not None:
            arrival.synchronize()
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} at iteration {iteration + 1}: lower SOLVER.BASE_LR, lengthen "
                "SOLVER.WARMUP_EPOCHS or set SOLVER.CLIP_GRAD_L2NORM; the last checkpoint is intact, and a new start "
                "resumes from it"
            )


def require_finite_weights(model: nn.Module, iteration: int) -> None:
    """Raise UserError if a weight or a statistic of `model` is not finite, so that it is not saved or evaluated."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(
                f"{name} is not finite after iteration {iteration}: lower SOLVER.BASE_LR or set "
                "SOLVER.CLIP_GRAD_L2NORM; the last checkpoint is intact, and a new start resumes from it"
            )
