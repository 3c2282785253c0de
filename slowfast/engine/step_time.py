"""The time of the parts of training steps, measured without making the host wait for the device."""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import torch

PARTS = ("transfer", "forward_backward", "optimizer")  # between the four moments of a step

Moment: TypeAlias = "float | torch.cuda.Event"


def moment(device: torch.device) -> Moment:
    """Return the present moment: on CUDA an event, which the device reaches after the work given to it so far."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(first: Moment, second: Moment) -> float:
    """Return the seconds between two moments. The device must have reached both."""
    if isinstance(first, float) or isinstance(second, float):
        return float(second) - float(first)  # type: ignore[arg-type]  # moments of a step are of one kind
    return first.elapsed_time(second) / 1000


class StepTimes:
    """Collects the moments of steps, and returns the mean time of each part."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the steps so far."""
        self._steps: list[tuple[Sequence[Moment], bool]] = []

    def add(self, moments: Sequence[Moment], is_warm_up: bool = False) -> None:
        """Add the moments of a step: its start, and the ends of its parts."""
        self._steps.append((moments, is_warm_up))

    def lap(self) -> dict[str, float]:
        """Return `dt_PART`, the mean seconds of each part since the last call. The device must have done the steps.

        Steps that are warm-ups are left out, unless there are no others.
        """
        steady = [moments for moments, is_warm_up in self._steps if not is_warm_up]
        steps = steady or [moments for moments, _ in self._steps]
        self.clear()
        parts = zip(*([seconds_between(*pair) for pair in pairwise(moments)] for moments in steps), strict=True)
        return {f"dt_{name}": sum(part) / len(part) for name, part in zip(PARTS, parts, strict=False)}
