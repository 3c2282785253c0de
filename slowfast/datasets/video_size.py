"""How long a file says it is: what tells a file that was cut off from one that is short."""

import os
from typing import BinaryIO

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def missing_bytes(path: str) -> int:
    """How many bytes a file lacks of the size that its own headers give; 0 where nothing is known to be missing."""
    with open(path, "rb", buffering=0) as file:
        head = file.read(128)
        if head[:4] == b"RIFF":
            end = 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == EBML:
            end = _matroska_end(head)
        elif head[4:8] == b"ftyp":
            end = _mp4_end(file)
        else:
            end = 0
        return max(end - os.fstat(file.fileno()).st_size, 0)


def _mp4_end(file: BinaryIO) -> int:
    """The end of the last box of pictures."""
    at = end = 0
    size = os.fstat(file.fileno()).st_size
    while at + 16 <= size:
        file.seek(at)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:], "big")
        if length < 8:  # 0: to the end of the file
            break
        at += length
        if box[4:8] in (b"mdat", b"moof"):
            end = at
    return end


def _matroska_end(head: bytes) -> int:
    """The end of the segment that follows the EBML header."""
    length, at = _ebml_size(head, 4)
    at += length
    if head[at : at + 4] != SEGMENT:
        return 0
    length, at = _ebml_size(head, at + 4)
    return at + length if length else 0


def _ebml_size(head: bytes, at: int) -> tuple[int, int]:
    """(a size of variable length, 0 for unknown; where it ends)"""
    if at >= len(head) or head[at] == 0:
        return 0, at
    width = 9 - head[at].bit_length()
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    unknown = value == (1 << 7 * width) - 1
    return 0 if unknown else value, at + width
