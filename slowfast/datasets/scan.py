"""Checking the videos of lists and data sets before training, and building their index."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from functools import partial

from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.files import one_line, stamp_of, walk_videos
from slowfast.datasets.frame_media import ImageLists
from slowfast.datasets.interfaces import Medium
from slowfast.datasets.lists.rows import Format, Labels, read_rows, video_paths
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.video import (
    DEFAULT_LIMITS,
    Examined,
    IndexFile,
    IndexWriter,
    Limits,
    examine_video,
    open_index,
)
from slowfast.errors import UserError

PLAIN_OR_BARE = Format(labels=Labels.ANY)


class Videos:
    """The videos of several media, one after the other, each once. `folder`: of their lists, and of their index."""

    def __init__(self, media: Sequence[Medium], limits: Limits, folder: str):
        self._media = media
        self._limits = limits
        self.folder = folder
        self._indexed: IndexFile | None = None
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

    def check(self, place: int) -> Examined:
        number, video = self._places[place]
        return Examined(self._media[number].check(video, self._limits))

    def resumed(self) -> "Videos":
        """Return the same videos, of which `examine` leaves out those that are in the index and have not changed."""
        videos = copy(self)
        videos._indexed = open_index(self.folder)
        return videos

    def examine(self, place: int) -> Examined:
        """Check a video, and prove what its index needs, if it is a file."""
        path = self.path_of(place)
        if not isinstance(self._media[self._places[place][0]], VideoFiles):
            return self.check(place)
        if self._indexed and self._indexed.find(path, stamp_of(path)):
            return Examined("")
        return examine_video(path, self._limits)


def _first_file(medium: Medium, video: int) -> str:
    """Return a file that no other video has; the images of several videos may be in one folder."""
    return medium.image_paths(video, [0])[0] if isinstance(medium, ImageLists) else medium.path_of(video)


def videos_of_list(
    source: str, separator: str = " ", prefix: str = "", skip_rows: int = 0, limits: Limits = DEFAULT_LIMITS
) -> Videos:
    """Return the video files of a list (with lines `path label` or `path`), or of a folder."""
    files = VideoFiles(listed_paths(source, Format(separator, skip_rows, Labels.ANY), prefix))
    return Videos([files], limits, source if os.path.isdir(source) else os.path.dirname(source) or ".")


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
    limits = Limits(cfg.DATA.MAX_DECODE_SEC, cfg.DATA.MAX_PIXELS)
    return Videos(media_of_config(cfg, splits), limits, cfg.DATA.PATH_TO_DATA_DIR or ".")


def media_of_config(cfg: CfgNode, splits: Iterable[str]) -> list[Medium]:
    """Return the media of a config's data sets, one for each split."""
    names = ((cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET, split) for split in splits)
    return [build_dataset(name, cfg, split).media for name, split in names]


def scan(videos: Videos, workers: int = 1, index: IndexWriter | None = None) -> Iterator[tuple[str, str]]:
    """Decode every video, and yield (path, error); the error is empty where nothing is wrong.

    What has been proven of a video is added to `index`.
    """
    found = _map(Videos.check if index is None else Videos.examine, videos, workers)
    for place, examined in enumerate(found):
        path = videos.path_of(place)
        if index is not None and examined.video:
            index.add(path, examined.stamp, examined.video)
        yield path, examined.error


def _map(examine: Callable[[Videos, int], Examined], videos: Videos, workers: int) -> Iterator[Examined]:
    """Examine all videos in processes, and yield what was found in order."""
    places = range(len(videos))
    if workers <= 1:
        yield from (examine(videos, place) for place in places)
        return
    with ProcessPoolExecutor(workers, initializer=_keep, initargs=(videos,)) as pool:
        yield from pool.map(partial(_examine_kept, examine), places, chunksize=4)


_kept: list[Videos] = []  # of a worker process: sent once, rather than with every task


def _keep(videos: Videos) -> None:
    _kept[:] = [videos]


def _examine_kept(examine: Callable[[Videos, int], Examined], place: int) -> Examined:
    return examine(_kept[0], place)


def write_report(path: str, bad: list[tuple[str, str]]) -> None:
    """Write `path,error` lines: the same report as that of training."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "error"), *(map(one_line, row) for row in bad)])
