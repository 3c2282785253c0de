"""What a machine lacks when loading fails, and what to do about it."""

import atexit
import errno
import multiprocessing
import os
import re
import resource
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from slowfast.errors import UserError

OPEN_FILES = "/proc/self/fd"
FILES_PER_WORKER = 10  # of the main process: 4 pipes, and 3 tensors in each of 2 batches
SPARE_FILES = 20
TIMED_OUT = "DataLoader timed out"
FEWER = "lower DATA_LOADER.NUM_WORKERS (0: no worker processes)"
# What torch, the system or a worker reports -> what it means, and the cure. The first match counts.
CURES = {
    TIMED_OUT: (
        "the workers hang, as happens where a disk or a network does not answer, or videos take long to read: see "
        "whether `slowfast check` can read them, or raise DATA_LOADER.TIMEOUT_SEC (0: no limit)"
    ),
    r"Too many open files|ancdata": (
        f"too few files may be open at once: raise the limit with `ulimit -n 65536`, or {FEWER}"
    ),
    r"Bus error|shared memory|No space left on device.*torch_|torch_.*No space left on device": (
        "shared memory (/dev/shm) is too small for the batches of the loader: give it more, with Docker by "
        f"`--shm-size=8g` or `--ipc=host`, or {FEWER}, or lower the batch size"
    ),
    r"killed by signal: Killed|Cannot allocate memory|allocate memory": (
        "a process was killed or refused, as happens where memory is short: "
        f"{FEWER}, lower the batch size, or run on a machine with more memory"
    ),
    r"DataLoader worker .*(killed by signal|exited unexpectedly)|EOFError|ConnectionRe|BrokenPipe|pymp-": (
        "a worker crashed or was killed, as happens where memory is short. The same command resumes; if it ends again, "
        f"{FEWER}"
    ),
}


@contextmanager
def loader_errors(limit_sec: float = 0) -> Iterator[None]:
    """Raise the errors of CURES as a UserError in one line.

    Args:
        limit_sec: seconds until the workers are taken to hang and are killed; 0: no limit.
    """
    is_over = threading.Event()
    timer = threading.Timer(limit_sec or threading.TIMEOUT_MAX, _end_workers, [is_over])
    timer.daemon = True
    try:
        if limit_sec:
            timer.start()
        yield
    except (RuntimeError, OSError, EOFError) as error:
        text = f"{type(error).__name__}: {error}\n{error.__cause__ or ''}"  # the cause has the signal
        if is_over.is_set():
            text = f"{TIMED_OUT} after {limit_sec:g} seconds"
        cure = next((cure for pattern, cure in CURES.items() if re.search(pattern, text, re.DOTALL)), None)
        if cure is None:
            raise
        if is_over.is_set():
            kill_workers()
        traceback.clear_frames(error.__traceback__)  # frees the loader, which then ends its workers
        raise UserError(f"loading failed ({_last_line(text)}): {cure}") from error
    finally:
        timer.cancel()


@contextmanager
def deaths_raise() -> Iterator[None]:
    """Raise RuntimeError if a worker has died before this context or dies in it, but not where it dies afterwards.

    torch lets the death of a worker raise anywhere in the main thread, such as in the middle of writing a checkpoint.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGCHLD, _raise_if_one_died)
    try:
        _raise_if_one_died()
        yield
    finally:
        signal.signal(signal.SIGCHLD, previous if previous is not None else signal.SIG_DFL)


def _raise_if_one_died(*_: object) -> None:
    torch._C._error_if_any_worker_fails()


def _end_workers(is_over: threading.Event) -> None:
    """Kill the workers from a thread. The main thread may wait in a call that knows no time limit, and then fails."""
    is_over.set()
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


@atexit.register  # a stopped worker does not end when it is asked to, and the program would wait for it
def kill_workers() -> None:
    """Kill the workers of all loaders."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a handler would raise the death of a worker as another error
    _end_workers(threading.Event())


def require_files(workers: int) -> None:
    """Raise OSError where so many workers cannot be started: torch would fail in the middle of it."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not workers or not os.path.isdir(OPEN_FILES):
        return
    if len(os.listdir(OPEN_FILES)) + FILES_PER_WORKER * workers + SPARE_FILES > limit:
        raise OSError(errno.EMFILE, f"{os.strerror(errno.EMFILE)}: {workers} workers, and a limit of {limit}")


def _last_line(text: str) -> str:
    """Return the line that names the error: the first one, or the last one of a worker's traceback."""
    lines = text.strip().splitlines()
    return lines[-1 if "Original Traceback" in text else 0].split(". ")[0].rstrip(".")
