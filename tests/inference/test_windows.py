"""Predictions over the time of a video."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch

from slowfast.datasets.spatial import Window, resize_part
from slowfast.datasets.video import open_video
from slowfast.errors import UserError
from slowfast.inference import VideoModel
from slowfast.inference.parts import OnePass, Part, parts
from tests.inference.conftest import NAMES
from tests.videos import read_numbers, write_video


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A video of 10 seconds, whose frames bear their numbers."""
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", 250, size=(64, 64), fps=25)


@pytest.fixture
def seen(model):
    """A model whose scores are of no meaning, and the numbers of the frames of all clips that it gets."""
    spy, clips = VideoModel(model.net, model.cfg, NAMES, torch.device("cpu")), []

    def scores(batch):
        clips.extend(batch)
        return torch.zeros(len(batch), 3)

    spy.scores = scores
    return spy, clips


def spans(windows):
    return [(round(one.start_sec, 3), round(one.end_sec, 3)) for one in windows]


def test_windows_begin_every_step_and_the_last_one_ends_with_the_video(seen, long):
    model, _ = seen
    assert spans(model.windows(long, 4, 2)) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert spans(model.windows(long, 4)) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert spans(model.windows(long, 4, 5)) == [(0, 4), (5, 9), (6, 10)]
    assert spans(model.windows(long, 60)) == [(0, 10)]
    assert spans(model.windows(long, 3, 4)) == [(0, 3), (4, 7), (7, 10)]


def test_every_window_sees_its_own_frames_and_all_of_it(seen, long):
    model, clips = seen
    windows = list(model.windows(long, 2, 1))
    assert len(clips) == len(windows) * 4 * 3  # a clip spans 0.53 s
    for window, views in zip(windows, np.split(np.arange(len(clips)), len(windows)), strict=True):
        numbers = [read_numbers(clips[view]) for view in views[1::3]]  # the crops in the center
        low, high = window.start_sec * 25, window.end_sec * 25
        assert all(low <= number < high for clip in numbers for number in clip)
        assert numbers[0][0] == low
        assert numbers[-1][-1] >= high - 12
        assert all(first[-1] - second[0] < 6 for first, second in pairwise(numbers))


def test_a_window_has_the_scores_of_the_part_as_a_video(model, long, tmp_path):
    with open_video(long) as video:
        frames = video.read(range(100, 150))
    part = write_video(tmp_path / "part.mp4", frames=frames, fps=25, options={"crf": "1"})
    (window,) = [one for one in model.windows(long, 2, 2, views=2) if one.start_sec == 4]
    torch.testing.assert_close(window.prediction.scores, model.predict(part, views=2).scores, rtol=0.02, atol=0.02)


def test_the_frames_of_one_pass_are_those_of_single_reads(model, long):
    dataset = model.dataset([str(long)])
    size, window = (40, 40), Window(3, 5, 30, 35)
    with dataset.locate(0) as source, open_video(long) as video:
        frames = OnePass(source)
        for first in (0, 10, 10, 37, 200):
            wanted = [first, first + 9, first + 9, first + 4]
            assert np.array_equal(frames.read(wanted, size, window), video.read(wanted, size[::-1], window))
        part = Part(frames, 210, 40)
        assert np.array_equal(part.read([3, 39], size, window), video.read([213, 249], size[::-1], window))
        assert np.array_equal(resize_part(video.read([213])[0], size, window), part.read([39, 3], size, window)[1])
        assert (part.size(0), part.start_sec, part.end_sec) == ((64, 64), 8.4, 10)


def test_memory_does_not_depend_on_the_length(seen, tmp_path):
    model, clips = seen
    peaks = []
    for number, frames in enumerate((100, 1500)):
        path = write_video(tmp_path / f"{number}.mp4", frames, size=(128, 96))
        tracemalloc.start()
        for _ in model.windows(path, 1):
            clips.clear()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    kept = 1400 * 42 * 32 * 3  # bytes of the frames of the longer video
    assert peaks[1] - peaks[0] < 0.25 * kept


class Frames:
    num_frames, fps = 100, 10.0


@pytest.mark.parametrize(("seconds", "step"), [(0.01, 1), (1, 0.01), (-1, 1), (1, 0), (np.nan, 1), (np.inf, 1)])
def test_times_that_no_frame_fits_in_are_refused(seconds, step):
    with pytest.raises(UserError, match=r"(window|step): .* s is not a time of at least a frame, 0.1 s"):
        list(parts(Frames(), seconds, step))


def test_steps_of_a_fraction_of_frames_do_not_drift():
    firsts = [part.first for part in parts(Frames(), 1, 1 / 3)]
    assert firsts[:7] == [0, 3, 7, 10, 13, 17, 20]
    assert firsts[-1] == 90
    assert len(firsts) == len(set(firsts)) == 28
