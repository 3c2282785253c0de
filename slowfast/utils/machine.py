"""A description of the machine and of the software, to be printed beside measurements."""

import os
import platform
import subprocess
from pathlib import Path

import av
import torch

import slowfast

CGROUP = Path("/sys/fs/cgroup")
ROOT = Path(slowfast.__file__).parents[1]


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


def allowed_cores() -> int:
    """Return how many cores this process may use: of its affinity, and of the quota of its control group on Linux."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(_quota() or cores)))


def _quota() -> float | None:
    """Return the cores that the control group has time for; None without a limit."""
    second = _numbers(CGROUP / "cpu.max")  # version 2: quota and period
    first = _numbers(CGROUP / "cpu/cpu.cfs_quota_us") + _numbers(CGROUP / "cpu/cpu.cfs_period_us")  # version 1
    for numbers in (second, first):
        if len(numbers) == 2 and min(numbers) > 0:
            return numbers[0] / numbers[1]
    return None


def _numbers(path: Path) -> list[int]:
    """Return the whole numbers in a file; none for a file that cannot be read."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [int(word) for word in words if word.lstrip("-").isdecimal()]


def environment(device: str = "cpu") -> dict[str, str]:
    """Return the machine, the versions of the software, and the commit of this checkout, if it is one."""
    commit = _commit()
    return {
        "machine": machine_name(device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "av": av.__version__,
        "slowfast": slowfast.__version__,
    } | ({"commit": commit} if commit else {})


def _commit() -> str:
    """Return the commit of this checkout, with "+" if files differ from it; empty if it is not known."""
    if not (ROOT / ".git").exists():
        return ""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
