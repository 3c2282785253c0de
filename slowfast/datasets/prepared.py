"""Reading a store of prepared videos: copies of video files in a few small sizes, which `prepare.py` writes.

A store is a folder with a file INDEX, of one line for each source file, and the copies. Frame i of a copy shows frame i
of its source, turned upright; the number of frames, their rate and their size are those of the source and come from the
index. So clips are drawn as from the source, and only then the copy is opened that suits the size of the clip.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from slowfast.datasets.files import Stamp, one_line, stamp_of
from slowfast.datasets.ladder import MAX_LEVELS
from slowfast.datasets.spatial import Window
from slowfast.datasets.video import VideoError, open_index
from slowfast.errors import UserError

logger = logging.getLogger(__name__)

INDEX = "index.jsonl"
RECORD = np.dtype(
    [("num_frames", "i8"), ("fps", "f8"), ("height", "i4"), ("width", "i4"), ("levels", "i4", MAX_LEVELS)]
)


class VideoFile(Protocol):
    """What a data set needs of an open video file: a part of `video.Video`."""

    @property
    def num_frames(self) -> int: ...

    @property
    def fps(self) -> float: ...

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def read(self, indices: Sequence[int], resize: tuple[int, int], window: Window) -> np.ndarray:
        """Return a window of frames by index, resized to (width, height): see `video.Video.read`."""


OpenFile = Callable[..., AbstractContextManager[VideoFile]]  # by its path: a part of `video.open_video`


@dataclass(frozen=True)
class Entry:
    """A line of the index.

    Attributes:
        path: of the source, absolute.
        stamp: of the source when it was prepared.
        num_frames, fps, height, width: of the source, as `video.Video` gives them.
        levels: the short sides of the copies in px, in ascending order.
        num_bytes: of all copies.
    """

    path: str
    stamp: Stamp
    num_frames: int
    fps: float
    height: int
    width: int
    levels: list[int]
    num_bytes: int

    def record(self) -> tuple:
        levels = [*self.levels, *[0] * (MAX_LEVELS - len(self.levels))]
        return self.num_frames, self.fps, self.height, self.width, levels


def read_index(folder: str) -> Iterator[Entry]:
    """Yield the entries of a store. A later one of the same source replaces an earlier one."""
    path = os.path.join(folder, INDEX)
    if not os.path.isfile(path):
        raise UserError(
            f"{folder!r} is not a store of prepared videos, as it has no {INDEX}: use the OUT of `slowfast prepare`"
        )
    with open(path, encoding="ascii") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return  # its writing was interrupted
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise UserError(f"{path}, line {number}: not an entry of this version ({error})") from error


def copy_path(folder: str, source: str, level: int) -> str:
    """Return the path of a copy of a source, whose path is absolute."""
    name = hashlib.sha1(source.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return os.path.join(folder, name[:2], f"{name}_{level}.mp4")


class Store:
    """The part of a store that belongs to a list of videos, in arrays that worker processes share.

    Videos that the store does not have, or whose files have changed since they were prepared, are counted in a warning
    and read from their own files.

    Args:
        folder: of the store.
        paths: of the videos' own files.
    """

    def __init__(self, folder: str, paths: Iterable[str]):
        self._folder, self._index = folder, open_index(folder)
        rows: dict[str, int] = {}
        self._rows = np.array([rows.setdefault(os.path.abspath(path), len(rows)) for path in paths], np.int64)
        self._records = np.zeros(len(rows), RECORD)
        changed: set[str] = set()
        for entry in read_index(folder):
            row = rows.get(entry.path)
            if row is not None:
                is_current = stamp_of(entry.path) == entry.stamp
                self._records[row] = entry.record() if is_current else np.zeros((), RECORD)
                (changed.discard if is_current else changed.add)(entry.path)
        self._warn_of_gaps([path for path, row in rows.items() if not self._records["num_frames"][row]], changed)

    def _warn_of_gaps(self, without: list[str], changed: set[str]) -> None:
        if without:
            logger.warning(
                "DATA.PREPARED_DIR: %d of %d videos are read from their own files: %d are not in %s, %d have changed "
                "since they were prepared; the first is %s",
                *(len(without), len(self._records), len(without) - len(changed), self._folder, len(changed)),
                one_line(without[0]),
            )

    def open(
        self, video: int, path: str, open_source: OpenFile, open_copy: OpenFile
    ) -> AbstractContextManager[VideoFile]:
        """Open a video by its number in the list and the path of its own file. Raises VideoError.

        `open_source` opens its own file, `open_copy` a copy of the store.
        """
        record = self._records[self._rows[video]]
        if record["num_frames"] == 0:
            return open_source(path)
        return nullcontext(
            PreparedVideo(self._folder, path, record, open_source, partial(open_copy, index=self._index))
        )


class PreparedVideo:
    """A video with copies in a store. Nothing is open between two reads."""

    def __init__(self, folder: str, path: str, record: np.void, open_source: OpenFile, open_copy: OpenFile):
        self._folder, self._path, self._open_source, self._open_copy = folder, path, open_source, open_copy
        self.num_frames, self.fps = int(record["num_frames"]), float(record["fps"])
        self.height, self.width = int(record["height"]), int(record["width"])
        self._levels = [level for level in record["levels"].tolist() if level]

    def read(self, indices: Sequence[int], resize: tuple[int, int], window: Window) -> np.ndarray:
        """See `VideoFile.read`. A copy that cannot be read is reported once, and the source is read instead."""
        level = self._level_for(min(resize))
        if level is not None:
            copy = copy_path(self._folder, os.path.abspath(self._path), level)
            try:
                return self._read(self._open_copy(copy), indices, resize, window)
            except VideoError as error:
                _warn_of_damage(self._folder, f"{copy}: {error}")
        return self._read(self._open_source(self._path), indices, resize, window)

    def _level_for(self, short_side: int) -> int | None:
        """Return the smallest level that is large enough, or as large as the source; None: there is none."""
        own = min(self.height, self.width)
        return next((level for level in self._levels if level >= min(short_side, own)), None)

    def _read(
        self, file: AbstractContextManager[VideoFile], indices: Sequence[int], resize: tuple[int, int], window: Window
    ) -> np.ndarray:
        with file as video:
            if video.num_frames != self.num_frames:
                raise VideoError(f"it has {video.num_frames} frames, and {self.num_frames} in the index of its store")
            return video.read(indices, resize, window)


_damaged: set[str] = set()  # stores that this process has warned of


def _warn_of_damage(folder: str, problem: str) -> None:
    if folder not in _damaged:
        _damaged.add(folder)
        logger.warning(
            "DATA.PREPARED_DIR: a prepared video cannot be read, and its own file is read instead. %s. "
            "Run `slowfast prepare` again; more of them are not reported",
            one_line(problem),
        )
