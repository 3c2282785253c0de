from types import SimpleNamespace

import numpy as np
import pytest

from slowfast.datasets.build import build_dataset
from slowfast.datasets.draws import rng_for
from slowfast.datasets.temporal import FrameSpan, Segments, TimedSpan
from slowfast.errors import UserError
from tests.datasets.data import small_cfg

JITTER = {"DATA__TRAIN_JITTER_FPS": 10.0}


def video(num_frames, fps=30.0):
    return SimpleNamespace(num_frames=num_frames, fps=fps)


def generators(count=300):
    return [rng_for(0, 0, number) for number in range(count)]


def test_the_generator_is_a_function_of_seed_epoch_video_and_view():
    draws = {rng_for(*key).random() for key in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]}
    assert len(draws) == 5
    assert rng_for(3, 2, 1).random() == rng_for(3, 2, 1, 0).random()


@pytest.mark.parametrize(
    ("frames", "stride", "target_fps", "fps", "span"),
    [
        (8, 8, 30, 30, 64),
        (8, 8, 30, 25, 64 / 30 * 25),  # a real number: 53.3
        (8, 8, 30, 60, 128),
        (1, 8, 30, 30, 8),
        (1, 1, 30, 10, 1),  # not less than a frame
        (16, 4, 0, 12.5, 64),
        (16, 4, -1, 0, 64),
        (32, 2, 30, 30, 64),
    ],
)
def test_a_clip_spans_as_many_strides_as_it_has_frames(frames, stride, target_fps, fps, span):
    assert TimedSpan(target_fps).span(video(300, fps), frames, stride) == span


@pytest.mark.parametrize(
    ("num_frames", "i", "num_clips", "use_offset", "expected"),
    [
        (25, 0, 2, False, [0, 6, 12, 19]),  # a span of 20 frames: 0, 6.33, 12.67, 19
        (25, 1, 2, False, [2, 8, 15, 21]),  # start 2.5
        (25, 0, 1, False, [0, 6, 12, 19]),
        (25, 0, 1, True, [2, 8, 14, 21]),  # start floor(5 / 2)
        (25, 1, 3, True, [2, 8, 14, 21]),
        (25, 2, 3, True, [4, 10, 16, 23]),
        (8, 1, 2, False, [0, 6, 7, 7]),  # shorter than the clip: clamped
        (1, 0, 1, True, [0, 0, 0, 0]),
    ],
)
def test_test_clips_are_at_the_positions_of_the_formulas(num_frames, i, num_clips, use_offset, expected):
    assert TimedSpan(0, use_offset).view(video(num_frames), 4, 5, i, num_clips).tolist() == expected


@pytest.mark.parametrize(
    ("frames", "stride", "expected"),
    [(8, 8, [0, 9, 18, 27, 36, 45, 54, 63]), (4, 16, [0, 21, 42, 63])],
)
def test_the_first_clip_of_published_recipes_shows_the_published_frames(frames, stride, expected):
    assert TimedSpan().view(video(300), frames, stride, 0, 10).tolist() == expected


def test_indices_are_truncated_in_single_precision_as_published():
    assert TimedSpan().view(video(71), 16, 4, 3, 5)[14] == 62  # 4.2 + 14 * 4.2 = 63 in exact arithmetic


def test_a_span_of_another_frame_rate_leaves_a_real_start():
    # span 53.33, so delta 46.67: starts 0, 23.33 and, with offsets, floor(46.67 / 2)
    assert TimedSpan().view(video(100, 25), 2, 32, 1, 2).tolist() == [23, 75]
    assert TimedSpan(use_offset=True).view(video(100, 25), 2, 32, 1, 3).tolist() == [23, 75]
    assert TimedSpan().middle(video(100, 25), 2, 32).tolist() == [23, 75]


def test_training_clips_start_anywhere_in_the_video():
    starts = [TimedSpan(0).draw(rng, video(100), 4, (5, 5))[0] for rng in generators()]
    assert min(starts) < 5
    assert 75 <= max(starts) <= 80
    assert 35 < np.mean(starts) < 45


def test_training_strides_are_drawn_from_all_integers_of_the_range():
    spans = [np.ptp(TimedSpan(0).draw(rng, video(1000), 2, (2, 8))) for rng in generators()]
    assert set(spans) == {3, 5, 7, 9, 11, 13, 15}  # two strides, less one frame


def test_a_fixed_stride_does_not_change_the_other_draws():
    for lowest, highest in ((4, 4), (2, 8)):
        rng = rng_for(0, 0, 0)
        TimedSpan(30).draw(rng, video(100), 8, (lowest, highest))
        after = rng.random()
        rng = rng_for(0, 0, 0)
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
def test_frame_list_clips_are_at_the_positions_of_the_formulas(num_frames, i, num_clips, expected):
    assert FrameSpan().view(video(num_frames), 4, 2, i, num_clips).tolist() == expected


def test_frame_list_training_clips_use_every_start():
    clips = [FrameSpan().draw(rng, video(10), 4, (2, 2)) for rng in generators()]
    assert {int(clip[0]) for clip in clips} == {0, 1, 2, 3}
    assert all((np.diff(clip) == 2).all() for clip in clips)


def test_frame_list_training_clips_of_a_short_video_may_begin_before_it():
    clips = {tuple(FrameSpan().draw(rng, video(3), 3, (2, 2)).tolist()) for rng in generators()}
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
    assert Segments().middle(video(num_frames), frames, 1).tolist() == expected
    assert Segments().view(video(num_frames), frames, 1, 1, 3).tolist() == expected


def test_segments_in_training_show_any_of_their_frames_with_both_ends():
    drawn = np.stack([Segments().draw(rng, video(9), 4, (1, 1)) for rng in generators()])
    assert [set(column.tolist()) for column in drawn.T] == [{0, 1, 2}, {2, 3, 4}, {4, 5, 6}, {6, 7, 8}]


def test_a_jittered_rate_shortens_training_clips_by_up_to_its_share_and_no_others():
    jittered, plain = TimedSpan(20, jitter_fps=20), TimedSpan(20)
    spans = [np.ptp(jittered.draw(rng, video(500, 40), 11, (5, 5))) for rng in generators()]
    assert (min(spans), max(spans)) == (pytest.approx(54, abs=2), pytest.approx(109, abs=2))
    assert jittered.middle(video(500, 40), 11, 5).tolist() == plain.middle(video(500, 40), 11, 5).tolist()
    assert jittered.view(video(500, 40), 11, 5, 2, 4).tolist() == plain.view(video(500, 40), 11, 5, 2, 4).tolist()


def test_a_jitter_of_the_rate_of_the_file_is_an_error(kinetics_dir):
    assert build_dataset("kinetics", small_cfg(kinetics_dir, **JITTER), "train").time.jitter_fps == 10
    with pytest.raises(UserError, match="DATA.TRAIN_JITTER_FPS: 10 is added to DATA.TARGET_FPS, which is 0, the rate"):
        build_dataset("kinetics", small_cfg(kinetics_dir, **JITTER, DATA__TARGET_FPS=0), "train")
