"""Many strings in two arrays.

A Python list of 200,000 strings is 200,000 objects. A worker process that reads one writes its reference count and so
copies the memory page that holds it. Arrays have one count each, so forked workers keep sharing them.
"""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np


class PackedStrings:
    """A read-only list of strings, stored as one block of bytes and the offsets into it."""

    def __init__(self, strings: Iterable[str]):
        block, offsets = bytearray(), array("q", [0])
        for string in strings:
            block += string.encode("utf-8", "surrogateescape")
            offsets.append(len(block))
        self._bytes, self._offsets = np.asarray(block, np.uint8), np.asarray(offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        start, end = self._offsets[index : index + 2]
        return self._bytes[start:end].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))
