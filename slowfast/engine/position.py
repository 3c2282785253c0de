"""How far a training has come: what a checkpoint keeps beside weights, momenta and the scaler."""

import logging
from dataclasses import dataclass, field

from slowfast.engine.training import Training
from slowfast.utils.distributed import barrier
from slowfast.utils.training_checkpoint import load_for_training, save_checkpoint

logger = logging.getLogger(__name__)


@dataclass
class Position:
    """How far a training has come.

    Attributes:
        done: iterations so far.
        best: the best accuracy so far, by name, and its `epoch`.
        evaluation_due: whether the epoch that has just ended still has to be evaluated.
        epoch_sums: the sums of the meter, as loaded, if the training stopped inside an epoch.
    """

    done: int = 0
    best: dict[str, float] = field(default_factory=dict)
    evaluation_due: bool = False
    epoch_sums: list[float] | None = None


def resume(training: Training) -> Position:
    """Load the last checkpoint or the initial weights into the learner, and return the position."""
    learner, progress = training.learner, training.progress
    saved = load_for_training(training.cfg, learner.model, learner.optimizer, learner.scaler)
    position = Position(best=saved.get("best", {}))
    if saved.get("plan") == training.plan_key:
        position.done, position.epoch_sums = saved["iteration"], saved.get("epoch_sums")
        position.evaluation_due = saved.get("evaluation_due", False)
    elif saved["epoch"] >= 0 or "plan" in saved:
        epoch = saved.get("position", saved["epoch"] + 1.0)
        position.done = progress.iterations_until(epoch)
        logger.warning(
            "the checkpoint was written under another plan (videos, devices, batches or epochs differ): "
            "training continues at the same position, epoch %.3f",
            epoch,
        )
    if position.done:
        logger.info("%d of %d iterations are done", position.done, progress.total_iterations)
    return position


def save(
    training: Training,
    position: Position,
    finished_epoch: int,
    exact_epoch: float,
    epoch_sums: list[float] | None = None,
) -> None:
    """Write a checkpoint after `finished_epoch` or, with `epoch_sums`, inside the next epoch."""
    learner = training.learner
    extra = {
        "iteration": position.done,
        "position": exact_epoch,
        "plan": training.plan_key,
        "best": position.best,
        "evaluation_due": position.evaluation_due,
    }
    path = save_checkpoint(
        training.cfg.OUTPUT_DIR,
        learner.model,
        learner.optimizer,
        learner.scaler,
        finished_epoch,
        training.cfg.dump(),
        extra | ({} if epoch_sums is None else {"epoch_sums": epoch_sums}),
        interrupted=epoch_sums is not None,
    )
    logger.info("saved %s", path)
    barrier()
