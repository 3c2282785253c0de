"""Training: one loop over the plan of a schedule."""

import logging
import time
from functools import partial

from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.guards import GracefulStop, Interrupted, LossGuard, require_finite_weights
from slowfast.engine.journal import Journal, Step
from slowfast.engine.precise_bn import fresh_batches, update_statistics
from slowfast.engine.state import TrainingState, seed_everything
from slowfast.engine.test_net import evaluate, predictor
from slowfast.multigrid import ShortCycleBatchSampler, average_statistics, regroup
from slowfast.optim.build import clip_gradients
from slowfast.optim.lr_policy import set_lr
from slowfast.utils.distributed import get_rank, get_world_size, sync_group
from slowfast.utils.logging import setup_logging
from slowfast.utils.meters import TimedIterator

logger = logging.getLogger(__name__)


def train(cfg) -> None:
    """Train what `cfg` describes, from the last checkpoint on if there is one."""
    setup_logging(cfg.OUTPUT_DIR)
    state = TrainingState.from_cfg(cfg)
    val_set = build_dataset(cfg.TRAIN.DATASET, cfg, "val")
    legs = state.remaining_legs()
    batches = TimedIterator(train_batches(state, legs))
    journal = Journal(cfg, state.device, state.progress, batches, state.done)
    journal.meter.restore(state.epoch_sums)
    guard = LossGuard()
    if state.evaluation_due:
        evaluate_epoch(state, journal, state.last_leg(), val_set)

    with GracefulStop() as stop:
        for leg in legs:
            state.net.train()
            regroup(state.model, leg.phase.bn_groups, sync_group(leg.phase.bn_sync_ranks))
            for i in range(leg.first_iteration, leg.iterations):
                if stop.requested():
                    interrupt(state, guard, journal, leg, i)
                step = train_step(state, next(batches), state.learning_rate(leg.position(i)))
                guard.watch(step.loss, state.done)
                journal.iteration(leg, i, step)
                state.done += 1
            if leg.ends_epoch:
                guard.check()
                end_epoch(state, journal, leg, val_set)
    journal.bar.close()
    logger.info("training is done: %d iterations", state.done)


def train_batches(state: TrainingState, legs):
    """The batches of all that is left of the training, from one loader: it loads ahead across epochs and phases."""
    cfg, dataset = state.cfg, state.dataset
    sampler = ShortCycleBatchSampler(legs, len(dataset), cfg.RNG_SEED, get_rank(), get_world_size())
    return construct_loader(cfg, "train", dataset, sampler)


def train_step(state: TrainingState, batch: dict, lr: float) -> Step:
    """One step of the optimiser; nothing waits for the device."""
    seed_everything(state.cfg.RNG_SEED, state.done)
    set_lr(state.optimizer, lr)
    clips, labels = (batch[key].to(state.device, non_blocking=True) for key in ("clip", "label"))
    with state.precision.autocast():
        scores = state.net(state.pack(clips))
        loss = state.loss(scores.float(), labels)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()
    state.scaler.unscale_(state.optimizer)
    clip_gradients(state.model.parameters(), state.cfg.SOLVER.CLIP_GRAD_VAL, state.cfg.SOLVER.CLIP_GRAD_L2NORM)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return Step(loss.detach(), scores.detach(), labels, batch["bad"], lr)


def end_epoch(state: TrainingState, journal: Journal, leg, val_set) -> None:
    """What is due after an epoch: the list of bad videos, a checkpoint, an evaluation."""
    epoch, train = leg.epoch, state.cfg.TRAIN
    journal.end_of_epoch(epoch, state.progress.clips_until(leg))
    save = state.progress.is_due(epoch, train.CHECKPOINT_PERIOD)
    state.evaluation_due = state.progress.is_due(epoch, train.EVAL_PERIOD)
    if save or state.evaluation_due:
        require_finite_weights(state.model, state.done)
        settle_statistics(state, epoch)
    if save:
        state.save(epoch, leg.end)
    if state.evaluation_due:
        evaluate_epoch(state, journal, leg, val_set, save)
    journal.pace.pause()


def settle_statistics(state: TrainingState, epoch: int) -> None:
    """Let all ranks agree on the statistics of batch norm, by precise ones or by an average of their own."""
    cfg = state.cfg
    if not cfg.BN.USE_PRECISE_STATS:
        return average_statistics(state.model)
    regroup(state.model, 1)  # until the next leg
    batches = fresh_batches(cfg, state.dataset, state.schedule.total_epochs, epoch)
    inputs = (state.pack(batch["clip"].to(state.device, non_blocking=True)) for batch in batches)
    with state.precision.autocast():
        update_statistics(state.model, inputs)


def evaluate_epoch(state: TrainingState, journal: Journal, leg, val_set, save: bool = True) -> None:
    """Evaluate at the default grid after the epoch that `leg` ends, and remember the best result, in the epoch's
    checkpoint too if `save`."""
    epoch, start = leg.epoch, time.perf_counter()
    loader = construct_loader(state.cfg, "val", val_set)
    predict = predictor(state.model.eval(), state.precision, state.pack)
    accuracies = evaluate(predict, loader, state.cfg.OUTPUT_DIR, partial(journal.val_iteration, epoch))
    first = next(iter(accuracies))
    if accuracies[first] >= state.best.get(first, 0.0):
        state.best = {first: accuracies[first], "epoch": epoch + 1}
    clips = state.progress.clips_until(leg)
    journal.evaluation(epoch, clips, accuracies, state.best, time.perf_counter() - start)
    state.evaluation_due = False
    if save:
        state.save(epoch, leg.end)


def interrupt(state: TrainingState, guard: LossGuard, journal: Journal, leg, i: int) -> None:
    """Save the state before iteration `i` of `leg` and end the program."""
    guard.check()
    require_finite_weights(state.model, state.done)
    journal.write_bad_videos()
    journal.bar.close()
    state.save(leg.epoch - 1, leg.position(i), journal.meter.state())
    raise Interrupted(
        f"stopped at epoch {leg.position(i):.3f}, after {state.done} iterations: the same command goes on from here"
        + ("" if state.cfg.TRAIN.AUTO_RESUME else " with TRAIN.AUTO_RESUME True")
    )
