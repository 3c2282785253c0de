"""The size that a file claims in its header: files that are cut off are shorter.

FFmpeg reads such AVI and Matroska files to where they end and reports nothing.
"""

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

SIZED_CONTAINERS = {"avi", "matroska"}
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
MAX_BOXES = 10_000  # that are looked through


def claimed_size(path: str) -> int:
    """Return the size in bytes that the header of an AVI or Matroska file claims; 0 where there is none."""
    with open(path, "rb", buffering=0) as file:
        head = file.read(4096)
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] != EBML:
        return 0
    length, at = _ebml_size(head, 4)
    at += length
    if head[at : at + 4] != SEGMENT:
        return 0
    length, at = _ebml_size(head, at + 4)
    return at + length if length else 0


def _ebml_size(head: bytes, at: int) -> tuple[int, int]:
    """Return (a size of variable length, 0 for unknown; where it ends)."""
    if at >= len(head) or head[at] == 0:
        return 0, at
    width = 9 - head[at].bit_length()
    unknown = (1 << 7 * width) - 1
    value = int.from_bytes(head[at : at + width], "big") & unknown
    return 0 if value == unknown else value, at + width


def is_complete_mp4(file: BinaryIO) -> bool:
    """Return whether this is an MP4 file whose header describes all of its frames, not one in fragments."""
    boxes = islice(_boxes(file), MAX_BOXES)
    return next(boxes, b"") == b"ftyp" and b"moof" not in boxes


def _boxes(file: BinaryIO) -> Iterator[bytes]:
    """Yield the kinds of the outermost boxes of an MP4 file."""
    at = 0
    while len(box := file.read(16)) == 16:
        yield box[4:8]
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:], "big")
        if length < 8:  # 0: to the end of the file
            return
        at += length
        file.seek(at)
