"""Opening the video stream of a file, and decoding all of it the plain way."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import inf
from typing import cast

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from slowfast.datasets.video.file_size import is_complete_mp4
from slowfast.datasets.video.nal import NalUnits
from slowfast.errors import UserError

MAX_PACKET_BYTES = 256 << 20  # of a packet, and of a file without a container, which may turn out to be one packet

# FFmpeg's readers of video files. It has others, of playlists and scripts, which open the files that they name.
CONTAINERS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,ivf,rm,dv,nsv,wtv,gxf,amv,nuv,vob,live_flv,pva,ty"
RAW_STREAMS = "h264,hevc,vvc,m4v,mpegvideo,h261,h263,vc1,obu,av1,cavsvideo,dirac,mjpeg,gif,yuv4mpegpipe"


class VideoError(UserError):
    """A video that can't be read; the message is the reason in one line, without the path."""


@dataclass(frozen=True)
class Limits:
    """What one video may take; 0 is no limit.

    Attributes:
        seconds: of wall-clock time, for opening it and for each read: DATA.MAX_DECODE_SEC.
        pixels: of a frame, since a small file can claim frames that fill the memory: DATA.MAX_PIXELS.
    """

    seconds: float = 60.0
    pixels: int = 8192 * 4320

    def check_size(self, width: int, height: int) -> None:
        if 0 < self.pixels < width * height:
            raise VideoError(f"its frames are too large: {width}x{height}, over DATA.MAX_PIXELS {self.pixels}")


DEFAULT_LIMITS = Limits()


class Budget:
    """The limits of a video, and the time that is left to read it."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.restart()

    def restart(self) -> None:
        self._end = time.monotonic() + (self.limits.seconds or inf)

    def left(self) -> float | None:
        """Return the seconds that are left; None for no limit."""
        return max(self._end - time.monotonic(), 0.01) if self.limits.seconds else None

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise VideoError(f"it takes longer than DATA.MAX_DECODE_SEC, {self.limits.seconds:g} s")


@dataclass(frozen=True)
class OpenFile:
    """An open file and its video stream, set to decode in this thread."""

    path: str
    container: InputContainer
    stream: VideoStream
    budget: Budget

    @property
    def decoder(self) -> VideoCodecContext:
        return self.stream.codec_context

    @cached_property
    def units(self) -> NalUnits:
        return NalUnits(self.decoder.name, self.decoder.extradata)

    @property
    def format(self) -> str:
        return self.container.format.name.split(",")[0]

    @property
    def rate(self) -> float:
        """Frames per second as the container gives them; 0 where it does not."""
        return float(self.stream.average_rate or self.stream.guessed_rate or 0)

    def close(self) -> None:
        self.container.close()

    def demux(self) -> Iterator[Packet]:
        """Yield the packets of the stream from where the file has been sought, without empty ones."""
        for packet in self.container.demux(self.stream):
            self.budget.check()
            if packet.size:
                yield packet

    def shows_turned(self) -> bool:
        """Return whether the container says that pictures are to be turned or mirrored."""
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)  # what the description is written at
        try:
            return "Display Matrix" in self.container.dumps_format()  # type: ignore[attr-defined]
        finally:
            av.logging.set_level(level)


def open_file(path: str, budget: Budget, quick: bool = False) -> OpenFile:
    """Open a file. Raises VideoError.

    No other file and no address is opened: the path is never taken for a protocol, nor the file for a playlist.

    `quick`: without decoding the first frames, by which FFmpeg finds out what no header tells. For files whose header
    tells everything: 0.2 ms instead of 0.3 to 8.5 ms (170x128 to 1280x720, H.264; AMD EPYC).
    """
    formats = f"{CONTAINERS},{RAW_STREAMS}" if os.path.getsize(path) <= MAX_PACKET_BYTES else CONTAINERS
    options = {"format_whitelist": formats, "protocol_whitelist": "file", "max_pixels": _max_pixels(budget.limits)}
    options |= {"skip_frame": "all", "analyzeduration": "1"} if quick else {}
    place = f"file:{os.path.abspath(path)}"
    try:
        container = av.open(place, options=options, metadata_errors="replace", timeout=budget.left())
    except ExitError:
        raise
    except FFmpegError as error:
        raise VideoError(_why_not_open(path, error)) from error
    try:
        return OpenFile(path, container, _video_stream(container, budget.limits), budget)
    except VideoError:
        container.close()
        raise


def can_open_quickly(path: str) -> bool:
    """Return whether the header of a file is enough to open it. Raises VideoError if there is no file to read."""
    if not os.path.isfile(path):
        raise VideoError("there is no such file")
    if os.path.getsize(path) == 0:
        raise VideoError("the file is empty (0 bytes)")
    with open(path, "rb", buffering=0) as file:
        return is_complete_mp4(file)


def _max_pixels(limits: Limits) -> str:
    return str(limits.pixels or 2**31 - 1)


def _video_stream(container: InputContainer, limits: Limits) -> VideoStream:
    stream = cast(VideoStream | None, container.streams.best("video"))
    if stream is not None and Disposition.attached_pic in stream.disposition:
        stream = None  # the cover of a sound file
    if stream is None:
        sound = container.streams.audio
        raise VideoError("no video stream (audio only)" if sound else "no video stream, or its header is cut off")
    if stream.codec_context is None:
        raise VideoError("there is no decoder for its video stream, or its header is cut off")
    _refuse_large(container, stream, limits)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    set_up_decoder(stream.codec_context, limits)
    return stream


def set_up_decoder(decoder: VideoCodecContext, limits: Limits) -> None:
    decoder.thread_count = 1  # automatic threads dead-lock in forked worker processes
    decoder.options = {"max_pixels": _max_pixels(limits)}


def _refuse_large(container: InputContainer, stream: VideoStream, limits: Limits) -> None:
    limits.check_size(stream.codec_context.width, stream.codec_context.height)
    is_large = container.size > MAX_PACKET_BYTES
    if is_large and any(entry.size > MAX_PACKET_BYTES for entry in stream.index_entries):
        raise VideoError(f"it has a packet of over {MAX_PACKET_BYTES} bytes")


def _why_not_open(path: str, error: FFmpegError) -> str:
    with open(path, "rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return "the MP4 index (moov) is missing or damaged: the file is cut off"
    if os.path.getsize(path) > MAX_PACKET_BYTES:
        return f"not a video file, or a stream without a container of over {MAX_PACKET_BYTES} bytes ({error.strerror})"
    return f"not a video file, or one cut off before its header ends ({error.strerror})"


def decode_all(path: str, budget: Budget) -> Iterator[av.VideoFrame | None]:
    """Yield every frame in order of presentation, and None for each packet that can't be decoded.

    What comes before the first key frame can't be decoded, and is left out.
    """
    file = open_file(path, budget)
    shown = False
    with file.container:
        for packet in chain(file.demux(), [None]):
            try:
                frames = file.decoder.decode(packet)
            except FFmpegError:
                yield from [None] if shown else []
            else:
                shown = shown or bool(frames)
                yield from frames
