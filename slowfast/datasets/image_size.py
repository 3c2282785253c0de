"""The size that the header of an image claims, known before memory is taken for its pixels."""

import struct
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the segments of a frame, of every kind of coding


def image_size(path: str) -> tuple[int, int]:
    """Return the (width, height) of a PNG or JPEG file; (0, 0) for other kinds and for damaged headers."""
    with open(path, "rb") as file:
        head = file.read(24)
        if head.startswith(PNG) and len(head) == 24:
            width, height = struct.unpack(">II", head[16:])
            return width, height
        return _jpeg_size(file) if head.startswith(JPEG) else (0, 0)


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    """Go from segment to segment to the one with the size."""
    file.seek(2)
    while len(segment := file.read(9)) == 9 and segment[0] == 0xFF:
        if segment[1] in JPEG_SIZES:
            height, width = struct.unpack(">HH", segment[5:])
            return width, height
        if segment[1] == 0xFF:  # a byte of padding
            file.seek(-8, 1)
        else:
            file.seek(int.from_bytes(segment[2:4], "big") - 7, 1)
    return 0, 0
