"""Reasons to end a training early: a loss or a weight that is not finite, or the user."""

import logging
import os
import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType, TracebackType

import torch
from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.utils.distributed import Agreement, all_gather_object, is_master
from slowfast.utils.launch import INTERRUPTED

logger = logging.getLogger(__name__)


class Interrupted(SystemExit):
    """The user stopped the program. The message is logged, and the exit code is 130."""

    def __init__(self, message: str):
        logger.warning(message)
        super().__init__(INTERRUPTED)


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


class GracefulStop(AbstractContextManager):
    """Turns the first Ctrl-C or SIGTERM into a request to stop, which all ranks see after the same iteration.

    The second Ctrl-C interrupts at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._asked = False
        self._agreement = Agreement()
        self._previous: dict = {}

    def requested(self) -> bool:
        """Return whether any rank was asked to stop. Every rank calls this once per iteration; all get one answer."""
        return self._agreement.any(self._asked)

    def requested_at_last(self) -> bool:
        """Return whether any rank was asked to stop up to now. All ranks call this once, after the last iteration."""
        self._agreement.finish()
        return any(all_gather_object(self._asked))

    def __enter__(self) -> "GracefulStop":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if error is None:
            self._agreement.finish()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if is_master():  # without the logger, which this signal may have interrupted
            os.write(2, b"\nstopping after this iteration (press Ctrl-C again to stop at once)\n")
