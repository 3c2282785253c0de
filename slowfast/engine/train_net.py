"""Training: one loop over the plan of a schedule."""

import logging
import time
from functools import partial
from pathlib import Path

from slowfast.config.node import CfgNode
from slowfast.engine.chance import ChanceGuard
from slowfast.engine.evaluation import score_videos
from slowfast.engine.guards import LossGuard, require_finite_weights
from slowfast.engine.journal import Journal
from slowfast.engine.position import Position, resume, save
from slowfast.engine.training import Training, seed_everything
from slowfast.multigrid import Leg
from slowfast.utils.checkpoint_folder import keep_as_best
from slowfast.utils.config_file import write_config
from slowfast.utils.distributed import device_for_rank, get_world_size, is_master
from slowfast.utils.json_log import rewind_json_log
from slowfast.utils.logging import setup_logging
from slowfast.utils.stop import GracefulStop, Interrupted
from slowfast.utils.training_meters import TimedIterator

logger = logging.getLogger(__name__)


def train(cfg: CfgNode) -> None:
    """Train the model of `cfg`, from the last checkpoint on if there is one."""
    setup_logging(cfg.OUTPUT_DIR)
    seed_everything(cfg.RNG_SEED)
    training = Training.from_cfg(cfg, device_for_rank(cfg.NUM_GPUS), get_world_size())
    training.log_summary()
    position = resume(training)
    legs = training.progress.remaining(position.done)
    write_config(cfg)
    rewind_records(training, position)
    learner = training.learner
    learner.join_ranks()
    batches = TimedIterator(training.batches(legs))
    journal = Journal(cfg, training.progress, learner.device, batches, position.done, position.epoch_sums)
    guard, chance = LossGuard(), ChanceGuard(training.progress.legs, cfg.DATA.MULTI_LABEL)
    if position.evaluation_due and training.val_set is not None:
        evaluate_epoch(training, position, journal, training.progress.last_leg(position.done))

    with GracefulStop() as stop:
        for leg in legs:  # the part of a phase in one epoch
            learner.start_phase(leg.phase.bn_groups, leg.phase.bn_sync_ranks)
            for i in range(leg.first_iteration, leg.iterations):
                if stop.requested():
                    raise Interrupted(save_inside_epoch(training, position, journal, guard, leg, i), stop.code)
                batch = next(batches)
                seed_everything(cfg.RNG_SEED, position.done)
                step = learner.step(batch, training.learning_rate(leg.position(i)))
                guard.watch(step.loss, position.done)
                chance.watch(leg, i, step)
                journal.iteration(leg, i, step, batch["bad"])
                position.done += 1
            if leg.ends_epoch:
                guard.check()
                end_epoch(training, position, journal, leg)
        journal.close()
        logger.info("training is done: %d iterations", position.done)


def rewind_records(training: Training, position: Position) -> None:
    """Remove the records of what a resumed training repeats (rank 0 only). Where nothing is left, all of them stay."""
    repeats = training.progress.remaining(position.done) or position.evaluation_due
    if training.cfg.TRAIN.AUTO_RESUME and is_master() and repeats:
        exact_epoch = training.progress.position(position.done)
        rewind_json_log(training.cfg.OUTPUT_DIR, exact_epoch, position.evaluation_due)


def end_epoch(training: Training, position: Position, journal: Journal, leg: Leg) -> None:
    """Close the epoch that `leg` ends: log it, save the state and evaluate, each if it is due.

    The state is saved first, so that an evaluation that fails loses nothing. A restart repeats the evaluation.
    """
    journal.end_of_epoch(leg)
    position.evaluation_due = training.val_set is not None and training.is_due(leg.epoch, "EVAL_PERIOD")
    if position.evaluation_due or training.is_due(leg.epoch, "CHECKPOINT_PERIOD"):
        require_finite_weights(training.learner.model, position.done)
        settle_statistics(training, leg.epoch)
        save_epoch(training, position, journal, leg)
    if position.evaluation_due:
        evaluate_epoch(training, position, journal, leg)
    journal.pause()


def settle_statistics(training: Training, epoch: int) -> None:
    """Give all ranks the same statistics of batch norm: precise ones, or the average of theirs."""
    if training.cfg.BN.USE_PRECISE_STATS:
        training.learner.recompute_statistics(batch["clip"] for batch in training.fresh_batches(epoch))
    else:
        training.learner.average_statistics()


def save_epoch(training: Training, position: Position, journal: Journal, leg: Leg) -> Path:
    """Save the state after the epoch that `leg` ends, in a file of its own only if a checkpoint is due."""
    sums = None if training.is_due(leg.epoch, "CHECKPOINT_PERIOD") else journal.epoch_sums()
    return save(training, position, leg.epoch, leg.end, sums)


def evaluate_epoch(training: Training, position: Position, journal: Journal, leg: Leg) -> None:
    """Evaluate at the default grid after the epoch that `leg` ends, and save the state with the result."""
    start = time.perf_counter()
    on_batch = partial(journal.val_iteration, leg)
    scores = score_videos(training.learner.predictor(), training.val_batches(), training.cfg.OUTPUT_DIR, on_batch)
    accuracies = scores.accuracy()
    is_best = position.keep_best(accuracies, leg.epoch + 1)
    journal.evaluation(leg, accuracies, position.best, len(scores.errors), time.perf_counter() - start)
    position.evaluation_due = False
    path = save_epoch(training, position, journal, leg)
    if is_best:
        keep_as_best(path)


def save_inside_epoch(
    training: Training, position: Position, journal: Journal, guard: LossGuard, leg: Leg, i: int
) -> str:
    """Write a checkpoint before iteration `i` of `leg`, and return a message for the user."""
    guard.check()
    require_finite_weights(training.learner.model, position.done)
    journal.close()
    training.learner.average_statistics()
    save(training, position, leg.epoch - 1, leg.position(i), journal.epoch_sums())
    return (
        f"stopped at epoch {leg.position(i):.3f}, after {position.done} iterations: the same command resumes from here"
        + ("" if training.cfg.TRAIN.AUTO_RESUME else " with TRAIN.AUTO_RESUME True")
    )
