"""The speed of the data path: clips of every shape of a schedule, read one by one and through the loader."""

import resource
import time
from itertools import cycle, islice
from math import ceil

from slowfast.benchmark.batches import shares_of_clips
from slowfast.benchmark.report import Row, medians, shape_columns
from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.multigrid import Shape
from slowfast.multigrid.sampler import ClipIndex
from slowfast.utils.world import clips_per_video


def measure(cfg: CfgNode, repeats: int, clips: int) -> list[Row]:
    """Return the speed for every shape: medians over `repeats` of at least `clips` clips each. The shapes take turns.

    `read_*` is `dataset[index]` in this process; `loader_*` is the loader with its workers, and counts the CPU time of
    all processes.
    """
    dataset = build_dataset(cfg.TRAIN.DATASET, cfg, "train")
    shares = shares_of_clips(cfg, len(dataset))
    rows: dict[Shape, list[Row]] = {shape: [] for shape in shares}
    for epoch in range(repeats):
        for shape in shares:
            row = read(dataset, shape, clips, epoch) | load(cfg, dataset, shape, clips, epoch)
            rows[shape].append(of_clips(row, clips_per_video(cfg)))
    return [shape_columns(shape) | {"share_percent": shares[shape]} | medians(rows[shape]) for shape in shares]


def of_clips(row: dict[str, float], repeats: int) -> Row:
    """Return the speed of clips, from that of videos which give `repeats` of them."""
    return {name: value * repeats if name.endswith("per_s") else value / repeats for name, value in row.items()}


def read(dataset: SizedDataset, shape: Shape, clips: int, epoch: int) -> dict[str, float]:
    """Measure `dataset[index]` for `clips` clips."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for index in islice(indices(dataset, shape, epoch), clips):
        dataset[index]
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    return {"read_clips_per_s": clips / seconds, "read_cpu_ms": 1000 * cpu / clips}


def load(cfg: CfgNode, dataset: SizedDataset, shape: Shape, clips: int, epoch: int) -> dict[str, float]:
    """Measure the loader. The time begins when each worker has had time for one batch."""
    workers = max(cfg.DATA_LOADER.NUM_WORKERS, 1)
    timed = workers * ceil(clips / shape.batch_size / workers)
    cpu_start = all_cpu_sec()
    batches = iter(construct_loader(cfg, "train", dataset, index_batches(dataset, shape, epoch, workers + timed)))
    for _ in range(workers):
        next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    seconds = time.perf_counter() - start
    cpu_per_clip = (all_cpu_sec() - cpu_start) / (workers + timed) / shape.batch_size
    return {"loader_clips_per_s": timed * shape.batch_size / seconds, "loader_cpu_ms": 1000 * cpu_per_clip}


def index_batches(dataset: SizedDataset, shape: Shape, epoch: int, number: int) -> list[list[ClipIndex]]:
    """Return `number` batches of clip indices of a shape."""
    source = indices(dataset, shape, epoch)
    return [list(islice(source, shape.batch_size)) for _ in range(number)]


def indices(dataset: SizedDataset, shape: Shape, epoch: int):
    """Yield the clips of all videos, again and again, as drawn in `epoch`."""
    return (ClipIndex(video, epoch, shape.frames, shape.crop) for video in cycle(range(len(dataset))))


def all_cpu_sec() -> float:
    """Return the CPU time of this process and of its workers that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
