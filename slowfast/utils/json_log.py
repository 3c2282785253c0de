"""The records of a run, OUTPUT_DIR/json_stats.log: one JSON object on each line.

A program that is killed may leave an incomplete last line. Readers leave it out, and the next record starts a new line.
"""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

JSON_LOG = "json_stats.log"


def append_record(output_dir: str | Path, text: str) -> None:
    """Append a JSON object to the log."""
    with open(Path(output_dir) / JSON_LOG, "ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            text = text if file.read() == b"\n" else "\n" + text
        file.write(f"{text}\n".encode())


def read_json_log(output_dir: str | Path) -> list[dict]:
    """Return the records of a log, without incomplete lines."""
    return [record for _, record in _records(Path(output_dir) / JSON_LOG)]


def logged_seconds(output_dir: str | Path) -> float:
    """Return the last `seconds` in a log: those that a training has taken so far. 0 if no record has them."""
    return next((record["seconds"] for record in reversed(read_json_log(output_dir)) if "seconds" in record), 0.0)


def rewind_json_log(output_dir: str | Path, position: float, evaluation_due: bool) -> None:
    """Remove the records of a training from the exact epoch `position` on, where it resumes and repeats them.

    `evaluation_due`: the evaluation at `position` is repeated too. Incomplete lines are removed as well. The log is
    replaced by a new file, or stays as it is if nothing has to be removed.
    """
    path = Path(output_dir) / JSON_LOG
    kept = [line for line, record in _records(path) if not _is_repeated(record, position, evaluation_due)]
    content = b"".join(kept)
    if not path.exists() or content == path.read_bytes():
        return
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(content)
    os.replace(temporary, path)
    logger.info("%s: removed the records after epoch %.3f, where the training resumes", path, position)


def _is_repeated(record: dict, position: float, evaluation_due: bool) -> bool:
    kind, at, here = str(record.get("_type")), record.get("position"), round(position, 6)
    if not isinstance(at, int | float):
        return False  # of a test
    if kind == "train_iter":  # `position` is the start of the iteration
        return at >= here
    return at > here or (at == here and evaluation_due and kind.startswith("val"))


def _records(path: Path) -> Iterator[tuple[bytes, dict]]:
    """Yield each complete line of a log, and its record."""
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:  # of the syntax or of the encoding
            continue
        if isinstance(record, dict) and line.endswith(b"\n"):
            yield line, record
