"""Meters of a training: loss, accuracy, time and memory."""

import resource
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast.utils.distributed import all_reduce_sum, is_master
from slowfast.utils.metrics import mean_average_precision, topk_correct

GIB = 1024**3


class TopKMeter:
    """Averages of the loss and of the top-1 and top-5 accuracy over clips. The sums stay on the device."""

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.reset()

    def reset(self) -> None:
        """Start again from zero."""
        self.sums = torch.zeros(4, dtype=torch.float64, device=self.device)  # clips, loss, top-1 and top-5 hits

    def update(self, scores: Tensor, labels: Tensor, loss: Tensor | float = 0.0) -> None:
        """Add a batch. `loss` is its mean. Hits are counted only if each clip has one label, not a 0/1 vector."""
        clips = len(scores)
        self.sums[0] += clips
        self.sums[1] += loss * clips
        if labels.ndim == 1:
            self.sums[2:] += topk_correct(scores, labels)

    def state(self) -> list[float]:
        """Return the sums over all ranks, for `restore`."""
        return all_reduce_sum(self.sums).tolist()

    def restore(self, state: list[float] | None) -> None:
        """Continue from the sums that `state` returned, or from zero."""
        self.reset()
        if state and is_master():
            self.sums += torch.tensor(state, dtype=torch.float64, device=self.device)

    def averages(self, with_accuracy: bool = True) -> dict[str, float]:
        """Return the loss, and the accuracies in percent, over the clips of all ranks. This waits for the device."""
        clips, loss, *hits = self.state()
        clips = max(clips, 1)
        accuracies = {f"top{k}_acc": 100.0 * hit / clips for k, hit in zip((1, 5), hits, strict=True)}
        return {"loss": loss / clips} | (accuracies if with_accuracy else {})


def accuracy(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the top-1 and top-5 accuracy in percent, or for 0/1 vectors of labels `map`, in [0, 1]."""
    if labels.ndim == 2:
        return {"map": mean_average_precision(scores, labels)}
    top1, top5 = (100.0 * count / len(labels) for count in topk_correct(scores, labels).tolist())
    return {"top1_acc": top1, "top5_acc": top5}


def errors_of(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the top-k errors, which published logs have, of the top-k accuracies among `figures`, in percent."""
    return {name.replace("acc", "err"): 100.0 - value for name, value in figures.items() if name.endswith("acc")}


def accuracy_text(figures: Mapping[str, float]) -> str:
    """Return the accuracies among `figures` as text, in percent."""
    percent = {name: 100 * value if name == "map" else value for name, value in figures.items()}
    return ", ".join(
        f"{name} {value:.2f} %" for name, value in percent.items() if name == "map" or name.endswith("acc")
    )


class TimedIterator:
    """An iterator that measures how long it was waited for, in seconds."""

    def __init__(self, items: Iterable):
        self._items = iter(items)
        self.waited_sec = 0.0

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        start = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.waited_sec += time.perf_counter() - start


@dataclass(frozen=True)
class Lap:
    """Mean seconds per iteration: `sec`, of which `sec_data` were spent waiting for data and `sec_net` were not."""

    sec: float
    sec_data: float
    clips_per_sec: float
    sec_wait_per_clip: float

    @property
    def sec_net(self) -> float:
        return self.sec - self.sec_data

    @property
    def wait_share(self) -> float:
        """Share of the time that was spent waiting for data."""
        return self.sec_data / self.sec


class Pace:
    """Measures the time of iterations, in laps."""

    _first: np.ndarray
    _last: np.ndarray
    _warm_ups: np.ndarray

    def __init__(self, batches: TimedIterator):
        self._batches = batches
        self._iterations = self._clips = 0
        self._start_lap()

    def step(self, clips: int, is_warm_up: bool = False) -> float:
        """Count an iteration on a batch of `clips`, and return its seconds without those of waiting for data.

        A lap leaves out warm-ups, unless it has nothing else.
        """
        self._iterations += 1
        self._clips += clips
        before, self._last = self._last, self._totals()
        spent = self._last - before
        self._warm_ups = self._warm_ups + is_warm_up * spent
        return float(spent[0] - spent[1])

    def leave_out(self) -> None:
        """Leave the time since the last iteration out of the lap: it was not spent on training."""
        now = self._totals()
        self._first, self._last = self._first + now - self._last, now

    def lap(self) -> Lap | None:
        """Return the figures since the last call, or None if there was no iteration. Start a new lap."""
        total = self._totals() - self._first
        steady = total - self._warm_ups
        seconds, waited, count, clips = map(float, steady if steady[2] else total)
        self._start_lap()
        return Lap(seconds / count, waited / count, clips / seconds, waited / clips) if count else None

    def _start_lap(self) -> None:
        self._first = self._last = self._totals()
        self._warm_ups = np.zeros_like(self._first)

    def _totals(self) -> np.ndarray:
        """Return the seconds, those spent waiting for data, the iterations and the clips up to now."""
        return np.array([time.perf_counter(), self._batches.waited_sec, self._iterations, self._clips])


def memory(device: torch.device) -> dict[str, str]:
    """Return the peak memory of this process: on the GPU, else in total."""
    if device.type == "cuda":
        return {"gpu_mem": f"{torch.cuda.max_memory_allocated(device) / GIB:.2f}G"}
    return {"ram": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB:.2f}G"}


def clock_text(seconds: float) -> str:
    """Return a time as `[D d ]H:MM:SS`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02}:{rest:02}"
