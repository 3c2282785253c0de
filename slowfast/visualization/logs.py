"""The logs of runs: what figures and reports are made from. Nothing else in this package reads them.

A log may be of a training that is still running, was interrupted or resumed, or of a test alone.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slowfast.config.compare import differences, of_training
from slowfast.config.load import load_cfg
from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.multigrid import Phase, build_schedule
from slowfast.multigrid.build import has_cycle, recorded_cost
from slowfast.utils.config_file import CONFIG
from slowfast.utils.json_log import JSON_LOG, read_json_log
from slowfast.utils.logging import quiet
from slowfast.utils.world import World, process_batch

METRICS = {"top1_acc": "top-1 accuracy (%)", "map": "mean average precision (%)"}
SEED_OF_NAME = re.compile(r"[-_. ]*(seed|run|s)?[-_. ]*\d*$", re.IGNORECASE)


@dataclass(frozen=True)
class Run:
    """The log of a run: its records and its config. If the config cannot be loaded, `config_problem` has the reason."""

    folder: Path
    records: tuple[dict, ...]
    cfg: CfgNode | None
    config_problem: str = ""

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    def of(self, kind: str) -> list[dict]:
        """Return the records of one `_type`."""
        return [record for record in self.records if record.get("_type") == kind]

    def series(self, kind: str, *fields: str) -> tuple[np.ndarray, ...]:
        """Return the values of fields in the records of a kind that have a number in all of them."""
        rows = [[record.get(field) for field in fields] for record in self.of(kind)]
        numbers = [row for row in rows if all(isinstance(value, int | float) for value in row)]
        return tuple(np.array(numbers, float).reshape(-1, len(fields)).T)

    @property
    def test(self) -> dict[str, Any] | None:
        """The record of the last test."""
        return next(reversed(self.of("test_epoch")), None)

    @property
    def start(self) -> dict[str, Any]:
        """The record of the last start of the training; of the test if there is no training; empty in old logs."""
        starts = self.of("start")
        return next((record for record in reversed(starts) if "videos" in record), starts[-1] if starts else {})

    @property
    def metric(self) -> str | None:
        """The name of the first accuracy among the records: "top1_acc" or "map"; None if they have none."""
        present = {name for name in METRICS for record in self.records if record.get(name) is not None}
        return next((name for name in METRICS if name in present), None)

    @property
    def chance(self) -> float | None:
        """The accuracy in percent of guessing among classes that are equally frequent; None if it is not known."""
        return 100 / self.cfg.MODEL.NUM_CLASSES if self.cfg is not None and not self.cfg.DATA.MULTI_LABEL else None

    @property
    def is_multigrid(self) -> bool:
        return self.cfg is not None and has_cycle(self.cfg)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the training; none if they are not known."""
        return self._plan[0]

    @property
    def problem(self) -> str:
        """The reason why the config or the phases are not known; empty if they are."""
        return self.config_problem or self._plan[1]

    @cached_property
    def _plan(self) -> tuple[tuple[Phase, ...], str]:
        if self.cfg is None:
            return (), ""
        try:
            with quiet():
                batch, world = process_batch(self.cfg, "TRAIN"), World.from_cfg(self.cfg).size
                cost = recorded_cost(self.cfg, self.start.get("clip_costs", []))
                return build_schedule(self.cfg, batch, world, cost=cost).phases, ""
        except UserError as error:
            return (), f"{error}: the phases are not known"

    def iteration_at(self, epochs: Sequence[float]) -> np.ndarray:
        """Return the iterations at exact epochs, between those that the log has. After its end there is none: NaN."""
        begun, number = self.series("train_iter", "position", "iteration")
        ended, total = self.series("train_epoch", "position", "iteration")
        known = dict(sorted([(0.0, 0.0), *zip(begun, number - 1, strict=True), *zip(ended, total, strict=True)]))
        return np.interp(epochs, list(known), list(known.values()), right=np.nan)


def read_run(path: Path) -> Run:
    """Return the log of a run, from its OUTPUT_DIR. Raises UserError if there is none."""
    folder = path.parent if path.is_file() else path
    if not path.exists():
        raise UserError(f"{path} does not exist; give the OUTPUT_DIR of a training or a test")
    if not (folder / JSON_LOG).is_file():
        raise UserError(f"{path}: has no {JSON_LOG}; give the OUTPUT_DIR of a training or a test")
    records = tuple(last_training(read_json_log(folder)))
    if not any("_type" in record for record in records):
        raise UserError(f"{folder / JSON_LOG}: has no records of a training or a test yet")
    return Run(folder, records, *_read_config(folder / CONFIG))


def _read_config(path: Path) -> tuple[CfgNode | None, str]:
    if not path.is_file():
        return None, f"there is no {CONFIG}: the phases and the number of classes are not known"
    try:
        with quiet():
            return load_cfg(path, allow_unknown_keys=True), ""
    except UserError as error:
        return None, f"{error}: the phases and the number of classes are not known"


def last_training(records: Iterable[dict]) -> list[dict]:
    """Return the records without those that a later training in the same folder, or a resumed one, has repeated."""
    kept: list[dict] = []
    last = 0
    for record in records:
        iteration = record.get("iteration")
        if record.get("_type") == "train_iter" and isinstance(iteration, int):
            if iteration <= last:
                kept = [one for one in kept if one.get("iteration", 0) < iteration]
            last = iteration
        kept.append(record)
    return kept


@dataclass(frozen=True)
class Group:
    """Runs of one recipe that differ in their seed, or in nothing that changes a training."""

    label: str
    runs: tuple[Run, ...]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Return the runs in groups of one recipe, in the order in which they are given.

    A run without a config is a group of its own.
    """
    groups: list[list[Run]] = []
    for run in runs:
        same = next((group for group in groups if _is_same_recipe(group[0], run)), None)
        if same is None:
            groups.append(same := [])
        same.append(run)
    labels = [group_label([run.folder for run in group]) for group in groups]
    return [
        Group(label if labels.count(label) == 1 else _distinct([run.folder for run in group]), tuple(group))
        for label, group in zip(labels, groups, strict=True)
    ]


def _is_same_recipe(one: Run, other: Run) -> bool:
    if one.cfg is None or other.cfg is None:
        return False
    return all(difference.key == "RNG_SEED" for difference in of_training(differences(one.cfg, other.cfg)))


def group_label(folders: Sequence[Path]) -> str:
    """Return the name of a folder; of several what their names begin with, without the number of a seed."""
    names = [folder.resolve().name for folder in folders]
    if len(names) == 1:
        return names[0]
    return SEED_OF_NAME.sub("", os.path.commonprefix(names)) or _distinct(folders)


def _distinct(folders: Sequence[Path]) -> str:
    """Return a name for a group whose short one is taken: the last two parts of the path of its first run."""
    return "/".join(folders[0].resolve().parts[-2:])
