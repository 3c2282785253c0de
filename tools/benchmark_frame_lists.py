#!/usr/bin/env python3
"""Measure how long a list of extracted frames takes to load, and its memory, in one process and in workers.

python tools/benchmark_frame_lists.py                          # Something-Something V2: 200,000 videos x 100 frames
python tools/benchmark_frame_lists.py --videos 9848 --frames 700 --labels    # Charades
python tools/benchmark_frame_lists.py --list train.csv --classes 174         # your own
"""

import argparse
import multiprocessing
import os
import pickle
import platform
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from slowfast.datasets.frame_media import ImageLists
from slowfast.datasets.lists.frame_list import COLUMNS, FrameList

MB = 1 << 20


def main() -> None:
    args = parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = args.list or write_list(os.path.join(folder, "list.csv"), args.videos, args.frames, args.labels)
        with ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn")
        ) as fresh:  # to measure the peak of loading alone
            rows = fresh.submit(measure, path, args.classes, args.workers).result()
    print("| | |\n|---|---:|")
    for name, value in rows:
        print(f"| {name} | {value} |")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", help="a frame list to load; default: a generated one")
    parser.add_argument("--videos", type=int, default=200_000)
    parser.add_argument("--frames", type=int, default=100, help="of each video")
    parser.add_argument("--labels", action="store_true", help="give the frames labels, which change every 50 frames")
    parser.add_argument("--classes", type=int, default=174)
    parser.add_argument("--workers", type=int, default=4)
    return parser.parse_args()


def write_list(list_path: str, videos: int, frames: int, labeled: bool) -> str:
    rng = np.random.default_rng(0)
    with open(list_path, "w") as file:
        file.write(" ".join(COLUMNS) + "\n")
        for video in range(videos):
            sets = [",".join(map(str, rng.integers(0, 157, 3))) if labeled else "" for _ in range(frames // 50 + 1)]
            rows = ((k, f"{video + 1}/{video + 1}_{k + 1:06d}.jpg", sets[k // 50]) for k in range(frames))
            file.writelines(f'{video + 1} {video} {k} {path} "{labels}"\n' for k, path, labels in rows)
    return list_path


def measure(path: str, classes: int, workers: int) -> list[tuple[str, str]]:
    before = peak_mb()
    start = time.perf_counter()
    frames = FrameList(path, classes)
    seconds = time.perf_counter() - start
    media = ImageLists(frames)
    rows = [
        ("lines", f"{int(frames.num_frames.sum()):,}"),
        ("videos", f"{len(frames):,}"),
        ("size of the file, MB", f"{os.path.getsize(path) / MB:,.0f}"),
        ("seconds to load", f"{seconds:.1f}"),
        ("peak memory of loading, MB", f"{peak_mb() - before:,.0f}"),
        ("the list pickled, MB", f"{len(pickle.dumps(frames)) / MB:,.1f}"),
        ("milliseconds to look up a clip's images", f"{1000 * look_up(media):.2f}"),
    ]
    own = in_workers(media, workers)
    return [*rows, (f"private memory of each of {workers} workers after 1,000 look-ups, MB", f"{max(own):,.0f}")]


def look_up(media: ImageLists, times: int = 1000) -> float:
    """Return the seconds of one look-up."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for video in rng.integers(0, len(media), times):
        media.image_paths(int(video), [0, 1, 2, 3])
    return (time.perf_counter() - start) / times


def in_workers(media: ImageLists, workers: int) -> list[float]:
    """Return the memory that each forked process adds while it reads the list, MB."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def work() -> None:
        before = private_mb()
        look_up(media)
        results.put(private_mb() - before)

    processes = [context.Process(target=work) for _ in range(workers)]
    for process in processes:
        process.start()
    added = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return added


def private_mb() -> float:
    """Return the memory that no other process shares (Linux), MB."""
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty")) / 1024


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
