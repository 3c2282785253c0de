"""Logs of a run: the terminal, OUTPUT_DIR/stdout.log, and json lines in OUTPUT_DIR/json_stats.log."""

import logging
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Protocol, TextIO, TypeVar

import simplejson

from slowfast.errors import errors_name_output
from slowfast.utils.distributed import is_master
from slowfast.utils.json_log import append_record

try:
    from tqdm import tqdm
except ImportError:  # it is optional
    tqdm = None  # type: ignore[assignment, misc]
else:
    tqdm.set_lock(threading.RLock())  # no lock shared with workers: a killed one would leave it locked

LINE = "[%(asctime)s][%(levelname)s] %(message)s"
TIME = "%m/%d %H:%M:%S"
JSON_PREFIX = "json_stats: "
COLUMNS = 100  # of a line on a terminal
PROGRESS_LINES = 20  # of a command without a terminal

logger = logging.getLogger(__name__)
Item = TypeVar("Item")


class TerminalHandler(logging.StreamHandler):
    """Writes lines above the progress bar, if there is one.

    On a terminal it wraps long lines, and leaves out json lines.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        is_json = str(record.msg).startswith(JSON_PREFIX)
        return bool(super().filter(record)) and not (is_json and sys.stdout.isatty())

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).encode(errors="backslashreplace").decode()  # paths need not be UTF-8
        return wrapped(text, sys.stdout)

    def emit(self, record: logging.LogRecord) -> None:
        if tqdm is None:
            return super().emit(record)
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def wrapped(text: str, stream: TextIO) -> str:
    """Return a text in lines of at most COLUMNS if `stream` is a terminal, without splitting words and paths."""
    if not stream.isatty():
        return text
    lines = text.split("\n")
    return "\n".join(_wrapped_line(line) if len(line) > COLUMNS else line for line in lines)


def _wrapped_line(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(
        *(line, COLUMNS), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, expand_tabs=False
    )


def setup_logging(output_dir: str | Path | None = None) -> None:
    """Send the package's messages to the terminal and to `output_dir`/stdout.log. Only rank 0 logs.

    Debug messages, such as the config, go to the file only. Messages from before there is a file are kept for it.
    """
    package = logging.getLogger("slowfast")
    early = next((h for h in package.handlers if isinstance(h, MemoryHandler)), None) or _memory()
    for handler in package.handlers[:]:
        package.removeHandler(handler)
        handler.close()
    package.setLevel(logging.DEBUG)
    package.propagate = False
    if not is_master():
        package.addHandler(logging.NullHandler())
        return
    handlers: list[logging.Handler] = [TerminalHandler(sys.stdout)]
    handlers[0].setLevel(logging.INFO)
    handlers.append(_log_file(Path(output_dir)) if output_dir else early)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(LINE, TIME))
        package.addHandler(handler)
    if output_dir:
        early.setTarget(handlers[-1])
        early.close()


def get_logger(name: str) -> logging.Logger:
    """Return the logger `name`, as one of the package's, so that `setup_logging` shows its messages."""
    return logging.getLogger(name if name.split(".")[0] == "slowfast" else f"slowfast.{name}")


@contextmanager
def quiet(name: str = "slowfast") -> Iterator[None]:
    """Log nothing below errors of the package `name` inside this context."""
    package = logging.getLogger(name)
    level = package.level
    package.setLevel(logging.ERROR)
    try:
        yield
    finally:
        package.setLevel(level)


def _memory() -> MemoryHandler:
    return MemoryHandler(sys.maxsize, flushLevel=sys.maxsize)


def _log_file(output_dir: Path) -> logging.FileHandler:
    with errors_name_output(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(output_dir / "stdout.log", encoding="utf-8", errors="backslashreplace")


def log_json_stats(stats: dict, output_dir: str | Path | None = None) -> None:
    """Log `json_stats: {...}` and append the json to `output_dir`/json_stats.log (rank 0 only)."""
    if not is_master():
        return
    text = simplejson.dumps(stats, ignore_nan=True)
    logger.info(JSON_PREFIX + "%s", text)
    if output_dir:
        append_record(output_dir, text)


class ProgressBar(Protocol):
    """The methods of a progress bar that the package uses."""

    def update(self, n: int = 1) -> object: ...

    def set_postfix_str(self, s: str) -> None: ...

    def close(self) -> None: ...


def progress_bar(total: int, done: int = 0, unit: str = "it") -> ProgressBar:
    """Return a progress bar. It is visible only on a terminal, and on rank 0."""
    if tqdm is None:
        return _NoBar()
    is_shown = is_master() and sys.stderr.isatty()
    return tqdm(total=total, initial=done, unit=unit, dynamic_ncols=True, disable=not is_shown)


def with_bar(items: Iterable[Item], total: int, unit: str = "it", done: int = 0) -> Iterator[Item]:
    """Yield `items` with a progress bar, which counts each when the next one is asked for."""
    bar = progress_bar(total, done, unit)
    for item in items:
        yield item
        bar.update()
    bar.close()


def is_progress_due(done: int, total: int) -> bool:
    """Return whether a line of progress is to be printed after `done` items: PROGRESS_LINES times, without a bar."""
    lines_before, lines = ((count * PROGRESS_LINES) // total for count in (done - 1, done))
    return lines > lines_before and not sys.stderr.isatty()


class _NoBar:
    """Takes the place of a bar if tqdm is not installed."""

    def update(self, n: int = 1) -> None:
        """Show nothing."""

    def set_postfix_str(self, s: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""
