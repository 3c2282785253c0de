"""Run checks in a process of their own, and report one line for each.

A check is a function that returns what it found as text, and raises an error where something is wrong. A failure is
reported and the next check runs in a new process, since an error of CUDA leaves its process unusable. So does a check
that hangs or crashes.
"""

import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from itertools import product
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch

PASS, FAIL, INFO = "PASS", "FAIL", "INFO"
TRACE_LINES = 12


class Settings(NamedTuple):
    """The device of the checks. `quick`: smaller models and fewer steps, for a dry run on a CPU."""

    device: torch.device
    quick: bool = False


def cases(**values: Iterable) -> tuple[dict[str, Any], ...]:
    """Return all combinations of values as keyword arguments."""
    return tuple(dict(zip(values, choice, strict=True)) for choice in product(*values.values()))


@dataclass(frozen=True)
class Check:
    """`run(settings, **case)` for every case.

    Attributes:
        kind: of a result without an error, PASS or INFO. A measurement is INFO.
        seconds: limit for a case.
    """

    name: str
    run: Callable[..., str]
    cases: tuple[dict[str, Any], ...] = ({},)
    kind: str = PASS
    seconds: float = 60.0


@dataclass(frozen=True)
class Result:
    """The result of one case of a check. `trace` is the end of the traceback of an error."""

    kind: str
    name: str
    text: str
    seconds: float
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([f"{self.kind} {self.name}: {self.text} ({self.seconds:.1f} s)", *self.trace])


class Runner:
    """Runs cases one by one in another process, which is replaced after a failure."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None
        self._others: list[BaseProcess] = []  # children of this process that are not the pool's

    def results(self, checks: Iterable[Check]) -> Iterator[Result]:
        """Yield the result of every case."""
        for check in checks:
            for case in check.cases:
                yield self._run(check, case)
        self._stop()

    def _run(self, check: Check, case: dict[str, Any]) -> Result:
        if self._pool is None:
            self._others = multiprocessing.active_children()
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        name = " ".join([check.name, *map(str, case.values())])
        start = perf_counter()
        future = self._pool.submit(check.run, self._settings, **case)
        is_done = bool(wait([future], check.seconds).done)
        seconds = perf_counter() - start
        if not is_done:
            self._stop()
            return Result(FAIL, name, "no result within its time", seconds)
        if future.exception() is not None:
            self._stop()
            return Result(FAIL, name, _error(future), seconds, _trace(future))
        return Result(check.kind, name, future.result(), seconds)

    def _stop(self) -> None:
        if self._pool is None:
            return
        for process in multiprocessing.active_children():
            if process not in self._others:
                process.kill()
        self._pool.shutdown()
        self._pool = None


def _error(future: Future) -> str:
    error = future.exception()
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def _trace(future: Future) -> list[str]:
    """Return the last lines of the traceback in the other process, which is the cause of the error here."""
    cause = getattr(future.exception(), "__cause__", None)
    return [f"    {line}" for line in str(cause or "").splitlines() if line.strip(' "')][-TRACE_LINES:]


def report(results: Iterable[Result], json_path: Path | None = None) -> int:
    """Print the results as they come and write them to a file. Return the exit status: 1 if a check failed."""
    known: list[Result] = []
    for result in results:
        known.append(result)
        print(result, flush=True)
        if json_path is not None:
            json_path.write_text(json.dumps([asdict(one) for one in known], indent=1))
    counts = Counter(result.kind for result in known)
    print(", ".join(f"{counts[kind]} {kind}" for kind in (PASS, FAIL, INFO)), flush=True)
    return int(counts[FAIL] > 0)
