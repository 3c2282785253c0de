"""Time and memory of a device."""

import ctypes
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")  # Linux
RESET_PEAK = "5"  # see `man 5 proc`


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(device: torch.device, work: Callable[[], object]) -> float:
    """Return how long the device takes for `work`."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def clear_memory(device: torch.device) -> None:
    """Start a new measurement of the peak of memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)  # glibc keeps memory that tensors have freed
        trim(0)
        CLEAR.write_text(RESET_PEAK)


def peak_gib(device: torch.device) -> float | None:
    """Return the peak since `clear_memory`: of CUDA's tensors, or on a CPU of the process. None if it is unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    peak = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return int(peak[1]) / 2**20 if peak else None
