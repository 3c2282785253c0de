"""What the units of an H.264 or HEVC stream say about themselves: where decoding may start, and how frames are shown.

Containers also mark H.264 frames that begin a gradual refresh as key frames, and some show nothing but the marks.
FFmpeg decodes from any of them, right or wrong, so the units are read for exactness.
"""

from collections.abc import Iterator
from itertools import islice

from slowfast.datasets.video.sps import sps_size

H264_SLICES = {1, 2, 5}
H264_IDR, H264_SEI, H264_SPS = 5, 6, 7
HEVC_SEI = 39
PLAIN = {1, H264_IDR, H264_SEI, 9, 12}  # slices, messages, delimiters and filling
MAX_UNITS = 1000  # of a packet; damaged ones may consist of empty units
RECOVERY_POINT, DISPLAY_ORIENTATION = 6, 47  # kinds of SEI messages


class NalUnits:
    """Reads the packets of an H.264 or HEVC stream; of other codecs it knows that all key packets will do.

    Args:
        codec: its name.
        extradata: the codec's configuration from the container; it tells how units are separated.
    """

    def __init__(self, codec: str, extradata: bytes | None):
        config = extradata or b""
        self._is_h264 = codec == "h264"
        length_at = 4 if self._is_h264 else 21
        has_lengths = len(config) > length_at and config[0] == 1
        self._length_size = (config[length_at] & 3) + 1 if has_lengths else 0  # 0: start codes
        self._config = config

    def starts_cleanly(self, packet) -> bool:
        """Return whether every later frame can be decoded from this key packet on.

        Of H.264 an IDR frame or a recovery point of count 0 (coded as a single 1 bit); of other codecs all key packets.
        """
        if not self._is_h264:
            return True
        for unit in self._units(packet):
            kind = unit[0] & 31
            recovery = self._messages(unit).get(RECOVERY_POINT)
            if recovery and recovery[0] & 0x80:
                return True
            if kind in H264_SLICES:
                return kind == H264_IDR
        return False

    def is_unreferenced(self, packet) -> bool | None:
        """Return whether no other frame refers to this one (H.264).

        None where the packet has more than slices and remarks, such as parameters, which later packets may need.
        """
        headers = [unit[0] for unit in self._units(packet)]
        if not PLAIN.issuperset(header & 31 for header in headers) or len(headers) == MAX_UNITS:
            return None
        slices = [header for header in headers if header & 31 in H264_SLICES]
        return bool(slices) and not any(header & 0x60 for header in slices)

    def turns(self, packet) -> bool:
        """Return whether the stream itself, in its first packet, says that pictures are to be turned or mirrored."""
        return any(DISPLAY_ORIENTATION in self._messages(unit) for unit in self._units(packet))

    def coded_size(self) -> tuple[int, int] | None:
        """Return the (width, height) that the configuration of an H.264 stream gives, if it can be read."""
        config = memoryview(self._config)
        units = _split_lengths(config[6:], 2) if self._length_size else _split_start_codes(config)
        sets = (unit for unit in units if len(unit) and unit[0] & 31 == H264_SPS)
        return next(map(sps_size, sets), None) if self._is_h264 else None

    def _units(self, packet) -> Iterator[memoryview]:
        """Yield the units of a packet, none of them empty."""
        data = memoryview(packet)
        units = _split_lengths(data, self._length_size) if self._length_size else _split_start_codes(data)
        return (unit for unit in islice(units, MAX_UNITS) if len(unit))

    def _messages(self, unit: memoryview) -> dict[int, memoryview]:
        """Return the messages of a unit by kind, if it is an SEI unit."""
        header = 1 if self._is_h264 else 2
        kind, sei = (unit[0] & 31, H264_SEI) if self._is_h264 else (unit[0] >> 1 & 63, HEVC_SEI)
        return dict(_sei_messages(unit[header:])) if kind == sei else {}


def _split_lengths(data: memoryview, size: int) -> Iterator[memoryview]:
    at = 0
    while at + size < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        yield data[at + size : at + size + length]
        at += size + length


def _split_start_codes(data: memoryview) -> Iterator[memoryview]:
    raw = bytes(data)
    at = raw.find(b"\0\0\1")
    while at >= 0:
        following = raw.find(b"\0\0\1", at + 3)
        yield data[at + 3 : following if following >= 0 else len(raw)]
        at = following


def _sei_messages(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (kind, payload) of the messages of an SEI unit."""
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
