"""Requests to stop a run: Ctrl-C and the signals of schedulers."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import NoReturn

from slowfast.utils.distributed import Agreement, get_world_size, is_master
from slowfast.utils.placement import launched_by

logger = logging.getLogger(__name__)

INTERRUPTED = 130  # exit code of a program that Ctrl-C ended
SAVE = 1  # no exit code of a stopped program: a checkpoint is written, and the training continues
REQUEUE = 75  # EX_TEMPFAIL: the scheduler stopped the run, and the same command resumes it
EXIT_CODES = {
    signal.SIGINT: INTERRUPTED,
    signal.SIGTERM: REQUEUE,
    signal.SIGUSR1: REQUEUE,
    signal.SIGHUP: REQUEUE,
}


class Interrupted(SystemExit):
    """The user or a scheduler stopped the program. The message is logged."""

    def __init__(self, message: str, code: int = INTERRUPTED):
        logger.warning(message)
        super().__init__(code)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], object], numbers=tuple(EXIT_CODES)) -> Iterator[None]:
    """Call `handler` on the signals that ask for a stop. `nohup` keeps its meaning: an ignored SIGHUP stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in numbers if n != signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)


@contextmanager
def requests_held_back() -> Iterator[None]:
    """Hold back the signals that ask for a stop, from this thread and from the processes that it starts (on Linux)."""
    if not hasattr(signal, "sigwaitinfo"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def stop_at_once(number: int, frame: FrameType | None = None) -> NoReturn:
    """Handle a signal outside of training: exit, and ignore further requests meanwhile."""
    for other in EXIT_CODES:
        signal.signal(other, signal.SIG_IGN)
    if is_master():
        print_now(f"stopped by {signal.Signals(number).name}; earlier checkpoints are intact")
    raise SystemExit(EXIT_CODES[signal.Signals(number)])


def print_now(text: str) -> None:
    """Write a line to stderr without the logger, which a signal may have interrupted."""
    os.write(2, f"\n{text}\n".encode())


class GracefulStop(AbstractContextManager):
    """Turns the first signal into a request to stop, which all ranks see after the same iteration.

    Every `save_minutes` of rank 0's clock are a request to save, which all ranks see alike; 0: none.

    A request that comes after the last iteration ends the program when this context ends. Without a launcher, which
    counts requests, a further Ctrl-C interrupts at once.
    """

    def __init__(self, save_minutes: float = 0) -> None:
        self.code = 0
        self._save_sec, self._saved = 60 * save_minutes or float("inf"), time.monotonic()
        self._agreement = Agreement()
        self._handlers = ExitStack()

    def request(self) -> int:
        """Return 0, SAVE or, if any rank was asked to stop, the exit code. Called once per iteration."""
        is_due = is_master() and time.monotonic() - self._saved >= self._save_sec
        if is_due:
            self._saved = time.monotonic()
        return self._agreement.highest(self.code or is_due * SAVE)

    def __enter__(self) -> "GracefulStop":
        self._handlers.enter_context(handled(self._ask))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handlers.close()
        code = self._agreement.settle(self.code) if error is None else 0
        if code > SAVE:
            raise Interrupted("stopped as requested, after the last iteration: nothing else starts", code)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        is_alone = get_world_size() == 1 and launched_by() is None
        if self.code and is_alone and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.code and is_master():
            again = " (press Ctrl-C again to stop at once)" if is_alone else ""
            print_now(f"stopping after this iteration or evaluation{again}")
        self.code = max(self.code, EXIT_CODES[signal.Signals(number)])
