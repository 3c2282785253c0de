"""What a run says: on the terminal, in OUTPUT_DIR/stdout.log, and as json lines in OUTPUT_DIR/json_stats.log."""

import logging
import sys
import threading
from pathlib import Path

import simplejson

from slowfast.errors import UserError
from slowfast.utils.distributed import is_master

try:
    from tqdm import tqdm
except ImportError:  # an extra
    tqdm = None
else:
    tqdm.set_lock(threading.RLock())  # only this process draws: no lock that a killed process would leave behind

LINE = "[%(asctime)s][%(levelname)s] %(message)s"
TIME = "%m/%d %H:%M:%S"
JSON_LOG = "json_stats.log"
JSON_PREFIX = "json_stats: "

logger = logging.getLogger(__name__)


class TerminalHandler(logging.StreamHandler):
    """Writes lines above a progress bar, where there is one; json lines are for files and pipes, not for a screen."""

    def filter(self, record):
        is_json = str(record.msg).startswith(JSON_PREFIX)
        return super().filter(record) and not (is_json and sys.stdout.isatty())

    def emit(self, record):
        if tqdm is None:
            return super().emit(record)
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def setup_logging(output_dir: str | Path | None = None) -> None:
    """Send the package's messages to the terminal and to `output_dir`/stdout.log; only rank 0 speaks.

    What concerns only us, such as the traceback behind a user's error, goes to the file alone.
    """
    package = logging.getLogger("slowfast")
    for handler in package.handlers[:]:
        package.removeHandler(handler)
        handler.close()
    package.setLevel(logging.DEBUG)
    package.propagate = False
    if not is_master():
        package.addHandler(logging.NullHandler())
        return
    handlers = [TerminalHandler(sys.stdout)]
    handlers[0].setLevel(logging.INFO)
    if output_dir:
        handlers.append(_log_file(Path(output_dir)))
    for handler in handlers:
        handler.setFormatter(logging.Formatter(LINE, TIME))
        package.addHandler(handler)


def _log_file(output_dir: Path) -> logging.FileHandler:
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(output_dir / "stdout.log", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"OUTPUT_DIR is {str(output_dir)!r}, where nothing can be written ({error.strerror}): give another folder"
        ) from error


def log_json_stats(stats: dict, output_dir: str | Path | None = None) -> None:
    """Say `json_stats: {...}`, and append the same to `output_dir`/json_stats.log (rank 0 only)."""
    if not is_master():
        return
    text = simplejson.dumps(stats, ignore_nan=True)
    logger.info(JSON_PREFIX + "%s", text)
    if output_dir:
        with open(Path(output_dir) / JSON_LOG, "a", encoding="utf-8") as file:
            file.write(text + "\n")


def read_json_stats(output_dir: str | Path, kind: str | None = None) -> list[dict]:
    """The lines of `output_dir`/json_stats.log, those whose `_type` is `kind` if given."""
    lines = (Path(output_dir) / JSON_LOG).read_text(encoding="utf-8").splitlines()
    stats = [simplejson.loads(line) for line in lines]
    return [line for line in stats if kind in (None, line.get("_type"))]


def progress_bar(total: int, done: int = 0, unit: str = "it"):
    """A live bar on a terminal, with `update`, `set_postfix_str`, `close`; elsewhere and off rank 0 nothing shows."""
    shown = is_master() and sys.stderr.isatty()
    if tqdm is None:
        return _NoBar()
    return tqdm(total=total, initial=done, unit=unit, dynamic_ncols=True, disable=not shown)


class _NoBar:
    """Stands in for a bar where tqdm is not installed."""

    def update(self, count: int = 1) -> None:
        """Nothing to show."""

    def set_postfix_str(self, text: str) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to show."""
