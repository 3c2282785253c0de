#!/usr/bin/env python3
"""Compare slots of shared memory with new shared memory for every batch, on the way from the workers.

transport.py                   on files that it encodes itself, fast to decode
transport.py FILE [FILE ...]   on your own videos

The rows are shapes of a mini-batch. `slots` is what the project does; both loaders take turns. Clips per second are
those of two workers once every slot has been used; CPU milliseconds are of all processes, for a clip.
"""

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from slowfast.benchmark.report import Row, environment, table
from slowfast.config.node import CfgNode
from slowfast.datasets.base import VideoDataset
from slowfast.datasets.loader import Loader, construct_loader
from slowfast.datasets.slots import SLOTS_OF_A_WORKER
from slowfast.multigrid.sampler import ClipIndex
from slowfast.utils.parser import fail_cleanly

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.corpus import encode
from benchmarks.decode import WORKERS, build

# Clips x frames x px.
SHAPES = ("8x32x224", "16x16x224", "16x32x158", "32x32x112", "32x16x158", "64x16x112", "64x8x158", "128x8x112")
FIRST = WORKERS * (SLOTS_OF_A_WORKER + 1)  # batches before the timed ones


def compare(cfg: CfgNode, dataset: VideoDataset, shapes: Sequence[str], batches: int, repeats: int) -> list[Row]:
    """Return a row for each file and shape."""
    rows = []
    for video, shape in itertools.product(range(len(dataset)), shapes):
        size, frames, crop = map(int, shape.split("x"))
        indices = [[ClipIndex(video, epoch * size + i, frames, crop) for i in range(size)] for epoch in range(batches)]
        runs = []
        for _ in range(repeats):
            new, slots = (measure(loader_of(cfg, dataset, indices, with_slots), size) for with_slots in (False, True))
            runs.append({"new": new, "slots": slots})
        row: Row = {"file": Path(dataset.path_of(video)).stem, "batch": shape}
        for i, name in enumerate(("clips/s", "CPU ms")):
            row |= {f"{kind}, {name}": median(run[kind][i] for run in runs) for kind in ("new", "slots")}
        row["clips/s, slots/new"] = median(run["slots"][0] / run["new"][0] for run in runs)
        rows.append(row | {"CPU, new/slots": median(run["new"][1] / run["slots"][1] for run in runs)})
    return rows


def loader_of(cfg: CfgNode, dataset: VideoDataset, indices: list, with_slots: bool) -> Loader:
    loader = construct_loader(cfg, "train", dataset, indices)
    assert isinstance(loader, Loader)
    if not with_slots:
        loader.slot_bytes = 1  # nothing fits
    return loader


def measure(loader: Loader, size: int) -> tuple[float, float]:
    """Return the clips per second, and the CPU milliseconds of a clip."""
    cpu, batches = cpu_seconds(), iter(loader)
    for _ in range(FIRST):
        next(batches)
    start = time.perf_counter()
    timed = sum(1 for _ in batches)
    seconds = time.perf_counter() - start
    del batches  # ends the workers
    return timed * size / seconds, 1000 * (cpu_seconds() - cpu) / ((FIRST + timed) * size)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the workers that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="FILE", nargs="*")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="of a batch, as CLIPSxFRAMESxPX")
    parser.add_argument("--batches", type=int, default=40, help="batches of a loader (40)")
    parser.add_argument("--repeats", type=int, default=3, help="times that the loaders take turns (3)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(", ".join(f"{name} {value}" for name, value in environment().items()))
    with tempfile.TemporaryDirectory() as folder:
        files = args.files or [file for file in encode(folder) if "fastdecode" in file]
        cfg, dataset, _ = build(files, folder)
        print(f"\n{table(compare(cfg, dataset, args.shapes, args.batches, args.repeats))}")


if __name__ == "__main__":
    with fail_cleanly():
        main()
