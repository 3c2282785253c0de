"""Where frames come from: video files, or a list of images for each video.

A medium has `path_of(video)`, `check(video)`, which reads all of a video and gives the reason why it can't be used, or
"", and `open(video)`, a context manager that gives the frames of one video:

    num_frames              how many there are
    fps                     their average rate
    size(frame)             (height, width) of one
    read(frames, size)      these frames, each resized whole to size = (height, width): uint8 (F, H, W, 3)

All errors of one video are VideoErrors.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np

from slowfast.datasets.frame_list import FrameList
from slowfast.datasets.packed import PackedStrings
from slowfast.datasets.video import Video, VideoError, check_video, open_video

VIDEO_SUFFIXES = [
    ".mp4",
    ".webm",
    ".mkv",
    ".avi",
    ".mov",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".ogv",
    ".ts",
    ".m2ts",
    ".mts",
    ".3gp",
    ".vob",
    ".asf",
]  # in this order


def is_video(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def find_videos(folder: str) -> dict[str, str]:
    """Name without suffix -> path, for the video files of a folder. Empty when there is no such folder."""
    if not os.path.isdir(folder):
        return {}
    names = sorted(entry.name for entry in os.scandir(folder) if is_video(entry.name))
    return {os.path.splitext(name)[0]: os.path.join(folder, name) for name in reversed(names)}


class VideoFiles:
    """One file a video.

    Args:
        paths: of the files.
        bgr: order of the channels; frame lists are read in this order by the published recipes.
        count: (video, file) -> the number of frames to count by instead of the file's own: they are spread evenly
            over the file's. For labels given for each frame of another frame rate.
    """

    def __init__(self, paths: Sequence[str], bgr: bool = False, count: Callable[[int, Video], int] | None = None):
        self._paths = PackedStrings(paths)
        self._bgr = bgr
        self._count = count

    def __len__(self) -> int:
        return len(self._paths)

    def path_of(self, video: int) -> str:
        return self._paths[video]

    def check(self, video: int) -> str:
        return check_video(self._paths[video])

    @contextmanager
    def open(self, video: int) -> Iterator["VideoFrames"]:
        with open_video(self._paths[video]) as file:
            count = self._count(video, file) if self._count else file.num_frames
            yield VideoFrames(file, max(count, 1), self._bgr)


class VideoFrames:
    """The frames of an open video file, counted as `num_frames`."""

    def __init__(self, file: Video, num_frames: int, bgr: bool):
        self.num_frames = num_frames
        self._file = file
        self._bgr = bgr

    @property
    def fps(self) -> float:
        return self._file.fps * self.num_frames / self._file.num_frames

    def size(self, frame: int) -> tuple[int, int]:
        return self._file.height, self._file.width

    def read(self, frames: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        places = np.asarray(frames) * self._file.num_frames // self.num_frames
        pictures = self._file.read(places, size[::-1])
        return pictures[..., ::-1] if self._bgr else pictures


class ListedCount:
    """Frames as many as a list has of each video."""

    def __init__(self, num_frames: Sequence[int]):
        self._num_frames = np.asarray(num_frames, np.int64)

    def __call__(self, video: int, file: Video) -> int:
        return int(self._num_frames[video])


class CountAtRate:
    """Frames as many as extraction at `fps` gives."""

    def __init__(self, fps: float):
        self._fps = fps

    def __call__(self, video: int, file: Video) -> int:
        return round(file.num_frames / file.fps * self._fps)


class ImageLists:
    """Extracted images, as a frame list names them.

    Args:
        frame_list: of the images.
        prefix: the folder that its paths start from.
        places: for each video, its number in the frame list.
    """

    def __init__(self, frame_list: FrameList, prefix: str = "", places: Sequence[int] | None = None):
        self._list = frame_list
        self._prefix = prefix
        self._places = np.arange(len(frame_list)) if places is None else np.asarray(places, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def image_paths(self, video: int, frames: Sequence[int]) -> list[str]:
        names = self._list.image_paths(int(self._places[video]), frames)
        return [os.path.join(self._prefix, name) for name in names]

    def path_of(self, video: int) -> str:
        return os.path.dirname(self.image_paths(video, [0])[0])

    def check(self, video: int) -> str:
        try:
            for path in self.image_paths(video, range(self.num_frames(video))):
                read_image(path)
        except VideoError as error:
            return str(error)
        return ""

    def num_frames(self, video: int) -> int:
        return int(self._list.num_frames[self._places[video]])

    @contextmanager
    def open(self, video: int) -> Iterator["ImageFrames"]:
        yield ImageFrames(self, video, self.num_frames(video))


class ImageFrames:
    """The images of one video, in OpenCV's order of channels: BGR."""

    fps = 0.0  # unknown: frame lists are sampled by frames

    def __init__(self, lists: ImageLists, video: int, num_frames: int):
        self.num_frames = num_frames
        self._lists = lists
        self._video = video
        self._seen: dict[str, np.ndarray] = {}  # the picture that was read for its size

    def size(self, frame: int) -> tuple[int, int]:
        (path,) = self._lists.image_paths(self._video, [frame])
        if path not in self._seen:
            self._seen = {path: read_image(path)}
        return self._seen[path].shape[:2]

    def read(self, frames: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        paths = self._lists.image_paths(self._video, frames)
        pictures = {path: self._resized(path, size) for path in dict.fromkeys(paths)}
        return np.stack([pictures[path] for path in paths])

    def _resized(self, path: str, size: tuple[int, int]) -> np.ndarray:
        picture = self._seen[path] if path in self._seen else read_image(path)
        if picture.shape[:2] == tuple(size):
            return picture
        return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)


def read_image(path: str) -> np.ndarray:
    """An image as OpenCV reads it: uint8 (H, W, 3) BGR."""
    if not os.path.isfile(path):
        raise VideoError(f"image {path} does not exist")
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise VideoError(f"image {path} cannot be read")
    return picture
