"""Start the processes of this machine, pass on requests to stop, report the first error, and end them all."""

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

import torch.multiprocessing as mp

from slowfast.errors import UserError
from slowfast.utils.failures import INTACT, RankError
from slowfast.utils.stop import EXIT_CODES, INTERRUPTED, REQUEUE, Interrupted, handled, print_now

GRACE_SEC = 120.0  # from a request to stop until the processes are ended
END_SEC = 4.0  # from the failure of a process until the others are ended


def supervise(work: Callable, args: tuple, count: int) -> None:
    """Run `work(local_rank, sender, *args)` in `count` processes. Raise the first error among them."""
    receiver, sender = mp.get_context("spawn").Pipe(duplex=False)
    with _Requests() as requests:
        signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)  # processes that start keep requests until they can answer
        processes = mp.spawn(work, (sender, *args), nprocs=count, join=False).processes
        requests.processes = processes
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)
        while not any(process.exitcode for process in processes) and _wait(processes, 0.5):
            requests.check_time()
        if any(process.exitcode for process in processes):
            codes = _end(processes, requests)
            _raise_first(codes, receiver, requests.code)


class _Requests(AbstractContextManager):
    """Counts requests to stop. The first is passed on to the processes; the second, or time, ends them."""

    def __init__(self) -> None:
        self.processes: list[BaseProcess] = []
        self.code = 0
        self._deadline = float("inf")

    def __enter__(self) -> "_Requests":
        self._handlers = handled(self._ask)
        self._handlers.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._handlers.__exit__(None, None, None)

    def check_time(self) -> None:
        """End the processes if the first request is too old."""
        if time.monotonic() > self._deadline:
            self._kill(f"the processes have not stopped within {GRACE_SEC:g} s")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.code:
            return self._kill(f"a second request to stop ({name})")
        self.code, self._deadline = EXIT_CODES[signal.Signals(number)], time.monotonic() + GRACE_SEC
        print_now(
            f"{name}: asking {len(self.processes)} processes to save and stop; a second request ends them at once"
        )
        for process in self.processes:
            process.terminate()

    def _kill(self, reason: str) -> None:
        self._deadline = float("inf")
        print_now(f"{reason}: ending them; earlier checkpoints are intact")
        for process in self.processes:
            process.kill()


def _wait(processes: list[BaseProcess], seconds: float) -> bool:
    """Wait until a process ends, at most some time. Return False if none runs."""
    running = [process.sentinel for process in processes if process.exitcode is None]
    wait(running, timeout=seconds)
    return bool(running)


def _end(processes: list[BaseProcess], requests: _Requests) -> list[int | None]:
    """Let the processes end by themselves, then end them. Return the exit codes of those that ended by themselves."""
    deadline = time.monotonic() + END_SEC
    while (requests.code or time.monotonic() < deadline) and _wait(processes, 0.2):
        requests.check_time()
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return codes


def _raise_first(codes: list[int | None], receiver: Connection, requested: int) -> None:
    """Raise the reason why processes ended with `codes`: a request, a signal, or the first error that one reported."""
    if requested:
        raise Interrupted("the processes have stopped on request", requested)
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", often a sign that the machine ran out of memory" if name == "SIGKILL" else ""
            raise RankError(f"rank {rank} was ended by {name}{hint}. {INTACT}")
    if receiver.poll():
        is_mistake, text = receiver.recv()
        raise (UserError if is_mistake else RankError)(text)
    if stopped := [code for code in codes if code in (INTERRUPTED, REQUEUE)]:
        raise SystemExit(max(stopped))
    raise RankError(f"a process ended without reporting an error: exit codes {codes}. {INTACT}")
