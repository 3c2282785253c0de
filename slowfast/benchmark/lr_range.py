"""The learning-rate range test: the loss while the rate grows exponentially, and the base rate that follows from it.

Smith: Cyclical Learning Rates for Training Neural Networks, WACV 2017, Section 3.3.
"""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from slowfast.benchmark.report import Row
from slowfast.config.node import CfgNode
from slowfast.datasets.balance import classes_to_balance
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.learner import Learner
from slowfast.engine.weight_average import WeightAverage
from slowfast.errors import UserError
from slowfast.multigrid import Leg, Phase, Schedule, ShortCycleBatchSampler
from slowfast.optim.lr_policy import rate_factor
from slowfast.utils.logging import with_bar

DIVERGED = 3.0  # times the first losses: the sweep ends there
WINDOW = 0.1  # share of the sweep over which losses are averaged
BELOW_LOWEST = 100.0, 10.0  # the suggested rate is that of the lowest loss, divided by a number between these
LEAST_FALL = 0.02  # of the loss, relative: less shows no learning


class Sweep(NamedTuple):
    """The loss at every learning rate of a sweep, and their means over a window of neighbors."""

    rates: list[float]
    losses: list[float]
    smooth: list[float]


class Finding(NamedTuple):
    """The sweep of a phase on its base shape. `factor` is the phase's rate over SOLVER.BASE_LR.

    `rate` is the suggested rate of the phase, None where the loss does not fall.
    """

    phase: Phase
    factor: float
    sweep: Sweep
    rate: float | None

    @property
    def base_lr(self) -> float | None:
        return None if self.rate is None else self.rate / self.factor

    def columns(self, clips: int) -> Row:
        """Return the row of the table. `clips` are those of an iteration."""
        shape, lowest = self.phase.shapes[0], int(np.argmin(self.sweep.smooth))
        return {
            "shape": f"{clips} x {shape.frames} x {shape.crop}",
            "first_loss": self.sweep.smooth[0],
            "lowest_loss": self.sweep.smooth[lowest],
            "at_rate": digits(self.sweep.rates[lowest]),
            "rate": digits(self.rate),
            "over_base": f"{self.factor:g}",
            "BASE_LR": digits(self.base_lr),
        }


def rates_between(lowest: float, highest: float, steps: int) -> list[float]:
    """Return `steps` learning rates at equal ratios."""
    return np.geomspace(lowest, highest, steps).tolist()


def sweep(learner: Learner, batches: Iterable[dict], rates: Sequence[float]) -> Sweep:
    """Train one step at each of `rates`, from the lowest, until the loss diverges. The learner is then as before."""
    losses: list[float] = []
    with restored(learner):
        for i, (rate, batch) in enumerate(zip(rates, with_bar(batches, len(rates), "batch"), strict=False)):
            loss = learner.step(batch, rate, i).loss.item()
            if not math.isfinite(loss) or (len(losses) > 5 and loss > DIVERGED * float(np.median(losses[:5]))):
                break
            losses.append(loss)
    if len(losses) < 5:
        raise UserError(f"the loss diverges at the rate {rates[len(losses)]:.3g} already: set --lowest below it")
    return Sweep(list(rates[: len(losses)]), losses, smoothed(losses, max(1, round(WINDOW * len(rates)))).tolist())


@contextmanager
def restored(learner: Learner) -> Iterator[None]:
    """Give the learner its weights, statistics, momenta and scaler back at the end, and torch its random state."""
    model, random = copy.deepcopy(learner.model.state_dict()), torch.get_rng_state()
    average, learner.average = learner.average, WeightAverage(learner.model)
    optimizer, scaler = copy.deepcopy(learner.optimizer.state_dict()), copy.deepcopy(learner.scaler.state_dict())
    try:
        yield
    finally:
        learner.model.load_state_dict(model)
        learner.optimizer.load_state_dict(optimizer)
        learner.scaler.load_state_dict(scaler)
        learner.optimizer.zero_grad(set_to_none=True)
        learner.average = average
        torch.set_rng_state(random)


def smoothed(values: Sequence[float], window: int) -> np.ndarray:
    """Return the weighted means of each value and its neighbors. They do not lag, as a moving average would."""
    kernel = np.hanning(2 * window + 1)[1:-1]
    padded = np.pad(np.asarray(values, float), window - 1, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def suggested_rate(found: Sweep) -> float | None:
    """Return the rate of the steepest descent of the loss, between 1/100 and 1/10 of the rate of the lowest loss.

    None if the loss falls by less than 2 % of its first value.
    """
    loss, logs = np.array(found.smooth), np.log(found.rates)
    lowest = int(loss.argmin())
    if lowest < 2 or loss[0] - loss[lowest] < LEAST_FALL * abs(loss[0]):
        return None
    steepest = found.rates[int(np.gradient(loss[: lowest + 1], logs[: lowest + 1]).argmin())]
    least, most = (found.rates[lowest] / number for number in BELOW_LOWEST)
    return min(max(steepest, least), most)


def find_rates(
    cfg: CfgNode, learner: Learner, dataset: SizedDataset, schedule: Schedule, rates: Sequence[float], world: int
) -> list[Finding]:
    """Return a sweep of the default shape and, if the schedule raises the rate for other shapes, of the coarsest one.

    This device trains the clips of all of `world` devices, those of one after the other.
    """
    findings = []
    for phase in phases_to_sweep(schedule):
        learner.parts = phase.parts * world
        learner.start_phase(phase.bn_groups)
        loader = construct_loader(cfg, "train", dataset, batches_of(cfg, dataset, phase, len(rates), world))
        found = sweep(learner, loader, rates)
        findings.append(Finding(phase, rate_factor(cfg, phase), found, suggested_rate(found)))
    return findings


def phases_to_sweep(schedule: Schedule) -> list[Phase]:
    """Return the last phase, which trains the default shape, and that of the highest rate if it is another."""
    last = schedule.phases[-1]
    coarsest = max(schedule.phases, key=lambda phase: phase.lr_factor)
    return [last] + [coarsest] * (coarsest.lr_factor > last.lr_factor)


def batches_of(cfg: CfgNode, dataset: SizedDataset, phase: Phase, count: int, world: int) -> Iterable[list]:
    """Return the indices of `count` batches of the base shape of `phase`, with the clips of all of `world` devices."""
    base = phase.shapes[0]
    shape = replace(base, batch_size=base.batch_size * world)
    leg = Leg(Phase((shape,), stage=0, start_epoch=0, end_epoch=1), 0, 1, 0, count)
    return ShortCycleBatchSampler([leg], len(dataset), cfg.RNG_SEED, classes=classes_to_balance(cfg, dataset))


def base_lr_of(findings: Sequence[Finding]) -> float | None:
    """Return the SOLVER.BASE_LR with which no phase has a higher rate than its sweep suggests, to two digits.

    None without findings, or where the loss of one does not fall.
    """
    rates = [finding.base_lr for finding in findings if finding.base_lr is not None]
    return float(f"{min(rates):.1e}") if rates and len(rates) == len(findings) else None


def digits(number: float | None) -> str | None:
    """Return a number as text with two digits, and None unchanged."""
    return None if number is None else f"{float(f'{number:.1e}'):g}"
