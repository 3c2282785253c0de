"""The list of videos that could not be decoded, OUTPUT_DIR/bad_videos.csv."""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from slowfast.utils.distributed import is_master

logger = logging.getLogger(__name__)

BAD_VIDEOS = "bad_videos.csv"


def append_bad_videos(output_dir: str | Path, lines: Sequence[str]) -> None:
    """Append lines `path<TAB>error` to `output_dir`/bad_videos.csv (rank 0 only). A new file gets a header."""
    if not lines or not is_master():
        return
    path = Path(output_dir) / BAD_VIDEOS
    is_new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "error")] if is_new else [])
        writer.writerows(line.split("\t", 1) for line in lines)
    logger.warning("%d clips could not be decoded and were replaced or left out: see %s", len(lines), path)
