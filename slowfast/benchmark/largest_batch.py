"""The largest batch that fits the memory of a device, at every shape of a schedule."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from slowfast.benchmark.batches import random_batch
from slowfast.benchmark.report import Row
from slowfast.config.node import CfgNode
from slowfast.engine.learner import Learner
from slowfast.engine.memory import OutOfMemory
from slowfast.errors import UserError
from slowfast.multigrid import Phase, Schedule, Shape
from slowfast.multigrid.build import has_cycle
from slowfast.multigrid.schedule import bn_groups
from slowfast.utils.device import clear_memory, peak_gib
from slowfast.utils.training_meters import GIB
from slowfast.utils.world import World, process_batch

SHARE = 0.9  # of the memory that is free: some is lost between tensors, and loaders take some on a CPU
MEMORY = Path("/proc/meminfo")  # Linux
CGROUP = Path("/sys/fs/cgroup/memory.max")  # of a container, "max" for no limit
RATE = 1e-6  # must not make the weights of random clips diverge


@dataclass
class Memory:
    """Measures the memory of training steps on clips of one shape, against a limit in GiB."""

    cfg: CfgNode
    learner: Learner
    shape: Shape
    limit_gib: float
    peaks: dict[int, float] = field(default_factory=dict)  # by the number of clips; infinite: out of memory

    def __post_init__(self) -> None:
        clear_memory(self.learner.device)
        self.peaks[0] = peak_gib(self.learner.device) or 0.0

    def fits(self, clips: int) -> bool:
        """Return whether a training step on `clips` fits.

        On a CPU a step that will not fit is not tried, as it could end other programs: the peak grows linearly with the
        clips.
        """
        if self.learner.device.type == "cpu" and self._predicted(clips) > self.limit_gib:
            return False
        return self.peak(clips) <= self.limit_gib

    def peak(self, clips: int) -> float:
        """Return the peak memory of a training step on `clips`, in GiB."""
        if clips not in self.peaks:
            self.peaks[clips] = self._measure(clips)
        return self.peaks[clips]

    def _measure(self, clips: int) -> float:
        learner, device = self.learner, self.learner.device
        if has_cycle(self.cfg):
            learner.start_phase(bn_groups(clips, self.cfg.MULTIGRID.BN_BASE_SIZE))
        clear_memory(device)
        try:
            learner.step(random_batch(self.cfg, replace(self.shape, batch_size=clips), device), RATE)
        except (OutOfMemory, torch.OutOfMemoryError):  # the second: of the clips themselves
            return math.inf
        finally:
            learner.optimizer.zero_grad(set_to_none=True)
        return peak_gib(device) or 0.0

    def _predicted(self, clips: int) -> float:
        """Return the peak that a line through the two largest batches so far predicts; 0 before the first one."""
        largest = sorted(self.peaks)[-2:]
        if len(largest) < 2:
            return 0.0
        (a, b), (low, high) = largest, (self.peaks[n] for n in largest)
        return high + (clips - b) * (high - low) / (b - a)


@dataclass(frozen=True)
class Fit:
    """How many clips of a shape fit a device.

    Attributes:
        shape: with the clips that the schedule has at a time.
        planned_gib: the memory that these take; infinite if they do not fit.
        most: the largest number of clips that fits.
        batch: the largest TRAIN.BATCH_SIZE with which the schedule has at most `most` clips of this shape at a time.
        peaks: the memory in GiB that was measured for some numbers of clips.
    """

    shape: Shape
    planned_gib: float
    most: int
    batch: int
    peaks: dict[int, float]

    def columns(self) -> Row:
        """Return the row of the table."""
        return {
            "clips": self.shape.batch_size,
            "frames": self.shape.frames,
            "px": self.shape.crop,
            "peak_gib": "too much" if math.isinf(self.planned_gib) else f"{self.planned_gib:.2f}",
            "largest_clips": self.most,
            "BATCH_SIZE": self.batch,
        }


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to `most` that fits, by doubling and bisection; 0 if 1 does not fit.

    The search begins at 2, as batch norm may need more than one clip of the smallest shape.
    """
    low, high = 0, 2
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def find_fits(cfg: CfgNode, learner: Learner, schedule: Schedule, limit_gib: float, max_batch: int) -> list[Fit]:
    """Return how many clips, up to those of a TRAIN.BATCH_SIZE `max_batch`, fit for every shape of the schedule."""
    parts, learner.parts = learner.parts, 1
    phases = {shape: phase for phase in schedule.phases for shape in phase.shapes}
    smallest = min(phases, key=lambda shape: shape.frames * shape.crop**2)
    learner.step(random_batch(cfg, replace(smallest, batch_size=2), learner.device), RATE)  # allocates the momenta
    fits = [_fit(cfg, learner, phase, shape, limit_gib, max_batch) for shape, phase in phases.items()]
    learner.parts = parts
    return fits


def _fit(cfg: CfgNode, learner: Learner, phase: Phase, shape: Shape, limit_gib: float, max_batch: int) -> Fit:
    """Return how many clips of `shape`, which `phase` trains in its parts, fit."""
    learner.start_phase(phase.bn_groups)
    planned = replace(shape, batch_size=shape.batch_size // phase.parts)
    memory = Memory(cfg, learner, planned, limit_gib)
    found = largest(memory.fits, math.ceil(planned.batch_size * max_batch / cfg.TRAIN.BATCH_SIZE))
    planned_gib = memory.peak(planned.batch_size) if memory.fits(planned.batch_size) else math.inf
    processes = World.from_cfg(cfg).processes
    own = int(found * process_batch(cfg, "TRAIN") / planned.batch_size)
    return Fit(planned, planned_gib, found, own // phase.parts * phase.parts * processes, memory.peaks)


def parts_that_fit(cfg: CfgNode, fits: Sequence[Fit]) -> int | None:
    """Return the SOLVER.ACCUMULATE with which the batch of the config fits, or None."""
    batch, parts = process_batch(cfg, "TRAIN"), cfg.SOLVER.ACCUMULATE
    for more in range(1, batch // parts + 1):
        if batch % (parts * more) == 0 and all(fit.shape.batch_size <= fit.most * more for fit in fits):
            return parts * more
    return None


def memory_limit(device: torch.device, asked_gib: float | None = None) -> float:
    """Return the limit in GiB: what was asked for, else 90 % of what is free on the device or the machine."""
    if asked_gib is not None:
        return asked_gib
    if device.type == "cuda":
        return SHARE * torch.cuda.mem_get_info(device)[0] / GIB
    if not MEMORY.exists():
        raise UserError("the free memory of this machine is not known: give a limit with --memory-gb")
    free = int(MEMORY.read_text().split("MemAvailable:")[1].split()[0]) * 1024
    allowed = CGROUP.read_text().strip() if CGROUP.exists() else "max"
    return SHARE * min(free, free if allowed == "max" else int(allowed)) / GIB
