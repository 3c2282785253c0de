"""Decode frames: from the packets that hold them, or from the complete stream if the packets do not show that.

`decode(wanted)` of both kinds yields (index, frame) for the wanted indices, which are in order. A frame may come again
if the first try was doubtful; one that does not come cannot be decoded.
"""

from collections.abc import Iterable, Iterator
from math import nan
from typing import Protocol

from av import VideoFrame
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from slowfast.datasets.video.container import Budget, OpenFile, VideoError, decode_all
from slowfast.datasets.video.packets import ListedPackets, Packets, Part

KEEP_PIXELS = 64 << 20  # decoded pixels kept of a video that has to be decoded to count its frames


class Source(Protocol):
    """An open file to decode packets of."""

    @property
    def path(self) -> str: ...

    @property
    def budget(self) -> Budget: ...

    @property
    def decoder(self) -> VideoCodecContext: ...


class CountedFrames:
    """A stream whose packets don't tell its frames (AVI, raw streams): decoded once to count them.

    The frames of a short one are kept; a longer one is decoded again from its start for every read. Behind damage the
    numbers of frames are not known, and none of these is given.
    """

    size = None  # known when a frame has been decoded

    def __init__(self, file: OpenFile):
        self._file = file
        self._kept: list[VideoFrame] | None = []
        self._num_sound: int | None = None  # frames before the first damage
        self.num_frames = 0
        times: list[float] = []
        for frame in decode_all(file.path, file.budget):
            if self._num_sound is None and self.num_frames and (frame is None or frame.is_corrupt):
                self._num_sound = self.num_frames
            if frame is not None:
                self.num_frames += 1
                times = [*times[:1], nan if frame.pts is None else frame.pts]
                self._keep(frame)
        if self.num_frames == 0:
            raise VideoError("none of its frames can be decoded")
        self.seconds = (times[-1] - times[0]) * float(file.stream.time_base or 0)  # nan where it is not known

    def _keep(self, frame: VideoFrame) -> None:
        if self._kept is not None:
            self._kept.append(frame)
            if self.num_frames * frame.width * frame.height > KEEP_PIXELS:
                self._kept = None

    def decode(self, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        frames = decode_all(self._file.path, self._file.budget) if self._kept is None else self._kept
        return _count(frames, [i for i in wanted if self._num_sound is None or i < self._num_sound])


def _count(frames: Iterable[VideoFrame | None], wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield the wanted frames of a whole stream by counting."""
    chosen, last = set(wanted), max(wanted, default=-1)
    for index, frame in enumerate(frame for frame in frames if frame is not None):
        if index > last:
            return
        if index in chosen and not frame.is_corrupt:
            yield index, frame


class IndexedFrames:
    """A stream whose packets tell its frames: decodes the packets that the wanted frames need and no others."""

    def __init__(self, file: Source, packets: ListedPackets | Packets, seconds: float, size: tuple[int, int] | None):
        self._file, self._packets = file, packets
        self.num_frames = packets.num_frames
        self.seconds, self.size = seconds, size

    def decode(self, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        for part, group in self._packets.parts(wanted):
            if part is None:
                yield from _count(decode_all(self._file.path, self._file.budget), group)
            else:
                yield from self._decode_in(part, group)

    def _decode_in(self, part: Part, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        index_at = {part.frames.times[i - part.offset]: i for i in wanted}
        missing = dict(index_at)
        try:
            for time, frame in decode_needed(self._file, part, [i - part.offset for i in wanted]):
                if time in missing and not frame.is_corrupt:
                    yield missing.pop(time), frame
        except FFmpegError:
            missing = index_at
        except Disorder:
            yield from _count(decode_all(self._file.path, self._file.budget), wanted)
            return
        if missing:
            yield from self._decode_whole(missing)

    def _decode_whole(self, missing: dict[int, int]) -> Iterator[tuple[int, VideoFrame]]:
        """The exact but slow way, for frames that the decoder did not show in the place the packets promised."""
        for frame in decode_all(self._file.path, self._file.budget):
            if frame is not None and frame.pts in missing and not frame.is_corrupt:
                yield missing.pop(frame.pts), frame
            if not missing:
                return


def indexed_frames(file: OpenFile, packets: ListedPackets | Packets) -> IndexedFrames:
    """Return the frames of a stream by its packets."""
    seconds = float(packets.duration * (file.stream.time_base or 0))
    return IndexedFrames(file, packets, seconds, _known_size(file, packets.first))


def _known_size(file: OpenFile, first: Packet | None) -> tuple[int, int] | None:
    """Return the (width, height) of the frames as shown, where it is known without decoding.

    The size in a container's header may be wrong, so that of H.264 is compared with the stream's own; that of HEVC is
    the stream's own. It saves the decoding of a frame: 1 to 12 % of the time of a clip (H.264; AMD EPYC).
    """
    size = (file.decoder.width, file.decoder.height)
    is_certain = {"h264": file.units.coded_size() == size, "hevc": True}.get(file.decoder.name, False)
    if not is_certain or first is None or file.units.turns(first) or file.shows_turned():
        return None
    return size


class Disorder(Exception):
    """The decoder shows frames in another order than the packets' times."""


def decode_needed(file: Source, part: Part, wanted: list[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (pts, frame) of what the decoder shows for the packets that the wanted frames need."""
    for start, frames in _runs(part, wanted):
        file.decoder.flush_buffers()
        latest = None
        for packet in _run_packets(file.decoder, part, start, frames):
            file.budget.check()
            for frame in file.decoder.decode(packet):
                if frame.pts is None or (latest is not None and frame.pts <= latest):
                    raise Disorder
                latest = frame.pts
                yield latest, frame


def _runs(part: Part, wanted: list[int]) -> list[tuple[int, list[int]]]:
    """Return what to decode in one go: (the position to start from, the frames wanted from there)."""
    runs: list[tuple[int, list[int]]] = []
    end = -1
    for frame in wanted:
        start = part.frames.start_of(frame)
        between = part.unreferenced[end + 1 : start]
        if not runs or start - end - 1 > sum(map(bool, between)):  # else nothing that is needed lies between
            runs.append((start, []))
        runs[-1][1].append(frame)
        end = max(end, part.frames.positions[frame])
    return runs


def _run_packets(decoder: VideoCodecContext, part: Part, start: int, wanted: list[int]) -> Iterator[Packet | None]:
    """Yield the packets up to the last of these frames, and None, which makes the decoder give the rest.

    Frames that are not wanted and that no other frame refers to are left out, by the decoder where the packets are not
    known to hold them: 3 to 27 % of the time of a clip (H.264 and HEVC, 340x256 and 1280x720; AMD EPYC).
    """
    positions = {part.frames.positions[frame] for frame in wanted}
    spare = part.unreferenced
    needed = [p for p in range(start, max(positions) + 1) if p in positions or not (spare and spare[p])]
    for position, packet in zip(needed, part.read(needed), strict=False):  # fewer where the file has ended
        decoder.skip_frame = "DEFAULT" if position in positions else "NONREF"
        yield packet
    decoder.skip_frame = "DEFAULT"
    yield None
