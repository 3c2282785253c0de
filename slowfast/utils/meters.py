"""What a training measures of itself: accuracy, pace, memory."""

import resource
import time
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from slowfast.errors import UserError
from slowfast.utils.distributed import all_gather_lists, all_reduce_sum, is_master
from slowfast.utils.metrics import mean_average_precision, topk_accuracies, topk_correct

GIB = 1024**3


class TopKMeter:
    """Loss and top-1 and top-5 errors over clips, summed on the device, so that nothing waits for them."""

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.reset()

    def reset(self) -> None:
        self.sums = torch.zeros(4, dtype=torch.float64, device=self.device)  # clips, loss, top-1 and top-5 hits

    def update(self, scores: Tensor, labels: Tensor, loss: Tensor | float = 0.0) -> None:
        """`loss` is the mean over the batch. Sets of labels (a 0/1 vector per clip) have no top-k."""
        clips = len(scores)
        self.sums[0] += clips
        self.sums[1] += loss * clips
        if labels.ndim == 1:
            self.sums[2:] += topk_correct(scores, labels)

    def state(self) -> list[float]:
        """The sums over all ranks, from which `restore` goes on."""
        return all_reduce_sum(self.sums).tolist()

    def restore(self, state: list[float] | None) -> None:
        self.reset()
        if state and is_master():
            self.sums += torch.tensor(state, dtype=torch.float64, device=self.device)

    def averages(self, with_errors: bool = True) -> dict[str, float]:
        """The loss, and the errors in percent, over the clips of all ranks (waits for the device)."""
        clips, loss, *hits = self.state()
        clips = max(clips, 1)
        errors = {f"top{k}_err": 100.0 * (1.0 - hit / clips) for k, hit in zip((1, 5), hits, strict=True)}
        return {"loss": loss / clips} | (errors if with_errors else {})


class ScoreMeter:
    """Scores and labels of every video, gathered over ranks by the number of the video."""

    def __init__(self):
        self.rows: list[tuple[int, Tensor, Tensor]] = []

    def update(self, videos: Iterable[int], scores: Tensor, labels: Tensor) -> None:
        self.rows.extend(zip(map(int, videos), scores.float().cpu(), labels.cpu(), strict=True))

    def gather(self) -> tuple[list[int], Tensor, Tensor]:
        """Numbers of the videos in order, scores and labels; every video once."""
        rows = {video: (scores, labels) for video, scores, labels in all_gather_lists(self.rows)}
        videos = sorted(rows)
        if not videos:
            raise UserError("there is no video to evaluate: the list is empty or no video in it can be decoded")
        return videos, torch.stack([rows[v][0] for v in videos]), torch.stack([rows[v][1] for v in videos])


def accuracy(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Top-1 and top-5 accuracy in percent; for sets of labels `map`, in [0, 1]."""
    if labels.ndim == 2:
        return {"map": mean_average_precision(scores, labels)}
    top1, top5 = topk_accuracies(scores, labels)
    return {"top1_acc": top1, "top5_acc": top5}


class TimedIterator:
    """An iterator that counts the seconds for which it was waited on."""

    def __init__(self, items: Iterable):
        self.items = iter(items)
        self.waited_sec = 0.0

    def __iter__(self) -> Iterator:
        return self

    def __next__(self):
        start = time.perf_counter()
        try:
            return next(self.items)
        finally:
            self.waited_sec += time.perf_counter() - start


class Pace:
    """Seconds per iteration since the last lap, and the part of them spent waiting for data."""

    def __init__(self, batches: TimedIterator):
        self.batches = batches
        self.iterations = self.clips = 0
        self.lap()

    def step(self, clips: int) -> None:
        self.iterations += 1
        self.clips += clips

    def lap(self) -> dict[str, float]:
        """The figures since the last lap; a new one begins."""
        now, waited = time.perf_counter(), self.batches.waited_sec
        if self.iterations:
            seconds, waiting = now - self._start, waited - self._waited
            figures = {
                "dt": seconds / self.iterations,
                "dt_data": waiting / self.iterations,
                "dt_net": (seconds - waiting) / self.iterations,
                "data_wait": waiting / seconds,
                "clips_per_sec": self.clips / seconds,
                "sec_wait_per_clip": waiting / self.clips,
            }
        else:
            figures = {}
        self._start, self._waited, self.iterations, self.clips = now, waited, 0, 0
        return figures

    def pause(self) -> None:
        """Leave out the time since the last lap: something other than training went on."""
        self.lap()


def memory(device: torch.device) -> dict[str, str]:
    """The most memory that this process has used so far, on the GPU or else in all."""
    if device.type == "cuda":
        return {"gpu_mem": f"{torch.cuda.max_memory_allocated(device) / GIB:.2f}G"}
    return {"ram": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB:.2f}G"}


def clock_text(seconds: float) -> str:
    """Hours, minutes and seconds, with days in front where there are any."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02}:{seconds:02}"
