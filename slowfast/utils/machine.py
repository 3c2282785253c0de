"""A description of the machine, to be printed beside measurements."""

import platform
from pathlib import Path

import torch


def machine_name(device: str = "cpu") -> str:
    """Return the processor, the number of threads and torch's version; for "cuda" the GPU and torch's version."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def processor_name() -> str:
    """Return the name of the processor: from Linux, else from Python."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
