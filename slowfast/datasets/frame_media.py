"""Videos of a frame list: stored as images, or in the video files that the images were extracted from."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from slowfast.datasets.files import find_videos, is_video
from slowfast.datasets.image_size import image_size
from slowfast.datasets.interfaces import Indices
from slowfast.datasets.lists.frame_list import FrameList
from slowfast.datasets.lists.rows import start_folder
from slowfast.datasets.media import ListedCount, VideoFiles
from slowfast.datasets.spatial import Window, resize_part
from slowfast.datasets.video import Limits, VideoError, video_errors

NUM_PROBES = 5


def listed_media(frames: FrameList, prefix: str, places: Indices) -> "ImageLists | VideoFiles":
    """Return the frames of the videos at these places of a frame list.

    They are images if one of the first few exists. Otherwise, if there are video files, the same frames are decoded
    from these: the path of a row may name a video file itself, or the file is `prefix`/<original_vido_id>.mp4 (or
    .webm, ...). The n rows of a video are then n frames at equal distances over the file, so labels stay in place.
    Without a prefix, paths start as `rows.start_folder` describes, and video files are beside the list.
    """
    folder = os.path.dirname(frames.path)
    prefix = start_folder(prefix, folder, frames.image_paths(int(places[0]), [0])[0])
    images = ImageLists(frames, prefix, places)
    firsts = [images.image_paths(video, [0])[0] for video in range(min(NUM_PROBES, len(places)))]
    count = ListedCount(frames.num_frames[places])
    if is_video(firsts[0]):
        paths = [images.image_paths(video, [0])[0] for video in range(len(places))]
        return VideoFiles(paths, bgr=True, count=count)
    if any(map(os.path.isfile, firsts)):
        return images
    files = find_videos(prefix or folder)
    names = [frames.names[place] for place in places]
    if not any(name in files for name in names):
        return images
    paths = [files.get(name, os.path.join(prefix or folder, f"{name}.mp4")) for name in names]
    return VideoFiles(paths, bgr=True, count=count)


class ImageLists:
    """A Medium of extracted images, as a frame list names them.

    Args:
        frame_list: of the images.
        prefix: the folder that its paths start from.
        places: for each video, its number in the frame list; default: all videos in order.
    """

    channels = "BGR"  # OpenCV's order

    def __init__(self, frame_list: FrameList, prefix: str = "", places: Indices | None = None):
        self._list = frame_list
        self._prefix = prefix
        self._places = np.arange(len(frame_list)) if places is None else np.asarray(places, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def image_paths(self, video: int, frames: Indices) -> list[str]:
        """Return the paths of some frames of a video."""
        names = self._list.image_paths(int(self._places[video]), frames)
        return [os.path.join(self._prefix, name) for name in names]

    def path_of(self, video: int) -> str:
        return os.path.dirname(self.image_paths(video, [0])[0])

    def check(self, video: int, limits: Limits) -> str:
        try:
            for path in self.image_paths(video, range(self.num_frames(video))):
                read_image(path, limits)
        except VideoError as error:
            return str(error)
        return ""

    def check_header(self, video: int, limits: Limits) -> str:
        ends = self.image_paths(video, [0, self.num_frames(video) - 1])
        return next((f"image {path} does not exist" for path in ends if not os.path.isfile(path)), "")

    def num_frames(self, video: int) -> int:
        return int(self._list.num_frames[self._places[video]])

    @contextmanager
    def open(self, video: int, limits: Limits) -> Iterator["ImageFrames"]:
        yield ImageFrames(self, video, self.num_frames(video), limits)


class ImageFrames:
    """The images of one video, with channels in OpenCV's order: BGR."""

    fps = 0.0  # unknown: frame lists are sampled by frames

    def __init__(self, lists: ImageLists, video: int, num_frames: int, limits: Limits):
        self.num_frames = num_frames
        self._limits = limits
        self._lists = lists
        self._video = video
        self._last_read: dict[str, np.ndarray] = {}  # the image that was read for its size

    def size(self, frame: int) -> tuple[int, int]:
        (path,) = self._lists.image_paths(self._video, [frame])
        if path not in self._last_read:
            self._last_read = {path: read_image(path, self._limits)}
        height, width = self._last_read[path].shape[:2]
        return height, width

    def read(self, frames: Indices, size: tuple[int, int], window: Window) -> np.ndarray:
        paths = self._lists.image_paths(self._video, frames)
        pictures = {path: resize_part(self._image(path), size, window) for path in dict.fromkeys(paths)}
        return np.stack([pictures[path] for path in paths])

    def _image(self, path: str) -> np.ndarray:
        return self._last_read[path] if path in self._last_read else read_image(path, self._limits)


def read_image(path: str, limits: Limits) -> np.ndarray:
    """Read an image as OpenCV gives it: uint8 (H, W, 3) BGR, turned as its EXIF data says. Raises VideoError.

    Gray images get three equal channels, 16 bits become 8, CMYK becomes BGR and an alpha channel is dropped.
    """
    if not os.path.isfile(path):
        raise VideoError(f"image {path} does not exist")
    try:
        with video_errors():
            limits.check_size(*image_size(path))
            picture = cv2.imread(path, cv2.IMREAD_COLOR)
    except VideoError as error:
        raise VideoError(f"image {path} cannot be read: {error}") from error
    if picture is None:
        raise VideoError(f"image {path} cannot be read")
    return picture
