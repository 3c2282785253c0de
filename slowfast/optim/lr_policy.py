"""Learning-rate policies, as pure functions of the exact epoch."""

from collections.abc import Callable
from math import cos, pi

from torch.optim import Optimizer

from slowfast.errors import UserError
from slowfast.multigrid.plan import Phase, Schedule

POLICIES = ("cosine", "steps_with_relative_lrs")


def learning_rate(cfg, schedule: Schedule) -> Callable[[float], float]:
    """Return a function from the exact epoch to the learning rate of the training that `schedule` describes."""
    policy = policy_rate(cfg, schedule)
    start_lr = cfg.SOLVER.WARMUP_START_LR * _machines(cfg)
    warmup_epochs, first = schedule.warmup_epochs, schedule.phases[0]
    # A warm-up that ends exactly with the first phase leads to that phase's rate.
    warmed_up = first if warmup_epochs <= first.end_epoch else schedule.phase_at(warmup_epochs)

    def rate(epoch: float) -> float:
        if epoch < warmup_epochs:
            return warm_up(epoch, warmup_epochs, start_lr, policy(warmup_epochs, warmed_up))
        return policy(epoch, schedule.phase_at(epoch))

    return rate


def policy_rate(cfg, schedule: Schedule) -> Callable[[float, Phase], float]:
    """Return a function from an epoch and its phase to the learning rate without warm-up.

    SOLVER.BASE_LR is the rate for the batch of all machines. With BASE_LR_SCALE_NUM_SHARDS it is that for one machine's
    batch, and all rates are multiplied by the number of machines. A long cycle's larger batches raise the rate linearly
    (Section 3.2 of the multigrid paper) or, with MULTIGRID.LR_SCALING sqrt, by their root: the phase has the factor.
    """
    solver, machines = cfg.SOLVER, _machines(cfg)
    if solver.LR_POLICY not in POLICIES:
        raise UserError(f"SOLVER.LR_POLICY: {solver.LR_POLICY!r} is not known; choose one of {', '.join(POLICIES)}")
    base, end = solver.BASE_LR * machines, solver.COSINE_END_LR * machines
    offset = schedule.warmup_epochs if solver.COSINE_AFTER_WARMUP else 0.0
    if solver.LR_POLICY == "cosine" and offset >= schedule.total_epochs:
        raise UserError(
            f"SOLVER.WARMUP_EPOCHS: a warm-up of {offset:g} of {schedule.total_epochs:g} epochs leaves none for "
            "SOLVER.COSINE_AFTER_WARMUP; shorten it, or raise SOLVER.MAX_EPOCH"
        )

    def policy(epoch: float, phase: Phase) -> float:
        if solver.LR_POLICY == "cosine":
            return phase.lr_factor * cosine(max(epoch, offset), schedule.total_epochs, base, end, offset)
        return phase.lr_factor * phase.step_rate * base

    return policy


def rate_factor(cfg, phase: Phase) -> float:
    """Return the highest learning rate of the batch of a phase over SOLVER.BASE_LR."""
    first = cfg.SOLVER.LRS[0] if cfg.SOLVER.LRS and cfg.SOLVER.LR_POLICY != "cosine" else 1.0
    return phase.lr_factor * first * _machines(cfg)


def _machines(cfg) -> int:
    """Return the factor between the learning rates of the config and those of all machines."""
    return cfg.NUM_SHARDS if cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS else 1


def cosine(epoch: float, max_epoch: float, base_lr: float, end_lr: float = 0.0, offset: float = 0.0) -> float:
    """Return the value at `epoch` of half a cosine from `base_lr` at `offset` to `end_lr` at `max_epoch`."""
    progress = (epoch - offset) / (max_epoch - offset)
    return (base_lr - end_lr) * (cos(pi * progress) + 1.0) * 0.5 + end_lr


def warm_up(epoch: float, warmup_epochs: float, start_lr: float, target_lr: float) -> float:
    """Return the value at `epoch` of a line from `start_lr` at epoch 0 to `target_lr` at `warmup_epochs`."""
    return start_lr + (target_lr - start_lr) * epoch / warmup_epochs


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group, times its `lr_factor` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_factor", 1.0)
