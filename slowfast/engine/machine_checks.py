"""Checks of the machine: devices, decoder, cores, memory, shared memory, limits and disks."""

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import av
import torch

from slowfast.datasets.loader_errors import FILES_PER_WORKER, SPARE_FILES
from slowfast.engine.findings import OK, PROBLEM, WARNING, Finding
from slowfast.utils.machine import allowed_cores, processor_name
from slowfast.utils.program import program

GIB, MIB = 2**30, 2**20
DECODERS = {  # codec: the decoders that read it, and where it is found
    "H.264": (("h264",), "most videos"),
    "HEVC": (("hevc",), "phones"),
    "VP9": (("vp9", "libvpx-vp9"), "WebM files, such as Something-Something"),
    "AV1": (("libdav1d", "av1"), "new downloads"),
    "MPEG-4": (("mpeg4",), "older AVI files, such as UCF-101"),
}
SHARED = Path("/dev/shm")
LITTLE_SHARED = GIB  # Docker gives 64 MiB unless asked
LITTLE_MEMORY = 2 * GIB
FEW_FILES = 1024
LITTLE_DISK = 5 * GIB
SLOW_DISK = 20e6  # bytes/s; a clip of a video of 340 x 256 px reads about 0.3 MB
WRITTEN = 16 * MIB
READ_SEC = 2.0


class Needs(NamedTuple):
    """What a training needs of a machine; by default nothing is known of it."""

    gpus: int | None = None
    processes: int = 1
    workers: int | None = None
    batch_bytes: int = 0


UNKNOWN = Needs()


def machine(needs: Needs = UNKNOWN) -> Iterator[Finding]:
    """Yield the findings about the machine, compared with the needs of a training."""
    yield devices(needs.gpus)
    yield decoder()
    yield cores(needs.processes, needs.workers)
    yield memory(needs.batch_bytes)
    yield shared_memory()
    yield open_files(needs.workers or 0)


def devices(num_gpus: int | None = None) -> Finding:
    """Report the GPUs, and whether there are the `num_gpus` that a config asks for."""
    count = torch.cuda.device_count()
    if not torch.cuda.is_available():
        why = "torch was built without CUDA" if torch.version.cuda is None else "no GPU or driver is found"
        fix = "see nvidia-smi; install the torch that fits the driver, or set NUM_GPUS 0" if num_gpus else ""
        return Finding("devices", WARNING if num_gpus else OK, f"CPU only: {why}", fix)
    found = []
    for number in range(count):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        found.append(f"{name} ({total / GIB:.0f} GiB, {free / GIB:.0f} free)")
    if num_gpus is not None and num_gpus > count:
        return Finding("devices", PROBLEM, f"{count} of {num_gpus}: {', '.join(found)}", f"set NUM_GPUS {count}")
    return Finding("devices", OK, f"{', '.join(found)}; CUDA {torch.version.cuda}")


def decoder() -> Finding:
    """Report the version of FFmpeg, and the codecs that it cannot decode."""
    missing = [f"{codec} ({use})" for codec, (names, use) in DECODERS.items() if not any(map(_decodes, names))]
    version = f"FFmpeg {av.ffmpeg_version_info}"
    if not missing:
        return Finding("decoder", OK, f"{version} decodes {', '.join(DECODERS)}")
    level = PROBLEM if "H.264" in missing[0] else WARNING
    return Finding(
        "decoder", level, f"{version} cannot decode {', '.join(missing)}", "pip install --force-reinstall av"
    )


def _decodes(name: str) -> bool:
    try:
        av.Codec(name, "r")
    except (av.FFmpegError, ValueError):  # ValueError: the name is not known
        return False
    return True


def cores(processes: int = 1, workers: int | None = None) -> Finding:
    """Report the cores that may be used, and whether the workers of a config fit them."""
    allowed, total = allowed_cores(), os.cpu_count() or 1
    text = f"{allowed} of {total} cores allowed, {processor_name()}"
    if workers is not None and processes * workers > allowed:
        fix = f"set DATA_LOADER.NUM_WORKERS {max(allowed // processes, 1)}, or ask the scheduler for more cores"
        return Finding("cores", WARNING, f"{text}; {processes} x {workers} workers are more", fix)
    return Finding("cores", OK, text)


def memory(needed: int = 0) -> Finding:
    """Report the memory that is free, where batches of `needed` bytes are read ahead."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), available)
    text = f"{available / GIB:.1f} GiB free"
    text += f"; the workers' batches take up to {needed / MIB:,.0f} MiB" if needed else ""
    fix = "end other programs, or use fewer DATA_LOADER.NUM_WORKERS and smaller batches"
    if needed > available:
        return Finding("memory", PROBLEM, text, fix)
    return Finding("memory", *((WARNING, text, fix) if available < LITTLE_MEMORY else (OK, text)))


def shared_memory() -> Finding:
    """Report the shared memory, which processes on GPUs and batches that are kept need. Workers' batches do not."""
    if not SHARED.is_dir():
        return Finding("shared memory", OK, f"this system has no {SHARED}")
    usage = shutil.disk_usage(SHARED)
    text = f"{usage.used / MIB:,.0f} of {usage.total / MIB:,.0f} MiB used"
    fix = "docker run --shm-size=8g or --ipc=host"
    return Finding("shared memory", *((WARNING, text, fix) if usage.total < LITTLE_SHARED else (OK, text)))


def open_files(workers: int = 0) -> Finding:
    """Report how many files may be open at once, and whether that is enough for the workers of a config."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed, fix = FILES_PER_WORKER * workers + SPARE_FILES, "ulimit -n 65536"
    text = f"at most {limit}" + (f"; {workers} workers need about {needed}" if workers else "")
    if needed > limit:
        return Finding("open files", PROBLEM, text, fix)
    return Finding("open files", *((WARNING, text, fix) if limit < FEW_FILES else (OK, text)))


def reading(paths: Sequence[str]) -> Finding:
    """Report how fast files of the data set are read. The system's copies in memory are dropped first, on Linux."""
    start, num_bytes, opened = time.perf_counter(), 0, 0
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            num_bytes += len(file.read(WRITTEN))
        opened += 1
        if time.perf_counter() - start > READ_SEC:
            break
    seconds = time.perf_counter() - start
    speed = num_bytes / seconds
    text = f"{speed / 1e6:,.0f} MB/s, {opened / seconds:,.0f} files/s ({opened} files, {num_bytes / 1e6:.1f} MB)"
    if speed < SLOW_DISK:
        fix = f"copy the data to a local disk, or use {program('prepare')}"
        return Finding("reading data", WARNING, text, fix)
    return Finding("reading data", OK, text)


def writing(folder: Path, key: str) -> Finding:
    """Report how fast `folder`, or the nearest one above it that exists, is written, and its free space."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    start = time.perf_counter()
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(WRITTEN))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Finding("writing", PROBLEM, f"{key}: {error.strerror}", "choose an OUTPUT_DIR that can be written")
    speed = WRITTEN / (time.perf_counter() - start)
    text = f"{speed / 1e6:,.0f} MB/s, {free / GIB:,.0f} GiB free in {key}"
    if free < LITTLE_DISK or speed < SLOW_DISK:
        fix = "make space for checkpoints" if free < LITTLE_DISK else "write OUTPUT_DIR to a faster disk"
        return Finding("writing", WARNING, text, fix)
    return Finding("writing", OK, text)
