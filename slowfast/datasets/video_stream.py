"""Opening the video stream of a file, and decoding all of it the plain way."""

import os
from collections.abc import Iterator

import av
from av.error import FFmpegError
from av.stream import Discard, Disposition

from slowfast.datasets.video_header import Header, read_header
from slowfast.errors import UserError


class VideoError(UserError):
    """A video that can't be read; the message is the reason in one line, without the path."""


def read_file_header(path: str) -> Header:
    """Raises VideoError where there is no file to read."""
    if not os.path.isfile(path):
        raise VideoError("there is no such file")
    if os.path.getsize(path) == 0:
        raise VideoError("the file is empty (0 bytes)")
    try:
        return read_header(path)
    except OSError as error:
        raise VideoError(f"the file can't be read ({error.strerror})") from error


def open_stream(path: str, quick: bool = False):
    """(container, video stream) of a file, set to decode in this thread. Raises VideoError.

    `quick`: without reading and decoding the first packets, by which FFmpeg finds out what no header tells; for
    files whose header tells everything (it takes longer than to decode a small clip).
    """
    options = {"skip_frame": "all", "analyzeduration": "1"} if quick else {}
    try:
        container = av.open(path, options=options)
    except FFmpegError as error:
        raise VideoError(_why_not_open(path, error)) from error
    stream = container.streams.best("video")
    if stream is not None and Disposition.attached_pic in stream.disposition:
        stream = None  # the cover of a sound file
    if stream is None or stream.codec_context is None:
        reason = _why_no_stream(container, stream)
        container.close()
        raise VideoError(reason)
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    stream.codec_context.thread_count = 1  # automatic threads dead-lock in forked worker processes
    return container, stream


def _why_not_open(path: str, error: FFmpegError) -> str:
    with open(path, "rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return "the MP4 index (moov) is missing or damaged: the file is cut off"
    return f"not a video file, or one cut off before its header ends ({error.strerror})"


def _why_no_stream(container, stream) -> str:
    if stream is not None:
        return "there is no decoder for its video stream, or its header is cut off"
    return "no video stream (audio only)" if container.streams.audio else "no video stream, or its header is cut off"


def decode_all(path: str, strict: bool = False) -> Iterator[av.VideoFrame]:
    """Every frame in order of presentation. Packets that can't be decoded are passed over, or an error if `strict`."""
    container, stream = open_stream(path)
    with container:
        shown = False  # what comes before the first key frame can't be decoded, and is no error
        for packet in container.demux(stream):
            try:
                frames = stream.codec_context.decode(packet)
            except FFmpegError as error:
                if strict and shown:
                    raise VideoError(f"a packet near {_seconds(packet)} is damaged ({error.strerror})") from error
                continue
            shown = shown or bool(frames)
            yield from frames


def _seconds(packet) -> str:
    time = packet.pts if packet.pts is not None else packet.dts
    return "its end" if time is None else f"{float(time * packet.time_base):.2f} s"
