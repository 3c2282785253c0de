"""Which packet holds which frame: the order of presentation, taken from the packets' times without decoding.

A packet's *position* is its place in the file (the order of decoding), a frame's *index* its place on the screen.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import sub
from typing import cast

# The pts that these containers store are those of the frames. Others (AVI, raw streams) store none, and what
# FFmpeg makes up for them is the order of decoding.
TIMED_CONTAINERS = {"mov", "matroska", "mpegts", "flv"}
# One packet is one shown frame in streams of these codecs (VP8, for one, has packets that show nothing).
ONE_FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4", "mpeg2video", "mjpeg", "prores", "ffv1"}
# No codec reorders further; times that lie further from the order of decoding jump, and are no order.
MAX_REORDER = 32


@dataclass(frozen=True)
class FrameIndex:
    """The `times` and `positions` of the frames in order of presentation, and the positions and times of the packets
    from which decoding may start: `keys` and `key_times`."""

    times: Sequence[int]
    positions: Sequence[int]
    keys: Sequence[int]
    key_times: Sequence[int]

    def start_of(self, frame: int) -> int:
        """Return the position of the last packet from which this frame can be decoded."""
        key = bisect_right(self.keys, self.positions[frame]) - 1
        while key > 0 and self.key_times[key] > self.times[frame]:  # shown before the key frame: an open GOP
            key -= 1
        return self.keys[key]

    @property
    def is_in_order(self) -> bool:
        """Whether frames are shown in the order in which they are decoded."""
        return list(self.positions) == sorted(self.positions)


def build_index(times: Sequence[int | None], shown: Sequence[bool], keys: list[int]) -> FrameIndex | None:
    """Return the index of a stream, or None where the times of its packets are no order of presentation.

    Args:
        times: the pts of the packet at each position (None: it has none).
        shown: whether its frame is meant to be seen; edit lists need some frames decoded but not shown.
        keys: the positions of the packets from which decoding may start.
    """
    if not keys or keys[0] != 0 or None in times:
        return None
    times = cast(Sequence[int], times)
    positions = [position for position, seen in enumerate(shown) if seen]
    ordered = sorted(positions, key=times.__getitem__)
    order = [times[position] for position in ordered]
    if not order or len(set(order)) < len(order):
        return None
    if ordered != positions and max(map(abs, map(sub, positions, ordered))) > MAX_REORDER:
        return None
    if order[0] < times[0]:  # frames that refer to something before the stream's start
        return None
    latest = list(accumulate(times, max))
    if any(latest[key - 1] > times[key] for key in keys[1:]):  # all that is decoded before a key frame is shown before
        return None
    return FrameIndex(order, ordered, keys, [times[position] for position in keys])
