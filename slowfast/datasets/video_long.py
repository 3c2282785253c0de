"""Long MP4 files: only the packets around the wanted frames are read.

The index in an MP4 header has every packet's time of decoding and the key packets, but not the times of presentation.
Those are needed only near the wanted frames: all that is decoded before a key frame is shown before it, and no
codec shows a frame more than MAX_REORDER places from where it is decoded.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from itertools import chain, pairwise

from slowfast.datasets.video_index import MAX_REORDER, PacketIndex, build_index
from slowfast.datasets.video_source import PacketSource, Receive, Source, deliver_counted, nal_units
from slowfast.datasets.video_stream import decode_all

LONG = 3000  # frames
GAP = 300  # frames that are read rather than sought over


class LongSource(Source):
    """A long MP4 file, all frames of which are shown."""

    def __init__(self, path: str, container, stream, may_turn: bool):
        super().__init__(path, container, stream)
        entries = [(entry.timestamp, entry.is_keyframe) for entry in stream.index_entries]
        self.num_frames = len(entries)
        self._decode_times = [time for time, _ in entries]
        self._keys = [position for position, (_, is_key) in enumerate(entries) if is_key]
        self._nal = nal_units(stream)
        first = next(self._read(0, 1), None)
        context = stream.codec_context
        if self._nal and first is not None and not may_turn and not self._nal.turns(first):
            self.size = (context.width, context.height)

    @staticmethod
    def can_serve(stream) -> bool:
        entries = stream.index_entries
        if len(entries) < LONG or not entries[0].is_keyframe or any(entry.is_discard for entry in entries):
            return False
        times = [entry.timestamp for entry in entries]
        return all(a < b for a, b in pairwise(times))

    def knows_reordering(self) -> bool:
        context = self.stream.codec_context
        return context.name != "h264" or context.has_b_frames

    def deliver(self, wanted: Collection[int], receive: Receive) -> set[int]:
        done: set[int] = set()
        for group in _groups(sorted(wanted)):
            found = self._window(group[0], group[-1])
            if found is not None:
                offset, index, packets = found
                source = PacketSource(self.path, self.container, self.stream, index, packets, may_turn=True)
                local = {i - offset for i in group} & set(range(source.num_frames))
                served = source.deliver(local, lambda i, frame, offset=offset: receive(i + offset, frame))
                done |= {i + offset for i in served}
        missing = set(wanted) - done
        return done | (deliver_counted(decode_all(self.path), missing, receive) if missing else set())

    def _window(self, first: int, last: int) -> tuple[int, PacketIndex, list] | None:
        """(which frame is frame 0 of the index, the index, the packets) for a part that holds frames first..last."""
        key = bisect_right(self._keys, first) - 1
        while key >= 0:
            start = self._keys[key]
            packets = list(self._read(start, min(last + MAX_REORDER + 1, self.num_frames)))
            if len(packets) == 0:
                return None
            leading = sum(packet.pts < packets[0].pts for packet in packets)
            if start + leading <= first and self._may_start(packets[0], start):
                index = self._index(packets)
                return (start + leading, index, packets) if index else None
            key -= 1
        return None

    def _may_start(self, packet, position: int) -> bool:
        return position == 0 or self._nal is None or self._nal.starts_cleanly(packet)

    def _index(self, packets: list) -> PacketIndex | None:
        """Of a part that begins with a key packet; what is shown before that is left out."""
        shown = [packet.pts >= packets[0].pts for packet in packets]
        keys = [p for p, packet in enumerate(packets) if packet.is_keyframe and (not p or self._may_start(packet, p))]
        return build_index([p.pts for p in packets], [p.dts for p in packets], shown, keys)

    def _read(self, start: int, stop: int) -> Iterator:
        """The packets at positions start..stop-1, `start` being that of a key packet; none if they aren't there."""
        landed, packets = self._seek(start)
        for position, packet in enumerate(packets, landed):
            if position >= stop or packet.dts != self._decode_times[position]:
                return
            if position >= start:
                yield packet

    def _seek(self, start: int) -> tuple[int, Iterator]:
        """(the position that was reached, the packets from there), at or before the key packet at `start`."""
        shown = start + self.stream.codec_context.reorder_depth + 1  # FFmpeg seeks by the time a frame is shown
        for near in (min(shown, self.num_frames - 1), start):
            self.container.seek(self._decode_times[near], stream=self.stream)
            packets = self.container.demux(self.stream)
            first = next(packets)
            landed = self.num_frames if first.dts is None else bisect_left(self._decode_times, first.dts)
            if landed <= start:
                break
        return landed, chain([first], packets)


def _groups(wanted: list[int]) -> Iterator[list[int]]:
    """Frames that are near enough to each other to be read in one go."""
    group: list[int] = []
    for index in wanted:
        if group and index - group[-1] > GAP:
            yield group
            group = []
        group.append(index)
    if group:
        yield group
