"""The plan and the sampler: every iteration counted before the first."""

from collections import Counter
from itertools import pairwise

import pytest

from slowfast.multigrid.plan import Phase, Schedule, Shape, remaining
from slowfast.multigrid.sampler import ShortCycleBatchSampler
from slowfast.multigrid.schedule import Multigrid, Recipe, baseline_schedule, multigrid_schedule

RECIPE = Recipe(Shape(2, 16, 64), 2, 12, (0, 5, 9), (1, 0.1, 0.01))


def phase(stage, start, end, shape):
    return Phase((shape,), stage=stage, start_epoch=start, end_epoch=end)


def batches(schedule, num_videos, rank=0, world_size=1, seed=0, done=0):
    legs = remaining(schedule.plan(num_videos, world_size), done)
    sampler = ShortCycleBatchSampler(legs, num_videos, seed, rank, world_size)
    result = list(sampler)
    assert len(result) == len(sampler)
    return result


@pytest.mark.parametrize("num_videos", [64, 97, 100, 131, 257])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_length_is_exact_and_no_video_is_left_out(num_videos, world_size):
    recipe = Recipe(Shape(1, 16, 64), 2, 12, (0, 5, 9), (1, 0.1, 0.01))
    schedule = multigrid_schedule(recipe, Multigrid(), world_size)
    ranks = [batches(schedule, num_videos, rank, world_size) for rank in range(world_size)]
    assert len({len(rank) for rank in ranks}) == 1
    seen = Counter(clip.video for rank in ranks for batch in rank for clip in batch)
    assert max(seen.values()) - min(seen.values()) <= 1


def test_batches_have_the_same_shape_on_all_ranks_and_no_clip_twice():
    schedule = multigrid_schedule(RECIPE, Multigrid(), 3)
    ranks = [batches(schedule, 200, rank, 3) for rank in range(3)]
    for parts in zip(*ranks, strict=True):
        assert len({(len(part), part[0].frames, part[0].crop) for part in parts}) == 1
    clips = [(clip.epoch, clip.video) for rank in ranks for batch in rank for clip in batch]
    assert len(set(clips)) == len(clips)


def test_the_short_cycle_starts_with_the_base_shape_in_every_leg():
    schedule = multigrid_schedule(RECIPE, Multigrid(long_cycle=()))
    for leg in schedule.plan(100):
        sampler = ShortCycleBatchSampler([leg], 100)
        sizes = [(len(batch), batch[0].crop) for batch in sampler]
        assert sizes == [[(2, 64), (4, 45), (8, 32)][i % 3] for i in range(leg.iterations)]


def test_a_plan_goes_on_anywhere_as_if_never_stopped():
    schedule = multigrid_schedule(RECIPE, Multigrid())
    whole = batches(schedule, 90)
    for done in (0, 1, 17, len(whole) // 2, len(whole) - 1):
        assert batches(schedule, 90, done=done) == whole[done:]
    assert remaining(schedule.plan(90), len(whole)) == ()


def test_positions_are_exact_and_grow():
    schedule = multigrid_schedule(RECIPE, Multigrid())
    positions = [leg.position(i) for leg in schedule.plan(90) for i in range(leg.iterations)]
    assert positions[0] == 0
    assert all(a < b for a, b in pairwise(positions))
    assert all(schedule.phase_at(leg.position(0)) is leg.phase for leg in schedule.plan(90) if leg.iterations)
    leg = baseline_schedule(RECIPE).plan(20)[3]
    assert [leg.position(i) for i in range(leg.iterations)] == pytest.approx([3 + i / 10 for i in range(10)])


def test_every_epoch_ends_once_and_the_last_part_epoch_too():
    schedule = Schedule((phase(0, 0.0, 1.25, Shape(2, 8, 32)), phase(0, 1.25, 2.5, Shape(4, 8, 32))))
    legs = schedule.plan(40)
    assert [(leg.start, leg.end, leg.epoch, leg.ends_epoch) for leg in legs] == [
        (0.0, 1, 0, True),
        (1, 1.25, 1, False),
        (1.25, 2, 1, True),
        (2, 2.5, 2, True),
    ]
    assert [leg.iterations for leg in legs] == [20, 5, 8, 4]


def test_the_order_of_the_videos_depends_on_seed_and_epoch_only():
    schedule = baseline_schedule(RECIPE)
    first, again, other = batches(schedule, 40), batches(schedule, 40), batches(schedule, 40, seed=1)
    assert first == again
    assert first != other
    epochs = [[clip.video for batch in first for clip in batch if clip.epoch == epoch] for epoch in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("num_videos", [64, 97, 1000])
def test_all_shapes_of_a_long_cycle_get_the_same_iterations_however_few(num_videos):
    counts = Counter()
    for leg in multigrid_schedule(RECIPE, Multigrid()).plan(num_videos):
        counts[leg.phase.stage, leg.phase.lr_factor] += leg.iterations
    for stage in (0, 1):
        assert len({count for (of, _), count in counts.items() if of == stage}) == 1


def test_shapes_get_the_same_iterations_where_their_number_ends_in_a_half():
    recipe = Recipe(Shape(8, 32, 224), 2, 30, (0, 10, 20), (1, 1, 1))
    counts = Counter()
    for leg in multigrid_schedule(recipe, Multigrid(short_cycle=())).plan(680):
        counts[leg.phase.stage, leg.phase.lr_factor] += leg.iterations
    assert {count for (stage, _), count in counts.items() if stage == 0} == {112}


def test_parts_of_an_epoch_too_short_for_an_iteration_have_no_leg():
    schedule = Schedule((phase(0, 0.0, 2.95, Shape(8, 8, 32)), phase(0, 2.95, 4.0, Shape(8, 8, 32))))
    legs = schedule.plan(16)
    assert [(leg.epoch, leg.iterations, leg.ends_epoch) for leg in legs] == [
        *((0, 2, True), (1, 2, True), (2, 2, True), (3, 2, True))
    ]
    assert remaining(legs, 6) == legs[3:]


def test_the_iterations_of_an_epoch_differ_by_one_at_most():
    legs = baseline_schedule(Recipe(Shape(8, 16, 64), 2, 10)).plan(103)
    assert sum(leg.iterations for leg in legs) == 129  # 10 * 103 / 8 = 128.75
    assert {leg.iterations for leg in legs} == {12, 13}


def test_a_batch_larger_than_the_data_set_is_an_error_that_names_the_number_to_lower():
    with pytest.raises(
        ValueError, match=r"16 clips on 1 device.* 14 training videos.*lower `batch_size` by a factor of 1\.2"
    ):
        multigrid_schedule(RECIPE, Multigrid()).plan(14)


@pytest.mark.parametrize(("stage", "shape"), [(1, Shape(8, 8, 32)), (0, Shape(16, 4, 32))])
def test_a_stage_or_a_shape_without_iteration_is_an_error(stage, shape):
    schedule = Schedule((phase(0, 0.0, 0.9, Shape(8, 8, 32)), phase(stage, 0.9, 1.0, shape)))
    with pytest.raises(ValueError, match=r"epoch 0\.900 to 1\.000 of 20 videos would have no iteration"):
        schedule.plan(20)


@pytest.mark.parametrize("factor", [0.25, 1.5, 3])
def test_the_single_design_may_cut_a_phase_too_short_for_an_iteration(factor):
    recipe = Recipe(Shape(4, 16, 64), 2, 10, (0, 7, 9), (1, 0.1, 0.01))
    schedule = multigrid_schedule(recipe, Multigrid(design="single", epoch_factor=factor))
    for num_videos in (200, 720):
        counts = Counter()
        for leg in schedule.plan(num_videos):
            counts[leg.phase.shapes[0]] += leg.iterations
        assert len(counts) == 4
        assert max(counts.values()) - min(counts.values()) <= 1


def test_shapes_get_the_same_iterations_of_a_large_data_set_too():
    recipe = Recipe(Shape(1, 32, 224), 2, 10, (0, 5, 8), (1, 0.1, 0.01))
    counts = Counter()
    for leg in multigrid_schedule(recipe, Multigrid()).plan(203_984):
        counts[leg.phase.stage, leg.phase.lr_factor] += leg.iterations
    assert len({count for (stage, _), count in counts.items() if stage == 0}) == 1
