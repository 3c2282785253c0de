"""`Video`, an open video file, and the one place where anything that reading raises becomes a VideoError."""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import numpy as np
from av import VideoFrame
from av.error import ExitError

from slowfast.datasets.files import Stamp
from slowfast.datasets.spatial import Window, resize_part
from slowfast.datasets.video.container import (
    DEFAULT_LIMITS,
    Budget,
    Limits,
    OpenFile,
    VideoError,
    can_open_quickly,
    open_file,
)
from slowfast.datasets.video.file_size import SIZED_CONTAINERS, claimed_size
from slowfast.datasets.video.frames import CountedFrames, IndexedFrames, indexed_frames
from slowfast.datasets.video.known import KnownFile, VideoIndex, find_known, open_known, remember, settled_stamp
from slowfast.datasets.video.packets import ListedPackets, Packets, read_packets
from slowfast.datasets.video.picture import Converter

RATE_TOLERANCE = 0.05  # by which a stream's rate may differ from that of its frames' times


def open_video(
    path: str | os.PathLike, limits: Limits = DEFAULT_LIMITS, bgr: bool = False, index: VideoIndex | None = None
) -> "Video":
    """Open a video file; use it as a context manager. Raises VideoError.

    `bgr`: give channels in the order BGR. `index`: of the data set.
    """
    return Video(os.fspath(path), limits, bgr, index)


def check_video(path: str | os.PathLike, limits: Limits = DEFAULT_LIMITS) -> str:
    """Read all frames of a file: the reason why one of them can't be read, in one line, or "" if all can.

    The limit of seconds is for opening it, and for each frame.
    """
    try:
        with open_video(path, limits) as video:
            video.check()
    except VideoError as error:
        return str(error)
    return ""


def check_header(path: str | os.PathLike, limits: Limits = DEFAULT_LIMITS) -> str:
    """Open a file and read its first packet: the reason why it can't be read, in one line, or "" if it can.

    Damage further in is not found. It takes 0.3 to 5 ms a file (H.264, VP9 and MPEG-4; 170x128 to 1280x720; AMD EPYC).
    """
    try:
        with video_errors():
            file = open_file(os.fspath(path), Budget(limits), can_open_quickly(os.fspath(path)))
            with closing(file):
                if next(file.demux(), None) is None:
                    raise VideoError("it has no frames")
    except VideoError as error:
        return str(error)
    return ""


@contextmanager
def video_errors() -> Iterator[None]:
    """Turn every error of reading a video into a VideoError with the reason.

    The error that too many files are open does not come from a video, and is raised as it is.
    """
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
        raise VideoError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ExitError):
        return "it takes longer than DATA.MAX_DECODE_SEC"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    text = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return f"it is damaged, cut off or of an unsupported kind ({' '.join(text.split())})"


def _open(
    path: str, budget: Budget, index: VideoIndex | None
) -> tuple[OpenFile | KnownFile, CountedFrames | IndexedFrames]:
    stamp = settled_stamp(path)
    known = find_known(path, stamp, index)
    return open_known(path, known, budget) if known else open_unknown(path, budget, stamp)


def open_unknown(path: str, budget: Budget, stamp: Stamp) -> tuple[OpenFile, CountedFrames | IndexedFrames]:
    """Open a file with FFmpeg; keep what is learned under `stamp`, unless that is empty."""
    quick = can_open_quickly(path)
    with ExitStack() as on_error:
        file = on_error.enter_context(closing(open_file(path, budget, quick)))
        packets = read_packets(file, in_parts=quick)
        if quick and not _knows_reordering(file, packets):
            file = on_error.enter_context(closing(open_file(path, budget)))
            packets, stamp = read_packets(file, in_parts=True), []
        frames = CountedFrames(file) if packets is None else indexed_frames(file, packets)
        _refuse_short_file(file, frames.num_frames)
        on_error.pop_all()
        if quick and isinstance(packets, Packets) and isinstance(frames, IndexedFrames):
            remember(stamp, file, packets, frames)
        return file, frames


def _refuse_short_file(file: OpenFile, num_frames: int) -> None:
    missing = claimed_size(file.path) - file.container.size if file.format in SIZED_CONTAINERS else 0
    # The size in an AVI header is not reliable; together with the number of frames it is.
    if missing > 0 and not (file.format == "avi" and num_frames >= file.stream.frames):
        raise VideoError(f"the file is cut off: {missing} bytes are missing")


def _knows_reordering(file: OpenFile, packets: ListedPackets | Packets | None) -> bool:
    """Return whether the decoder knows how far frames are reordered; otherwise it drops some before it finds out."""
    in_order = packets is None or packets.is_in_order
    return in_order or file.decoder.name != "h264" or file.decoder.has_b_frames


class Video:
    """An open video file: its properties, and `read`. Raises VideoError."""

    def __init__(self, path: str, limits: Limits = DEFAULT_LIMITS, bgr: bool = False, index: VideoIndex | None = None):
        self._budget = Budget(limits)
        with video_errors():
            self._file, self._frames = _open(path, self._budget, index)
        self._size = self._frames.size
        self._converter = Converter(bgr)
        self.num_frames: int = self._frames.num_frames

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def fps(self) -> float:
        """The average rate in frames per second: that of the stream, or of its frames' times where these differ.

        Spans of time are counted in frames at this rate, also where the rate varies inside a file.
        """
        rate, seconds = self._file.rate, self._frames.seconds
        measured = (self.num_frames - 1) / seconds if seconds > 0 else 0.0
        if measured and abs(rate - measured) > RATE_TOLERANCE * measured:
            return measured
        if not rate:
            raise VideoError("the file does not tell its frame rate")
        return rate

    @property
    def width(self) -> int:
        """Of the picture as shown, that is, after rotation."""
        return self._shown_size()[0]

    @property
    def height(self) -> int:
        return self._shown_size()[1]

    def read(
        self, indices: Sequence[int], resize: tuple[int, int] | None = None, window: Window | None = None
    ) -> np.ndarray:
        """Return the frames at these indices (any order, repeats allowed), read in one pass.

        `resize`: the (width, height) that every whole frame is resized to, bilinear; None: as it is.
        `window`: the part of the resized frames to return; None: all.
        Returns uint8 (len(indices), height, width, 3), RGB or with `bgr` BGR.
        """
        wanted, slots = np.unique(np.asarray(indices, dtype=np.int64), return_inverse=True)
        if len(wanted) == 0 or wanted[0] < 0 or wanted[-1] >= self.num_frames:
            raise IndexError(f"frames {list(indices)} of a video of {self.num_frames}")
        width, height = resize or self._shown_size()
        window = window or Window(0, 0, height, width)
        images = np.empty((len(wanted), window.height, window.width, 3), np.uint8)
        row = {int(index): i for i, index in enumerate(wanted)}
        with video_errors():
            for index, frame in self._decode(list(row)):
                images[row[index]] = resize_part(self._converter.image(frame), (height, width), window)
        in_order = len(slots) == len(wanted) and bool((np.diff(slots) > 0).all())
        return images if in_order else images[slots]

    def check(self) -> None:
        """Read every frame as `read` does. Raises VideoError."""
        with video_errors():
            for _, frame in self._decode(list(range(self.num_frames))):
                self._converter.image(frame)
                self._budget.restart()

    def pictures(self) -> Iterator[np.ndarray]:
        """Yield every frame in order and as it is, uint8 (height, width, 3), RGB, in one pass. Raises VideoError.

        A picture lives until the next one. The limit of seconds is for each frame.
        """
        count = 0
        with video_errors():
            for index, frame in self._decode(list(range(self.num_frames))):
                if index != count:  # frames before it may have been wrong, which `read` would correct
                    raise VideoError("its frames cannot be read in one pass: their times are out of order")
                count += 1
                yield self._converter.image(frame)
                self._budget.restart()

    def _shown_size(self) -> tuple[int, int]:
        if self._size is None:
            with video_errors():
                height, width = [self._converter.image(frame).shape[:2] for _, frame in self._decode([0])][-1]
                self._size = (width, height)
        return self._size

    def _decode(self, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        self._budget.restart()
        missing = set(wanted)
        for index, frame in self._frames.decode(wanted):
            missing.discard(index)
            yield index, frame
        if missing:
            raise VideoError(f"frame {min(missing)} of {self.num_frames} can't be decoded: the file is damaged there")
