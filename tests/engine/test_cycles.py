"""Each cycle alone and both together, through the training loop, alone and over processes."""

import re

import pytest

from slowfast.engine.launch import run
from tests.engine.tiny import BOTH_CYCLES, SYNTHETIC, command, finish, json_stats, start, tiny_cfg

LONG_ALONE = {"MULTIGRID__SHORT_CYCLE": False}
SHORT_ALONE = {"MULTIGRID__LONG_CYCLE": False}


def shapes(output) -> set[tuple]:
    return {tuple(line["batch"]) for line in json_stats(output)}


EVERY_CYCLE = pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (LONG_ALONE, {(8, 4, 45), (2, 8, 64)}),
        (SHORT_ALONE, {(2, 8, 64), (4, 8, 45), (8, 8, 32)}),
        ({}, {(8, 4, 45), (2, 8, 64), (4, 8, 45), (8, 8, 32)}),
    ],
    ids=["long", "short", "both"],
)


@EVERY_CYCLE
def test_every_cycle_trains_on_all_of_its_shapes_and_logs_the_first_iteration_of_each(changes, expected, tmp_path):
    run(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **BOTH_CYCLES | changes | {"TRAIN__CHECKPOINT_PERIOD": 100}))
    assert shapes(tmp_path) == expected
    pattern = r"first iteration on (\d+) x (\d+) x (\d+) px(?:, batch norm in (\d+) groups)?: "
    logged = re.findall(pattern, (tmp_path / "stdout.log").read_text())
    assert {tuple(map(int, shape)) for *shape, _ in logged} == expected
    assert len(set(logged)) == len(logged)


@EVERY_CYCLE
def test_two_processes_train_on_the_same_shapes_as_one(changes, expected, videos, tmp_path):
    changes = BOTH_CYCLES | changes | {"TRAIN__CHECKPOINT_PERIOD": 100, "NUM_GPUS": 2}
    code, text = finish(start(command(videos, tmp_path / "two", **changes)))
    assert code == 0, text
    assert shapes(tmp_path / "two") == expected
