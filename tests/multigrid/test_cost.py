"""Batches by a counted cost, and the scaling of the rate: against values computed by hand."""

from itertools import product

import pytest

from slowfast.multigrid.plan import Shape
from slowfast.multigrid.schedule import BUDGET, DESIGNS, Multigrid, Recipe, bn_groups, multigrid_schedule, scaled_shape

# Of a clip of MViTv2-S, over that of 16 frames x 224 px; (frames, px).
MVIT = {
    **{(16, 224): 1.0, (8, 224): 0.444, (16, 158): 0.454, (8, 158): 0.213},
    **{(4, 158): 0.103, (16, 112): 0.217, (8, 112): 0.104, (4, 112): 0.0514},
}


def mvit(frames, crop):
    return MVIT[frames, crop]


def quadratic(frames, crop):
    """A cost of attention over all tokens, beside that of the pixels."""
    tokens = frames * crop * crop / 32
    return tokens + tokens**2 / 1e4


def schedule(batch=16, batch_norm=True, world_size=1, parts=1, **options):
    steps, rates = (0, 80, 130, 170), (1, 0.1, 0.01, 0.001)
    recipe = Recipe(Shape(batch, 16, 224), 4, 200, steps, rates, parts=parts, batch_norm=batch_norm)
    return multigrid_schedule(recipe, Multigrid(**options), world_size)


def batches(schedule):
    return [[shape.batch_size for shape in phase.shapes] for phase in schedule.phases[:4]]


def test_without_batch_norm_every_shape_has_the_most_clips_within_the_budget():
    # 16 x 1.01 clips' cost over 0.103, 0.0514 | 0.213, 0.104 | 0.444, 0.213, 0.104 | 1, 0.454, 0.217
    expected = [[156, 156, 314], [75, 75, 155], [36, 75, 155], [16, 35, 74]]
    assert batches(schedule(cost=mvit, batch_norm=False)) == expected


def test_with_batch_norm_they_fill_groups_of_about_the_base_size():
    # 156 = 19 groups of 8 and 4 more, 75 = 9 of 8 and 3 more, 36 = 4 of 9, 16 = 2 of 8
    found = schedule(cost=mvit)
    assert [phase.bn_groups for phase in found.phases[:4]] == [19, 9, 4, 2]
    assert batches(found) == [[152, 152, 304], [72, 72, 153], [36, 72, 152], [16, 34, 74]]


def test_with_pixels_or_a_cost_of_pixels_batches_are_the_papers():
    expected = [[128, 128, 256], [64, 64, 128], [32, 64, 128], [16, 32, 64]]
    assert batches(schedule()) == expected
    assert batches(schedule(cost=lambda frames, crop: frames * crop**2)) == expected


def test_the_rate_follows_the_batch_linearly_or_by_its_root():
    linear, root = schedule(cost=mvit, batch_norm=False), schedule(cost=mvit, batch_norm=False, lr_scaling="sqrt")
    assert [p.lr_factor for p in linear.phases[:4]] == pytest.approx([156 / 16, 75 / 16, 36 / 16, 1])
    assert [p.lr_factor for p in root.phases[:4]] == pytest.approx([9.75**0.5, 4.6875**0.5, 1.5, 1])
    assert [p.lr_factor for p in schedule(lr_scaling="sqrt").phases[:4]] == pytest.approx([8**0.5, 2, 2**0.5, 1])


def test_the_fine_tuning_keeps_the_rates_of_the_recipe_with_either_scaling():
    linear, root = (schedule(lr_scaling=name).phases[-2:] for name in ("linear", "sqrt"))
    assert [(p.lr_factor, p.step_rate) for p in linear] == [(p.lr_factor, p.step_rate) for p in root]


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="`lr_scaling`: 'cube' is not known; choose one of linear, sqrt"):
        Multigrid(lr_scaling="cube")


def test_costs_are_of_batches_over_that_of_the_recipe():
    first = schedule(cost=mvit, batch_norm=False).phases[0]
    assert first.costs == pytest.approx((156 * 0.103 / 16, 156 * 0.103 / 16, 314 * 0.0514 / 16))
    assert first.mean_cost == pytest.approx(sum(first.costs) / 3)
    last = schedule().phases[-1]
    assert last.costs == pytest.approx((1, 2 * (158 / 224) ** 2, 1))


@pytest.mark.parametrize(
    ("batch", "groups"),
    [(7, 1), (8, 1), (11, 1), (12, 2), (13, 2), (16, 2), (31, 4), (71, 8), (75, 9), (156, 19), (157, 19)],
)
def test_groups_that_need_not_divide_a_batch_lose_less_than_a_clip_each(batch, groups):
    assert bn_groups(batch, 8, exact=False) == groups
    assert batch - batch // groups * groups < groups


EVERY_CYCLE = [{}, {"long_cycle": ()}, {"short_cycle": ()}, {"fine_tune": False}]


@pytest.mark.parametrize(("design", "cycle"), list(product(DESIGNS, EVERY_CYCLE)))
@pytest.mark.parametrize("cost", [None, mvit, quadratic], ids=["pixels", "mvit", "quadratic"])
def test_no_batch_is_empty_or_above_the_budget_in_any_design(design, cycle, cost):
    for batch, parts, batch_norm in product((1, 2, 3, 8, 12, 50), (1, 2), (False, True)):
        if batch % parts:
            continue
        found = schedule(batch, batch_norm, 2, parts, design=design, cost=cost, lr_scaling="sqrt", **cycle)
        for phase in found.phases:
            multiple = phase.bn_groups * phase.parts
            assert all(shape.batch_size >= 1 and shape.batch_size % multiple == 0 for shape in phase.shapes)
            limit = BUDGET if cost else 1 + 0.5 * multiple / min(s.batch_size for s in phase.shapes) + 0.02
            assert all(c <= limit for c in phase.costs)
            assert phase.lr_factor == pytest.approx((phase.shapes[0].batch_size / batch) ** 0.5)
            assert (phase.bn_groups, phase.bn_sync_ranks) == (1, 1) or batch_norm
        assert found.batch_norm == batch_norm


@pytest.mark.parametrize("design", DESIGNS)
def test_all_shapes_of_a_counted_long_cycle_get_the_same_iterations(design):
    counts = {}
    for leg in schedule(cost=mvit, batch_norm=False, design=design).plan(100_000):
        if leg.phase.stage < 3 or design == "single":
            key = leg.phase.stage if design == "multi" else 0, leg.phase.shapes[0]
            counts[key] = counts.get(key, 0) + leg.iterations
    for stage in {stage for stage, _ in counts}:
        of_stage = [count for (one, _), count in counts.items() if one == stage]
        assert len(of_stage) == 4
        assert max(of_stage) - min(of_stage) <= 3


def test_a_clip_dearer_than_the_budget_is_still_one():
    assert scaled_shape(Shape(1, 16, 224), 1, 0.5, cost=lambda frames, crop: 1 / crop).batch_size == 1
