"""Loaders: from a data set to batches."""

import ctypes
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from math import prod
from typing import Any, cast

import cv2
import torch
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]
from torch.utils.data import DataLoader, Dataset

from slowfast.config.node import CfgNode
from slowfast.datasets.batch import Collate
from slowfast.datasets.build import build_dataset
from slowfast.datasets.grid import SamplingGrid
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader_errors import deaths_raise, loader_errors, require_files
from slowfast.datasets.pathways import PackPathways
from slowfast.datasets.slots import Slots, StoredClips
from slowfast.multigrid import Recipe, ShortCycleBatchSampler, baseline_schedule, build_plan
from slowfast.multigrid.build import default_shape
from slowfast.utils.distributed import get_rank, get_world_size, uses_cuda
from slowfast.utils.stop import requests_held_back
from slowfast.utils.world import clips_per_video, process_batch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEEP_BYTES = 32 << 20  # the most that glibc takes; a clip of 32 frames at 256 px has 6 MB

# More workers than cores are the user's choice, and the training logs it when it waits for data.
warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)


def construct_loader(
    cfg: CfgNode, split: str, dataset: SizedDataset | None = None, batch_sampler: Iterable[list] | None = None
) -> DataLoader:
    """Return a loader of this rank's batches of "train", "val" or "test".

    Batches are dicts of the samples' values: `clip` (N, T, H, W, C) uint8, for "test" (N, V, T, H, W, C) with all
    V views of a video; `label`; `video`; `bad`, a list of texts. They unpack as published ones do (see `batch.Batch`).
    With AUG.NUM_SAMPLE n, a batch for "train" has n clips of each video, one after the other. With random erasing, it
    has `erased`, which `PackPathways` takes.

    Args:
        dataset: to read from; default: the one that the config names.
        batch_sampler: of lists of indices; default: for "train" one epoch at the default grid, for "val" and "test"
            every video once, divided among the ranks.
    """
    if dataset is None:
        dataset = build_dataset(cfg.TRAIN.DATASET if split != "test" else cfg.TEST.DATASET, cfg, split)
    if batch_sampler is None:
        batch_sampler = _one_epoch(cfg, dataset) if split == "train" else _every_video(cfg, split, dataset)
    num_clips = clips_per_video(cfg) if split == "train" else 1
    return Loader(
        cfg.DATA_LOADER.TIMEOUT_SEC,
        num_clips * _video_batch_bytes(cfg, split),
        cast(Dataset, dataset),
        batch_sampler=batch_sampler,
        collate_fn=Collate(PackPathways.from_cfg(cfg), has_views=split == "test", num_clips=num_clips),
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and uses_cuda(cfg.NUM_GPUS),
        worker_init_fn=prepare_worker,
        generator=torch.Generator().manual_seed(cfg.RNG_SEED),  # does not draw from the global one
        **(_of_workers(cfg, split) if cfg.DATA_LOADER.NUM_WORKERS else {}),
    )


def _of_workers(cfg: CfgNode, split: str) -> dict[str, Any]:
    """Return the arguments of a loader that only one with workers may have."""
    return {
        "prefetch_factor": 1 if split == "test" else 2,  # a video has many views
        "multiprocessing_context": "fork" if sys.platform == "linux" else None,  # lists are shared, not sent
    }


def _video_batch_bytes(cfg: CfgNode, split: str) -> int:
    """Return the bytes of a batch with a clip of each video, and room for multigrid's shapes that have more."""
    return _batch_size(cfg, split) * prod(SamplingGrid.from_cfg(cfg).shape(split)) * 3 // 2


class Loader(DataLoader):
    """A DataLoader that reports what its machine lacks in one line (see `loader_errors`).

    It waits `limit_sec` for a batch of its workers. torch's own limit does not cover a worker that stops while it hands
    over a batch, and torch would not notice the death of workers before. Workers that are forked write clips into slots
    of `slot_bytes` (see `slots`).
    """

    def __init__(self, limit_sec: float, slot_bytes: int, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.limit_sec = limit_sec if self.num_workers else 0
        self.slot_bytes = slot_bytes

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with loader_errors():
            require_files(self.num_workers)
            slots = cast(Collate, self.collate_fn).slots = self._new_slots()
            with deaths_raise(), requests_held_back():  # until `prepare_worker`: a scheduler may ask at any moment
                batches = super().__iter__()  # starts the workers
        return _guarded(batches, self.limit_sec, slots)

    def _new_slots(self) -> Slots | None:
        """Return slots that no earlier iteration has batches in, where workers are forked and there is memory."""
        context = self.multiprocessing_context  # None without workers, and where the system's default holds
        is_forked = context is not None and context.get_start_method() == "fork"
        with suppress(OSError):  # the system does not promise so much memory
            return Slots(self.num_workers, self.slot_bytes) if is_forked else None
        return None


def _guarded(batches: Iterator[Any], limit_sec: float, slots: Slots | None) -> Iterator[Any]:
    """Yield batches, with the clips that are in `slots`, which live as long."""
    while True:
        with loader_errors(limit_sec), deaths_raise():
            batch = next(batches, None)
        if batch is None:
            return
        if slots and isinstance(batch.get("clip"), StoredClips):
            batch["clip"] = batch["clip"].tensor()
        yield batch


def shuffle_dataset(loader: DataLoader, cur_epoch: int) -> None:
    """Let a training loader of one epoch give the clips of epoch `cur_epoch` from its next iteration on.

    Published training loops call this before every epoch. Loaders of other splits always give every video.
    """
    sampler = loader.batch_sampler
    if isinstance(sampler, ShortCycleBatchSampler):
        first_clip = cur_epoch * sampler.num_videos
        sampler.legs = tuple(replace(leg, first_clip=first_clip) for leg in sampler.legs)


def prepare_worker(worker: int) -> None:
    """Use one thread, leave requests to stop to the main process, and end with it, however it ends (on Linux)."""
    _prctl_pr_set_pdeathsig(signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_when_the_main_process_asks, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let the C library keep the memory of a clip for the next, rather than ask the system for new memory each time.

    A clip of 32 frames at 224 px takes 0.9 of the CPU time. C libraries other than glibc stay as they are.
    """
    if hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, KEEP_BYTES)


def _exit_when_the_main_process_asks() -> None:
    """Exit on SIGTERM from the main process only.

    Schedulers send SIGTERM to every process of a job, and the main one may need another batch before it saves its
    state.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        continue
    os._exit(1)


def _one_epoch(cfg, dataset) -> ShortCycleBatchSampler:
    world = get_world_size()
    recipe = Recipe(default_shape(cfg, process_batch(cfg, "TRAIN")), cfg.DATA.SAMPLING_RATE, max_epoch=1)
    legs = build_plan(baseline_schedule(recipe), len(dataset), world)
    return ShortCycleBatchSampler(legs, len(dataset), cfg.RNG_SEED, get_rank(), world)


def _batch_size(cfg, split: str) -> int:
    """Return the videos in a batch of about as many clips as the config's batch size has for one device."""
    if split != "test":
        return process_batch(cfg, "TRAIN")
    return max(process_batch(cfg, "TEST") // (cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS), 1)


def _every_video(cfg, split: str, dataset) -> list[list[int]]:
    size = _batch_size(cfg, split)
    videos = range(get_rank(), len(dataset), get_world_size())
    return [list(videos[first : first + size]) for first in range(0, len(videos), size)]
