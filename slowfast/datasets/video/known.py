"""Videos whose packets are known before they are opened: these are read from the file, without FFmpeg's demuxer.

Opening a small file and listing its packets takes as long as decoding a clip of it. So what is known about a video is
kept: in the index of its data set, where decoding the file has proven it (see `proof.py`), or in this process since it
was opened before. Unproven are only streams of a kind that leaves no doubt (`is_plain`). Decoders of that kind are used
again for files of equal parameters.

A clip takes 0.42 times as long as with a first opening (8 frames, 228x128, GOP 16), 0.61 (32 frames of these), 0.65
and 0.76 (the same of 456x256), 0.84 and 0.88 (340x256, GOP 250) and 0.97 (1280x720, GOP 250; CPU time, AMD EPYC).
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from io import FileIO
from typing import Any, Protocol, cast

import numpy as np
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from slowfast.datasets.files import Stamp, stamp_of
from slowfast.datasets.video.container import Budget, OpenFile, set_up_decoder
from slowfast.datasets.video.frames import IndexedFrames
from slowfast.datasets.video.index import FrameIndex
from slowfast.datasets.video.packets import Packets, Part, may_start

MAX_VIDEOS = 2048  # kept in memory, 4 KB for each video of 300 frames
MAX_PARAMETERS = 16  # kinds of files that decoders are kept for
SETTLED_SECONDS = 2.0  # since a file's last change: the clocks of file systems may not tell two closer ones apart
PROFILES = {"Constrained Baseline", "Baseline", "Main", "High"}  # of H.264: 8 bits, no lossless coding
CODECS = {"h264", "hevc", "vp9", "av1", "libdav1d"}  # others, as MPEG-4, may decode differently after a jump
BLOCK_HEAD = 64  # bytes at most between where a packet begins for FFmpeg, and its data
KEY, UNREFERENCED = 1, 2  # flags of a packet: decoding may start at it; no other frame refers to its frame
MAX_TIME = 2**31 - 1  # times and places are kept in 4 bytes
MAX_PLACE = 2**32 - 1
COLUMNS = (np.int32, np.uint32, np.uint32, np.uint8)  # of `times`, `offsets`, `lengths` and `flags`

# All that a decoder depends on before it decodes the first packet: attributes of the codec context.
PARAMETERS = (
    *("extradata", "codec_tag", "width", "height", "pix_fmt", "reorder_depth"),
    *("color_range", "colorspace", "color_primaries", "color_trc"),
)


@dataclass(frozen=True)
class KnownVideo:
    """What is known about a video; the arrays have an element for each packet, in the order of decoding.

    Attributes:
        codec: the decoder's name.
        parameters: the values of PARAMETERS.
        rate: frames per second as the container gives them.
        seconds: from the first frame to the last.
        size: (width, height) of the frames; (0, 0): not known.
        is_plain: whether the stream is of the kind that needs no proof, and whose decoders may be used again.
        times: when the frames are shown.
        offsets, lengths: the places of the packets in the file.
        flags: KEY and UNREFERENCED.
    """

    codec: str
    parameters: tuple[Any, ...]
    rate: float
    seconds: float
    size: tuple[int, int]
    is_plain: bool
    times: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    flags: np.ndarray

    def order(self) -> tuple[FrameIndex, bytes]:
        """Return the order of the frames, and for each packet whether no other frame refers to its frame."""
        order = np.argsort(self.times, kind="stable")
        keys = np.flatnonzero(self.flags & KEY)
        index = FrameIndex(self.times[order].data, order.data, keys.tolist(), self.times[keys].tolist())
        return index, (self.flags & UNREFERENCED).tobytes()


class VideoIndex(Protocol):
    """Where videos are known from."""

    def find(self, path: str, stamp: Stamp) -> KnownVideo | None:
        """Return what is known about the file at `path` if its stamp is this one."""


class KnownFile:
    """An open file of a known video. Raises OSError."""

    def __init__(self, path: str, video: KnownVideo, budget: Budget):
        self.path, self.budget, self.rate = path, budget, video.rate
        self._kind = (video.codec, video.parameters, budget.limits.pixels) if video.is_plain else None
        self._times, self._offsets, self._lengths = video.times.data, video.offsets.data, video.lengths.data
        self._file = FileIO(path)
        spare = _decoders(self._kind) if self._kind else []
        self.decoder = spare.pop() if spare else _make_decoder(video, budget)

    def read(self, positions: Iterable[int]) -> Iterator[Packet]:
        number = self._file.fileno()
        for position in positions:
            packet = Packet(os.pread(number, self._lengths[position], self._offsets[position]))
            packet.pts = self._times[position]
            yield packet

    def close(self) -> None:
        if not self._file.closed:
            self._file.close()
            if self._kind:
                _decoders(self._kind)[:] = [self.decoder]


@lru_cache(MAX_VIDEOS)
def _remembered(path: str, stamp: tuple[int, ...]) -> list[KnownVideo]:
    """Return where to keep what is known about a file: a list of at most one."""
    return []


@lru_cache(MAX_PARAMETERS)
def _decoders(kind: tuple[Any, ...]) -> list[VideoCodecContext]:
    """Return where to keep a decoder that is not in use: a list of at most one."""
    return []


def forget() -> None:
    """Forget all that this process has learned about files, as measurements of first openings need it."""
    _remembered.cache_clear()


def settled_stamp(path: str) -> Stamp:
    """Return what changes when a file changes; empty where that is not certain, as it changed a moment ago."""
    try:
        stamp = stamp_of(path)
    except ValueError:  # a path with a zero byte
        return []
    return stamp if stamp and time.time() - stamp[1] / 1e9 > SETTLED_SECONDS else []


def find_known(path: str, stamp: Stamp, index: VideoIndex | None) -> KnownVideo | None:
    """Return what is known about a file, from the index of its data set or since it was opened before."""
    if not stamp:
        return None
    found = index.find(path, stamp) if index else None
    return found or next(iter(_remembered(path, tuple(stamp))), None)


def open_known(path: str, video: KnownVideo, budget: Budget) -> tuple[KnownFile, IndexedFrames]:
    """Open a known video."""
    budget.limits.check_size(*video.size)
    file = KnownFile(path, video, budget)
    index, unreferenced = video.order()
    return file, IndexedFrames(file, Packets(Part(0, index, file.read, unreferenced)), video.seconds, video.size)


def remember(stamp: Stamp, file: OpenFile, packets: Packets, frames: IndexedFrames) -> None:
    """Keep in memory what was learned at the opening of a file, if it needs no proof."""
    if stamp and packets.kept is not None and frames.size is not None and _may_be_plain(file):
        video = learn(file, packets.kept)
        if video and video.is_plain:
            _remembered(file.path, tuple(stamp))[:] = [replace(video, seconds=frames.seconds, size=frames.size)]


def learn(file: OpenFile, packets: Iterable[Packet]) -> KnownVideo | None:
    """Return what all packets of a file show, without `seconds` and `size`.

    None where they cannot be read without FFmpeg's demuxer.
    """
    rows = []
    is_plain = _may_be_plain(file)
    with open(file.path, "rb", buffering=0) as content:
        for packet in packets:
            place = _place_of(packet, content.fileno())
            if place is None:
                return None
            unreferenced = file.units.is_unreferenced(packet) if file.decoder.name == "h264" else None
            is_plain &= unreferenced is not None
            flags = KEY * may_start(file, packet) + UNREFERENCED * bool(unreferenced)
            rows.append((packet.pts, place, packet.size, flags))
    if not rows:
        return None
    arrays = (np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), COLUMNS, strict=True))
    parameters = tuple(getattr(file.decoder, name) for name in PARAMETERS)
    return KnownVideo(file.decoder.name, parameters, file.rate, 0.0, (0, 0), is_plain, *arrays)


def _may_be_plain(file: OpenFile) -> bool:
    return (file.format, file.decoder.name) == ("mov", "h264") and file.decoder.profile in PROFILES


def _place_of(packet: Packet, file: int) -> int | None:
    """Return where the data of a packet lies in a file; None where it is not there as it is, or is not all."""
    is_all = not (packet.is_discard or packet.is_corrupt or next(packet.iter_sidedata(), None))
    if not is_all or packet.pts is None or packet.pos is None or abs(packet.pts) > MAX_TIME:
        return None
    found = os.pread(file, packet.size + BLOCK_HEAD, packet.pos).find(bytes(packet))
    place = packet.pos + found
    return place if found >= 0 and place <= MAX_PLACE else None


def _make_decoder(video: KnownVideo, budget: Budget) -> VideoCodecContext:
    decoder = cast(VideoCodecContext, CodecContext.create(video.codec, "r"))
    for name, value in zip(PARAMETERS, video.parameters, strict=True):
        if value is not None:
            setattr(decoder, name, value)
    set_up_decoder(decoder, budget.limits)
    return decoder
