"""The records of a training: log lines, json lines, a progress bar and TensorBoard curves."""

import logging
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from slowfast.config.node import CfgNode
from slowfast.engine.bad_videos import BAD_VIDEOS, append_bad_videos
from slowfast.engine.board import Board
from slowfast.engine.chance import EvaluationGuard
from slowfast.engine.first_aid import LONG_WAIT, at_chance, waiting_for_data
from slowfast.engine.learner import Step
from slowfast.engine.progress import Place, Progress, groups_text
from slowfast.engine.scores import Scores
from slowfast.engine.step_time import StepTimes
from slowfast.errors import UserError
from slowfast.multigrid import Leg, Shape
from slowfast.utils.distributed import all_gather_lists, get_world_size
from slowfast.utils.json_log import logged_seconds
from slowfast.utils.logging import log_json_stats, progress_bar
from slowfast.utils.training_meters import (
    Lap,
    Pace,
    TimedIterator,
    TopKMeter,
    accuracy_text,
    clock_text,
    errors_of,
    memory,
)

logger = logging.getLogger(__name__)

FIRST_LAPS = 2  # the first iteration and the rest of its period, in which the batches always take long


class Journal:
    """Measures a training and logs the figures: of its first iteration, every LOG_PERIOD iterations and every epoch.

    Args:
        batches: the iterator of the training's batches, which measures how long it was waited for.
        board: shows the figures in TensorBoard.
        done: iterations done before.
        epoch_sums: of an earlier journal that stopped inside the epoch.
    """

    def __init__(
        self,
        cfg: CfgNode,
        progress: Progress,
        device: torch.device,
        batches: TimedIterator,
        board: Board,
        done: int = 0,
        epoch_sums: list[float] | None = None,
    ):
        self._output_dir, self._log_period = cfg.OUTPUT_DIR, cfg.LOG_PERIOD
        self._max_bad_fraction = cfg.DATA.MAX_BAD_FRACTION
        self._has_accuracy = not cfg.DATA.MULTI_LABEL
        self._device, self._progress = device, progress
        self._start = time.perf_counter() - (logged_seconds(cfg.OUTPUT_DIR) if done else 0.0)
        self._meter, self._pace, self._times = TopKMeter(device), Pace(batches), StepTimes()
        self._meter.restore(epoch_sums)
        self._board = board
        self._bar = progress_bar(progress.total_iterations, done)
        self._bad: list[str] = []
        self._bad_in_epoch = 0
        self._evaluations = EvaluationGuard(partial(at_chance, cfg))
        self._waiting_advice = partial(waiting_for_data, cfg)
        self._has_warned_of_waiting = False
        self._laps = 0
        self._warm_ups: dict[tuple[Shape, int], float] = {}  # seconds of the first iterations

    def iteration(self, leg: Leg, i: int, step: Step, batch: Mapping[str, Any]) -> None:
        """Count iteration `i` of `leg`; log the first, and every LOG_PERIOD-th.

        The host waits for the device only then, and in the first iteration of a shape. `batch` is that of the step.
        """
        self._meter.update(step.scores, step.labels, step.loss)
        self._bad += [line for lines in batch["bad"] for line in lines.splitlines()]
        self._count_time(leg, i, step)
        self._bar.update()
        place = self._progress.at(leg, i)
        if self._board.is_new(leg.shape(i)):
            self._board.clips(leg.shape(i), batch, place.clips)
            self._pace.leave_out()
        if self._laps == 0 or (place.iteration + 1) % self._log_period == 0:
            of_this_step = TopKMeter(self._device)
            of_this_step.update(step.scores, step.labels, step.loss)
            self._log_iteration(leg, i, place, of_this_step.averages(self._has_accuracy) | {"lr": step.lr})

    def _count_time(self, leg: Leg, i: int, step: Step) -> None:
        """Add an iteration to the pace. The first one of a shape is logged on its own.

        In it, cuDNN tries its kernels, TRAIN.COMPILE compiles the model, and memory is reserved.
        """
        shape, groups = leg.shape(i), leg.phase.bn_groups
        is_warm_up = (shape, groups) not in self._warm_ups
        self._times.add(step.moments, is_warm_up)
        if not is_warm_up:
            self._pace.step(len(step.labels))
            return
        step.loss.item()  # waits for the device
        self._warm_ups[shape, groups] = seconds = self._pace.step(len(step.labels), is_warm_up=True)
        logger.info(
            "first iteration on %d x %d x %d px%s: %.3f s, and %.3f s for %d shape(s) so far",
            *(shape.batch_size, shape.frames, shape.crop, groups_text(groups), seconds),
            *(sum(self._warm_ups.values()), len(self._warm_ups)),
        )

    def _log_iteration(self, leg: Leg, i: int, place: Place, figures: dict[str, float]) -> None:
        pace, shape = self._pace.lap(), leg.shape(i)
        assert pace is not None  # this iteration belongs to the lap
        clips = self._progress.batch_clips(shape.batch_size)
        speed = {
            "dt": pace.sec,
            "dt_data": pace.sec_data,
            "dt_net": pace.sec_net,
            **self._times.lap(),
            "data_wait": pace.wait_share,
            "clips_per_sec": pace.clips_per_sec * get_world_size(),
        }
        used = memory(self._device)
        stats = {
            "_type": "train_iter",
            **self._where(place),
            **figures,
            **errors_of(figures),
            "batch": [clips, shape.frames, shape.crop],
            **{key: round(value, 5) for key, value in speed.items()},
            "eta": clock_text(self._eta_sec(place, pace)),
            **used,
        }
        logger.info(
            "epoch %s (%.3f), iteration %s: %s, lr %.5g | %d x %d x %d px | "
            "%.3f s, %.0f %% waiting for data | %s | ETA %s",
            *(stats["epoch"], place.position, stats["iter"], _text(figures), figures["lr"]),
            *(clips, shape.frames, shape.crop, pace.sec, 100 * pace.wait_share),
            *(next(iter(used.values())), stats["eta"]),
        )
        log_json_stats(stats, self._output_dir)
        self._bar.set_postfix_str(f"epoch {stats['epoch']}, loss {figures['loss']:.4f}")
        self._show(place, shape, figures, speed, used)
        self._warn_of_waiting(pace.wait_share)

    def _show(
        self, place: Place, shape: Shape, figures: dict[str, float], speed: dict[str, float], used: dict[str, str]
    ) -> None:
        """Show the figures of an iteration in TensorBoard."""
        batch = {"clips": self._progress.batch_clips(shape.batch_size), "frames": shape.frames, "crop_px": shape.crop}
        self._board.figures("train", figures | {"epoch": place.position}, place.clips)
        self._board.figures("batch", batch, place.clips)
        self._board.figures("speed", speed, place.clips)
        self._board.memory(used, place.clips)

    def _where(self, place: Place) -> dict:
        return {
            "epoch": f"{place.epoch + 1}/{self._progress.total_epochs}",
            "position": round(place.position, 6),
            "iter": f"{place.iteration_of_epoch + 1}/{self._progress.iterations_of_epoch[place.epoch]}",
            "iteration": place.iteration + 1,
            "clips": place.clips,
            "seconds": self._seconds(),
        }

    def _seconds(self) -> float:
        """Return the seconds that the training has taken, with those that its log has from before it resumed."""
        return round(time.perf_counter() - self._start, 2)

    def _eta_sec(self, place: Place, pace: Lap) -> float:
        """Estimate the remaining seconds. Batches of all shapes take the same time; clips take the loading time."""
        iterations = self._progress.total_iterations - place.iteration - 1
        clips = (self._progress.total_clips - place.clips) / get_world_size()
        return iterations * pace.sec_net + clips * pace.sec_wait_per_clip

    def _warn_of_waiting(self, share: float) -> None:
        """Warn once in a training."""
        self._laps += 1
        if share > LONG_WAIT and self._laps > FIRST_LAPS and not self._has_warned_of_waiting:
            self._has_warned_of_waiting = True
            logger.warning("%s", self._waiting_advice(share))

    def end_of_epoch(self, leg: Leg) -> None:
        """Log the averages of the epoch that `leg` ends, list its bad videos and start the next epoch.

        Raises UserError if more than DATA.MAX_BAD_FRACTION of the epoch's clips could not be decoded.
        """
        seen = int(self._meter.state()[0])
        self.write_bad_videos()
        bad, self._bad_in_epoch = self._bad_in_epoch, 0
        averages = self._meter.averages(self._has_accuracy)
        where = self._end_of(leg)
        stats = {"_type": "train_epoch", **where, **averages, **errors_of(averages), "bad_videos": bad}
        failed = f", {bad} of {seen} clips could not be decoded" if bad else ""
        logger.info("epoch %s done: %s%s", where["epoch"], _text(averages), failed)
        log_json_stats(stats | memory(self._device), self._output_dir)
        self._board.figures("train_epoch", averages, where["clips"])
        self._board.weights(where["clips"])
        self._meter.reset()
        if bad > self._max_bad_fraction * seen:
            raise UserError(
                f"{bad} of the {seen} clips of epoch {leg.epoch + 1} could not be decoded, more than "
                f"DATA.MAX_BAD_FRACTION {self._max_bad_fraction:g} allows: see {Path(self._output_dir) / BAD_VIDEOS}, "
                "fix or remove those videos, or raise DATA.MAX_BAD_FRACTION"
            )

    def val_iteration(self, leg: Leg, number: int, total: int) -> None:
        """Log every LOG_PERIOD-th batch of the evaluation after `leg`. `number` counts from 1."""
        if number % self._log_period == 0:
            stats = {"_type": "val_iter", **self._end_of(leg), "iter": f"{number}/{total}"}
            log_json_stats(stats | memory(self._device), self._output_dir)

    def evaluation(
        self, leg: Leg, scores: Scores, accuracies: dict[str, float], best: dict[str, float], seconds: float
    ) -> None:
        """Log the result of the evaluation after `leg`, and the best result so far."""
        where, bad_videos = self._end_of(leg), len(scores.errors)
        stats = {
            "_type": "val_epoch",
            **where,
            **accuracies,
            **errors_of(accuracies),
            **{f"best_{key}": value for key, value in best.items()},
            "bad_videos": bad_videos,
            "dt": round(seconds, 3),
        }
        failed = f" ({bad_videos} videos failed)" if bad_videos else ""
        text, record = accuracy_text(accuracies), accuracy_text(best)
        logger.info("validation after epoch %d%s: %s (best %s)", leg.epoch + 1, failed, text, record)
        log_json_stats(stats | memory(self._device), self._output_dir)
        self._board.results("val", scores, accuracies, where["clips"], f"Validation after epoch {leg.epoch + 1}.")
        self._evaluations.watch(scores, accuracies)

    def _end_of(self, leg: Leg) -> dict:
        """Return the fields of a record that locate the end of `leg` in the training."""
        return {
            "epoch": f"{leg.epoch + 1}/{self._progress.total_epochs}",
            "position": round(leg.end, 6),
            "iteration": self._progress.iterations_through(leg.epoch),
            "clips": self._progress.clips_until(leg),
            "seconds": self._seconds(),
        }

    def pause(self) -> None:
        """Leave the time since the last log line out of the pace: it was not spent on training."""
        self._pace.lap()
        self._times.clear()

    def epoch_sums(self) -> list[float]:
        """Return the sums of the epoch so far, from which another journal can resume."""
        return self._meter.state()

    def close(self) -> None:
        """List the bad videos that are not listed yet, and close the progress bar. All ranks call this together."""
        self.write_bad_videos()
        self._bar.close()

    def write_bad_videos(self) -> None:
        """List the videos that could not be decoded on any rank since the last call. All ranks call this together."""
        bad, self._bad = all_gather_lists(self._bad), []
        append_bad_videos(self._output_dir, bad)
        self._bad_in_epoch += len(bad)


def _text(figures: dict[str, float]) -> str:
    """Return the loss and the accuracies as text."""
    return ", ".join(filter(None, [f"loss {figures['loss']:.4f}", accuracy_text(figures)]))
