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
    """Append lines `path<TAB>error` to `output_dir`/bad_videos.csv, which has each path once (rank 0 only).

    Those that are new are logged.
    """
    new = _append(output_dir, lines) if lines and is_master() else []
    if new:
        videos = "1 video" if len(new) == 1 else f"{len(new)} videos"
        path = Path(output_dir) / BAD_VIDEOS
        logger.warning("%s could not be decoded, replaced or left out: %s; see %s", videos, _first(new), path)


def _append(output_dir: str | Path, lines: Sequence[str]) -> list[str]:
    """Append the lines whose path is not in the file yet, the first of each path, and return them."""
    path = Path(output_dir) / BAD_VIDEOS
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = _listed(path)
    first: dict[str, str] = {}
    for line in lines:
        first.setdefault(line.partition("\t")[0], line)
    new = [line for name, line in first.items() if name not in listed]
    with open(path, "a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*([] if listed else [HEADER]), *(line.split("\t", 1) for line in new)])
    return new


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
        _append(cfg.OUTPUT_DIR, lines)
        path = Path(cfg.OUTPUT_DIR) / BAD_VIDEOS
        logger.warning("%s cannot be read and will be left out: %s; see %s", count, _first(lines), path)
    return dataset


def _first(bad: Sequence[str]) -> str:
    named = [line.replace("\t", ": ") for line in bad[:NAMED]]
    return "; ".join([*named, "..."] if len(bad) > NAMED else named)


def _listed(path: Path) -> set[str]:
    """Return the first column of a file of bad videos, with its header; empty where there is no file."""
    if not path.exists():
        return set()
    with open(path, newline="", encoding="utf-8") as file:
        return {row[0] for row in csv.reader(file) if row}
