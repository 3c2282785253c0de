#!/usr/bin/env python3
"""Measure what a training costs a process before its first batch and at the turn of an epoch, for large data sets.

scale.py lists                    10 thousand, 1 million and 10 million videos in a list of files
scale.py plan                     the SlowFast 8x8 multigrid recipe on 10 million videos and up to 1,024 devices

Every row is measured in a fresh process. `plan` simulates ranks one by one: it needs no devices and no processes. It
also checks that all ranks have the same number of batches, and in some of them that the ranks' shapes agree and no clip
occurs twice.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from slowfast.config.load import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.multigrid import ShortCycleBatchSampler, build_plan
from slowfast.multigrid.build import build_schedule
from slowfast.utils.machine import processor_name

RECIPE = Path(__file__).resolve().parents[1] / "configs/Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.yaml"
CLIPS_PER_DEVICE = 8
WORLDS = ((1, 8), (16, 8), (128, 4), (1024, 1))  # machines x devices
MB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["lists", "plan"])
    parser.add_argument("--videos", type=int, nargs="+", help="numbers of videos instead of the default ones")
    args = parser.parse_args()
    print(f"{os.cpu_count()} x {processor_name()}\n")
    if args.part == "lists":
        print_table([row for videos in args.videos or (10_000, 1_000_000, 10_000_000) if (row := fresh(lists, videos))])
    else:
        videos = (args.videos or [10_000_000])[0]
        print_table([fresh(plan, videos, *world) for world in WORLDS])


def fresh(measure: Callable[..., dict[str, str]], *args: int) -> dict[str, str]:
    """Return `measure(*args)` of a fresh process, so that its peak of memory is that of this row alone."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *args).result()


def lists(videos: int) -> dict[str, str]:
    """Measure the start of a training on a list of `videos` files."""
    with tempfile.TemporaryDirectory() as folder:
        write_list(Path(folder, "train.csv"), videos)
        overrides = ["DATA.PATH_TO_DATA_DIR", folder, "DATA.PATH_PREFIX", "/data", "OUTPUT_DIR", folder]
        cfg = load_cfg(RECIPE, overrides)
        before, start = resident_mb(), time.perf_counter()
        dataset = build_dataset("kinetics", cfg, "train")
        seconds = time.perf_counter() - start
    kept = resident_mb() - before
    assert len(dataset) == videos
    return {
        "videos": f"{videos:,}",
        "read the list": f"{seconds:.2f} s",
        "kept": f"{kept:.0f} MB",
        "peak": f"{peak_mb():.0f} MB",
        "own memory of a worker": f"{worker_mb(dataset):.1f} MB",
        "turn of an epoch": f"{1000 * epoch_turn_sec(videos):.0f} ms",
    }


def write_list(path: Path, videos: int) -> None:
    with open(path, "w") as file:
        file.writelines(f"class_{n % 400:03d}/video_{n:08d}.mp4 {n % 400}\n" for n in range(videos))


def worker_mb(dataset) -> float:
    """Return the memory that a forked worker adds by looking up the place of every hundredth video."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work() -> None:
        before = private_mb()
        for index in range(0, len(dataset), 100):
            dataset.path_of(index)
        sender.send(private_mb() - before)

    worker = context.Process(target=work)
    worker.start()
    megabytes = receiver.recv()
    worker.join()
    return megabytes


def epoch_turn_sec(videos: int) -> float:
    """Return how long the first batch of an epoch takes longer than its second."""
    cfg = load_cfg(RECIPE)
    schedule = build_schedule(cfg, CLIPS_PER_DEVICE, 1)
    sampler = ShortCycleBatchSampler(build_plan(schedule, videos), videos)
    leg = sampler.legs[-1]
    times = []
    for iteration in (0, 1):
        start = time.perf_counter()
        sampler.batch(leg, iteration)
        times.append(time.perf_counter() - start)
    return times[0] - times[1]


def plan(videos: int, machines: int, devices: int) -> dict[str, str]:
    """Measure the plan and the batches of one rank of `machines` x `devices`; check that ranks agree."""
    world = machines * devices
    schedule = build_schedule(load_cfg(RECIPE), CLIPS_PER_DEVICE, world)
    start = time.perf_counter()
    legs = build_plan(schedule, videos, world)
    plan_sec = time.perf_counter() - start
    samplers = [ShortCycleBatchSampler(legs, videos, rank=rank, world_size=world) for rank in range(world)]
    assert len({len(sampler) for sampler in samplers}) == 1
    turns, batches = zip(
        *(turn_and_batch_sec(samplers[0], leg) for leg in legs[:: max(len(legs) // 20, 1)]), strict=True
    )
    check_ranks(samplers)
    return {
        "machines x devices": f"{machines:,} x {devices}",
        "clips of a fine batch": f"{CLIPS_PER_DEVICE * world:,}",
        "iterations": f"{len(samplers[0]):,}",
        "plan": f"{1000 * plan_sec:.0f} ms",
        "turn of an epoch": f"{1000 * sorted(turns)[len(turns) // 2]:.0f} ms",
        "a batch": f"{1000 * sorted(batches)[len(batches) // 2]:.2f} ms",
        "peak memory of a rank": f"{peak_mb():.0f} MB",
    }


def turn_and_batch_sec(sampler: ShortCycleBatchSampler, leg) -> tuple[float, float]:
    """Return the seconds of the first and of the second batch of a leg."""
    times = []
    for iteration in (0, 1):
        start = time.perf_counter()
        sampler.batch(leg, iteration)
        times.append(time.perf_counter() - start)
    return times[0], times[1]


def check_ranks(samplers: Sequence[ShortCycleBatchSampler]) -> None:
    """Check two iterations of the first leg and of the last on all ranks: shapes agree, and no clip occurs twice."""
    for leg in (samplers[0].legs[0], samplers[0].legs[-1]):
        for iteration in (0, 1):
            clips = [clip for sampler in samplers for clip in sampler.batch(leg, iteration)]
            assert len({(clip.frames, clip.crop) for clip in clips}) == 1
            assert len({(clip.epoch, clip.video) for clip in clips}) == len(clips)
            assert len(clips) == len(samplers) * leg.shape(iteration).batch_size


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MB


def private_mb() -> float:
    """Return the memory of this process that it shares with no other one."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


def print_table(rows: Sequence[dict[str, str]]) -> None:
    print(f"| {' | '.join(rows[0])} |\n|{'---:|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
