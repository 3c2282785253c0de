"""Videos that were opened before are read without FFmpeg's demuxer, and give the same frames."""

import os
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest

from slowfast.datasets.video import Limits, VideoError, open_video
from tests.damaged_videos import damaged_files, examine_all
from tests.datasets.test_video import FILES, plain_decode, write
from tests.videos import numbered_frame, read_numbers, write_video

KNOWN = {"b_frames.mp4", "h264.mov", "open_gop.mp4", "interlaced.mp4", "gradual_refresh.mp4", "uneven.mp4"}
KNOWN |= {"late_start.mp4", "with_sound.mp4", "one_frame.mp4"}


def settled(path, seconds=0):
    """Make a file old: one that has just been written may still change."""
    os.utime(path, (1e9 + seconds, 1e9 + seconds))
    return path


def numbers(path, wanted, **limits):
    with open_video(path, Limits(**limits)) as video:
        return read_numbers(video.read(wanted))


@pytest.fixture
def opened(monkeypatch):
    """The files that FFmpeg opens."""
    paths, real = [], av.open
    monkeypatch.setattr(av, "open", lambda path, *args, **options: paths.append(path) or real(path, *args, **options))
    return paths


@pytest.mark.parametrize("name", FILES)
def test_every_opening_gives_the_same_frames(tmp_path, name, opened):
    path = settled(write(tmp_path, name))
    expected = plain_decode(path, FILES[name].get("rotation", 0) // 90)
    rng = np.random.default_rng(0)
    rates = set()
    for _ in range(4):
        opened.clear()
        with open_video(path) as video:
            rates.add(video.fps)
            assert (video.num_frames, video.height, video.width) == expected.shape[:3]
            for size in (1, 2, 5, 40):
                wanted = rng.integers(0, len(expected), size)
                assert (video.read(wanted) == expected[wanted]).all()
    assert len(rates) == 1
    assert (not opened) == (name in KNOWN)


def test_a_file_that_has_just_been_written_is_opened_anew(tmp_path, opened):
    path = write(tmp_path, "b_frames.mp4")
    for _ in range(2):
        opened.clear()
        assert numbers(path, [3]) == [3]
        assert opened


def test_a_changed_file_is_opened_anew(tmp_path):
    path = settled(write_video(tmp_path / "v.mp4", 20))
    assert [numbers(path, [3, 7]) for _ in range(2)] == [[3, 7]] * 2
    settled(write_video(path, frames=[numbered_frame(100 + i) for i in range(20)]), seconds=1)
    assert [numbers(path, [3, 7]) for _ in range(2)] == [[103, 107]] * 2
    path.unlink()
    with pytest.raises(VideoError, match="no such file"):
        open_video(path)


def test_limits_hold_for_known_videos(tmp_path):
    path = settled(write_video(tmp_path / "v.mp4", 5))
    assert [numbers(path, [1]) for _ in range(2)] == [[1]] * 2
    with pytest.raises(VideoError, match=r"too large: 64x48, over DATA\.MAX_PIXELS 100"):
        open_video(path, Limits(pixels=100))


def test_videos_of_equal_parameters_may_be_open_at_once(tmp_path):
    paths = [
        settled(write_video(tmp_path / f"{start}.mp4", frames=map(numbered_frame, range(start, start + 20))))
        for start in (0, 100, 200)
    ]
    for _ in range(3):
        videos = [open_video(path) for path in paths]
        for wanted in ([2, 9], [0], [19, 3]):
            for number, video in enumerate(videos):
                assert read_numbers(video.read(wanted)) == [100 * number + i for i in wanted]
        for video in videos:
            video.close()


def test_threads_read_known_videos(tmp_path):
    path = settled(write_video(tmp_path / "v.mp4", 40, options={"g": "8"}))
    clips = [[i, i + 2, i + 4] for i in range(36)] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda wanted: numbers(path, wanted), clips)) == clips


def test_parameters_within_the_stream_are_left_to_ffmpeg(tmp_path, opened):
    path = write_video(tmp_path / "v.mp4", 20, options={"g": "5", "x264-params": "repeat-headers=1:threads=1"})
    with av.open(str(path)) as reader:
        in_stream = any(b"\x67" in bytes(packet)[:40] for packet in reader.demux(video=0))
    settled(path)
    for _ in range(2):
        opened.clear()
        assert numbers(path, [3, 12]) == [3, 12]
    assert bool(opened) == in_stream


def test_damaged_videos_that_were_opened_before_are_read_right_or_refused(tmp_path):
    def settled_files():
        for number, file in enumerate(damaged_files(tmp_path, 100, 3)):
            settled(file.path, number)
            yield file

    outcomes, wrong = examine_all(settled_files())
    assert not wrong
    assert min(outcomes["read"], outcomes["refused"], outcomes["concealed"]) > 10
