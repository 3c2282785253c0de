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
from slowfast.errors import UserError
from slowfast.utils.distributed import is_master

logger = logging.getLogger(__name__)

BAD_VIDEOS = "bad_videos.csv"
CHECKED_HEADERS = "checked_headers.json"  # in OUTPUT_DIR
NAMED = 3  # bad videos that a message names
FIX = f"Check DATA.PATH_PREFIX; repair the files or remove them from the list. All are in {BAD_VIDEOS} in OUTPUT_DIR"


def append_bad_videos(output_dir: str | Path, lines: Sequence[str]) -> None:
    """Append lines `path<TAB>error` to `output_dir`/bad_videos.csv (rank 0 only). A new file gets a header."""
    if not lines or not is_master():
        return
    path = Path(output_dir) / BAD_VIDEOS
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "error")] if is_new else [])
        writer.writerows(line.split("\t", 1) for line in lines)
    logger.warning("%d clips could not be decoded and were replaced or left out: see %s", len(lines), path)


def without_bad_headers(dataset: Any, cfg: CfgNode) -> Any:
    """Return a validation or test set without the videos whose headers cannot be read, which are listed.

    Raises UserError where none is left, and with TEST.SKIP_BAD_VIDEOS False for the first one. A data set of the user's
    own kind has no headers to check.
    """
    if not isinstance(dataset, VideoDataset):
        return dataset
    cache = Path(cfg.OUTPUT_DIR) / CHECKED_HEADERS
    errors = bad_headers(dataset.media, dataset.limits, cfg.DATA_LOADER.NUM_WORKERS, cache)
    if not errors:
        return dataset
    lines = [f"{one_line(dataset.path_of(video))}\t{one_line(error)}" for video, error in errors.items()]
    append_bad_videos(cfg.OUTPUT_DIR, _not_listed(cfg.OUTPUT_DIR, lines))
    count = f"{len(lines)} of {len(dataset)} videos of {dataset.split}"
    if not cfg.TEST.SKIP_BAD_VIDEOS:
        raise UserError(f"{count} cannot be read, and TEST.SKIP_BAD_VIDEOS is False: {_first(lines)}. {FIX}")
    require_readable(lines, len(dataset))
    logger.warning("%s cannot be read and are left out: %s", count, _first(lines))
    return dataset.part([video for video in range(len(dataset)) if video not in errors])


def require_readable(bad: Sequence[str], total: int) -> None:
    """Raise UserError where none of the videos can be read; `bad`: lines `path<TAB>error`."""
    if total and len(bad) >= total:
        raise UserError(f"none of the {total} videos can be read: {_first(bad)}. {FIX}")


def _first(bad: Sequence[str]) -> str:
    named = [line.replace("\t", ": ") for line in bad[:NAMED]]
    return "; ".join([*named, "..."] if len(bad) > NAMED else named)


def _not_listed(output_dir: str, lines: list[str]) -> list[str]:
    """Return the lines that bad_videos.csv does not have yet: headers are checked at every start."""
    path = Path(output_dir) / BAD_VIDEOS
    if not path.exists():
        return lines
    with open(path, newline="", encoding="utf-8") as file:
        listed = {tuple(row) for row in csv.reader(file)}
    return [line for line in lines if tuple(line.split("\t", 1)) not in listed]
