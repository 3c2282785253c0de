"""Slots of shared memory that workers write batch after batch into.

By default every batch gets new shared memory, which the system clears, and maps page by page in the worker and in the
main process. With slots, two workers give 1.17 times the clips per second at 32 frames x 224 px, and 1.10 times at
8 frames x 112 px (docs/PERFORMANCE.md). They are not limited by the size of /dev/shm, either.
"""

import itertools
import mmap
import weakref
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

SLOTS_OF_A_WORKER = 3  # two batches on their way, and one in use


class Slots:
    """Memory for batches of clips that the main process shares with the workers that it forks.

    Every worker has slots of `capacity` bytes of its own. It takes one for a batch, and the main process frees it when
    nothing refers to the clips anymore. A slot uses memory from its first batch on. It has no name in the file system,
    so nothing is left of it after the processes, however they end.
    """

    _numbers = itertools.count()
    _by_number: ClassVar[weakref.WeakValueDictionary[int, "Slots"]] = weakref.WeakValueDictionary()

    def __init__(self, workers: int, capacity: int) -> None:
        self._capacity = capacity
        self._memory = mmap.mmap(-1, workers * SLOTS_OF_A_WORKER * capacity)
        self._is_taken = mmap.mmap(-1, workers * SLOTS_OF_A_WORKER)  # workers write 1, the main process writes 0
        self._number = next(self._numbers)
        self._by_number[self._number] = self

    def store(self, clips: Sequence[Any]) -> "StoredClips | None":
        """Stack clips of one shape in a slot of this worker.

        None: they are not uint8 tensors but, say, lists of pathways, or they are too large, or no slot is free.
        """
        if not all(isinstance(clip, Tensor) and clip.dtype == torch.uint8 for clip in clips):
            return None
        shape, slot = (len(clips), *clips[0].shape), self._free_slot()
        if slot < 0 or prod(shape) > self._capacity:
            return None
        torch.stack(list(clips), out=torch.from_numpy(self._array(slot, shape)))
        self._is_taken[slot] = 1
        return StoredClips(self._number, slot, shape)

    def tensor(self, slot: int, shape: Sequence[int]) -> Tensor:
        """Return the clips in a slot, without a copy. The slot is free again when nothing refers to their memory."""
        array = self._array(slot, shape)
        weakref.finalize(array, self._is_taken.__setitem__, slot, 0).atexit = False
        return torch.from_numpy(array)

    def _free_slot(self) -> int:
        worker = get_worker_info()
        first = worker.id * SLOTS_OF_A_WORKER if worker else 0
        return self._is_taken.find(b"\0", first, first + SLOTS_OF_A_WORKER) if worker else -1

    def _array(self, slot: int, shape: Sequence[int]) -> np.ndarray:
        return np.frombuffer(self._memory, np.uint8, prod(shape), slot * self._capacity).reshape(shape)


class StoredClips:
    """The place of a batch of clips in the slots, which a worker sends instead of the clips."""

    def __init__(self, slots: int, slot: int, shape: tuple[int, ...]) -> None:
        self._slots, self._slot, self._shape = slots, slot, shape

    def tensor(self) -> Tensor:
        """Return the clips. The main process calls it once."""
        return Slots._by_number[self._slots].tensor(self._slot, self._shape)

    def pin_memory(self, device: object = None) -> Tensor:
        """Return the clips in pinned memory: the method that the loader calls where it pins batches."""
        return self.tensor().pin_memory()
