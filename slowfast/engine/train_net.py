"""Training: one loop over the plan of a schedule."""

import logging
import time
from functools import partial

from slowfast.config.node import CfgNode
from slowfast.engine.chance import ChanceGuard
from slowfast.engine.evaluation import evaluate
from slowfast.engine.guards import GracefulStop, Interrupted, LossGuard, require_finite_weights
from slowfast.engine.journal import Journal
from slowfast.engine.position import Position, resume, save
from slowfast.engine.training import Training, seed_everything
from slowfast.multigrid import Leg
from slowfast.utils.distributed import device_for_rank, get_world_size
from slowfast.utils.logging import setup_logging
from slowfast.utils.training_meters import TimedIterator

logger = logging.getLogger(__name__)


def train(cfg: CfgNode) -> None:
    """Train the model of `cfg`, from the last checkpoint on if there is one."""
    setup_logging(cfg.OUTPUT_DIR)
    seed_everything(cfg.RNG_SEED)
    training = Training.from_cfg(cfg, device_for_rank(cfg.NUM_GPUS), get_world_size())
    training.log_summary()
    position = resume(training)
    learner = training.learner
    learner.join_ranks()
    legs = training.progress.remaining(position.done)
    batches = TimedIterator(training.batches(legs))
    journal = Journal(cfg, training.progress, learner.device, batches, position.done, position.epoch_sums)
    guard, chance = LossGuard(), ChanceGuard(training.progress.legs, cfg.DATA.MULTI_LABEL)
    if position.evaluation_due:
        evaluate_epoch(training, position, journal, training.progress.last_leg(position.done))

    with GracefulStop() as stop:
        for leg in legs:  # the part of a phase in one epoch
            learner.start_phase(leg.phase.bn_groups, leg.phase.bn_sync_ranks)
            for i in range(leg.first_iteration, leg.iterations):
                if stop.requested():
                    interrupt(training, position, journal, guard, leg, i)
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


def end_epoch(training: Training, position: Position, journal: Journal, leg: Leg) -> None:
    """Close the epoch that `leg` ends: log it, write a checkpoint and evaluate, each if it is due."""
    epoch, periods = leg.epoch, training.cfg.TRAIN
    journal.end_of_epoch(epoch, training.progress.clips_until(leg))
    is_saved = training.progress.is_due(epoch, periods.CHECKPOINT_PERIOD)
    position.evaluation_due = training.progress.is_due(epoch, periods.EVAL_PERIOD)
    if is_saved or position.evaluation_due:
        require_finite_weights(training.learner.model, position.done)
        settle_statistics(training, epoch)
    if is_saved:
        save(training, position, epoch, leg.end)
    if position.evaluation_due:
        evaluate_epoch(training, position, journal, leg, is_saved)
    journal.pause()


def settle_statistics(training: Training, epoch: int) -> None:
    """Give all ranks the same statistics of batch norm: precise ones, or the average of theirs."""
    if training.cfg.BN.USE_PRECISE_STATS:
        training.learner.recompute_statistics(batch["clip"] for batch in training.fresh_batches(epoch))
    else:
        training.learner.average_statistics()


def evaluate_epoch(training: Training, position: Position, journal: Journal, leg: Leg, is_saved: bool = True) -> None:
    """Evaluate at the default grid after the epoch that `leg` ends, and keep the best result.

    `is_saved`: the epoch has a checkpoint, which is then written again with the result.
    """
    epoch, start = leg.epoch, time.perf_counter()
    on_batch = partial(journal.val_iteration, epoch)
    accuracies = evaluate(training.learner.predictor(), training.val_batches(), training.cfg.OUTPUT_DIR, on_batch)
    first = next(iter(accuracies))
    if accuracies[first] >= position.best.get(first, 0.0):
        position.best = {first: accuracies[first], "epoch": epoch + 1}
    clips = training.progress.clips_until(leg)
    journal.evaluation(epoch, clips, accuracies, position.best, time.perf_counter() - start)
    position.evaluation_due = False
    if is_saved:
        save(training, position, epoch, leg.end)


def interrupt(training: Training, position: Position, journal: Journal, guard: LossGuard, leg: Leg, i: int) -> None:
    """Write a checkpoint before iteration `i` of `leg`, and end the program."""
    guard.check()
    require_finite_weights(training.learner.model, position.done)
    journal.close()
    training.learner.average_statistics()
    save(training, position, leg.epoch - 1, leg.position(i), journal.epoch_sums())
    raise Interrupted(
        f"stopped at epoch {leg.position(i):.3f}, after {position.done} iterations: the same command resumes from here"
        + ("" if training.cfg.TRAIN.AUTO_RESUME else " with TRAIN.AUTO_RESUME True")
    )
