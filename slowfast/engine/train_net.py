"""Training: one loop over the plan of a schedule."""

import logging
import time
from functools import partial
from pathlib import Path

from slowfast.config.node import CfgNode
from slowfast.engine.board import Board
from slowfast.engine.chance import ChanceGuard
from slowfast.engine.early_stop import until_early_stop
from slowfast.engine.evaluation import score_videos
from slowfast.engine.guards import LossGuard, require_finite_weights
from slowfast.engine.journal import Journal
from slowfast.engine.position import Position, resume, save
from slowfast.engine.start import log_start
from slowfast.engine.training import Training, seed_everything
from slowfast.multigrid import Leg
from slowfast.utils.checkpoint_folder import keep_as_best
from slowfast.utils.config_file import write_config
from slowfast.utils.distributed import device_for_rank, get_world_size, is_master
from slowfast.utils.json_log import rewind_json_log
from slowfast.utils.logging import setup_logging
from slowfast.utils.run_lock import holds_output_dir
from slowfast.utils.stop import SAVE, GracefulStop, Interrupted
from slowfast.utils.training_meters import TimedIterator

logger = logging.getLogger(__name__)


@holds_output_dir
def train(cfg: CfgNode) -> None:
    """Train the model of `cfg`, from the last checkpoint on if there is one."""
    setup_logging(cfg.OUTPUT_DIR)
    seed_everything(cfg.RNG_SEED)
    training = Training.from_cfg(cfg, device_for_rank(cfg.NUM_GPUS), get_world_size())
    training.log_summary()
    position = resume(training)
    legs = training.progress.remaining(position.done)
    write_config(cfg)
    start_records(training, position)
    learner = training.learner
    learner.join_ranks(cfg.TRAIN.COMPILE)
    if position.rank_statistics is not None:
        learner.take_statistics(position.rank_statistics)
    batches = TimedIterator(training.batches(legs))
    journal = start_journal(training, position, batches)
    guard, chance = LossGuard(), ChanceGuard(training.progress.legs, cfg.DATA.MULTI_LABEL)
    if position.evaluation_due and training.val_set is not None:
        evaluate_epoch(training, position, journal, training.progress.last_leg(position.done))

    with GracefulStop(cfg.TRAIN.CHECKPOINT_MINUTES) as stop:
        for leg in until_early_stop(legs, cfg.TRAIN.EARLY_STOP, position):  # the part of a phase in one epoch
            learner.start_phase(leg.phase.bn_groups, leg.phase.bn_sync_ranks)
            for i in range(leg.first_iteration, leg.iterations):
                if request := stop.request():
                    save_inside_epoch(training, position, journal, guard, leg, i)
                    end_if_asked(request, training, position, journal)
                batch = next(batches)
                seed_everything(cfg.RNG_SEED, position.done)
                step = learner.step(batch, training.learning_rate(leg.position(i)), position.done)
                guard.watch(step.loss, position.done)
                chance.watch(leg, i, step)
                journal.iteration(leg, i, step, batch)
                position.done += 1
            if leg.ends_epoch:
                guard.check()
                end_epoch(training, position, journal, leg)
        journal.close()
        logger.info("training is done: %d iterations", position.done)


def start_records(training: Training, position: Position) -> None:
    """Log the start, after removing the records of what a resumed training repeats (rank 0 only).

    A training that is finished leaves its records as they are.
    """
    cfg = training.cfg
    if not (training.progress.remaining(position.done) or position.evaluation_due):
        return
    if cfg.TRAIN.AUTO_RESUME and is_master():
        rewind_json_log(cfg.OUTPUT_DIR, training.progress.position(position.done), position.evaluation_due)
    log_start(cfg, training.learner.device, training.size)


def start_journal(training: Training, position: Position, batches: TimedIterator) -> Journal:
    """Return the journal of the training from its position on. TensorBoard shows the config there."""
    cfg, progress, learner = training.cfg, training.progress, training.learner
    clips = progress.clips_after(position.done)
    board = Board(cfg, training.train_set, learner.model, resumed_at=clips if position.done else None)
    board.config(cfg, clips)
    return Journal(cfg, progress, learner.device, batches, board, position.done, position.epoch_sums)


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
        clips = (batch["clip"] for batch in training.fresh_batches(epoch))
        training.learner.recompute_statistics(clips, *training.default_groups)
    else:
        training.learner.average_statistics()


def save_epoch(training: Training, position: Position, journal: Journal, leg: Leg) -> Path:
    """Save the state after the epoch that `leg` ends, in a file of its own only if a checkpoint is due."""
    inside = {} if training.is_due(leg.epoch, "CHECKPOINT_PERIOD") else {"epoch_sums": journal.epoch_sums()}
    return save(training, position, leg.epoch, leg.end, inside)


def evaluate_epoch(training: Training, position: Position, journal: Journal, leg: Leg) -> None:
    """Evaluate at the default grid after the epoch that `leg` ends, and save the state with the result."""
    start = time.perf_counter()
    on_batch = partial(journal.val_iteration, leg)
    scores = score_videos(training.learner.predictor(), training.val_batches(), training.cfg.OUTPUT_DIR, on_batch)
    accuracies = scores.accuracy()
    is_best = position.keep_best(accuracies, leg.epoch + 1)
    journal.evaluation(leg, scores, accuracies, position.best, time.perf_counter() - start)
    position.evaluation_due = False
    path = save_epoch(training, position, journal, leg)
    if is_best:
        keep_as_best(path)


def save_inside_epoch(
    training: Training, position: Position, journal: Journal, guard: LossGuard, leg: Leg, i: int
) -> None:
    """Write a checkpoint before iteration `i` of `leg`. The training that continues is the same with and without it."""
    guard.check()
    require_finite_weights(training.learner.model, position.done)
    journal.write_bad_videos()
    with training.learner.averaged_statistics() as of_ranks:
        inside = {"epoch_sums": journal.epoch_sums(), "rank_statistics": of_ranks}
        save(training, position, leg.epoch - 1, leg.position(i), inside)
    journal.pause()


def end_if_asked(request: int, training: Training, position: Position, journal: Journal) -> None:
    """End the program, unless the `request` was only to save."""
    if request == SAVE:
        return
    journal.close()
    raise Interrupted(
        f"stopped at epoch {training.progress.position(position.done):.3f}, after {position.done} iterations: the same "
        "command resumes from here" + ("" if training.cfg.TRAIN.AUTO_RESUME else " with TRAIN.AUTO_RESUME True"),
        request,
    )
