"""Where decoded frames come from: the packets that hold them, or a decode of the whole stream.

Both sources have `num_frames`, `times` (the pts of every frame; empty where the stream tells none) and
`deliver(wanted, receive)`, which calls receive(index, frame) in order of presentation for the wanted indices and
returns the set of those it could serve. A frame may be received again where the first try was doubtful.
"""

import os
from collections.abc import Callable, Collection, Iterator

import av
from av.error import FFmpegError
from av.stream import Discard

from slowfast.datasets.video_index import (
    ONE_FRAME_PER_PACKET,
    TIMED_CONTAINERS,
    NalUnits,
    PacketIndex,
    build_index,
)
from slowfast.datasets.video_size import missing_bytes

KEEP_BYTES = 64 << 20  # compressed packets kept in memory per open video
KEEP_PIXELS = 64 << 20  # decoded pixels kept of a video that has to be decoded to count its frames

Receive = Callable[[int, av.VideoFrame], None]


class VideoError(ValueError):
    """A video that can't be read; the message is the reason in one line, without the path."""


def open_stream(path: str):
    """(container, video stream) of a file, set to decode in this thread. Raises VideoError."""
    if not os.path.isfile(path):
        raise VideoError("there is no such file")
    if os.path.getsize(path) == 0:
        raise VideoError("the file is empty (0 bytes)")
    try:
        container = av.open(path)
    except FFmpegError as error:
        raise VideoError(_why_not_open(path, error)) from error
    videos = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    best = container.streams.best("video")
    stream = best if best in videos else next(iter(videos), None)
    if stream is None or stream.codec_context is None:
        reason = _why_no_stream(container, stream)
        container.close()
        raise VideoError(reason)
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    stream.codec_context.thread_count = 1  # automatic threads dead-lock in forked worker processes
    stream.codec_context.thread_type = "NONE"
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
    return "no video stream (audio only)" if container.streams.audio else "no video stream"


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


class CountedSource:
    """A stream whose packets don't tell its frames (AVI, raw streams): decoded once to count them.

    The frames of a short one are kept; a longer one is decoded again from its start for every read.
    """

    times: list[int] = []

    def __init__(self, path: str):
        self._path = path
        self._kept: list | None = []
        self.num_frames = 0
        for self.num_frames, frame in enumerate(decode_all(path), start=1):
            if self._kept is not None:
                self._kept.append(frame)
                if self.num_frames * frame.width * frame.height > KEEP_PIXELS:
                    self._kept = None
        if self.num_frames == 0:
            raise VideoError("none of its frames can be decoded")

    def deliver(self, wanted: Collection[int], receive: Receive) -> set[int]:
        frames = decode_all(self._path) if self._kept is None else self._kept
        return deliver_counted(frames, wanted, receive)


def deliver_counted(frames, wanted: Collection[int], receive: Receive) -> set[int]:
    """Deliver by counting all frames from the first."""
    done, last = set(), max(wanted)
    for index, frame in enumerate(frames):
        if index in wanted:
            receive(index, frame)
            done.add(index)
        if index >= last:
            break
    return done


class PacketSource:
    """A stream whose packets tell its frames: decodes the packets that the wanted frames need and no others."""

    def __init__(self, path: str, container, stream, index: PacketIndex, packets: list | None):
        self._path, self._container, self._stream = path, container, stream
        self._index = index
        self._packets = packets  # None: too many to keep
        self.times = index.times
        self.num_frames = len(index.times)
        self._nal = _nal_units(stream)

    def deliver(self, wanted: Collection[int], receive: Receive) -> set[int]:
        done: set[int] = set()
        try:
            for start, indices in self._runs(sorted(wanted)):
                by_time = {self.times[i]: i for i in indices}
                for time, frame in self._decode(start, indices):
                    if time in by_time and not frame.is_corrupt:
                        receive(by_time[time], frame)
                        done.add(by_time[time])
        except (FFmpegError, _Disorder):
            done.clear()
        missing = set(wanted) - done
        return done | (self._deliver_from_whole_stream(missing, receive) if missing else set())

    def _runs(self, wanted: list[int]) -> list[tuple[int, list[int]]]:
        """What to decode in one go: (the position to start from, the frames wanted from there)."""
        runs: list[tuple[int, list[int]]] = []
        end = -1
        for index in wanted:
            start = self._index.start_of(index)
            if start <= end:
                runs[-1][1].append(index)
            else:
                runs.append((start, [index]))
            end = max(end, self._index.positions[index])
        return runs

    def _decode(self, start: int, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """(pts, frame) of what the decoder shows from `start` to the last of the frames asked for."""
        needed = {self._index.positions[i] for i in indices}
        context = self._stream.codec_context
        context.flush_buffers()
        latest = None
        for packet in self._needed_packets(start, needed):
            for frame in context.decode(packet):
                if frame.pts is None or (latest is not None and frame.pts <= latest):
                    raise _Disorder
                latest = frame.pts
                yield frame.pts, frame

    def _needed_packets(self, start: int, needed: set[int]):
        """The packets to decode for the frames at these positions, and None, which makes the decoder give the rest."""
        end = max(needed)
        for position, packet in self._packets_from(start):
            if position > end:
                break
            if position in needed or self._nal is None or not self._nal.unreferenced(packet):
                yield packet
        yield None

    def _packets_from(self, start: int):
        if self._packets is not None:
            return enumerate(self._packets[start:], start)
        return self._read_again(start)

    def _read_again(self, start: int):
        """(position, packet) from `start` on, out of the file."""
        position_of = self._index.position_of
        self._container.seek(self._index.seek_time(start), stream=self._stream)
        position = None
        for packet in self._container.demux(self._stream):
            position = position_of.get(packet.pts) if position is None else position + 1
            if position is not None and position >= start and not _is_end(packet):
                yield position, packet

    def _deliver_from_whole_stream(self, wanted: set[int], receive: Receive) -> set[int]:
        """The exact but slow way, for frames that the decoder did not show in the place the packets promised."""
        by_time = {self.times[i]: i for i in wanted}
        done: set[int] = set()
        for frame in decode_all(self._path):
            if frame.pts in by_time:
                receive(by_time[frame.pts], frame)
                done.add(by_time[frame.pts])
            if len(done) == len(wanted):
                break
        return done


class _Disorder(Exception):
    """The decoder shows frames in another order than the packets' times."""


def _nal_units(stream) -> NalUnits | None:
    context = stream.codec_context
    return NalUnits(context.name, context.extradata) if context.name in ("h264", "hevc") else None


def _is_end(packet) -> bool:
    """Whether this is the empty packet that ends a stream."""
    return packet.size == 0 and packet.dts is None


def open_source(path: str, container, stream):
    """The quickest exact source for a stream. Raises VideoError, for files that were cut off, too."""
    source = _packet_source(path, container, stream) or CountedSource(path)
    missing = missing_bytes(path)
    # The size in an AVI header is not reliable; together with the number of frames it is.
    if missing and not (container.format.name == "avi" and source.num_frames >= stream.frames):
        raise VideoError(f"the file is cut off: {missing} bytes are missing")
    return source


def _packet_source(path: str, container, stream) -> PacketSource | None:
    timed = container.format.name.split(",")[0] in TIMED_CONTAINERS
    if not timed or stream.codec_context.name not in ONE_FRAME_PER_PACKET:
        return None
    index, packets = _demux(container, stream)
    return PacketSource(path, container, stream, index, packets) if index else None


def _demux(container, stream) -> tuple[PacketIndex | None, list | None]:
    """Read all packets once: the index they give and, where they are few enough, the packets themselves."""
    nal = _nal_units(stream)
    times, decode_times, shown, keys = [], [], [], []
    packets: list | None = []
    size = 0
    packet = None
    for packet in _packets(container, stream):
        if packet.is_keyframe and (nal is None or not times or nal.starts_cleanly(packet)):
            keys.append(len(times))
        times.append(packet.pts)
        decode_times.append(packet.dts)
        shown.append(not packet.is_discard)
        size += packet.size
        if size > KEEP_BYTES:
            packets = None
        elif packets is not None:
            packets.append(packet)
    _refuse_cut_off(stream, len(times), packet)
    index = build_index(times, decode_times, shown, keys)
    if packets is None and not all(shown):
        return None, None
    return index, packets


def _packets(container, stream):
    try:
        for packet in container.demux(stream):
            if not _is_end(packet):
                yield packet
    except FFmpegError as error:
        raise VideoError(f"the file is damaged or cut off ({error.strerror})") from error


def _refuse_cut_off(stream, count: int, last_packet) -> None:
    if count == 0:
        raise VideoError("the video stream has no frames: the file is empty or cut off")
    expected = len(stream.index_entries) if stream.container.format.name.startswith("mov") else count
    if count < expected:
        raise VideoError(f"the file is cut off: it holds {count} of {expected} frames")
    if last_packet.is_corrupt:
        raise VideoError(f"the file is cut off within frame {count - 1}")
