"""How a rank reports the error that ends it, so that the user reads the cause once."""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from slowfast.errors import UserError, user_message
from slowfast.utils.distributed import is_lost_connection, is_timeout
from slowfast.utils.rendezvous import Store
from slowfast.utils.stop import INTERRUPTED, handled

MAX_MESSAGE = 3000  # characters; a pipe passes so few on in one piece, even if several processes write
GATHER_SEC = 2.0  # for the ranks that wait in the same collective to give up
ANSWER_SEC = 5.0  # for a store to answer; the process that keeps it may be the one that hangs
INTACT = "Earlier checkpoints are intact: the same command resumes from the last one"

Answer = TypeVar("Answer")
Report = tuple[bool, str]  # whether it is a user's mistake, and the message


class RankError(RuntimeError):
    """An error of the program in one of its processes. The message holds the traceback, or which rank ended and why."""


@dataclass(frozen=True)
class Failures:
    """The marks in a store by which the failing ranks of a run know of one another."""

    store: Store
    rank: int
    size: int

    def print_first(self, report: Report) -> None:
        """Print the report of this rank if no other rank has printed one."""
        if _within(ANSWER_SEC, lambda: self.store.add("count", 1), 1) == 1:
            print(f"error: {report[1]}", file=sys.stderr)

    def silent_ranks(self) -> list[int]:
        """Return the ranks that do not give up waiting as this one does: those that hang."""
        _within(ANSWER_SEC, lambda: self.store.set(f"waited/{self.rank}", ""), None)
        time.sleep(GATHER_SEC)
        return _within(ANSWER_SEC, self._not_waiting, [])

    def _not_waiting(self) -> list[int]:
        return [rank for rank in range(self.size) if not self.store.check([f"waited/{rank}"])]


def _within(seconds: float, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Return the answer of a store, or `otherwise` if there is none: the process of the store hangs or has ended."""
    answers: list[Answer] = []

    def call() -> None:
        with suppress(RuntimeError):  # the store ended with its process
            answers.append(ask())

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else otherwise


class ErrorReport(AbstractContextManager):
    """Sends the error of this process, and exits at once without waiting for the other ranks.

    The other ranks then fail too, because they lose a peer. They report that later, so that the cause comes first.
    """

    def __init__(self, send: Callable[[Report], object], failures: Failures):
        self._send, self._failures = send, failures

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            traceback.clear_frames(trace)  # releases loaders, which end their workers
            raise SystemExit(getattr(error, "code", INTERRUPTED)) from None
        is_mistake = isinstance(error, (UserError, OSError))
        with handled(lambda number, frame: None):  # torchrun may end its ranks before the report is complete
            self._send((is_mistake, self._message(error, is_mistake)[-MAX_MESSAGE:]))
        logging.shutdown()
        sys.stderr.flush()
        os._exit(2 if is_mistake else 1)

    def _message(self, error: BaseException, is_mistake: bool) -> str:
        rank = self._failures.rank
        if is_mistake:
            return user_message(error)
        if is_timeout(error):
            return _of_timeout(rank, self._failures.silent_ranks())
        if is_lost_connection(error):
            time.sleep(1)
            return f"rank {rank} lost the connection to another rank, which ended or cannot be reached. {INTACT}"
        return f"rank {rank} failed:\n{''.join(traceback.format_exception(error))}"


def _of_timeout(rank: int, silent: list[int]) -> str:
    who = f"rank {', '.join(map(str, silent))}" if silent else "another rank"
    return (
        f"rank {rank} waited for {who}, which did not answer within DIST_TIMEOUT_MIN: its process or its machine hangs "
        f"or has stopped, or it needs longer and DIST_TIMEOUT_MIN is too short. {INTACT}"
    )
