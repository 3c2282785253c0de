from types import SimpleNamespace

import numpy as np
import pytest

from slowfast.datasets import sampling
from slowfast.datasets.transform import apply_crop_flip, resized_size


def source(num_frames, fps=30.0):
    return SimpleNamespace(num_frames=num_frames, fps=fps)


def generators(count=300):
    return [sampling.rng_for(0, 0, video) for video in range(count)]


def test_the_generator_is_a_function_of_seed_epoch_video_and_view():
    draws = {
        sampling.rng_for(*key).random()
        for key in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    }
    assert len(draws) == 5
    assert sampling.rng_for(3, 2, 1).random() == sampling.rng_for(3, 2, 1, 0).random()


@pytest.mark.parametrize(
    ("frames", "stride", "target_fps", "fps", "span"),
    [
        (8, 8, 30, 30, 56),
        (8, 8, 30, 25, 47),
        (8, 8, 30, 60, 112),
        (1, 8, 30, 30, 1),
        (16, 4, 0, 12.5, 60),
        (16, 4, -1, 0, 60),
        (32, 2, 30, 30, 63),  # 2 * 31 / 30 * 30 is a little above 62, and rounded up, as in the published code
    ],
)
def test_a_span_counts_strides_at_the_target_rate(frames, stride, target_fps, fps, span):
    assert sampling.span_of(source(300, fps), frames, stride, target_fps) == span


@pytest.mark.parametrize(
    ("num_frames", "i", "num_clips", "use_offset", "expected"),
    [
        (24, 0, 2, False, [0, 4, 9, 14]),
        (24, 1, 2, False, [4, 9, 13, 18]),  # start 4.5
        (24, 0, 1, False, [0, 4, 9, 14]),
        (24, 0, 1, True, [4, 8, 13, 18]),
        (24, 2, 3, True, [8, 12, 17, 22]),
        (8, 1, 2, False, [0, 4, 7, 7]),  # shorter than the clip: clamped
        (1, 0, 1, True, [0, 0, 0, 0]),
    ],
)
def test_test_clips_lie_where_the_formulas_put_them(num_frames, i, num_clips, use_offset, expected):
    assert sampling.test_span(source(num_frames), 4, 5, 0, i, num_clips, use_offset).tolist() == expected


def test_training_clips_start_anywhere_in_the_video():
    starts = [sampling.train_span(rng, source(100), 4, (5, 5), 0)[0] for rng in generators()]
    assert min(starts) < 5
    assert 80 <= max(starts) <= 85
    assert 35 < np.mean(starts) < 50


def test_training_strides_are_drawn_from_all_integers_of_the_range():
    spans = [np.ptp(sampling.train_span(rng, source(1000), 2, (2, 8), 0)) for rng in generators()]
    assert set(spans) == {1, 2, 3, 4, 5, 6, 7}


def test_a_stride_without_choice_leaves_the_other_draws_as_they_are():
    for lowest, highest in ((4, 4), (2, 8)):
        rng = sampling.rng_for(0, 0, 0)
        sampling.train_span(rng, source(100), 8, (lowest, highest), 30)
        after = rng.random()
        rng = sampling.rng_for(0, 0, 0)
        assert rng.random(3)[2] == after


@pytest.mark.parametrize(
    ("num_frames", "i", "num_clips", "expected"),
    [
        (20, 0, 3, [0, 2, 4, 6]),
        (20, 1, 3, [6, 8, 10, 12]),  # round(6.5), half to even
        (20, 2, 3, [13, 15, 17, 19]),
        (20, 0, 1, [6, 8, 10, 12]),
        (5, 0, 1, [0, 2, 4, 4]),
        (5, 9, 10, [0, 2, 4, 4]),
    ],
)
def test_frame_list_clips_lie_where_the_formulas_put_them(num_frames, i, num_clips, expected):
    assert sampling.frame_list_test_span(num_frames, 4, 2, i, num_clips).tolist() == expected


def test_frame_list_training_clips_use_every_start():
    clips = [sampling.frame_list_train_span(rng, 10, 4, (2, 2)) for rng in generators()]
    assert {int(clip[0]) for clip in clips} == {0, 1, 2, 3}
    assert all((np.diff(clip) == 2).all() for clip in clips)


def test_frame_list_training_clips_of_a_short_video_may_begin_before_it():
    clips = {tuple(sampling.frame_list_train_span(rng, 3, 3, (2, 2)).tolist()) for rng in generators()}
    assert clips == {(0, 2, 2), (0, 1, 2), (0, 0, 2)}


@pytest.mark.parametrize(
    ("num_frames", "frames", "expected"),
    [
        (9, 4, [1, 3, 5, 7]),
        (8, 4, [1, 3, 4, 6]),  # ends 0, 2, 4, 5, 7: halves are rounded to even
        (1, 4, [0, 0, 0, 0]),
        (3, 4, [0, 0, 1, 2]),
    ],
)
def test_segments_show_their_middle_frame(num_frames, frames, expected):
    ends = sampling._segment_ends(num_frames, frames)
    assert ends[0] == 0
    assert ends[-1] == num_frames - 1
    assert sampling.segments_middle(num_frames, frames).tolist() == expected


def test_segments_in_training_show_any_of_their_frames_with_both_ends():
    drawn = np.stack([sampling.segments_train(rng, 9, 4) for rng in generators()])
    assert [set(column.tolist()) for column in drawn.T] == [{0, 1, 2}, {2, 3, 4}, {4, 5, 6}, {6, 7, 8}]


@pytest.mark.parametrize(
    ("height", "width", "short", "expected"),
    [(240, 320, 120, (120, 160)), (320, 240, 121, (161, 121)), (100, 100, 64, (64, 64)), (49, 65, 49, (49, 65))],
)
def test_resizing_keeps_the_aspect_and_floors_the_long_side(height, width, short, expected):
    assert resized_size(height, width, short) == expected


def test_random_crops_reach_every_border_and_every_scale():
    choices = [sampling.draw_spatial(rng, 40, 60, (20, 30), 16) for rng in generators(2000)]
    assert {c.short_side for c in choices} == set(range(20, 31))
    smallest = [c for c in choices if c.short_side == 20]
    assert {c.y for c in smallest} == {0, 1, 2, 3, 4}
    assert {c.x for c in smallest} == set(range(15))
    assert 0.45 < np.mean([c.flip for c in choices]) < 0.55


def test_no_flip_is_drawn_where_none_is_wanted_and_the_crop_stays():
    with_flip = sampling.draw_spatial(sampling.rng_for(0, 0, 1), 40, 60, (20, 30), 16, True)
    without = sampling.draw_spatial(sampling.rng_for(0, 0, 1), 40, 60, (20, 30), 16, False)
    assert not without.flip
    assert (with_flip.y, with_flip.x, with_flip.short_side) == (without.y, without.x, without.short_side)


def test_inverse_uniform_scales_have_a_uniform_reciprocal():
    drawn = [sampling.draw_spatial(rng, 400, 400, (256, 320), 224, inverse_uniform=True) for rng in generators(2000)]
    mean = np.mean([1 / choice.short_side for choice in drawn])
    assert abs(mean - (1 / 256 + 1 / 320) / 2) < 1e-5
    assert min(c.short_side for c in drawn) >= 256
    assert max(c.short_side for c in drawn) <= 320


@pytest.mark.parametrize(
    ("height", "width", "places"),
    [(40, 61, [(0, 0), (0, 11), (0, 21)]), (61, 40, [(0, 0), (11, 0), (21, 0)])],
)
def test_three_crops_cover_the_long_side(height, width, places):
    crops = sampling.test_crops(height, width, 40, 3)
    assert [(c.y, c.x) for c in crops] == places
    assert all(c.short_side == c.crop == 40 and not c.flip for c in crops)
    assert sampling.test_crops(height, width, 40, 1) == [crops[1]]


def test_the_centre_crop_rounds_up():
    assert sampling.centre_crop(50, 70, 45, 40) == sampling.SpatialChoice(45, 40, 3, 12)


def test_a_crop_that_does_not_fit_is_refused_with_its_mend():
    with pytest.raises(ValueError, match=r"crop of 64 px.*short side is resized to 50 px: raise DATA\."):
        sampling.centre_crop(50, 70, 50, 64)


def test_a_crop_is_cut_and_then_mirrored():
    frames = np.arange(2 * 6 * 8 * 3, dtype=np.uint8).reshape(2, 6, 8, 3)
    choice = sampling.SpatialChoice(6, 4, 1, 3, flip=True)
    clip = apply_crop_flip(frames, choice)
    assert (clip == frames[:, 1:5, 3:7][:, :, ::-1]).all()
    assert clip.base is not None  # a view, no copy
