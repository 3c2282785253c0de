"""Verify by decoding that the packets of a file show where its frames are, so that readers can rely on them."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
from av import VideoFrame
from av.error import FFmpegError

from slowfast.datasets.video.container import DEFAULT_LIMITS, Budget, Limits, VideoError, decode_all, open_file
from slowfast.datasets.video.frames import Disorder, IndexedFrames, decode_needed
from slowfast.datasets.video.index import FrameIndex
from slowfast.datasets.video.known import CODECS, KnownFile, KnownVideo, learn, settled_stamp
from slowfast.datasets.video.packets import Part, has_timed_frames
from slowfast.datasets.video.picture import Converter
from slowfast.datasets.video.reader import check_video, open_unknown, video_errors

Picture = tuple[int, int, int]  # width, height and checksum of the pixels


class Examined(NamedTuple):
    """The result of reading a file: the error, or "" for none; if it is verified, also what the index stores."""

    error: str
    video: KnownVideo | None = None
    stamp: Sequence[int] = ()  # of the file


def examine_video(path: str, limits: Limits = DEFAULT_LIMITS) -> Examined:
    """Read all frames of a file as `check_video` does, and verify that its packets show where the frames are.

    A file that has just been written, or whose packets do not show its frames, is not verified.
    """
    stamp = settled_stamp(path)
    try:
        with video_errors():
            video = _proven(path, Budget(limits)) if stamp else None
    except VideoError:
        video = None  # the check gives the reason
    if video and settled_stamp(path) == stamp:
        return Examined("", video, stamp)
    return Examined(check_video(path, limits))


def _proven(path: str, budget: Budget) -> KnownVideo | None:
    video = _learn(path, budget)
    plain = _plain_pictures(path, budget) if video else None
    if video is None or plain is None or list(plain) != list(video.order()[0].times):
        return None
    video = replace(video, size=next(iter(plain.values()))[:2])
    with closing(KnownFile(path, video, budget)) as file:
        try:
            is_same = all(plain[time] == picture for time, picture in _pictures_read(file, video))
        except (FFmpegError, Disorder):
            return None
    return video if is_same else None


def _learn(path: str, budget: Budget) -> KnownVideo | None:
    """Return the frames that the packets of a file show; None if they do not show them all."""
    with closing(open_file(path, budget)) as file:
        is_provable = file.decoder.name in CODECS and has_timed_frames(file)
        video = learn(file, file.demux()) if is_provable else None
    if video is None:
        return None
    opened, frames = open_unknown(path, budget, [])
    with closing(opened):
        is_indexed = isinstance(frames, IndexedFrames)
        return replace(video, rate=opened.rate, seconds=frames.seconds) if is_indexed else None


def _plain_pictures(path: str, budget: Budget) -> dict[int, Picture] | None:
    """Return the pictures of a file by their times, in the order of a plain decode; None for a damaged file."""
    pictures: dict[int, Picture] = {}
    converter = Converter()
    for frame in decode_all(path, budget):
        budget.restart()
        if frame is None or frame.is_corrupt or frame.pts is None or frame.pts in pictures:
            return None
        pictures[frame.pts] = _picture(converter, frame)
    return pictures


def _pictures_read(file: KnownFile, video: KnownVideo) -> Iterator[tuple[int, Picture | None]]:
    """Yield the time of every frame, and its picture as a reader that skips other frames decodes it; None if missing.

    Of the frames that may be skipped, first one half is skipped and then the other.
    """
    index, unreferenced = video.order()
    converter = Converter()
    for wanted in _clips(index, [unreferenced[position] for position in index.positions], video.codec):
        file.budget.restart()
        times = {index.times[frame] for frame in wanted}
        part = Part(0, index, file.read, unreferenced)
        shown = {
            time: _picture(converter, frame)
            for time, frame in decode_needed(file, part, wanted)
            if time in times and not frame.is_corrupt
        }
        yield from ((time, shown.get(time)) for time in times)


def _clips(index: FrameIndex, unreferenced: list[int], codec: str) -> Iterator[list[int]]:
    """Yield the frames to read together: from each packet at which decoding may start, up to the next."""
    frames = range(len(unreferenced))
    spare = [i for i in frames if unreferenced[i]] if codec == "h264" else list(frames)  # the decoder leaves out others
    for first in (0, 1) if spare else (0,):
        left_out = set(spare[first::2])
        wanted = [i for i in frames if i not in left_out]
        yield from (list(group) for _, group in groupby(wanted, index.start_of))


def _picture(converter: Converter, frame: VideoFrame) -> Picture:
    pixels = converter.image(frame)
    height, width = pixels.shape[:2]
    return width, height, zlib.crc32(np.ascontiguousarray(pixels).data)
