"""What ends a training before its time: a loss that is not finite, or the user."""

import logging
import os
import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType

import torch
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.utils.distributed import INTERRUPTED, Agreement, is_master

logger = logging.getLogger(__name__)


class Interrupted(SystemExit):
    """The user stopped the program, which says so itself and ends with exit code 130."""

    def __init__(self, message: str):
        logger.warning(message)
        super().__init__(INTERRUPTED)


class LossGuard:
    """Ends the training on a loss that is not finite.

    A loss is looked at one iteration late: by then it has reached the host, and the step never waits for the device.
    """

    def __init__(self):
        self._pending: tuple[Tensor, object, int] | None = None

    def watch(self, loss: Tensor, iteration: int) -> None:
        self.check()
        arrived = None
        if loss.is_cuda:
            host = torch.empty((), dtype=loss.dtype, pin_memory=True)
            loss = host.copy_(loss, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        self._pending = loss, arrived, iteration

    def check(self) -> None:
        """Look at the last loss now."""
        if self._pending is None:
            return
        loss, arrived, iteration = self._pending
        self._pending = None
        if arrived is not None:
            arrived.synchronize()
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} at iteration {iteration + 1}: lower SOLVER.BASE_LR, lengthen "
                "SOLVER.WARMUP_EPOCHS or set SOLVER.CLIP_GRAD_L2NORM; the last checkpoint is intact, and a new start "
                "goes on from it"
            )


def require_finite_weights(model: nn.Module, iteration: int) -> None:
    """Raise UserError rather than let weights be saved or evaluated that are not finite."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(
                f"{name} is not finite after iteration {iteration}: lower SOLVER.BASE_LR or set "
                "SOLVER.CLIP_GRAD_L2NORM; the last checkpoint is intact, and a new start goes on from it"
            )


class GracefulStop(AbstractContextManager):
    """Answers the first Ctrl-C (or SIGTERM) after an iteration, all ranks after the same; the second at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self._asked = False
        self._agreement = Agreement()
        self._before = {}

    def requested(self) -> bool:
        """Whether any rank was asked to stop; every rank asks once per iteration, and all hear the same."""
        return self._agreement.any(self._asked)

    def __enter__(self) -> "GracefulStop":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(self, kind, error, trace) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None:
            self._agreement.finish()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if is_master():  # not by the logger, which this signal may have interrupted
            os.write(2, b"\nstopping after this iteration (Ctrl-C once more: at once)\n")
