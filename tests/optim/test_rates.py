"""The log line of the learning rates, and the warnings in it."""

import logging

import pytest

from slowfast.config.load import load_cfg
from slowfast.multigrid.build import build_schedule
from slowfast.optim.lr_policy import learning_rate
from slowfast.optim.rates import log_rates, rate_ranges

STEPS = {"SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.STEPS": [0, 4, 6], "SOLVER.LRS": [1, 0.1, 0.01]}
SHORT = {"SOLVER.MAX_EPOCH": 8, "SOLVER.BASE_LR": 0.2, "SOLVER.WARMUP_START_LR": 0.05}


def logged(caplog, changes):
    cfg = load_cfg(None, [word for pair in (SHORT | changes).items() for word in pair])
    schedule = build_schedule(cfg)
    with caplog.at_level(logging.INFO, "slowfast.optim.rates"):
        log_rates(cfg, schedule, learning_rate(cfg, schedule))
    (record,) = [record for record in caplog.records if record.name == "slowfast.optim.rates"]
    return record.levelname, record.getMessage()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (STEPS, "0-4: 0.2, 4-6: 0.02, 6-8: 0.002"),
        (STEPS | {"SOLVER.WARMUP_EPOCHS": 2}, "0-2: 0.05 to 0.2, 2-4: 0.2, 4-6: 0.02, 6-8: 0.002"),
        ({"SOLVER.COSINE_END_LR": 0.1}, "0-8: 0.2 to 0.1"),
        ({"SOLVER.COSINE_END_LR": 0.2, "SOLVER.WARMUP_EPOCHS": 1}, "0-1: 0.05 to 0.2, 1-8: 0.2"),
    ],
)
def test_the_rates_of_a_usual_recipe_are_logged_by_epochs(caplog, changes, line):
    assert logged(caplog, changes) == ("INFO", f"learning rate by epochs: {line}")


@pytest.mark.parametrize(
    ("changes", "reason", "rates"),
    [
        (STEPS | {"SOLVER.MAX_EPOCH": 5}, "SOLVER.STEPS: [6] are beyond SOLVER.MAX_EPOCH 5", "0-4: 0.2, 4-5: 0.02;"),
        (STEPS | {"SOLVER.WARMUP_EPOCHS": 8}, "SOLVER.WARMUP_EPOCHS: 8 leaves none of 8 epochs", "0-8: 0.05 to 0.002"),
        (
            STEPS | {"SOLVER.WARMUP_EPOCHS": 5},
            "SOLVER.WARMUP_EPOCHS: 5 ends after the steps at [4]",
            "0-5: 0.05 to 0.02,",
        ),
        (
            STEPS | {"SOLVER.WARMUP_EPOCHS": 1, "SOLVER.WARMUP_START_LR": 0.3},
            "SOLVER.WARMUP_START_LR: 0.3 is above SOLVER.BASE_LR 0.2",
            "0-1: 0.3 to 0.2,",
        ),
        (
            {"SOLVER.WARMUP_EPOCHS": 6, "SOLVER.WARMUP_START_LR": 0.1},
            "SOLVER.WARMUP_START_LR: 0.1 is above the rate 0.02929 after the warm-up",
            "0-6: 0.1 to 0.02929,",
        ),
        ({"SOLVER.LRS": [1, 0.1]}, "SOLVER.LRS: [1, 0.1] has no effect with SOLVER.LR_POLICY cosine", "0-8: 0.2 to"),
        ({"SOLVER.STEPS": [0, 4]}, "SOLVER.STEPS: [0, 4] has no effect with SOLVER.LR_POLICY cosine", "0-8: 0.2 to"),
        ({"SOLVER.COSINE_END_LR": 0.4}, "SOLVER.COSINE_END_LR: 0.4 is above SOLVER.BASE_LR 0.2", "0-8: 0.2 to 0.4;"),
        (STEPS | {"SOLVER.COSINE_AFTER_WARMUP": True}, "SOLVER.COSINE_AFTER_WARMUP: True has no effect", "0-4: 0.2,"),
        (STEPS | {"SOLVER.COSINE_END_LR": 0.01}, "SOLVER.COSINE_END_LR: 0.01 has no effect", "6-8: 0.002;"),
        (STEPS | {"SOLVER.LRS": [0.2, 0.02, 0.002]}, "LRS are factors of SOLVER.BASE_LR", "0-4: 0.04,"),
        ({"SOLVER.BASE_LR": 0}, "SOLVER.BASE_LR: 0 trains nothing", "0-8: 0;"),
    ],
)
def test_a_surprising_rate_is_one_warning_with_the_reason_and_the_rates(caplog, changes, reason, rates):
    level, message = logged(caplog, changes)
    assert level == "WARNING"
    assert reason in message
    assert rates in message


def test_parts_of_the_same_rate_are_one_range():
    cfg = load_cfg(None, [word for pair in (SHORT | STEPS | {"SOLVER.LRS": [1, 1, 0.5]}).items() for word in pair])
    schedule = build_schedule(cfg)
    assert rate_ranges(schedule, learning_rate(cfg, schedule)) == ["0-6: 0.2", "6-8: 0.1"]
