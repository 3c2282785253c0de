"""The learning rate as a function of the exact epoch."""

from math import cos, pi
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.multigrid.build import build_schedule
from slowfast.multigrid.plan import Phase, Shape
from slowfast.multigrid.plan import Schedule as Schedule
from slowfast.optim.lr_policy import cosine, learning_rate, set_lr, warm_up

RECIPE = Path(__file__).parents[2] / "configs/Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.yaml"
SHAPES = (Shape(8, 8, 224),)


def make_cfg(num_shards=1, **solver):
    defaults = {
        "BASE_LR": 0.4,
        "COSINE_END_LR": 0.0,
        "COSINE_AFTER_WARMUP": False,
        "BASE_LR_SCALE_NUM_SHARDS": False,
        "WARMUP_START_LR": 0.01,
        "LR_POLICY": "steps_with_relative_lrs",
    }
    return SimpleNamespace(SOLVER=SimpleNamespace(**(defaults | solver)), NUM_SHARDS=num_shards)


def steps(*rows, warmup=0.0):
    """A schedule of phases (end, lr_factor, step_rate)."""
    starts = [0.0, *(end for end, _, _ in rows)]
    phases = [
        Phase(SHAPES, factor, stage=stage, start_epoch=start, end_epoch=end, step_rate=rate)
        for stage, (start, (end, factor, rate)) in enumerate(zip(starts, rows, strict=False))
    ]
    return Schedule(tuple(phases), warmup)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0.4), (9.999, 0.4), (10, 0.04), (14.9, 0.04), (15, 0.004), (20, 0.004)]
)
def test_steps_change_the_rate_at_their_exact_epoch(epoch, expected):
    rate = learning_rate(make_cfg(), steps((10, 1.0, 1.0), (15, 1.0, 0.1), (20, 1.0, 0.01)))
    assert rate(epoch) == pytest.approx(expected)


@pytest.mark.parametrize("epoch", [0, 1.25, 7, 19.5, 20])
def test_cosine_goes_from_the_base_rate_to_the_end_rate(epoch):
    cfg = make_cfg(LR_POLICY="cosine", COSINE_END_LR=0.1)
    expected = (0.4 - 0.1) * (cos(pi * epoch / 20) + 1) / 2 + 0.1
    assert learning_rate(cfg, steps((20, 1.0, 1.0)))(epoch) == pytest.approx(expected)


def test_cosine_after_warm_up_begins_at_the_warm_ups_end():
    cfg = make_cfg(LR_POLICY="cosine", COSINE_AFTER_WARMUP=True)
    rate = learning_rate(cfg, steps((20, 1.0, 1.0), warmup=4.0))
    assert rate(4.0) == pytest.approx(0.4)
    assert rate(12.0) == pytest.approx(0.2)
    assert rate(20.0) == pytest.approx(0.0)


@pytest.mark.parametrize("policy", ["cosine", "steps_with_relative_lrs"])
def test_warm_up_is_a_line_to_the_policys_value_at_its_end(policy):
    rate = learning_rate(make_cfg(LR_POLICY=policy), steps((20, 1.0, 1.0), warmup=4.0))
    assert rate(0.0) == pytest.approx(0.01)
    assert rate(2.0) == pytest.approx((0.01 + rate(4.0)) / 2)
    assert rate(3.999999) == pytest.approx(rate(4.0), rel=1e-4)


@pytest.mark.parametrize("policy", ["cosine", "steps_with_relative_lrs"])
def test_larger_batches_of_the_long_cycle_raise_the_rate_linearly(policy):
    cfg = make_cfg(LR_POLICY=policy)
    plain, scaled = learning_rate(cfg, steps((20, 1.0, 1.0))), learning_rate(cfg, steps((5, 8.0, 1.0), (20, 2.0, 1.0)))
    assert scaled(3.0) == pytest.approx(8 * plain(3.0))
    assert scaled(5.0) == pytest.approx(2 * plain(5.0))


def test_a_warm_up_as_long_as_the_first_phase_aims_at_the_rate_of_the_first_phase():
    rate = learning_rate(make_cfg(), steps((5, 8.0, 1.0), (20, 2.0, 1.0), warmup=5.0))
    assert rate(4.999999) == pytest.approx(3.2, rel=1e-4)
    assert rate(5.0) == pytest.approx(0.8)


def test_the_number_of_machines_raises_the_whole_curve_only_when_asked():
    schedule = steps((20, 1.0, 1.0), warmup=4.0)
    one = learning_rate(make_cfg(), schedule)
    four = learning_rate(make_cfg(num_shards=4), schedule)
    scaled = learning_rate(make_cfg(num_shards=4, BASE_LR_SCALE_NUM_SHARDS=True), schedule)
    for epoch in (0.0, 3.0, 10.0):
        assert four(epoch) == one(epoch)
        assert scaled(epoch) == pytest.approx(4 * one(epoch))


def test_the_published_multigrid_recipe_has_its_check_values():
    cfg = get_cfg()
    cfg.merge_from_file(str(RECIPE))
    cfg.merge_from_list(["MULTIGRID.ALIGN_TO_EPOCHS", True, "SOLVER.WARMUP_EPOCHS", 0.0])
    rate = learning_rate(cfg, build_schedule(cfg))
    ends = [73, 110, 142, 158, 205, 228, 248, 259, 291, 308, 322, 329, 343, 358]
    factors = [8, 4, 2, 1, 0.8, 0.4, 0.2, 0.1, 0.08, 0.04, 0.02, 0.01, 0.01, 0.001]
    for start, end, factor in zip([0, *ends], ends, factors, strict=False):
        for epoch in (start, (start + end) / 2, end - 1e-6):
            assert rate(epoch) == pytest.approx(factor * cfg.SOLVER.BASE_LR)


def test_an_unknown_policy_is_an_error_that_names_the_key():
    with pytest.raises(ValueError, match=r"SOLVER\.LR_POLICY: 'poly' is not known; choose one of cosine"):
        learning_rate(make_cfg(LR_POLICY="poly"), steps((20, 1.0, 1.0)))


def test_a_warm_up_that_leaves_the_cosine_nothing_is_an_error():
    cfg = make_cfg(LR_POLICY="cosine", COSINE_AFTER_WARMUP=True)
    with pytest.raises(ValueError, match=r"SOLVER\.WARMUP_EPOCHS"):
        learning_rate(cfg, steps((4, 1.0, 1.0), warmup=4.0))


def test_the_curves_need_no_config():
    assert cosine(5, 10, 1.0) == pytest.approx(0.5)
    assert warm_up(1, 4, 0.0, 1.0) == 0.25


def test_every_parameter_group_gets_the_rate():
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=1.0)
    set_lr(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
