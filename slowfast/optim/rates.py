"""The learning rates of a training as text, and what may surprise in them."""

import logging
from collections.abc import Callable
from itertools import pairwise

from slowfast.multigrid.build import STEP_POLICY, has_cycle
from slowfast.multigrid.plan import Schedule

logger = logging.getLogger(__name__)


def log_rates(cfg, schedule: Schedule, rate: Callable[[float], float]) -> None:
    """Log the learning rate in all parts of the training: a warning if keys of SOLVER do not do what they seem to."""
    surprises = surprising_rates(cfg, schedule, rate)
    level = logging.WARNING if surprises else logging.INFO
    reasons = "".join(f"; {text}" for text in surprises)
    logger.log(level, "learning rate by epochs: %s%s", ", ".join(rate_ranges(schedule, rate)), reasons)


def rate_ranges(schedule: Schedule, rate: Callable[[float], float]) -> list[str]:
    """Return `START-END: RATE` or `START-END: RATE to RATE` for the warm-up and for every part of the same rate."""
    warmup = min(schedule.warmup_epochs, schedule.total_epochs)
    ends = sorted({warmup, *(phase.end_epoch for phase in schedule.phases if phase.end_epoch > warmup)} - {0.0})
    parts: list[tuple[float, float, float, float]] = []
    for start, end in pairwise([0.0, *ends]):
        first, last = rate(start), rate(end - 1e-6 * (end - start))
        if parts and first == last == parts[-1][2] == parts[-1][3]:
            start = parts.pop()[0]
        parts.append((start, end, first, last))
    return [
        f"{round(start, 2):g}-{round(end, 2):g}: " + " to ".join(dict.fromkeys((f"{first:.4g}", f"{last:.4g}")))
        for start, end, first, last in parts
    ]


def surprising_rates(cfg, schedule: Schedule, rate: Callable[[float], float]) -> list[str]:
    """Return what a user may not expect of the learning rate, each as key, value and consequence."""
    table = (*_warm_up_table(cfg, schedule, rate), *_policy_table(cfg))
    return [text for applies, text in table if applies]


def _warm_up_table(cfg, schedule: Schedule, rate: Callable[[float], float]) -> tuple[tuple[object, str], ...]:
    """Return (whether it applies, text) for what may surprise in the warm-up."""
    solver, warmup, total = cfg.SOLVER, schedule.warmup_epochs, schedule.total_epochs
    start_lr, base_lr, target = solver.WARMUP_START_LR, solver.BASE_LR, rate(min(warmup, total))
    asked = max(solver.WARMUP_EPOCHS, 0.0) * (min(cfg.MULTIGRID.EPOCH_FACTOR, 1.0) if has_cycle(cfg) else 1.0)
    steps = [phase.start_epoch for phase in schedule.phases if phase.stage > 0]
    reached = [step for step in steps if step < warmup < total]
    above = f"SOLVER.WARMUP_START_LR: {start_lr:g} is above"
    return (
        (warmup >= total, f"SOLVER.WARMUP_EPOCHS: {warmup:g} leaves none of {total:g} epochs after the warm-up"),
        (reached, f"SOLVER.WARMUP_EPOCHS: {warmup:g} ends after the steps at {reached}"),
        (warmup < asked, f"SOLVER.WARMUP_EPOCHS: the first shape has only {warmup:g} epochs for the warm-up"),
        (warmup and start_lr > base_lr, f"{above} SOLVER.BASE_LR {base_lr:g}"),
        (warmup and base_lr >= start_lr > target, f"{above} the rate {target:.4g} after the warm-up"),
    )


def _policy_table(cfg) -> tuple[tuple[object, str], ...]:
    """Return (whether it applies, text) for what may surprise in the rates after the warm-up."""
    solver, end_lr, base_lr = cfg.SOLVER, cfg.SOLVER.COSINE_END_LR, cfg.SOLVER.BASE_LR
    is_cosine, without = solver.LR_POLICY != STEP_POLICY, f"has no effect with SOLVER.LR_POLICY {solver.LR_POLICY}"
    late = [step for step in solver.STEPS if step > solver.MAX_EPOCH]
    first = solver.LRS[0] if solver.LRS else 1
    return (
        (base_lr == 0, "SOLVER.BASE_LR: 0 trains nothing"),
        (is_cosine and solver.LRS, f"SOLVER.LRS: {solver.LRS} {without}"),
        (is_cosine and solver.STEPS and not cfg.MULTIGRID.LONG_CYCLE, f"SOLVER.STEPS: {solver.STEPS} {without}"),
        (is_cosine and end_lr > base_lr, f"SOLVER.COSINE_END_LR: {end_lr:g} is above SOLVER.BASE_LR {base_lr:g}"),
        (not is_cosine and late, f"SOLVER.STEPS: {late} are beyond SOLVER.MAX_EPOCH {solver.MAX_EPOCH:g}"),
        (not is_cosine and solver.COSINE_AFTER_WARMUP, f"SOLVER.COSINE_AFTER_WARMUP: True {without}"),
        (not is_cosine and end_lr, f"SOLVER.COSINE_END_LR: {end_lr:g} {without}"),
        (not is_cosine and first != 1, f"SOLVER.LRS: {first:g} comes first; LRS are factors of SOLVER.BASE_LR"),
    )
