"""Videos that this process has opened before: their packets are read from the file, without FFmpeg's demuxer.

Opening a small file and listing its packets takes as long as decoding a clip of it. So what was learned at the first
opening is kept, and decoders are used again for files with equal parameters. The frames are the same: only H.264 in MP4
is kept, where each packet lies in the file as the demuxer gives it, and none changes how later packets are decoded.

A clip takes 0.45 times as long (8 frames, 228x128, GOP 16), 0.64 (32 frames of these), 0.82 to 0.85 (32 frames, 456x256
with GOP 16 and 340x256 with GOP 250) and 0.98 (32 frames, 1280x720, GOP 250; AMD EPYC).
"""

import os
import stat
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from typing import Any

from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from slowfast.datasets.video.container import Budget, OpenFile, open_file
from slowfast.datasets.video.frames import IndexedFrames
from slowfast.datasets.video.index import FrameIndex
from slowfast.datasets.video.packets import Packets, Part

MAX_VIDEOS = 2048  # kept, 10 KB for each video of 300 frames
MAX_PARAMETERS = 16  # kinds of files that decoders are kept for
SETTLED_SECONDS = 2.0  # since a file's last change: the clocks of file systems may not tell two closer ones apart
PROFILES = {"Constrained Baseline", "Baseline", "Main", "High"}  # of H.264: 8 bits, no lossless coding

Stamp = tuple[str, int, int, int, int]  # path, device, inode, size and time of modification (ns) of a file


@dataclass(frozen=True)
class KnownVideo:
    """What was learned about a video. `times`, `offsets` and `lengths` are those of the packet at each position."""

    parameters: tuple[Any, ...]  # all that a decoder depends on
    rate: float
    seconds: float
    size: tuple[int, int]
    index: FrameIndex
    times: Sequence[int]
    offsets: Sequence[int]
    lengths: Sequence[int]
    unreferenced: bytes


@dataclass(frozen=True)
class KnownFile:
    """An open file of a known video."""

    path: str
    budget: Budget
    video: KnownVideo
    decoder: VideoCodecContext
    file: FileIO

    @property
    def rate(self) -> float:
        return self.video.rate

    def read(self, positions: Iterable[int]) -> Iterator[Packet]:
        video = self.video
        for position in positions:
            packet = Packet(os.pread(self.file.fileno(), video.lengths[position], video.offsets[position]))
            packet.pts = video.times[position]
            yield packet

    def close(self) -> None:
        if not self.file.closed:
            self.file.close()
            _decoders(self.video.parameters)[:] = [self.decoder]


def stamp_of(path: str) -> Stamp | None:
    """Return what changes when a file changes; None where that is not certain."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    is_settled = time.time() - status.st_mtime > SETTLED_SECONDS
    if not stat.S_ISREG(status.st_mode) or not is_settled:
        return None
    return path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(MAX_VIDEOS)
def _videos(stamp: Stamp) -> list[KnownVideo]:
    """Return where to keep the video of a file: a list of at most one."""
    return []


@lru_cache(MAX_PARAMETERS)
def _decoders(parameters: tuple[Any, ...]) -> list[VideoCodecContext]:
    """Return where to keep a decoder that is not in use: a list of at most one."""
    return []


def open_known(path: str, stamp: Stamp | None, budget: Budget) -> tuple[KnownFile, IndexedFrames] | None:
    """Open a video that was opened before; None where it was not, or has changed since."""
    for video in _videos(stamp) if stamp else []:
        budget.limits.check_size(*video.size)
        decoder = _decoder(path, video, budget)
        if decoder is None:
            return None
        file = KnownFile(path, budget, video, decoder, FileIO(path))
        part = Part(0, video.index, file.read, video.unreferenced)
        return file, IndexedFrames(file, Packets(part), video.seconds, video.size)
    return None


def _decoder(path: str, video: KnownVideo, budget: Budget) -> VideoCodecContext | None:
    """Return a decoder for a video: one that is not in use, or that of the file."""
    try:
        return _decoders(video.parameters).pop()
    except IndexError:
        file = open_file(path, budget, quick=True)
        file.close()
        return file.decoder if _parameters(file) == video.parameters else None


def remember(stamp: Stamp | None, file: OpenFile, packets: Packets, frames: IndexedFrames) -> None:
    """Keep what was learned at the opening of a file, if its packets can be read without FFmpeg."""
    kept = packets.kept
    if stamp is None or kept is None or frames.size is None or not _is_plain(file, kept):
        return
    unreferenced = [file.units.is_unreferenced(packet) for packet in kept]
    if None in unreferenced:
        return
    index = packets.index
    _videos(stamp)[:] = [
        KnownVideo(
            _parameters(file),
            file.rate,
            frames.seconds,
            frames.size,
            FrameIndex(array("q", index.times), array("i", index.positions), index.keys, index.key_times),
            array("q", [packet.pts or 0 for packet in kept]),
            array("q", [packet.pos or 0 for packet in kept]),
            array("i", [packet.size for packet in kept]),
            bytes(map(bool, unreferenced)),
        )
    ]


def _is_plain(file: OpenFile, packets: list[Packet]) -> bool:
    """Return whether the packets are H.264 and no more than what lies in the file at their places."""
    if (file.format, file.decoder.name) != ("mov", "h264") or file.decoder.profile not in PROFILES:
        return False
    if any(packet.is_discard or packet.is_corrupt or next(packet.iter_sidedata(), None) for packet in packets):
        return False
    with open(file.path, "rb", buffering=0) as content:
        number = content.fileno()
        return all(os.pread(number, packet.size, packet.pos or 0) == bytes(packet) for packet in packets)


def _parameters(file: OpenFile) -> tuple[Any, ...]:
    """Return all that the decoder of a file depends on before it decodes the first packet."""
    decoder = file.decoder
    shape = (decoder.width, decoder.height, decoder.pix_fmt, decoder.sample_aspect_ratio, decoder.profile)
    color = (decoder.color_range, decoder.colorspace, decoder.color_primaries, decoder.color_trc)
    order = (decoder.reorder_depth, decoder.field_order, decoder.codec_tag)
    return decoder.name, decoder.extradata, shape, color, order, file.budget.limits.pixels
