"""What a file's own headers say that FFmpeg does not pass on: its length in bytes, and whether pictures are turned."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

EBML, SEGMENT, CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
PROJECTION = b"\x76\x70"  # the element of Matroska that can turn pictures
UPRIGHT = b"".join(n.to_bytes(4, "big") for n in (1 << 16, 0, 0, 0, 1 << 16))  # the start of MP4's unit matrix
MATRIX_AT = {b"mvhd": (36, 48), b"tkhd": (40, 52)}  # place of the matrix in boxes of version 0 and 1
MAX_HEADER = 16 << 20  # of what is looked through


@dataclass(frozen=True)
class Header:
    """`is_complete`: an MP4 file whose header tells all about all its frames (not one in fragments);
    `missing_bytes` of the size that the file claims; whether its pictures `may_turn` (or be mirrored)."""

    is_complete: bool = False
    missing_bytes: int = 0
    may_turn: bool = False


def read_header(path: str) -> Header:
    with open(path, "rb", buffering=0) as file:
        head = file.read(4096)
        size = os.fstat(file.fileno()).st_size
        if head[:4] == b"RIFF":
            return Header(missing_bytes=max(8 + int.from_bytes(head[4:8], "little") - size, 0))
        if head[:4] == EBML:
            may_turn = CLUSTER not in head or PROJECTION in head
            return Header(missing_bytes=max(_matroska_end(head) - size, 0), may_turn=may_turn)
        if head[4:8] == b"ftyp":
            return _mp4_header(file, size)
        return Header()


def _mp4_header(file: BinaryIO, size: int) -> Header:
    end, movie, fragments = 0, b"", False
    for kind, start, stop in _boxes(file, size):
        fragments = fragments or kind == b"moof"
        if kind in (b"mdat", b"moof"):
            end = stop
        elif kind == b"moov" and stop - start < MAX_HEADER:
            file.seek(start)
            movie = file.read(stop - start)
    return Header(not fragments, max(end - size, 0), not movie or _is_turned(movie))


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, stop) of the boxes of an MP4 file."""
    at = 0
    while at + 16 <= size:
        file.seek(at)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:], "big")
        if length < 8:  # 0: to the end of the file
            return
        yield box[4:8], at, at + length
        at += length


def _is_turned(movie: bytes) -> bool:
    for kind, places in MATRIX_AT.items():
        at = movie.find(kind) + 4
        while at >= 4:
            matrix = at + places[movie[at] == 1] if at < len(movie) else at
            if movie[matrix : matrix + len(UPRIGHT)] != UPRIGHT:
                return True
            at = movie.find(kind, at) + 4
    return False


def _matroska_end(head: bytes) -> int:
    """The end of the segment that follows the EBML header; 0 where it is not told."""
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
