"""Videos stored in video files. For videos stored as images see frame_media.py; the interfaces are in interfaces.py."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from functools import partial

import numpy as np

from slowfast.datasets.interfaces import Indices, Medium
from slowfast.datasets.packed_strings import PackedStrings
from slowfast.datasets.prepared import Store, VideoFile
from slowfast.datasets.spatial import Window
from slowfast.datasets.video import IndexFile, Limits, Video, check_header, check_video, open_index, open_video
from slowfast.errors import UserError


class VideoFiles:
    """A Medium with one file for each video.

    Args:
        paths: of the files.
        bgr: give channels in the order BGR, in which the published recipes read frame lists.
        count: (video, file) -> number of frames to count by instead of the file's own; they are spread evenly over
            the file. For labels that refer to frames of another frame rate.
    """

    def __init__(self, paths: Iterable[str], bgr: bool = False, count: Callable[[int, VideoFile], int] | None = None):
        self._paths = PackedStrings(paths)
        self._bgr = bgr
        self._count = count
        self._store: Store | None = None
        self._index: IndexFile | None = None

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def channels(self) -> str:
        """The order of the color channels of its frames."""
        return "BGR" if self._bgr else "RGB"

    def path_of(self, video: int) -> str:
        return self._paths[video]

    def check(self, video: int, limits: Limits) -> str:
        return check_video(self._paths[video], limits)

    def check_header(self, video: int, limits: Limits) -> str:
        return check_header(self._paths[video], limits)

    def with_store(self, folder: str) -> "VideoFiles":
        """Return the same videos, read from the store of prepared videos in `folder` where it has them."""
        files = copy(self)
        files._store = Store(folder, self._paths)
        return files

    def with_index(self, folder: str) -> "VideoFiles":
        """Return the same videos, opened by the index in `folder` where it has them."""
        files = copy(self)
        files._index = open_index(folder)
        return files

    @contextmanager
    def open(self, video: int, limits: Limits) -> Iterator["VideoFrames"]:
        with self._open(video, limits) as file:
            count = self._count(video, file) if self._count else file.num_frames
            yield VideoFrames(file, max(count, 1))

    def _open(self, video: int, limits: Limits) -> AbstractContextManager[VideoFile]:
        path = self._paths[video]
        open_file = partial(open_video, limits=limits, bgr=self._bgr)
        open_source = partial(open_file, index=self._index)
        return self._store.open(video, path, open_source, open_file) if self._store else open_source(path)


def use_index(media: Medium, folder: str) -> Medium:
    """Return the media with the index in `folder`, if they are video files."""
    return media.with_index(folder) if isinstance(media, VideoFiles) else media


def use_store(media: Medium, folder: str) -> Medium:
    """Return the media with the store in `folder`, DATA.PREPARED_DIR; as they are where it is ""."""
    if not folder:
        return media
    if not isinstance(media, VideoFiles):
        raise UserError(f"DATA.PREPARED_DIR: {folder!r} is for video files, and this data set is not of video files")
    return media.with_store(folder)


class VideoFrames:
    """The frames of an open video file, counted as `num_frames`."""

    def __init__(self, file: VideoFile, num_frames: int):
        self.num_frames = num_frames
        self._file = file

    @property
    def fps(self) -> float:
        return self._file.fps * self.num_frames / self._file.num_frames

    def size(self, frame: int) -> tuple[int, int]:
        return self._file.height, self._file.width

    def read(self, frames: Indices, size: tuple[int, int], window: Window) -> np.ndarray:
        return self._file.read(self.places(frames).tolist(), size[::-1], window)

    def places(self, frames: Indices) -> np.ndarray:
        """Return the numbers of frames in the file, which may have more or fewer of them."""
        return np.asarray(frames) * self._file.num_frames // self.num_frames

    def pictures(self) -> Iterator[np.ndarray]:
        """Yield all frames of the file, in order and as they are; see `video.Video.pictures`."""
        assert isinstance(self._file, Video), "prepared copies are read by the index of their source"
        return self._file.pictures()


class ListedCount:
    """Counts as many frames as a list has for each video."""

    def __init__(self, num_frames: Indices):
        self._num_frames = np.asarray(num_frames, np.int64)

    def __call__(self, video: int, file: VideoFile) -> int:
        return int(self._num_frames[video])


class CountAtRate:
    """Counts as many frames as an extraction at `fps` frames per second gives."""

    def __init__(self, fps: float):
        self._fps = fps

    def __call__(self, video: int, file: VideoFile) -> int:
        return round(file.num_frames / file.fps * self._fps)
