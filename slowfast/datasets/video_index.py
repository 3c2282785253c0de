"""Which packet holds which frame: the order of presentation, told from the packets of a stream without decoding.

A packet's *position* is its place in the file (the order of decoding), a frame's *index* its place on the screen.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import sub

# The pts that these containers store are those of the frames. Others (AVI, raw streams) store none, and what
# FFmpeg makes up for them is the order of decoding.
TIMED_CONTAINERS = {"mov", "matroska", "mpegts", "flv"}
# One packet is one shown frame in streams of these codecs (VP8, for one, has packets that show nothing).
ONE_FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4", "mpeg2video", "mjpeg", "prores", "ffv1"}
# No codec reorders further; times that lie further from the order of decoding jump, and are no order.
MAX_REORDER = 32

H264_SLICES = {1, 2, 5}
H264_IDR, H264_SEI = 5, 6
SEI_RECOVERY_POINT, SEI_DISPLAY_ORIENTATION = 6, 47
HEVC_PREFIX_SEI = 39


@dataclass(frozen=True)
class PacketIndex:
    """`times` and `positions` of the frames in order of presentation, and where decoding can start: at the packets
    at the positions `keys`, with their times of presentation and of decoding."""

    times: list[int]
    positions: list[int]
    keys: list[int]
    key_times: list[int]
    key_decode_times: list[int | None]

    def start_of(self, frame: int) -> int:
        """The position of the last key packet from which this frame can be decoded."""
        key = bisect_right(self.keys, self.positions[frame]) - 1
        while key > 0 and self.key_times[key] > self.times[frame]:  # shown before the key frame: an open GOP
            key -= 1
        return self.keys[key]

    def seek_time(self, start: int) -> int:
        """The time to seek to for the key packet at position `start`."""
        key = self.keys.index(start)
        time = self.key_decode_times[key]
        return self.key_times[key] if time is None else time

    @cached_property
    def position_of(self) -> dict[int, int]:
        """The position of the packet with a time of presentation."""
        return dict(zip(self.times, self.positions, strict=True))


def build_index(times: list, decode_times: list, shown: list[bool], keys: list[int]) -> PacketIndex | None:
    """The index of a stream from its packets' times, or None where they don't tell the order of presentation.

    `times[p]` is the pts of the packet at position p and `decode_times[p]` its dts (None: it has none), `shown[p]`
    whether its frame is meant to be seen (edit lists need some decoded but not shown), `keys` the positions of key
    packets.
    """
    if not keys or keys[0] != 0 or None in times:
        return None
    positions = [p for p, seen in enumerate(shown) if seen]
    ordered = sorted(positions, key=times.__getitem__)
    order = [times[p] for p in ordered]
    if len(set(order)) < len(order):
        return None
    if ordered != positions and max(map(abs, map(sub, positions, ordered))) > MAX_REORDER:
        return None
    if not ordered or order[0] < times[0]:  # frames that refer to something before the stream's start
        return None
    return PacketIndex(order, ordered, keys, [times[p] for p in keys], [decode_times[p] for p in keys])


class NalUnits:
    """Reads the NAL unit headers of an H.264 or HEVC stream: what nothing refers to, and where decoding can start."""

    def __init__(self, codec: str, extradata: bytes | None):
        self.codec = codec
        config = extradata or b""
        lengths_at = {"h264": 4, "hevc": 21}[codec]
        prefixed = len(config) > lengths_at and config[0] == 1
        self.length_size = (config[lengths_at] & 3) + 1 if prefixed else 0  # 0: start codes
        # HEVC's frames may be referred to by those of a higher temporal layer: only the top one can be left out.
        self.top_layer = (config[lengths_at] >> 3 & 7) - 1 if prefixed and codec == "hevc" else -1

    def __call__(self, packet) -> Iterator[memoryview]:
        """Yield the NAL units (memoryviews) of a packet."""
        data = memoryview(packet)
        if not self.length_size:
            yield from _split_start_codes(data)
            return
        at, size = 0, self.length_size
        while at + size < len(data):
            length = int.from_bytes(data[at : at + size], "big")
            yield data[at + size : at + size + length]
            at += size + length

    def unreferenced(self, packet) -> bool:
        """Whether no other frame refers to this packet's, so that it can be left out without a trace."""
        for unit in self(packet):
            header = unit[0]
            if self.codec == "h264":
                if header & 31 in H264_SLICES:
                    return not header >> 5 & 3
            elif (kind := header >> 1 & 63) < 32:  # a slice
                return kind < 16 and kind % 2 == 0 and (unit[1] & 7) - 1 == self.top_layer
        return False

    def starts_cleanly(self, packet) -> bool:
        """Whether every later frame can be decoded from this key packet on.

        Containers also mark H.264 frames that begin a gradual refresh; only an IDR frame or a recovery point of
        count 0 (coded as a single 1 bit) will do. HEVC's key packets all do.
        """
        if self.codec == "hevc":
            return True
        for unit in self(packet):
            kind = unit[0] & 31
            if kind == H264_SEI:
                payload = dict(_sei_messages(unit[1:])).get(SEI_RECOVERY_POINT)
                if payload and payload[0] & 0x80:
                    return True
            if kind in H264_SLICES:
                return kind == H264_IDR
        return False

    def turns(self, packet) -> bool:
        """Whether the stream itself says, in its first packet, that pictures are to be turned or mirrored."""
        for unit in self(packet):
            if self.codec == "h264" and unit[0] & 31 == H264_SEI:
                messages = _sei_messages(unit[1:])
            elif self.codec == "hevc" and unit[0] >> 1 & 63 == HEVC_PREFIX_SEI:
                messages = _sei_messages(unit[2:])
            else:
                continue
            if SEI_DISPLAY_ORIENTATION in dict(messages):
                return True
        return False


def _sei_messages(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(kind, payload) of the messages of an SEI unit."""
    at = 0
    while at < len(data) - 2:
        kind, at = _sei_number(data, at)
        size, at = _sei_number(data, at)
        yield kind, data[at : at + size]
        at += size


def _sei_number(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    while at < len(data) - 1 and data[at] == 255:
        value, at = value + 255, at + 1
    return value + (data[at] if at < len(data) else 0), at + 1


def _split_start_codes(data: memoryview) -> Iterator[memoryview]:
    raw = bytes(data)
    at = raw.find(b"\0\0\1")
    while at >= 0:
        following = raw.find(b"\0\0\1", at + 3)
        unit = data[at + 3 : following if following >= 0 else len(raw)]
        if len(unit):
            yield unit
        at = following
