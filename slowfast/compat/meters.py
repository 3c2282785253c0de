"""What the published `slowfast.utils.meters` has, for loops of users.

Legend: N clips, K classes.
"""

import logging
import time
from collections import deque
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from slowfast.config.node import CfgNode
from slowfast.utils.distributed import device_for_rank
from slowfast.utils.logging import log_json_stats
from slowfast.utils.metrics import mean_average_precision, topk_accuracies
from slowfast.utils.training_meters import clock_text, memory

logger = logging.getLogger(__name__)


def __getattr__(name: str) -> NoReturn:
    if name in ("AVAMeter", "EPICTrainMeter", "EPICValMeter", "EPICTestMeter"):
        raise ImportError(f"{name}: AVA and EPIC-Kitchens are not part of this project")
    raise AttributeError(f"slowfast.utils.meters has no {name}")


class Stopwatch:
    """The time of an iteration, and its parts for data and for the network, in seconds."""

    def __init__(self) -> None:
        self.start = self.loaded = time.perf_counter()
        self.iter_sec = self.data_sec = self.net_sec = 0.0

    def iter_tic(self) -> None:
        """Start an iteration."""
        self.start = self.loaded = time.perf_counter()

    def data_toc(self) -> None:
        """The data have come."""
        self.loaded = time.perf_counter()
        self.data_sec = self.loaded - self.start

    def iter_toc(self) -> None:
        """End an iteration."""
        now = time.perf_counter()
        self.iter_sec, self.net_sec = now - self.start, now - self.loaded

    net_toc = iter_toc

    def times(self, iterations_left: int) -> dict:
        """Return the times, and the time that is left."""
        parts = {"dt": self.iter_sec, "dt_data": self.data_sec, "dt_net": self.net_sec}
        return parts | {"eta": clock_text(self.iter_sec * iterations_left)}


class _EpochMeter(Stopwatch):
    """Averages of an epoch over clips, and medians of the last LOG_PERIOD iterations."""

    kind = ""

    def __init__(self, iterations: int, cfg: CfgNode):
        super().__init__()
        self.iterations, self._cfg = iterations, cfg
        self.reset()

    def reset(self) -> None:
        """Start an epoch."""
        self.num_samples = 0
        self.sums: dict[str, float] = {}
        self.recent: dict[str, deque[float]] = {}

    def _add(self, clips: int, **figures: float | None) -> None:
        self.num_samples += clips
        for name, value in figures.items():
            if value is not None:
                self.sums[name] = self.sums.get(name, 0.0) + float(value) * clips
                self.recent.setdefault(name, deque(maxlen=self._cfg.LOG_PERIOD)).append(float(value))

    def averages(self) -> dict[str, float]:
        """Return the averages over the clips of the epoch."""
        return {name: total / max(self.num_samples, 1) for name, total in self.sums.items()}

    def log_iter_stats(self, cur_epoch: int, cur_iter: int) -> None:
        """Log every LOG_PERIOD-th iteration, from 0."""
        if (cur_iter + 1) % self._cfg.LOG_PERIOD:
            return
        medians = {name: float(np.median(values)) for name, values in self.recent.items()}
        self._log(f"{self.kind}_iter", cur_epoch, self.iterations - cur_iter - 1, medians, iter=cur_iter + 1)

    def log_epoch_stats(self, cur_epoch: int) -> None:
        """Log the averages of the epoch, from 0."""
        self._log(f"{self.kind}_epoch", cur_epoch, 0, self.averages())

    def _log(self, kind: str, epoch: int, left: int, figures: dict[str, float], **where: int) -> None:
        counts = {name: f"{value}/{self.iterations}" for name, value in where.items()}
        stats = {"_type": kind, "epoch": f"{epoch + 1}/{self._cfg.SOLVER.MAX_EPOCH}", **counts, **figures}
        device = device_for_rank(self._cfg.NUM_GPUS)
        log_json_stats(stats | self.times(left) | memory(device), self._cfg.OUTPUT_DIR)


class TrainMeter(_EpochMeter):
    """Averages of an epoch of training, of `epoch_iters` iterations."""

    kind = "train"

    def __init__(self, epoch_iters: int, cfg: CfgNode):
        super().__init__(epoch_iters, cfg)
        self.lr: float | None = None

    def update_stats(
        self, top1_err: float | None, top5_err: float | None, loss: float, lr: float, mb_size: int
    ) -> None:
        """Add a batch of `mb_size` clips. Errors are in percent."""
        self.lr = lr
        self._add(mb_size, top1_err=top1_err, top5_err=top5_err, loss=loss)

    def averages(self) -> dict[str, float]:
        return super().averages() | ({} if self.lr is None else {"lr": self.lr})


class ValMeter(_EpochMeter):
    """Errors of an epoch of validation, of `max_iter` iterations, and the lowest so far."""

    kind = "val"

    def __init__(self, max_iter: int, cfg: CfgNode):
        super().__init__(max_iter, cfg)
        self.min_top1_err = self.min_top5_err = 100.0

    def reset(self) -> None:
        super().reset()
        self.all_preds: list[Tensor] = []
        self.all_labels: list[Tensor] = []

    def update_stats(self, top1_err: float, top5_err: float, mb_size: int) -> None:
        """Add a batch of `mb_size` clips. Errors are in percent."""
        self._add(mb_size, top1_err=top1_err, top5_err=top5_err)

    def update_predictions(self, preds: Tensor, labels: Tensor) -> None:
        """Keep the scores and the 0/1 labels of a batch, for `map`."""
        self.all_preds.append(preds.cpu())
        self.all_labels.append(labels.cpu())

    def log_epoch_stats(self, cur_epoch: int) -> None:
        figures = self.averages()
        if self._cfg.DATA.MULTI_LABEL:
            figures = {"map": mean_average_precision(torch.cat(self.all_preds), torch.cat(self.all_labels))}
        else:
            self.min_top1_err = min(self.min_top1_err, figures["top1_err"])
            self.min_top5_err = min(self.min_top5_err, figures["top5_err"])
            figures |= {"min_top1_err": self.min_top1_err, "min_top5_err": self.min_top5_err}
        self._log("val_epoch", cur_epoch, 0, figures)


class TestMeter(Stopwatch):
    """Scores of videos over their clips, which are added or of which the highest counts.

    Args:
        num_videos: number of videos.
        num_clips: clips of each video. Clip c is of video c // num_clips.
        num_cls: number of classes.
        overall_iters: number of batches, for logs.
        multi_label: whether labels are 0/1 vectors.
        ensemble_method: "sum" or "max".
    """

    __test__ = False  # not a test of pytest

    def __init__(
        self,
        num_videos: int,
        num_clips: int,
        num_cls: int,
        overall_iters: int,
        multi_label: bool = False,
        ensemble_method: str = "sum",
    ):
        super().__init__()
        if ensemble_method not in ("sum", "max"):
            raise NotImplementedError(f"ensemble_method {ensemble_method!r}: use sum or max")
        self.num_clips, self.overall_iters = num_clips, overall_iters
        self.multi_label, self.ensemble_method = multi_label, ensemble_method
        self.video_preds = torch.zeros(num_videos, num_cls)
        self.video_labels = torch.zeros(num_videos, num_cls) if multi_label else torch.zeros(num_videos).long()
        self.clip_count = torch.zeros(num_videos).long()
        self.stats: dict[str, str] = {}

    def reset(self) -> None:
        """Start again."""
        for tensor in (self.video_preds, self.video_labels, self.clip_count):
            tensor.zero_()

    def update_stats(self, preds: Tensor, labels: Tensor, clip_ids: Tensor) -> None:
        """Add the scores, N x K, and the labels of N clips."""
        for score, label, clip in zip(preds.detach().cpu(), labels.cpu(), clip_ids.tolist(), strict=True):
            video = int(clip) // self.num_clips
            total = self.video_preds[video]  # it starts at zero, as published
            self.video_preds[video] = total + score if self.ensemble_method == "sum" else torch.max(total, score)
            self.video_labels[video] = label
            self.clip_count[video] += 1

    def log_iter_stats(self, cur_iter: int) -> None:
        """Log the time of an iteration, from 0."""
        where = {"split": "test_iter", "cur_iter": str(cur_iter + 1)}
        log_json_stats(where | self.times(self.overall_iters - cur_iter - 1))

    def finalize_metrics(self, ks: tuple[int, ...] = (1, 5)) -> dict[str, str]:
        """Log and return the top-k accuracies in percent, or `map`, as text."""
        if incomplete := int((self.clip_count != self.num_clips).sum()):
            logger.warning("%d videos do not have %d clips", incomplete, self.num_clips)
        figures: dict[str, str] = {"split": "test_final"}
        if self.multi_label:
            figures["map"] = str(mean_average_precision(self.video_preds, self.video_labels))
        else:
            accuracies = topk_accuracies(self.video_preds, self.video_labels, ks)
            figures |= {f"top{k}_acc": f"{float(value):.2f}" for k, value in zip(ks, accuracies, strict=True)}
        log_json_stats(figures)
        self.stats = figures
        return figures
