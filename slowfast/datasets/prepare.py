"""Writing a store of prepared videos (see prepared.py)."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from types import TracebackType

import av
import cv2
import numpy as np

from slowfast.datasets.files import stamp_of
from slowfast.datasets.ladder import even, levels_of
from slowfast.datasets.prepared import INDEX, Entry, copy_path, read_index
from slowfast.datasets.spatial import resized_size
from slowfast.datasets.video import Limits, Video, VideoError, open_video
from slowfast.errors import UserError

# Fast to decode: no arithmetic coding, no loop filter, and a key frame every 16 frames. Two encodings of a video may
# differ in some bits, as the macroblock tree of x264 does.
ENCODER = {
    "preset": "medium",
    "tune": "fastdecode",
    "crf": "23",
    "x264-params": "threads=1:keyint=16:min-keyint=16:scenecut=0:bframes=3:b-adapt=0:b-pyramid=strict:open-gop=0:ref=2",
}
SETTINGS = "store.json"  # the file with what all copies of a store have in common
VERSION = 1  # raise it when copies are made in another way
THUMB_PX = 8
TOLERANCE = 10.0  # mean difference in gray levels between thumbnails of a picture and its copy; 1 to 2 are usual


@dataclass(frozen=True)
class Outcome:
    """What preparing a video gave: an entry, or the reason why the video cannot be read; and the CPU time it took."""

    path: str
    entry: Entry | None
    error: str
    cpu_sec: float


@dataclass(frozen=True)
class Preparation:
    """How to prepare a video for a store.

    Attributes:
        folder: of the store.
        ladder: the levels of the store, in px and in ascending order.
        limits: of a source.
    """

    folder: str
    ladder: list[int]
    limits: Limits

    def __call__(self, path: str) -> Outcome:
        """Write the copies of a video. Each is written to a file beside, checked, and renamed."""
        start = time.process_time()
        try:
            return Outcome(path, self._prepare(path), "", time.process_time() - start)
        except VideoError as error:
            return Outcome(path, None, str(error), time.process_time() - start)

    def _prepare(self, path: str) -> Entry:
        stamp = stamp_of(path)
        with ExitStack() as files:
            video = files.enter_context(open_video(path, self.limits))
            levels = levels_of(self.ladder, min(video.height, video.width))
            copies = [files.enter_context(Copy(copy_path(self.folder, path, level), video, level)) for level in levels]
            for picture in video.pictures():
                for copy in reversed(copies):  # each is made of the next larger one
                    picture = copy.write(picture)
            num_bytes = sum(copy.finish() for copy in copies)
            if stamp_of(path) != stamp:
                raise VideoError("it changed while it was read")
            for copy in copies:
                copy.keep()
            return Entry(path, stamp, video.num_frames, video.fps, video.height, video.width, levels, num_bytes)


class Copy:
    """A copy of a video that is being written. Unless it is kept, nothing is left of it."""

    def __init__(self, path: str, video: Video, level: int):
        height, width = resized_size(video.height, video.width, level)
        self._path, self._part = path, f"{path}.part"
        self._size = (even(width), even(height))
        self._thumbs: list[np.ndarray] = []
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._file = av.open(self._part, "w", format="mp4", options={"movflags": "+faststart"})
        rate = Fraction(video.fps).limit_denominator(1001)
        self._stream = self._file.add_stream("libx264", rate=max(rate, Fraction(1, 1001)), options=ENCODER)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.thread_count = 1

    def __enter__(self) -> "Copy":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None):
        try:
            self._file.close()
        finally:
            with suppress(FileNotFoundError):
                os.remove(self._part)

    def write(self, picture: np.ndarray) -> np.ndarray:
        """Add a picture, and return it in the size of this copy."""
        resized = np.empty((*self._size[::-1], 3), np.uint8)
        cv2.resize(picture, self._size, dst=resized, interpolation=cv2.INTER_AREA)
        frame = av.VideoFrame.from_ndarray(resized, format="rgb24").reformat(format="yuv420p", threads=1)
        frame.pts = len(self._thumbs)
        self._file.mux(self._stream.encode(frame))
        self._thumbs.append(thumbnail(resized))
        return resized

    def finish(self) -> int:
        """Complete the file, compare it with what was written, and return its size in bytes."""
        self._file.mux(self._stream.encode())
        self._file.close()
        with open_video(self._part) as video:
            thumbs = [thumbnail(picture) for picture in video.pictures()]
        differences = [float(np.abs(a - b).mean()) for a, b in zip(thumbs, self._thumbs, strict=False)]
        if len(thumbs) != len(self._thumbs) or max(differences) > TOLERANCE:
            raise VideoError("its copy differs from it")
        return os.path.getsize(self._part)

    def keep(self) -> None:
        os.replace(self._part, self._path)


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """Return a picture of any size as THUMB_PX x THUMB_PX gray levels."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA).astype(np.float32)


def start_store(folder: str, ladder: list[int]) -> None:
    """Create a store, or make one whose writing was interrupted ready to be continued."""
    path, settings = os.path.join(folder, SETTINGS), {"version": VERSION, "levels": ladder}
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            found = json.load(file)
        if found != settings:
            raise UserError(
                f"OUT {folder!r} is a store with {found}, and this config asks for {settings}: use another folder"
            )
    else:
        with open(path, "w", encoding="ascii") as file:
            json.dump(settings, file)
    with open(os.path.join(folder, INDEX), "ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)  # without a line that was cut off


def prepared_entries(folder: str) -> dict[str, Entry]:
    """Return the entries of a store that are up to date and complete, by the path of the source."""
    entries = {entry.path: entry for entry in read_index(folder)}
    return {path: entry for path, entry in entries.items() if _is_current(folder, entry)}


def _is_current(folder: str, entry: Entry) -> bool:
    copies = (copy_path(folder, entry.path, level) for level in entry.levels)
    return stamp_of(entry.path) == entry.stamp and all(map(os.path.isfile, copies))


def prepare_all(paths: Sequence[str], prepare: Preparation, workers: int) -> Iterator[Outcome]:
    """Prepare videos in processes, and enter each that is done into the index."""
    index_path = os.path.join(prepare.folder, INDEX)
    with _full_disk_is_an_error(prepare.folder), open(index_path, "a", encoding="ascii", buffering=1) as index:
        for outcome in _map(prepare, paths, workers):
            if outcome.entry:
                index.write(json.dumps(asdict(outcome.entry)) + "\n")
            yield outcome


def _map(prepare: Callable[[str], Outcome], paths: Sequence[str], workers: int) -> Iterator[Outcome]:
    if workers <= 1:
        yield from map(prepare, paths)
        return
    try:
        with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            yield from pool.map(prepare, paths)
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed, perhaps as memory ran out: use fewer --workers; the same command resumes"
        ) from None


@contextmanager
def _full_disk_is_an_error(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(f"OUT {folder!r}: the disk is full; with more space, the same command resumes") from None
