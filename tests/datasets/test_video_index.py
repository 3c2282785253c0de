"""The index of a data set: videos in it are read without FFmpeg's demuxer, and give the same frames."""

import logging
import os
import pickle
import runpy
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slowfast.datasets.build import build_dataset
from slowfast.datasets.files import walk_videos
from slowfast.datasets.media import VideoFiles, use_store
from slowfast.datasets.scan import scan, videos_of_list
from slowfast.datasets.video import (
    Limits,
    VideoError,
    check_video,
    examine_video,
    index_writer,
    open_index,
    open_video,
)
from slowfast.datasets.video.index_file import NAME
from slowfast.multigrid.sampler import ClipIndex
from tests.damaged_videos import damaged_files
from tests.datasets.data import small_cfg, write_list
from tests.datasets.test_known_videos import opened, settled  # noqa: F401
from tests.datasets.test_prepared import make_store, read_all
from tests.datasets.test_video import FILES, plain_decode, write
from tests.videos import numbered_frame, read_numbers, write_video

ROOT = Path(__file__).parents[2]
LEFT_OUT = {".ts", ".avi", ".h264", ".mpg"}  # their packets have no places or no times


def build_index(folder, paths=None, workers=1):
    """Index videos, by default all below the folder, and return the index; the errors of bad ones are ignored."""
    source = str(folder)
    if paths:
        source = str(write_list(folder / "list.csv", [f"{path} 0" for path in paths]))
    with index_writer(str(folder)) as index:
        list(scan(videos_of_list(source).resumed(), workers, index))
    return open_index(str(folder))


def numbers(path, wanted, index, **limits):
    with open_video(path, Limits(**limits), index=index) as video:
        return read_numbers(video.read(wanted))


@pytest.fixture
def one(tmp_path):
    """A folder with a video and its index."""
    settled(write_video(tmp_path / "v.mp4", 20))
    build_index(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_frames_by_the_index_are_those_of_a_plain_decode(tmp_path, name, opened):  # noqa: F811
    path = settled(write(tmp_path, name))
    with open_video(path) as video:
        facts = video.num_frames, video.fps, video.height, video.width
    index = build_index(tmp_path, [path])
    expected = plain_decode(path, FILES[name].get("rotation", 0) // 90)
    rng = np.random.default_rng(0)
    opened.clear()
    with open_video(path, index=index) as video:
        assert (video.num_frames, video.fps, video.height, video.width) == facts
        for size in (1, 2, 3, 5, 8, 40):
            wanted = rng.integers(0, len(expected), size)
            assert (video.read(wanted) == expected[wanted]).all()
        assert (video.read(range(len(expected))) == expected).all()
    is_left_out = Path(name).suffix in LEFT_OUT or name.startswith(("vp8", "av1", "mpeg4", "early", "rotated"))
    assert (index is None) == is_left_out
    assert bool(opened) == is_left_out


def test_damaged_videos_give_the_same_frames_and_errors_with_an_index(tmp_path):
    (tmp_path / "kept").mkdir()
    for number, file in enumerate(damaged_files(tmp_path, 60, 5)):
        settled(file.path.rename(tmp_path / "kept" / f"{number:03}{file.path.suffix}"))
    errors = {path: check_video(path) for path in walk_videos(str(tmp_path / "kept"))}
    with index_writer(str(tmp_path)) as writer:
        assert dict(scan(videos_of_list(str(tmp_path / "kept")), 1, writer)) == errors
    index = open_index(str(tmp_path))
    good = [path for path, error in errors.items() if not error]
    assert 3 < len(index) < len(good)
    for path in good:
        with open_video(path) as unknown, open_video(path, index=index) as known:
            wanted = range(0, unknown.num_frames, 2)
            assert (known.num_frames, known.fps) == (unknown.num_frames, unknown.fps)
            assert (known.read(wanted) == unknown.read(wanted)).all()


def test_a_changed_video_is_read_as_it_is(one, opened):  # noqa: F811
    path, index = one / "v.mp4", open_index(str(one))
    opened.clear()
    assert numbers(path, [3, 7], index) == [3, 7]
    assert not opened
    settled(write_video(path, frames=[numbered_frame(100 + i) for i in range(20)]), seconds=1)
    assert numbers(path, [3, 7], index) == [103, 107]
    assert opened


def test_a_folder_may_be_moved_with_its_videos(one, tmp_path, opened):  # noqa: F811
    moved = (tmp_path / "v.mp4").parent.rename(tmp_path.parent / "moved")
    opened.clear()
    assert numbers(moved / "v.mp4", [3], open_index(str(moved))) == [3]
    assert not opened


def test_worker_processes_map_the_same_file(one):
    index = pickle.loads(pickle.dumps(open_index(str(one))))
    assert len(index) == 1
    assert numbers(one / "v.mp4", [5], index) == [5]
    (one / NAME).unlink()
    assert pickle.loads(pickle.dumps(index)) is None


def test_a_data_set_reads_by_the_index_beside_its_lists(one, opened):  # noqa: F811
    write_list(one / "train.csv", [f"{one}/v.mp4 0"])
    dataset = build_dataset("kinetics", small_cfg(one), "train")
    opened.clear()
    assert dataset[ClipIndex(0, 0, 4, 32)]["bad"] == ""
    assert not opened


def test_an_index_grows_and_is_resumed_after_an_interruption(tmp_path):
    for name in "abc":
        settled(write_video(tmp_path / f"{name}.mp4", 5))
    with suppress(KeyboardInterrupt), index_writer(str(tmp_path)) as index:
        for path, _ in scan(videos_of_list(str(tmp_path)), 1, index):
            if path.endswith("b.mp4"):
                raise KeyboardInterrupt
    assert len(open_index(str(tmp_path))) == 2
    assert len(build_index(tmp_path, [tmp_path / "c.mp4"], workers=2)) == 3
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4", "c.mp4", "list.csv", NAME]
    settled(write_video(tmp_path / "b.mp4", 7), seconds=1)
    index = build_index(tmp_path)
    assert len(index) == 3
    with open_video(tmp_path / "b.mp4", index=index) as video:
        assert video.num_frames == 7


def test_nothing_is_written_for_no_video(tmp_path):
    settled(write_video(tmp_path / "v.avi", 5, codec="mpeg4"))
    assert build_index(tmp_path) is None
    assert os.listdir(tmp_path) == ["v.avi"]


def test_the_index_of_a_read_only_folder_is_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    settled(write_video(tmp_path / "data" / "v.mp4", 5))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert len(build_index(tmp_path / "data")) == 1
    assert os.listdir(tmp_path / "data") == ["v.mp4"]
    assert len(os.listdir(tmp_path / "cache" / "slowfast")) == 1


@pytest.mark.parametrize("part", ["version", "length", "keys"])
def test_an_index_of_another_version_or_cut_off_is_ignored_with_a_line_in_the_log(one, caplog, part):
    path = one / NAME
    data = bytearray(path.read_bytes())
    changes = {"version": (slice(0, 8), b"another "), "length": (slice(len(data) - 1, None), b"")}
    place, new = changes.get(part, (slice(96, 104), struct.pack("<Q", 2**62)))
    data[place] = new
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert open_index(str(one)) is None
    assert len(caplog.records) == 1
    assert "is not used: it is" in caplog.text
    assert "slowfast check" in caplog.text
    path.write_bytes(b"")
    assert open_index(str(one)) is None
    assert len(build_index(one)) == 1


def test_an_index_with_any_damage_gives_the_frames_or_nothing(one):
    whole = (one / NAME).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        (one / NAME).write_bytes(data)
        assert numbers(one / "v.mp4", [0, 5, 19], open_index(str(one))) == [0, 5, 19]


@pytest.mark.parametrize("seed", range(2))
def test_a_forged_index_is_refused_or_gives_a_video_error(one, seed):
    """Its checksums are right and its content is not, as somebody may have made it on purpose."""
    path, rng = one / "v.mp4", np.random.default_rng(seed)
    examined = examine_video(str(path))
    for _ in range(100):
        video = forged(examined.video, rng)
        (one / NAME).unlink(missing_ok=True)
        with index_writer(str(one)) as index:
            index.add(str(path), examined.stamp, video)
        try:
            with open_video(path, Limits(pixels=10_000), index=open_index(str(one))) as opened:
                assert opened.read([0, opened.num_frames - 1]).shape[0] == 2
        except VideoError:
            pass


def forged(video, rng):
    """Return what is known of a video with something made up."""
    count = len(video.times)
    wild = rng.choice([0, 1, count, 2**31 - 1, int(rng.integers(2**31))])
    arrays = ["times", "offsets", "lengths", "flags"]
    name = str(rng.choice([*arrays, "parameters", "rate", "seconds", "size"]))
    if name in arrays:
        column = getattr(video, name).copy()
        column[rng.integers(count)] = wild % np.iinfo(column.dtype).max
        return replace(video, **{name: rng.permutation(column) if rng.random() < 0.3 else column})
    if name == "parameters":
        values = list(video.parameters)
        place = int(rng.integers(len(values)))
        values[place] = bytes(rng.integers(0, 256, 40, np.uint8)) if place == 0 else [int(wild), "x", None][wild % 3]
        return replace(video, parameters=tuple(values))
    return replace(video, **{name: (int(wild), 48) if name == "size" else float(rng.choice([np.nan, -1, wild]))})


def test_the_tool_builds_the_index_and_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settled(write_video(tmp_path / "a.mp4", 5))
    settled(write_video(tmp_path / "b.avi", 5, codec="mpeg4"))
    (tmp_path / "list.csv").write_text("a.mp4 1\nb.avi 2\n")
    main = runpy.run_path(str(ROOT / "tools" / "check_videos.py"))["main"]
    assert main(["list.csv", "--workers", "1", "--no-index"]) == 0
    assert not (tmp_path / NAME).exists()
    for words in ([], ["--again"], []):
        assert main(["list.csv", "--workers", "1", *words]) == 0
        assert f"1 videos are in the index ./{NAME}" in capsys.readouterr().out
        assert len(open_index(".")) == 1


def test_prepared_videos_have_an_index_of_their_own(tmp_path, opened):  # noqa: F811
    source = str(settled(write_video(tmp_path / "v.mp4", 20)))
    make_store(tmp_path / "store", [source])
    for path in walk_videos(str(tmp_path / "store")):
        settled(path)
    build_index(tmp_path / "store")
    files = use_store(VideoFiles([source]), str(tmp_path / "store"))
    opened.clear()
    read_all(files, (24, 32))
    assert not opened
