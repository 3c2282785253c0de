"""Videos that cannot be read: listed in OUTPUT_DIR/bad_videos.csv, and left out of evaluations."""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slowfast.config.node import CfgNode
from slowfast.datasets.base import VideoDataset
from slowfast.datasets.files import one_line
from slowfast.datasets.headers import bad_headers
from slowfast.errors import UserError, errors_name_output
from slowfast.utils.distributed import is_master

logger = logging.getLogger(__name__)

BAD_VIDEOS = "bad_videos.csv"
HEADER = ("path", "error")
CHECKED_HEADERS = "checked_headers.json"  # in OUTPUT_DIR
NAMED = 3  # bad videos that a message names
FIX = "Check DATA.PATH_PREFIX; repair the files or remove them from the list. `slowfast check` lists all"


def append_bad_videos(output_dir: str | Path, lines: Sequence[str]) -> None:
    """Append lines `path<TAB>error` to `output_dir`/bad_videos.csv, which has each once (rank 0 only)."""
    if lines and is_master():
        path = _append(output_dir, lines)
        logger.warning("%d clips could not be decoded and were replaced or left out: see %s", len(lines), path)


def _append(output_dir: str | Path, lines: Sequence[str]) -> Path:
    path = Path(output_dir) / BAD_VIDEOS
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = _listed(path)
    rows = dict.fromkeys(tuple(line.split("\t", 1)) for line in lines)
    with open(path, "a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(row for row in [HEADER, *rows] if row not in listed)
    return path


def with_checked_headers(dataset: Any, cfg: CfgNode) -> Any:
    """Return a validation or test set after its headers were read: videos that evaluations will leave out are listed.

    Raises UserError where no header can be read, and with TEST.SKIP_BAD_VIDEOS False for the first bad one. A data set
    of the user's own kind has no headers to check.
    """
    if not isinstance(dataset, VideoDataset):
        return dataset
    cache = Path(cfg.OUTPUT_DIR) / CHECKED_HEADERS
    with errors_name_output(cfg.OUTPUT_DIR):
        errors = bad_headers(dataset.media, dataset.limits, cfg.DATA_LOADER.NUM_WORKERS, cache)
    lines = [f"{one_line(dataset.path_of(video))}\t{one_line(error)}" for video, error in errors.items()]
    count = f"{len(lines)} of {len(dataset)} videos of {dataset.split}"
    if lines and (len(lines) == len(dataset) or not cfg.TEST.SKIP_BAD_VIDEOS):
        why = "" if cfg.TEST.SKIP_BAD_VIDEOS else ", and TEST.SKIP_BAD_VIDEOS is False"
        raise UserError(f"{count} cannot be read{why}: {_first(lines)}. {FIX}")
    if lines and is_master():
        path = _append(cfg.OUTPUT_DIR, lines)
        logger.warning("%s cannot be read and will be left out: %s; see %s", count, _first(lines), path)
    return dataset


def _first(bad: Sequence[str]) -> str:
    named = [line.replace("\t", ": ") for line in bad[:NAMED]]
    return "; ".join([*named, "..."] if len(bad) > NAMED else named)


def _listed(path: Path) -> set[tuple[str, ...]]:
    """Return the rows of a file of bad videos, with its header; none where there is no file."""
    if not path.exists():
        return set()
    with open(path, newline="", encoding="utf-8") as file:
        return {tuple(row) for row in csv.reader(file)}
