"""What a training writes down: a line every LOG_PERIOD iterations, one per epoch, json and TensorBoard beside."""

import csv
import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from slowfast.engine.progress import Place, Progress
from slowfast.errors import UserError
from slowfast.multigrid import Leg
from slowfast.utils.distributed import all_gather_lists, get_world_size, is_master
from slowfast.utils.logging import log_json_stats, progress_bar
from slowfast.utils.meters import Pace, TimedIterator, TopKMeter, clock_text, memory
from slowfast.visualization.tensorboard import TensorBoard

logger = logging.getLogger(__name__)

MUCH_WAITING = 1 / 3
BAD_VIDEOS = "bad_videos.csv"


class Step(NamedTuple):
    """What came of an iteration: tensors on the device, what could not be decoded, and the learning rate."""

    loss: Tensor
    scores: Tensor
    labels: Tensor
    bad: list[str]
    lr: float


class Journal:
    """Keeps the meters of an epoch and says what they show."""

    def __init__(self, cfg, device: torch.device, progress: Progress, batches: TimedIterator, done: int = 0):
        self.output_dir, self.log_period = cfg.OUTPUT_DIR, cfg.LOG_PERIOD
        self.max_bad_fraction = cfg.DATA.MAX_BAD_FRACTION
        self.has_errors = not cfg.DATA.MULTI_LABEL
        self.device, self.progress = device, progress
        self.meter = TopKMeter(device)
        self.pace = Pace(batches)
        self.board = TensorBoard.from_cfg(cfg)
        self.bar = progress_bar(progress.total_iterations, done)
        self.bad: list[str] = []
        self._warned_in_epoch = -1
        self._first_lap = True

    def iteration(self, leg: Leg, i: int, step: Step) -> None:
        """Count an iteration, and say how every LOG_PERIOD-th went; only then anything waits for the device."""
        self.meter.update(step.scores, step.labels, step.loss)
        self.bad += [line for lines in step.bad for line in lines.splitlines()]
        self.pace.step(len(step.labels))
        self.bar.update()
        place = self.progress.at(leg, i)
        if (place.iteration + 1) % self.log_period == 0:
            now = TopKMeter(self.device)
            now.update(step.scores, step.labels, step.loss)
            self._say(leg, i, place, now.averages(self.has_errors) | {"lr": step.lr})

    def _say(self, leg: Leg, i: int, place: Place, figures: dict) -> None:
        pace, shape = self.pace.lap(), leg.shape(i)
        pace["clips_per_sec"] *= get_world_size()
        eta = self._eta_sec(place, pace)
        clips = shape.batch_size * get_world_size()
        stats = {
            "_type": "train_iter",
            **self._where(place),
            **figures,
            "batch": [clips, shape.frames, shape.crop],
            **{key: round(pace[key], 5) for key in ("dt", "dt_data", "dt_net", "data_wait", "clips_per_sec")},
            "eta": clock_text(eta),
            **memory(self.device),
        }
        logger.info(
            "epoch %s (%.3f), iteration %s: loss %.4f%s, lr %.5g | %d x %d x %d px | "
            "%.3f s, %.0f %% waiting for data | %s | ETA %s",
            *(stats["epoch"], place.position, stats["iter"], stats["loss"], _errors(figures), figures["lr"]),
            *(clips, shape.frames, shape.crop, pace["dt"], 100 * pace["data_wait"]),
            *(next(iter(memory(self.device).values())), stats["eta"]),
        )
        log_json_stats(stats, self.output_dir)
        self.bar.set_postfix_str(f"epoch {stats['epoch']}, loss {stats['loss']:.4f}")
        self.board.add("train", {k: stats[k] for k in (*figures, "dt", "data_wait", "clips_per_sec")}, place.clips)
        self._warn_of_waiting(place.epoch, pace["data_wait"])

    def _where(self, place: Place) -> dict:
        return {
            "epoch": f"{place.epoch + 1}/{self.progress.total_epochs}",
            "position": round(place.position, 6),
            "iter": f"{place.iteration_of_epoch + 1}/{self.progress.iterations_of_epoch[place.epoch]}",
            "iteration": place.iteration + 1,
            "clips": place.clips,
        }

    def _eta_sec(self, place: Place, pace: dict) -> float:
        """Batches of all shapes cost the device about the same; what is waited for is the clips in them."""
        iterations = self.progress.total_iterations - place.iteration - 1
        clips = (self.progress.total_clips - place.clips) / get_world_size()
        return iterations * pace["dt_net"] + clips * pace["sec_wait_per_clip"]

    def _warn_of_waiting(self, epoch: int, share: float) -> None:
        starting, self._first_lap = self._first_lap, False  # the first batches always keep us waiting
        if share > MUCH_WAITING and not starting and epoch != self._warned_in_epoch:
            self._warned_in_epoch = epoch
            logger.warning(
                "%.0f %% of the time goes into waiting for data: raise DATA_LOADER.NUM_WORKERS if processor cores are "
                "free, or store the videos at a smaller size",
                100 * share,
            )

    def end_of_epoch(self, epoch: int, clips: int) -> None:
        """Say how the epoch went, list what could not be decoded, and begin the next. `clips`: seen so far.

        Raises UserError when more than DATA.MAX_BAD_FRACTION of the epoch's clips could not be decoded.
        """
        seen = self.meter.state()[0]
        bad = self.write_bad_videos()
        averages = self.meter.averages(self.has_errors)
        total = self.progress.total_epochs
        done = {"epoch": f"{epoch + 1}/{total}", "iteration": self.progress.iterations_through(epoch)}
        stats = {"_type": "train_epoch", **done, **averages, "bad_videos": bad}
        logger.info("epoch %d/%d done: loss %.4f%s", epoch + 1, total, averages["loss"], _errors(averages))
        log_json_stats(stats | {"clips": clips} | memory(self.device), self.output_dir)
        self.board.add("train_epoch", averages, clips)
        self.meter.reset()
        if bad > self.max_bad_fraction * seen:
            raise UserError(
                f"{bad} of the {int(seen)} clips of epoch {epoch + 1} could not be decoded, more than "
                f"DATA.MAX_BAD_FRACTION {self.max_bad_fraction:g} allows: see {Path(self.output_dir) / BAD_VIDEOS}, "
                "mend or remove those videos, or raise DATA.MAX_BAD_FRACTION"
            )

    def write_bad_videos(self) -> int:
        """Append what could not be decoded, on any rank, to OUTPUT_DIR/bad_videos.csv; how many there were."""
        bad, self.bad = all_gather_lists(self.bad), []
        append_bad_videos(self.output_dir, bad)
        return len(bad)

    def val_iteration(self, epoch: int, number: int, total: int) -> None:
        if number % self.log_period == 0:
            where = {"epoch": f"{epoch + 1}/{self.progress.total_epochs}", "iter": f"{number}/{total}"}
            log_json_stats({"_type": "val_iter"} | where | memory(self.device), self.output_dir)

    def evaluation(self, epoch: int, clips: int, accuracies: dict, best: dict, seconds: float) -> None:
        errors = {key.replace("acc", "err"): 100.0 - value for key, value in accuracies.items() if key.endswith("acc")}
        stats = {
            "_type": "val_epoch",
            "epoch": f"{epoch + 1}/{self.progress.total_epochs}",
            **accuracies,
            **errors,
            **{f"best_{key}": value for key, value in best.items()},
            "clips": clips,
            "dt": round(seconds, 3),
        }
        text = ", ".join(f"{key} {value:.4g}" for key, value in accuracies.items())
        first, record = next(iter(best.items()))
        logger.info("validation after epoch %d: %s (best %s %.4g)", epoch + 1, text, first, record)
        log_json_stats(stats | memory(self.device), self.output_dir)
        self.board.add("val", accuracies, clips)


def append_bad_videos(output_dir: str, lines: list[str]) -> None:
    """Append `path<TAB>error` lines to OUTPUT_DIR/bad_videos.csv (rank 0 only), with a header if it is new."""
    if not lines or not is_master():
        return
    path = Path(output_dir) / BAD_VIDEOS
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("path", "error")] if new else [])
        writer.writerows(line.split("\t", 1) for line in lines)
    logger.warning("%d clips could not be decoded and were replaced or left out: see %s", len(lines), path)


def _errors(figures: dict) -> str:
    if "top1_err" not in figures:
        return ""
    return f", error {figures['top1_err']:.2f} % (top-5 {figures['top5_err']:.2f} %)"
