"""A lock on OUTPUT_DIR, so that two runs do not write to the same folder."""

import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slowfast.errors import UserError, errors_name_output

logger = logging.getLogger(__name__)

NAME = ".lock"


@contextmanager
def run_lock(output_dir: str | Path) -> Iterator[None]:
    """Hold `output_dir` for this run. Raise UserError if another run holds it.

    The system releases the lock when the process ends, however it ends. It is a POSIX record lock, which holds between
    machines too on NFS 4, on NFS 3 with its lock service, on Lustre mounted with `flock`, and on GPFS. Where a file
    system has no locks, a warning is logged.
    """
    with _open(Path(output_dir)) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise UserError(
                    f"OUTPUT_DIR: {str(output_dir)!r} is in use by another run ({file.read().strip()}); "
                    "use another folder, or wait until that run ends"
                ) from None
            logger.warning("OUTPUT_DIR: %s cannot be locked against a second run (%s)", output_dir, error.strerror)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield


def _open(output_dir: Path):
    with errors_name_output(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
        return open(output_dir / NAME, "a+", encoding="utf-8")
