"""The index of a data set: a file with what is known of its videos, so that FFmpeg need not open them and list packets.

Decoding has proven what it has (see `proof.py`). Processes map it into memory and share it. It lies in the folder of
the lists or of the store, or where that is read-only in the user's cache. Videos are found by their paths from that
folder, so it can be moved with the videos in it. A video whose size or time of modification has changed is not found.

    header    VERSION, the number of videos, and where the keys are
    packets   of each video: the arrays of a KnownVideo, one after the other
    decoders  JSON, once for all videos with equal ones; mixed with the packets
    keys      of the videos, 8 bytes each, in ascending order
    rows      a ROW of each video, in the order of the keys
"""

import hashlib
import json
import logging
import mmap
import os
import socket
import struct
import sys
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import accumulate
from math import inf
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np

from slowfast.datasets.files import Stamp
from slowfast.datasets.video.container import MAX_PACKET_BYTES
from slowfast.datasets.video.known import CODECS, COLUMNS, KEY, PARAMETERS, KnownVideo
from slowfast.errors import errors_name_output

NAME = "video_index.bin"
FORMAT = 1  # raise it when the file, or what is proven, changes
LIBRARIES = " ".join(".".join(map(str, av.library_versions[name])) for name in ("libavcodec", "libavformat"))
VERSION = f"slowfast video index {FORMAT}, FFmpeg {LIBRARIES}, {sys.byteorder} endian".encode()
HEADER = struct.Struct("<96sQQ")
ROW = struct.Struct("<qqddIIQIQI?I")
KEY_BYTES = 8
WIDTHS = [np.dtype(kind).itemsize for kind in COLUMNS]
MAX_REORDER_DEPTH = 16  # frames that a decoder of H.264 or HEVC keeps back; FFmpeg's ends the process at more

logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """What the file has of a video besides its packets and decoder: `*_at` is where these lie."""

    num_bytes: int
    modified_ns: int
    rate: float
    seconds: float
    width: int
    height: int
    packets_at: int
    num_packets: int
    decoder_at: int
    decoder_bytes: int
    is_plain: bool
    checksum: int = 0  # of the packets and the decoder


class IndexFile:
    """The index at `path` of the videos in and around `folder`. Raises OSError and ValueError."""

    def __init__(self, path: str, folder: str):
        self.path, self._folder = path, folder
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self._map) < HEADER.size:
            raise ValueError("it is cut off")
        version, self._count, keys_at = HEADER.unpack_from(self._map)
        if version.rstrip(b"\0") != VERSION:
            raise ValueError("it is of another version of this project or of FFmpeg")
        self._rows_at = keys_at + self._count * KEY_BYTES
        if self._rows_at + self._count * ROW.size != len(self._map):
            raise ValueError("it is damaged or cut off")
        self._keys = memoryview(self._map)[keys_at : self._rows_at].cast("Q")

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.path, self._folder)  # a process that is started anew maps it again

    def __len__(self) -> int:
        return self._count

    def find(self, path: str, stamp: Stamp) -> KnownVideo | None:
        """See `known.VideoIndex`."""
        key = key_of(path, self._folder)
        place = bisect_left(self._keys, key)
        if place == self._count or self._keys[place] != key:
            return None
        row = self._row(place)
        if [row.num_bytes, row.modified_ns] != stamp:
            return None
        try:
            return _video(row, *self._content(row))
        except (ValueError, TypeError) as error:
            _warn_of_damage(self.path, str(error))
            return None

    def entries(self) -> Iterator[tuple[int, Row, bytes, bytes]]:
        """Yield the key, row, packets and decoder of every video, without those that are damaged."""
        for place, key in enumerate(self._keys):
            with suppress(ValueError):
                yield key, self._row(place), *self._content(self._row(place))

    def _row(self, place: int) -> Row:
        return Row._make(ROW.unpack_from(self._map, self._rows_at + place * ROW.size))

    def _content(self, row: Row) -> tuple[bytes, bytes]:
        packets = self._map[row.packets_at : row.packets_at + row.num_packets * sum(WIDTHS)]
        decoder = self._map[row.decoder_at : row.decoder_at + row.decoder_bytes]
        if _checksum(row, packets, decoder) != row.checksum:
            raise ValueError("the checksum is wrong")
        return packets, decoder


def open_index(folder: str) -> IndexFile | None:
    """Return the index of a folder of lists or of a store; None where there is none that can be used."""
    paths = sorted(filter(os.path.isfile, index_paths(folder)), key=os.path.getmtime, reverse=True)
    return next(filter(None, (_open(path, folder) for path in paths)), None)


def _open(path: str, folder: str) -> IndexFile | None:
    try:
        return IndexFile(path, folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("%s is not used: %s. Make it again with `slowfast check`", path, error)
        return None


def index_paths(folder: str) -> list[str]:
    """Return where the index of a folder may be: in it, or where it is read-only in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.sha1(os.fsencode(os.path.abspath(folder))).hexdigest()[:20]
    return [os.path.join(folder, NAME), os.path.join(cache, "slowfast", f"{name}.bin")]


def key_of(path: str, folder: str) -> int:
    """Return the key of a video: a hash of its path from the folder, or of its absolute path if it is not below it."""
    below = os.path.abspath(path).removeprefix(os.path.join(os.path.abspath(folder), ""))
    return int.from_bytes(hashlib.blake2b(os.fsencode(below), digest_size=KEY_BYTES).digest(), "little")


def _checksum(row: Row, packets: bytes, decoder: bytes) -> int:
    facts = ROW.pack(*row._replace(packets_at=0, decoder_at=0, checksum=0))
    return zlib.crc32(decoder, zlib.crc32(packets, zlib.crc32(facts)))


def _video(row: Row, packets: bytes, decoder: bytes) -> KnownVideo:
    """Return the video of a row. Raises ValueError or TypeError where what the index has of it cannot be."""
    starts = accumulate((width * row.num_packets for width in WIDTHS), initial=0)
    columns = zip(COLUMNS, starts, strict=False)
    times, offsets, lengths, flags = (np.frombuffer(packets, kind, row.num_packets, at) for kind, at in columns)
    if not (_are_sound(row) and flags[0] & KEY and len(set(times.tolist())) == row.num_packets):
        raise ValueError("it contradicts itself")
    if (offsets.astype(np.int64) + lengths).max() > row.num_bytes or lengths.max() > MAX_PACKET_BYTES:
        raise ValueError("it has packets outside of the file")
    size = (row.width, row.height)
    return KnownVideo(*_decoder_of(decoder), row.rate, row.seconds, size, row.is_plain, times, offsets, lengths, flags)


def _are_sound(row: Row) -> bool:
    is_finite = all(0 <= number < inf for number in (row.rate, row.seconds))
    return is_finite and min(row.num_packets, row.width, row.height) > 0


@lru_cache(64)
def _decoder_of(text: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return the name and the parameters of a decoder from its JSON. Raises ValueError or TypeError."""
    codec, extradata, *others = json.loads(text)
    parameters = (extradata and bytes.fromhex(extradata), *others)
    depth = dict(zip(PARAMETERS, parameters, strict=True))["reorder_depth"]
    if codec not in CODECS or not 0 <= depth <= MAX_REORDER_DEPTH:
        raise ValueError("there is no such decoder")
    return codec, parameters


@lru_cache
def _warn_of_damage(path: str, problem: str) -> None:
    logger.warning("%s: a video in it is not used, as %s. More of these are not reported", path, problem)


@contextmanager
def index_writer(folder: str) -> Iterator["IndexWriter"]:
    """Add videos to the index of a folder. What has been added is kept, however the block ends.

    The file is written beside and renamed, so that there is always a complete one or none. Raises OSError.
    """
    beside, cache = index_paths(folder)
    path = beside if os.access(folder, os.W_OK) else cache
    with errors_name_output(path, "the index of the videos"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.{socket.gethostname()}.{os.getpid()}"
    try:
        with open(part, "wb") as file:
            writer = IndexWriter(file, path, folder)
            try:
                yield writer
            finally:
                if len(writer):
                    writer.finish()
                    os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(part)


class IndexWriter:
    """Writes the index that is to be at `path`."""

    def __init__(self, file: BinaryIO, path: str, folder: str):
        self.path = path
        self._file, self._folder = file, folder
        self._rows: dict[int, Row] = {}
        self._decoders: dict[bytes, int] = {}
        file.write(bytes(HEADER.size))

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, path: str, stamp: Sequence[int], video: KnownVideo) -> None:
        extradata, *others = video.parameters
        decoder = json.dumps([video.codec, extradata and extradata.hex(), *others]).encode()
        packets = b"".join(column.tobytes() for column in (video.times, video.offsets, video.lengths, video.flags))
        num_bytes, modified_ns = stamp
        facts = (num_bytes, modified_ns, video.rate, video.seconds, *video.size)
        row = Row(*facts, 0, len(video.times), 0, len(decoder), video.is_plain)
        self._add(key_of(path, self._folder), row, packets, decoder)

    def _add(self, key: int, row: Row, packets: bytes, decoder: bytes) -> None:
        if decoder not in self._decoders:
            self._decoders[decoder] = self._file.tell()
            self._file.write(decoder)
        row = row._replace(packets_at=self._file.tell(), decoder_at=self._decoders[decoder])
        self._rows[key] = row._replace(checksum=_checksum(row, packets, decoder))
        self._file.write(packets)

    def finish(self) -> None:
        """Add the videos that only the present index has, and complete the file."""
        present = open_index(self._folder)
        for key, row, packets, decoder in present.entries() if present else ():
            if key not in self._rows:
                self._add(key, row, packets, decoder)
        keys_at = self._file.tell()
        self._file.write(np.array(sorted(self._rows), np.uint64).tobytes())
        self._file.writelines(ROW.pack(*self._rows[key]) for key in sorted(self._rows))
        self._file.seek(0)
        self._file.write(HEADER.pack(VERSION, len(self._rows), keys_at))
        self._file.flush()
