"""The schedule against the paper's arithmetic and the published Kinetics recipe."""

from itertools import groupby, pairwise

import pytest

from slowfast.multigrid.plan import Shape
from slowfast.multigrid.schedule import (
    Multigrid,
    Recipe,
    baseline_schedule,
    bn_groups,
    bn_sync_ranks,
    jitter_range,
    multigrid_schedule,
    scaled_shape,
    stride_range,
)

KINETICS = Recipe(Shape(8, 32, 224), 2, 239, (0, 94, 154, 196), (1, 0.1, 0.01, 0.001), 34)
SSV2 = Recipe(Shape(2, 64, 224), 2, 22, (0, 14, 18), (1, 0.1, 0.01), 0.19)
WHOLE = ((1.0, 1.0),)


def schedule(recipe=KINETICS, world_size=8, **options):
    return multigrid_schedule(recipe, Multigrid(**options), world_size)


def iterations(schedule, num_videos=240_000, world_size=8):
    return sum(leg.iterations for leg in schedule.plan(num_videos, world_size))


def test_the_aligned_kinetics_recipe_ends_its_phases_where_the_published_one_does():
    phases = schedule(align_to_epochs=True).phases
    assert [p.end_epoch for p in phases] == [73, 110, 142, 158, 205, 228, 248, 259, 291, 308, 322, 329, 343, 358]


def test_the_kinetics_recipe_goes_through_the_published_shapes_rates_and_strides():
    phases = schedule(align_to_epochs=True).phases
    cycle = [(64, 8, 158), (32, 16, 158), (16, 16, 224), (8, 32, 224)]
    bases = [(p.shapes[0].batch_size, p.shapes[0].frames, p.shapes[0].crop) for p in phases]
    assert bases == cycle * 3 + [(8, 32, 224)] * 2
    rates = [8, 4, 2, 1, 0.8, 0.4, 0.2, 0.1, 0.08, 0.04, 0.02, 0.01, 0.01, 0.001]
    assert [p.lr_factor * p.step_rate for p in phases] == pytest.approx(rates)
    assert [p.stride for p in phases[:4]] == [(2, 8), (2, 4), (2, 4), (2, 2)]
    assert [p.bn_groups for p in phases[:4]] == [8, 4, 2, 1]


def test_the_kinetics_recipe_saves_the_papers_share_of_iterations():
    saving = iterations(baseline_schedule(KINETICS)) / iterations(schedule(align_to_epochs=True))
    assert saving == pytest.approx(3.42, abs=0.005)


def test_the_short_cycle_at_the_default_grid_halves_and_quarters_the_area():
    last = schedule().phases[-1]
    assert last.shapes == (Shape(8, 32, 224), Shape(16, 32, 158), Shape(32, 32, 112))


@pytest.mark.parametrize("recipe", [KINETICS, SSV2], ids=["kinetics", "ssv2"])
def test_every_shape_of_a_long_cycle_gets_the_same_number_of_iterations(recipe):
    plan = schedule(recipe).plan(169_000, 8)
    counts = {}
    for leg in plan:
        key = (leg.phase.stage, leg.phase.lr_factor)
        counts[key] = counts.get(key, 0) + leg.iterations
    for _, cycle in groupby(sorted(counts), key=lambda key: key[0]):
        cycle = [counts[key] for key in cycle]
        if len(cycle) == 4:
            assert max(cycle) - min(cycle) < 0.005 * max(cycle)


def test_rounding_the_ssv2_recipe_to_epochs_loses_a_shape_and_exact_positions_do_not():
    assert len(schedule(SSV2).phases) == 2 * 4 + 2
    assert len(schedule(SSV2, align_to_epochs=True).phases) < 2 * 4 + 2


@pytest.mark.parametrize("factor", [0.25, 1.0, 1.5, 3.0])
def test_the_training_lasts_epoch_factor_times_max_epoch(factor):
    assert schedule(epoch_factor=factor).total_epochs == pytest.approx(239 * factor)


@pytest.mark.parametrize(
    "options", [{}, {"design": "single"}, {"fine_tune": False}, {"long_cycle": WHOLE}, {"short_cycle": ()}]
)
def test_phases_follow_each_other_without_gaps(options):
    phases = schedule(**options).phases
    assert phases[0].start_epoch == 0
    assert all(a.end_epoch == b.start_epoch and b.end_epoch > b.start_epoch for a, b in pairwise(phases))


def test_without_fine_tuning_every_stage_keeps_its_fraction_of_the_epochs():
    ends = {p.stage: p.end_epoch for p in schedule(fine_tune=False).phases}
    assert list(ends.values()) == pytest.approx([94 * 1.5, 154 * 1.5, 196 * 1.5, 239 * 1.5])


def test_the_fine_tuning_stage_has_two_equal_halves_at_the_last_two_rates():
    first, second = schedule().phases[-2:]
    assert (first.stage, second.stage) == (3, 3)
    assert first.end_epoch - first.start_epoch == pytest.approx(second.end_epoch - second.start_epoch)
    assert (first.step_rate, second.step_rate) == (0.01, 0.001)


def test_the_single_design_is_one_cycle_over_all_stages():
    phases = schedule(design="single").phases
    factors = [round(p.lr_factor) for p in phases]
    assert factors == sorted(factors, reverse=True)
    assert set(factors) == {8, 4, 2, 1}
    counts = {}
    for leg in schedule(design="single").plan(240_000, 8):
        counts[leg.phase.lr_factor] = counts.get(leg.phase.lr_factor, 0) + leg.iterations
    assert max(counts.values()) < 1.005 * min(counts.values())
    ends = {p.stage: p.end_epoch for p in phases}
    assert list(ends.values()) == pytest.approx([94 * 1.5, 154 * 1.5, 196 * 1.5, 239 * 1.5])


def test_the_short_cycle_alone_stretches_the_recipe_and_truncates():
    phases = schedule(long_cycle=()).phases
    assert [p.end_epoch for p in phases] == [141, 231, 294, 358]
    assert [p.lr_factor * p.step_rate for p in phases] == pytest.approx([1, 0.1, 0.01, 0.001])
    assert phases[0].shapes == (Shape(8, 32, 224), Shape(16, 32, 158), Shape(32, 32, 112))


def test_a_long_cycle_of_one_shape_is_the_recipe_at_another_length():
    phases = schedule(long_cycle=WHOLE, short_cycle=(), epoch_factor=1.0).phases
    assert [p.end_epoch for p in phases] == pytest.approx([94, 154, 196, 217.5, 239])
    assert {p.shapes for p in phases} == {(Shape(8, 32, 224),)}


def test_the_warm_up_ends_with_the_first_phase_at_the_latest():
    assert schedule().warmup_epochs == 34
    assert schedule(epoch_factor=0.25).warmup_epochs == 34 * 0.25
    short = schedule(epoch_factor=0.1)
    assert short.warmup_epochs == pytest.approx(min(3.4, short.phases[0].end_epoch))


@pytest.mark.parametrize(
    ("steps", "rates"),
    [((), (1.0,)), ((1, 3), (1, 0.1)), ((0, 5, 3), (1, 0.1, 0.01)), ((0, 6), (1, 0.1)), ((0, 3), (1,))],
)
def test_a_recipe_whose_steps_and_rates_do_not_fit_is_refused(steps, rates):
    with pytest.raises(ValueError, match="steps"):
        Recipe(Shape(8, 8, 64), 1, 6, steps, rates)


def test_a_factor_that_leaves_nothing_of_a_clip_is_refused_by_name():
    with pytest.raises(ValueError, match=r"\(0.25, 0.707107\) leave nothing of a clip of 1 frames x 64 px"):
        schedule(Recipe(Shape(4, 1, 64), 1, 10, (0, 5), (1, 0.1)))


def test_a_training_cut_to_no_epoch_is_refused():
    with pytest.raises(ValueError, match="0.25 x 3 epochs"):
        schedule(Recipe(Shape(8, 8, 64), 1, 3), long_cycle=(), epoch_factor=0.25)


def test_fine_tuning_needs_two_stages():
    with pytest.raises(ValueError, match="`fine_tune` needs"):
        schedule(Recipe(Shape(8, 32, 224), 2, 100))


@pytest.mark.parametrize(
    ("batch", "groups"),
    [(64, 8), (32, 4), (16, 2), (8, 1), (12, 2), (17, 1), (4, 1), (1, 1), (100, 10), (24, 3), (48, 6)],
)
def test_groups_are_the_divisor_nearest_to_eight_clips(batch, groups):
    assert bn_groups(batch, 8) == groups


@pytest.mark.parametrize(
    ("batch", "world", "ranks"),
    [(4, 64, 2), (4, 1, 1), (2, 8, 4), (1, 4, 4), (8, 64, 1), (7, 64, 1), (3, 64, 2), (4, 3, 3), (2, 6, 3)],
)
def test_small_batches_share_statistics_over_the_nearest_divisor_of_the_ranks(batch, world, ranks):
    assert bn_sync_ranks(batch, 8, world) == ranks


def test_64_devices_of_4_clips_synchronize_in_pairs_and_have_4_groups_of_8_at_8b():
    phases = schedule(Recipe(Shape(4, 32, 224), 2, 239, (0, 94, 154, 196), (1, 0.1, 0.01, 0.001)), 64).phases
    assert (phases[0].bn_groups, phases[0].shapes[0].batch_size, phases[0].bn_sync_ranks) == (4, 32, 1)
    assert (phases[3].bn_groups, phases[3].shapes[0].batch_size, phases[3].bn_sync_ranks) == (1, 4, 2)


def test_short_cycle_batches_are_multiples_of_the_groups():
    for batch in range(1, 40):
        for phase in schedule(Recipe(Shape(batch, 32, 224), 2, 100, (0, 50), (1, 0.1))).phases:
            assert all(shape.batch_size % phase.bn_groups == 0 for shape in phase.shapes)


@pytest.mark.parametrize("crop", [112, 224, 225, 320])
def test_batches_come_from_the_factors_at_any_crop(crop):
    batches = [scaled_shape(Shape(4, 32, crop), t, s).batch_size for t, s in Multigrid().long_cycle]
    assert batches == [32, 16, 8, 4]


def test_strides_and_short_sides_keep_the_span_of_the_default_grid():
    assert stride_range(2, 32, 8) == (2, 8)
    assert stride_range(2, 32, 12) == (2, 5)
    assert jitter_range((256, 320), 224, 158) == (181, 320)
    assert jitter_range((256, 320), 224, 224) == (256, 320)
