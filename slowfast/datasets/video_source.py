"""Where decoded frames come from: the packets that hold them, or a decode of the whole stream.

`deliver(wanted, receive)` of all sources calls receive(index, frame) in order of presentation for the wanted indices
and returns the set of those it could serve. A frame may be received again where the first try was doubtful.
"""

from collections.abc import Callable, Collection, Iterator

import av
from av.error import FFmpegError

from slowfast.datasets.video_index import (
    ONE_FRAME_PER_PACKET,
    TIMED_CONTAINERS,
    NalUnits,
    PacketIndex,
    build_index,
)
from slowfast.datasets.video_stream import VideoError, decode_all

KEEP_BYTES = 64 << 20  # compressed packets kept in memory per open video
HEAD = 8  # packets to look at where a container is not trusted
KEEP_PIXELS = 64 << 20  # decoded pixels kept of a video that has to be decoded to count its frames

Receive = Callable[[int, av.VideoFrame], None]


class Source:
    """What all have: an open container with its video stream, `num_frames`, and the frames' `times` where known."""

    times: list[int] = []
    size: tuple[int, int] | None = None  # (width, height) as shown, where it is known without decoding

    def __init__(self, path: str, container, stream):
        self.path, self.container, self.stream = path, container, stream
        self.num_frames = 0

    def close(self) -> None:
        self.container.close()

    def knows_reordering(self) -> bool:
        """Whether the decoder was told how far frames are reordered; else it may drop some before it finds out."""
        return True


class CountedSource(Source):
    """A stream whose packets don't tell its frames (AVI, raw streams): decoded once to count them.

    The frames of a short one are kept; a longer one is decoded again from its start for every read.
    """

    def __init__(self, path: str, container, stream):
        super().__init__(path, container, stream)
        self.kept: list | None = []
        for self.num_frames, frame in enumerate(decode_all(path), start=1):
            if self.kept is not None:
                self.kept.append(frame)
                if self.num_frames * frame.width * frame.height > KEEP_PIXELS:
                    self.kept = None
        if self.num_frames == 0:
            raise VideoError("none of its frames can be decoded")

    def deliver(self, wanted: Collection[int], receive: Receive) -> set[int]:
        return deliver_counted(decode_all(self.path) if self.kept is None else self.kept, wanted, receive)


def deliver_counted(frames, wanted: Collection[int], receive: Receive) -> set[int]:
    """Deliver by counting the frames of a whole stream."""
    done, last = set(), max(wanted)
    for index, frame in enumerate(frames):
        if index in wanted:
            receive(index, frame)
            done.add(index)
        if index >= last:
            break
    return done


class PacketSource(Source):
    """A stream whose packets tell its frames: decodes the packets that the wanted frames need and no others."""

    def __init__(self, path: str, container, stream, index: PacketIndex, packets: list | None, may_turn: bool):
        super().__init__(path, container, stream)
        self.packets = packets  # None: too many to keep
        self.times = index.times
        self.num_frames = len(index.times)
        self._index = index
        self._nal = nal_units(stream)
        context = stream.codec_context
        if self._nal and packets and not may_turn and not self._nal.turns(packets[0]):
            self.size = (context.width, context.height)

    def knows_reordering(self) -> bool:
        in_order = self._index.positions == sorted(self._index.positions)
        return in_order or self.stream.codec_context.name != "h264" or self.stream.codec_context.has_b_frames

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
        context = self.stream.codec_context
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
        if self.packets is not None:
            return enumerate(self.packets[start:], start)
        return self._read_again(start)

    def _read_again(self, start: int):
        """(position, packet) from `start` on, out of the file."""
        position_of = self._index.position_of
        self.container.seek(self._index.seek_time(start), stream=self.stream)
        position = None
        for packet in self.container.demux(self.stream):
            position = position_of.get(packet.pts) if position is None else position + 1
            if position is not None and position >= start and not is_end(packet):
                yield position, packet

    def _deliver_from_whole_stream(self, wanted: set[int], receive: Receive) -> set[int]:
        """The exact but slow way, for frames that the decoder did not show in the place the packets promised."""
        by_time = {self.times[i]: i for i in wanted}
        done: set[int] = set()
        for frame in decode_all(self.path):
            if frame.pts in by_time:
                receive(by_time[frame.pts], frame)
                done.add(by_time[frame.pts])
            if len(done) == len(wanted):
                break
        return done


class _Disorder(Exception):
    """The decoder shows frames in another order than the packets' times."""


def nal_units(stream) -> NalUnits | None:
    context = stream.codec_context
    return NalUnits(context.name, context.extradata) if context.name in ("h264", "hevc") else None


def is_end(packet) -> bool:
    """Whether this is the empty packet that ends a stream."""
    return packet.size == 0 and packet.dts is None


def read_index(container, stream) -> tuple[PacketIndex | None, list | None]:
    """Read all packets once: the index they give, if any, and the packets themselves where they are few enough."""
    timed = container.format.name.split(",")[0] in TIMED_CONTAINERS
    if not timed or stream.codec_context.name not in ONE_FRAME_PER_PACKET:
        return None, None
    if container.size > KEEP_BYTES:
        return _index_of_passing(container, stream), None
    packets = list(_packets(container, stream))
    if packets and is_end(packets[-1]):
        packets.pop()
    _refuse_cut_off(stream, len(packets), packets[-1] if packets else None)
    if not _one_frame_each(container, stream, packets[:HEAD]):
        return None, None
    nal = nal_units(stream)
    keys = [i for i, p in enumerate(packets) if p.is_keyframe and _may_start(nal, p, i)]
    shown = [not packet.is_discard for packet in packets]
    return build_index([p.pts for p in packets], [p.dts for p in packets], shown, keys), packets


def _index_of_passing(container, stream) -> PacketIndex | None:
    """The index of a stream whose packets are too large to be kept."""
    nal = nal_units(stream)
    times, decode_times, keys, head = [], [], [], []
    packet = None
    for position, packet in enumerate(_packets(container, stream)):
        if is_end(packet):
            break
        if packet.is_keyframe and _may_start(nal, packet, position):
            keys.append(position)
        times.append(packet.pts)
        decode_times.append(packet.dts)
        head += [packet] if position < HEAD else []
        if packet.is_discard:
            return None
    _refuse_cut_off(stream, len(times), packet)
    if not _one_frame_each(container, stream, head):
        return None
    return build_index(times, decode_times, [True] * len(times), keys)


def _one_frame_each(container, stream, first_packets: list) -> bool:
    """Whether these packets hold a frame each: in transport streams of interlaced video some hold half of one."""
    if container.format.name != "mpegts":
        return True
    context = stream.codec_context
    try:
        frames = [frame for packet in [*first_packets, None] for frame in context.decode(packet)]
    except FFmpegError:
        return False
    return len(frames) == len(first_packets)


def _may_start(nal: NalUnits | None, packet, position: int) -> bool:
    return position == 0 or nal is None or nal.starts_cleanly(packet)


def _packets(container, stream) -> Iterator:
    try:
        yield from container.demux(stream)
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
