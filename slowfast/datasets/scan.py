"""Checking the videos of lists and data sets before training."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.files import one_line, walk_videos
from slowfast.datasets.frame_media import ImageLists
from slowfast.datasets.interfaces import Medium
from slowfast.datasets.lists.rows import Format, Labels, read_rows, video_paths
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.video import DEFAULT_LIMITS, Limits
from slowfast.errors import UserError

PLAIN_OR_BARE = Format(labels=Labels.ANY)


class Videos:
    """The videos of several media, one after the other, each once."""

    def __init__(self, media: Sequence[Medium], limits: Limits):
        self._media = media
        self._limits = limits
        places: dict[str, tuple[int, int]] = {}
        for number, medium in enumerate(media):
            for video in range(len(medium)):
                places.setdefault(_first_file(medium, video), (number, video))
        self._places = list(places.values())

    def __len__(self) -> int:
        return len(self._places)

    def path_of(self, place: int) -> str:
        number, video = self._places[place]
        return self._media[number].path_of(video)

    def check(self, place: int) -> str:
        number, video = self._places[place]
        return self._media[number].check(video, self._limits)


def _first_file(medium: Medium, video: int) -> str:
    """Return a file that no other video has; the images of several videos may be in one folder."""
    return medium.image_paths(video, [0])[0] if isinstance(medium, ImageLists) else medium.path_of(video)


def videos_of_list(
    source: str, separator: str = " ", prefix: str = "", skip_rows: int = 0, limits: Limits = DEFAULT_LIMITS
) -> Videos:
    """Return the video files of a list (with lines `path label` or `path`), or of a folder."""
    return Videos([VideoFiles(listed_paths(source, Format(separator, skip_rows, Labels.ANY), prefix))], limits)


def listed_paths(source: str, form: Format = PLAIN_OR_BARE, prefix: str = "") -> Iterable[str]:
    """Return the paths of a list in its order, or of the video files in a folder. Raises UserError for none."""
    if os.path.isdir(source):
        paths = walk_videos(source)
        if not paths:
            raise UserError(f"the folder {source} has no video files")
        return paths
    return video_paths(read_rows(source, form), prefix, os.path.dirname(source))


def videos_of_config(cfg: CfgNode, splits: Iterable[str]) -> Videos:
    """Return the videos of a config's data sets: files or lists of images."""
    return Videos(media_of_config(cfg, splits), Limits(cfg.DATA.MAX_DECODE_SEC, cfg.DATA.MAX_PIXELS))


def media_of_config(cfg: CfgNode, splits: Iterable[str]) -> list[Medium]:
    """Return the media of a config's data sets, one for each split."""
    names = ((cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET, split) for split in splits)
    return [build_dataset(name, cfg, split).media for name, split in names]


def scan(videos: Videos, workers: int = 1) -> Iterator[tuple[str, str]]:
    """Decode every video, and yield (path, error); the error is empty where nothing is wrong."""
    places = range(len(videos))
    if workers <= 1:
        yield from ((videos.path_of(place), videos.check(place)) for place in places)
        return
    with ProcessPoolExecutor(workers, initializer=_keep, initargs=(videos,)) as pool:
        errors = pool.map(_check_kept, places, chunksize=4)
        yield from ((videos.path_of(place), error) for place, error in zip(places, errors, strict=True))


_kept: list[Videos] = []  # of a worker process: sent once, rather than with every task


def _keep(videos: Videos) -> None:
    _kept[:] = [videos]


def _check_kept(place: int) -> str:
    return _kept[0].check(place)


def write_report(path: str, bad: list[tuple[str, str]]) -> None:
    """Write `path,error` lines: the same report as that of training."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "error"), *(map(one_line, row) for row in bad)])
