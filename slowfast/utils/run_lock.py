"""A lock on OUTPUT_DIR, so that two runs do not write to the same folder."""

import errno
import fcntl
import functools
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from slowfast.config.node import CfgNode
from slowfast.errors import UserError, errors_name_output
from slowfast.utils.distributed import is_master

logger = logging.getLogger(__name__)

NAME = ".lock"
Result = TypeVar("Result")


def holds_output_dir(job: Callable[[CfgNode], Result]) -> Callable[[CfgNode], Result]:
    """Let `job(cfg)` hold OUTPUT_DIR, in rank 0. It writes there until it ends, even if its launcher has died."""

    @functools.wraps(job)
    def locked(cfg: CfgNode) -> Result:
        with run_lock(cfg.OUTPUT_DIR) if is_master() else nullcontext():
            return job(cfg)

    return locked


@contextmanager
def run_lock(output_dir: str | Path, name: str = "OUTPUT_DIR") -> Iterator[None]:
    """Hold `output_dir` for this process; errors call it `name`. Raise UserError if another process holds it.

    The system releases the lock when the process ends, however it ends. It is a POSIX record lock, which holds between
    machines too on NFS 4, on NFS 3 with its lock service, on Lustre mounted with `flock`, and on GPFS. Where a file
    system has no locks, a warning is logged.
    """
    with _open(Path(output_dir), name) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise UserError(
                    f"{name}: {str(output_dir)!r} is in use by another run ({file.read().strip()}); "
                    "use another folder, or wait until that run ends"
                ) from None
            logger.warning("%s: %s cannot be locked against a second run (%s)", name, output_dir, error.strerror)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield


def _open(output_dir: Path, name: str):
    with errors_name_output(output_dir, name):
        output_dir.mkdir(parents=True, exist_ok=True)
        return open(output_dir / NAME, "a+", encoding="utf-8")
