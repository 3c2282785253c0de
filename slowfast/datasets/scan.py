"""Looking through the video files of a list ahead of time."""

import csv
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from slowfast.datasets.build import build_dataset
from slowfast.datasets.lists import read_lines
from slowfast.datasets.media import VideoFiles, is_video
from slowfast.datasets.video import check_video


def listed_videos(source: str, separator: str = " ", prefix: str = "") -> list[str]:
    """The video files that a list names (`path label` or `path` a line), or that are in a folder; each once."""
    if os.path.isdir(source):
        walk = os.walk(source, followlinks=True)
        paths = sorted(os.path.join(folder, name) for folder, _, names in walk for name in names if is_video(name))
        if not paths:
            raise ValueError(f"the folder {source} has no video files")
        return paths
    paths = (_path_of(line, separator) for line, _ in read_lines(source))
    return list(dict.fromkeys(os.path.join(prefix, path) for path in paths))


def _path_of(line: str, separator: str) -> str:
    return (line.rpartition(separator)[0] or line).strip()


def videos_of_config(cfg, splits: Iterable[str]) -> list[str]:
    """The video files of a config's data sets, each once."""
    paths: dict[str, None] = {}
    for split in splits:
        media = build_dataset(cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET, cfg, split).media
        if not isinstance(media, VideoFiles):
            raise ValueError(f"TRAIN.DATASET {cfg.TRAIN.DATASET} with split {split!r} reads images, not video files")
        paths.update((media.path_of(video), None) for video in range(len(media)))
    return list(paths)


def scan(paths: list[str], workers: int = 1) -> Iterator[tuple[str, str]]:
    """(path, error) of every file, decoded whole; the error is empty where nothing is wrong."""
    if workers <= 1:
        yield from ((path, check_video(path)) for path in paths)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from zip(paths, pool.map(check_video, paths, chunksize=4), strict=True)


def write_report(path: str, bad: list[tuple[str, str]]) -> None:
    """The report that training writes, too: `path,error` lines."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "error"), *bad])
