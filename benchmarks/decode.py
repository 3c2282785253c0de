#!/usr/bin/env python3
"""Compare reading training clips with other readers, on the same frames and crops of the same files.

decode.py                      on files that it encodes itself
decode.py FILE [FILE ...]      on your own MP4 files of H.264

Two tables. The first has the CPU milliseconds of a clip on one thread, from the file to uint8 pixels: with
`dataset[index]` of this project and with the others, as the median over the clips, and each over this project's on the
same clip. `here` reads by an index, as tools/check_videos.py builds it; `first` opens the file for the first time,
without an index, and `known` again in the same process. `floor` is decoding the packets that the frames need, without
making pixels. The second has the clips per second of loaders with two workers: this project's, with uint8 clips, and
the usual one, which normalizes to float32 in the worker.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from slowfast.benchmark.report import Row, environment, table
from slowfast.config.load import load_cfg
from slowfast.config.node import CfgNode
from slowfast.datasets.base import VideoDataset, Views
from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader, keep_freed_memory, prepare_worker
from slowfast.datasets.scan import scan, videos_of_config
from slowfast.datasets.spatial import SpatialChoice, apply_crop_flip, resized_size
from slowfast.datasets.video import SETTLED_SECONDS, index_writer
from slowfast.datasets.video.known import forget, settled_stamp
from slowfast.multigrid.sampler import ClipIndex
from slowfast.utils.parser import fail_cleanly

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.corpus import encode
from benchmarks.readers import Reader, decode_needed, peers

RECIPE = (
    Path(__file__).resolve().parents[1] / "configs/Kinetics/SLOWFAST_8x8_R50.yaml"
)  # 32 frames x stride 2 at 224 px
GRID = {"NUM_FRAMES": 32, "SAMPLING_RATE": 2, "TRAIN_CROP_SIZE": 224, "TRAIN_JITTER_SCALES": [256, 320]}
GRIDS = {"32x2 at 224 px": (32, 224, 8), "8 frames at 112 px": (8, 112, 32)}  # frames, crop, clips of a batch
WORKERS = 2


def benchmark_clips(dataset: VideoDataset, plain: VideoDataset, clips: int) -> list[Row]:
    """Return the CPU time of a clip with every reader, for every file and grid; `plain` has no index."""
    return [
        {"file": Path(dataset.path_of(video)).stem, "clip": name, **time_clips(dataset, plain, video, grid, clips)}
        for video in range(len(dataset))
        for name, grid in GRIDS.items()
    ]


def time_clips(dataset: VideoDataset, plain: VideoDataset, video: int, grid: tuple[int, int, int], clips: int) -> Row:
    """Let the readers take turns on clips, and return the medians."""
    frames, crop, _ = grid
    readers = peers()
    times: list[dict[str, float]] = []
    for epoch in range(clips + 1):
        index = ClipIndex(video, epoch, frames, crop)
        path, views = dataset.path_of(video), choose(dataset, index)
        row = {"here_ms": cpu_ms(dataset.__getitem__, index)}
        forget()
        row |= {"first": cpu_ms(plain.__getitem__, index), "known": cpu_ms(plain.__getitem__, index)}
        row |= {name: cpu_ms(read_clip, reader, path, views) for name, reader in readers.items()}
        times.append(row | {"floor": cpu_ms(decode_needed, path, np.unique(views.frames))})
    times = times[1:]  # the first warms up
    ratios = {
        name: median(row[name] / row["here_ms"] for row in times) for name in ("first", "known", *readers, "floor")
    }
    return {"here_ms": median(row["here_ms"] for row in times)} | {
        f"{name}/here": ratio for name, ratio in ratios.items()
    }


def choose(dataset: VideoDataset, index: ClipIndex) -> Views:
    """Return the frames and the crop that the data set draws for a clip."""
    with dataset.locate(index.video) as source:
        return dataset.sample(source, index)


def read_clip(reader: Reader, path: str, views: Views) -> np.ndarray:
    """Return a clip, uint8 T x H x W x 3, as published pipelines read it: all frames, resized, then cropped."""
    unique, places = np.unique(views.frames[0], return_inverse=True)
    frames = np.stack([resize(frame, views.crops[0]) for frame in reader(path, unique)])
    return np.ascontiguousarray(apply_crop_flip(frames[places], views.crops[0]))


def resize(frame: np.ndarray, crop: SpatialChoice) -> np.ndarray:
    height, width = resized_size(*frame.shape[:2], crop.short_side)
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)


def cpu_ms(function: Callable, *args) -> float:
    start = time.process_time()
    function(*args)
    return 1000 * (time.process_time() - start)


class UsualClips(Dataset):
    """Clips as float32 C x T x H x W, normalized in the worker. `views`: path, frames and crop of each clip."""

    def __init__(self, reader: Reader, views: Sequence[tuple[str, Views]]):
        self.reader, self.views = reader, views

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> torch.Tensor:
        clip = torch.from_numpy(read_clip(self.reader, *self.views[index])).float()
        return clip.div_(255).sub_(0.45).div_(0.225).permute(3, 0, 1, 2)  # (T, H, W, C) -> (C, T, H, W)


def benchmark_loaders(cfg: CfgNode, dataset: VideoDataset, batches: int, repeats: int) -> list[Row]:
    """Return the clips per second of every loader, for every file and grid."""
    rows = []
    for video in range(len(dataset)):
        for name, (frames, crop, size) in GRIDS.items():
            indices = [ClipIndex(video, epoch, frames, crop) for epoch in range((batches + WORKERS) * size)]
            speeds = [loader_speeds(cfg, dataset, indices, size) for _ in range(repeats)]
            here = {"here": median(speed["here"] for speed in speeds)}
            ratios = {f"here/{peer}": median(s["here"] / s[peer] for s in speeds) for peer in peers()}
            rows.append({"file": Path(dataset.path_of(video)).stem, "clip": name, **here, **ratios})
    return rows


def loader_speeds(cfg: CfgNode, dataset: VideoDataset, indices: list[ClipIndex], size: int) -> dict[str, float]:
    """Return the clips per second of this project's loader, and of the usual loader with each reader."""
    own = [indices[first : first + size] for first in range(0, len(indices), size)]
    speeds = {"here": clips_per_s(construct_loader(cfg, "train", dataset, own), size)}
    views = [(dataset.path_of(index.video), choose(dataset, index)) for index in indices]
    options = {"num_workers": WORKERS, "worker_init_fn": prepare_worker, "multiprocessing_context": "fork"}
    for name, reader in peers().items():
        speeds[name] = clips_per_s(DataLoader(UsualClips(reader, views), size, **options), size)
    return speeds


def clips_per_s(loader: DataLoader, size: int) -> float:
    """Return the speed of a loader, from the batch on at which each worker has had time for one."""
    batches = iter(loader)
    for _ in range(WORKERS):
        next(batches)
    start = time.perf_counter()
    timed = sum(1 for _ in batches)
    return timed * size / (time.perf_counter() - start)


def build(files: Sequence[str], folder: str) -> tuple[CfgNode, VideoDataset, VideoDataset]:
    """Return the recipe's config and its data set of `files`, with an index and without."""
    lines = [f'"{Path(file).resolve()}",0\n' for file in files]
    Path(folder, "train.csv").write_text("".join(lines))
    overrides = ["DATA.PATH_TO_DATA_DIR", folder, "DATA.PATH_LABEL_SEPARATOR", ",", "OUTPUT_DIR", folder]
    overrides += [word for key, value in GRID.items() for word in (f"DATA.{key}", value)]
    cfg = load_cfg(RECIPE, [*overrides, "NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", WORKERS])
    plain = build_dataset("kinetics", cfg, "train")
    if not all(map(settled_stamp, files)):
        time.sleep(SETTLED_SECONDS)  # a file that has just been written is not indexed
    with index_writer(folder) as index:
        list(scan(videos_of_config(cfg, ["train"]), index=index))
    return cfg, build_dataset("kinetics", cfg, "train"), plain


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="FILE", nargs="*")
    parser.add_argument("--clips", type=int, default=10, help="clips of each file and grid (10)")
    parser.add_argument("--batches", type=int, default=4, help="timed batches of a loader (4)")
    parser.add_argument("--repeats", type=int, default=3, help="times that the loaders take turns (3); 0: no loaders")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    keep_freed_memory()
    print(", ".join(f"{name} {value}" for name, value in environment().items()))
    with tempfile.TemporaryDirectory() as folder:
        cfg, dataset, plain = build(args.files or encode(folder), folder)
        print(f"\nCPU time of a clip\n\n{table(benchmark_clips(dataset, plain, args.clips))}", flush=True)
        if args.repeats:
            rows = benchmark_loaders(cfg, dataset, args.batches, args.repeats)
            print(f"\nClips per second of a loader with {WORKERS} workers\n\n{table(rows)}")


if __name__ == "__main__":
    with fail_cleanly():
        main()
