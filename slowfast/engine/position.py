"""How far a training has come: what a checkpoint keeps beside weights, momenta and the scaler."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from slowfast.config.compare import changes_since, of_training
from slowfast.engine.training import Training
from slowfast.utils.checkpoint_folder import INTERRUPTED, remove_old
from slowfast.utils.distributed import barrier
from slowfast.utils.training_checkpoint import load_for_training, save_checkpoint

logger = logging.getLogger(__name__)


@dataclass
class Position:
    """How far a training has come.

    Attributes:
        done: iterations so far.
        best: the best accuracy so far, by name, and its `epoch`.
        without_gain: the number of evaluations since.
        evaluation_due: whether the epoch that has just ended still has to be evaluated.
        epoch_sums: the sums of the meter, as loaded, if the training stopped inside an epoch.
        rank_statistics: the running statistics of batch norm of every rank, W x S, likewise.
    """

    done: int = 0
    best: dict[str, float] = field(default_factory=dict)
    without_gain: int = 0
    evaluation_due: bool = False
    epoch_sums: list[float] | None = None
    rank_statistics: Tensor | None = None

    def keep_best(self, accuracies: Mapping[str, float], epoch: int) -> bool:
        """Keep the first of `accuracies` if it is the best so far after `epoch`, from 1, and return whether it is."""
        first, value = next(iter(accuracies.items()))
        before = self.best.get(first, math.nan)
        is_best = math.isnan(before) or value > before
        self.without_gain = 0 if is_best else self.without_gain + 1
        if is_best:
            self.best = {first: value, "epoch": epoch}
        return is_best


def resume(training: Training) -> Position:
    """Load the last checkpoint or the initial weights into the learner, and return the position."""
    learner, progress = training.learner, training.progress
    saved = load_for_training(training.cfg, learner.model, learner.optimizer, learner.scaler, training.class_names)
    learner.average.load(saved)
    position = Position(best=saved.get("best", {}), without_gain=saved.get("without_gain", 0))
    if saved.get("plan") == training.plan_key:
        position.done, position.epoch_sums = saved["iteration"], saved.get("epoch_sums")
        position.rank_statistics = saved.get("rank_statistics")
        position.evaluation_due = saved.get("evaluation_due", False)
    elif saved["epoch"] >= 0 or "plan" in saved:
        epoch = saved.get("position", saved["epoch"] + 1.0)
        position.done = progress.iterations_until(epoch)
        logger.warning(
            "the checkpoint was written under another plan (%s; now %s): training continues at the same position, "
            "epoch %.3f. The global batch and the learning rate are those of the config, whatever the number of "
            "processes: nothing is scaled",
            *(_plan_text(saved.get("plan")), _plan_text(training.plan_key), epoch),
        )
    if position.done and not progress.remaining(position.done):
        _log_finished(training, saved)
    elif position.done:
        logger.info("%d of %d iterations are done", position.done, progress.total_iterations)
    return position


def _plan_text(key: list[int] | None) -> str:
    return "{} videos, {} process(es), {} iterations, {} clips".format(*key) if key else "an unknown one"


def _log_finished(training: Training, saved: Mapping) -> None:
    """Log that nothing is left to train; as a warning if the config has changed, since the change has no effect."""
    has_changed = bool(of_training(changes_since(saved, training.cfg)))
    logger.log(
        logging.WARNING if has_changed else logging.INFO,
        "nothing is left to train: all %d iterations are done%s. To start anew, choose another OUTPUT_DIR or set "
        "TRAIN.AUTO_RESUME False",
        training.progress.total_iterations,
        ", and the changes of the config have no effect" if has_changed else "",
    )


def save(
    training: Training,
    position: Position,
    finished_epoch: int,
    exact_epoch: float,
    inside: Mapping,
) -> Path:
    """Write a checkpoint after `finished_epoch`, or one with the state `inside` the next epoch. Return its path.

    The training waits until the file is on the disk. A SlowFast R50 with momenta, 277 MB, takes 1.2 s on two shared
    cores. A thread would first have to copy these tensors, so that it would save little of that.
    """
    learner, cfg = training.learner, training.cfg
    extra = {
        "iteration": position.done,
        "position": exact_epoch,
        "plan": training.plan_key,
        "best": position.best,
        "without_gain": position.without_gain,
        "evaluation_due": position.evaluation_due,
        "class_names": training.class_names,
    }
    path = save_checkpoint(
        cfg.OUTPUT_DIR,
        learner.average.averaged,
        learner.optimizer,
        learner.scaler,
        finished_epoch,
        cfg.dump(),
        extra | learner.average.state() | dict(inside),
        INTERRUPTED if inside else "",
    )
    needed = [cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.TEST.CHECKPOINT_FILE_PATH]
    remove_old(cfg.OUTPUT_DIR, finished_epoch, cfg.TRAIN.CHECKPOINT_KEEP, needed)
    logger.info("saved %s", path)
    barrier()
    return path
