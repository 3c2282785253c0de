"""Checking the headers of videos, before time is spent on a training or a test."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slowfast.datasets.files import Stamp, stamp_of
from slowfast.datasets.interfaces import Medium
from slowfast.datasets.video import Limits
from slowfast.utils.distributed import all_gather_lists, get_rank, get_world_size, is_master
from slowfast.utils.logging import with_bar

Checked = tuple[int, str, Stamp, str]  # number of the video, its path, its stamp and the error


def bad_headers(medium: Medium, limits: Limits, workers: int, cache: Path) -> dict[int, str]:
    """Return the error of each video whose header cannot be read, by its number. All ranks call this together.

    Each rank checks a share of the videos in threads. Good files are kept in `cache`, by size and time of
    modification, and are not opened again; bad ones are, since they may have been repaired.
    """
    known = _read_cache(cache)

    def check(video: int) -> Checked:
        path = medium.path_of(video)
        stamp = stamp_of(path)
        is_known = bool(stamp) and known.get(path) == stamp
        return video, path, stamp, "" if is_known else medium.check_header(video, limits)

    share = range(get_rank(), len(medium), get_world_size())
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        checked = all_gather_lists(with_bar(pool.map(check, share), len(share), "header"))
    good = {path: stamp for _, path, stamp, error in checked if stamp and not error}
    if is_master() and not good.items() <= known.items():
        _write_cache(cache, known | good)
    return {video: error for video, _, _, error in sorted(checked) if error}


def _read_cache(cache: Path) -> dict[str, Stamp]:
    """Return the stamps of the good files by path; none where there is no cache or it is damaged."""
    try:
        content = json.loads(cache.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_cache(cache: Path, stamps: dict[str, Stamp]) -> None:
    """Replace the cache at once: of two runs the later one stays, and each is complete."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    aside = cache.with_name(f"{cache.name}.{os.getpid()}")
    aside.write_text(json.dumps(stamps), encoding="ascii")
    aside.replace(cache)
