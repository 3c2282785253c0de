"""Learning-rate policies as pure functions of the exact epoch: nothing to save, nothing to restore."""

from collections.abc import Callable
from math import cos, pi

from torch.optim import Optimizer

from slowfast.multigrid.plan import MultigridSchedule, Phase

POLICIES = ("cosine", "steps_with_relative_lrs")


def learning_rate(cfg, schedule: MultigridSchedule) -> Callable[[float], float]:
    """The learning rate at every exact epoch of the training that `schedule` describes.

    SOLVER.BASE_LR is meant for the batch of one machine; BASE_LR_SCALE_NUM_SHARDS raises the whole curve by the number
    of machines. A long cycle's larger batches raise it linearly (Section 3.2 of the multigrid paper).
    """
    solver = cfg.SOLVER
    if solver.LR_POLICY not in POLICIES:
        raise ValueError(f"SOLVER.LR_POLICY is {solver.LR_POLICY!r}: use one of {', '.join(POLICIES)}")
    machines = cfg.NUM_SHARDS if solver.BASE_LR_SCALE_NUM_SHARDS else 1
    base, end = solver.BASE_LR * machines, solver.COSINE_END_LR * machines
    warmup_epochs = schedule.warmup_epochs
    offset = warmup_epochs if solver.COSINE_AFTER_WARMUP else 0.0
    if solver.LR_POLICY == "cosine" and offset >= schedule.total_epochs:
        raise ValueError(
            f"SOLVER.WARMUP_EPOCHS leaves nothing of the {schedule.total_epochs:g} epochs to "
            "SOLVER.COSINE_AFTER_WARMUP: shorten the warm-up or raise SOLVER.MAX_EPOCH"
        )
    first = schedule.phases[0]  # also where the warm-up ends exactly at its end
    warmed_up = first if warmup_epochs <= first.end_epoch else schedule.phase_at(warmup_epochs)

    def policy(epoch: float, phase: Phase) -> float:
        if solver.LR_POLICY == "cosine":
            return phase.lr_factor * cosine(epoch, schedule.total_epochs, base, end, offset)
        return phase.lr_factor * phase.step_rate * base

    def rate(epoch: float) -> float:
        if epoch < warmup_epochs:
            target = policy(warmup_epochs, warmed_up)
            return warm_up(epoch, warmup_epochs, solver.WARMUP_START_LR * machines, target)
        return policy(epoch, schedule.phase_at(epoch))

    return rate


def cosine(epoch: float, max_epoch: float, base_lr: float, end_lr: float = 0.0, offset: float = 0.0) -> float:
    """Half a cosine from `base_lr` at epoch `offset` down to `end_lr` at `max_epoch`."""
    progress = (epoch - offset) / (max_epoch - offset)
    return (base_lr - end_lr) * (cos(pi * progress) + 1.0) * 0.5 + end_lr


def warm_up(epoch: float, warmup_epochs: float, start_lr: float, target_lr: float) -> float:
    """A straight line from `start_lr` at epoch 0 to `target_lr` at `warmup_epochs`."""
    return start_lr + (target_lr - start_lr) * epoch / warmup_epochs


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
