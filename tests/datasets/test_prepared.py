"""Prepared videos: frame i of a copy is frame i of its source, and clips are the same within what encoding loses."""

import json
import logging
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from slowfast.datasets import media, prepare
from slowfast.datasets.build import build_dataset
from slowfast.datasets.interfaces import Medium
from slowfast.datasets.ladder import levels_of
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.media import ListedCount, VideoFiles, use_store
from slowfast.datasets.prepare import Preparation, prepare_all, prepared_entries, start_store
from slowfast.datasets.prepared import copy_path, read_index
from slowfast.datasets.spatial import Window
from slowfast.datasets.video import DEFAULT_LIMITS, open_video
from slowfast.errors import UserError
from slowfast.multigrid.sampler import ClipIndex
from tests.datasets.data import frame_rows, small_cfg, write_frame_list, write_frames, write_list
from tests.videos import numbered_frame, read_numbers, truncate, write_video

LADDER = [24, 40]
UNEQUAL = [100 * i + 37 * (i % 3) for i in range(40)]  # times of a variable rate


def make_store(folder, paths, ladder=LADDER, workers=1):
    folder.mkdir(exist_ok=True)
    start_store(str(folder), ladder)
    job = Preparation(str(folder), ladder, DEFAULT_LIMITS)
    return list(prepare_all([os.path.abspath(path) for path in paths], job, workers))


def read_all(medium: Medium, size=None, video=0):
    """Return (number of frames, rate, size) of a video, and all of its frames."""
    with medium.open(video, DEFAULT_LIMITS) as frames:
        facts = frames.num_frames, frames.fps, frames.size(0)
        size = size or frames.size(0)
        return facts, frames.read(range(frames.num_frames), size, Window(0, 0, *size)).astype(np.float32)


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that are opened for reading frames, in order."""
    names = []

    def spy(path, **options):
        names.append(os.path.basename(path))
        return open_video(path, **options)

    monkeypatch.setattr(media, "open_video", spy)
    return names


@pytest.fixture
def store(tmp_path, video_dir):
    """A store of the six videos of the lists in `kinetics_dir`."""
    make_store(tmp_path / "store", sorted(video_dir.glob("*.mp4")))
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("variable_rate.mp4", {"pts": UNEQUAL}),
        ("variable_rate.mkv", {"pts": UNEQUAL}),
        ("late_start.mp4", {"pts": [5000 + 100 * i for i in range(40)]}),
        ("many_b_frames.mp4", {"options": {"x264-params": "threads=1:bframes=8:b-adapt=0:open-gop=1:keyint=20"}}),
        ("turned.mp4", {"rotation": 90}),
        ("upside_down.mp4", {"rotation": 180}),
        ("odd.mp4", {"size": (81, 63), "pix_fmt": "yuv444p"}),
        ("portrait.mp4", {"size": (48, 64)}),
        ("oblong.mp4", {"options": {"aspect": "2.5"}}),
        ("full_range.mp4", {"pix_fmt": "yuvj420p"}),
        ("hd_colors.mp4", {"options": {"x264-params": "threads=1:colormatrix=bt709:colorprim=bt709:transfer=bt709"}}),
        ("gray.mp4", {"pix_fmt": "gray"}),
        ("ten_bits.mp4", {"pix_fmt": "yuv420p10le"}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("no_times.avi", {"codec": "mpeg4"}),
        ("stream.ts", {}),
        ("tiny.mp4", {"size": (16, 8)}),
        ("slow.mp4", {"fps": 1}),
        ("ntsc.mp4", {"fps": 30000 / 1001}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_frame_i_of_a_copy_is_frame_i_of_its_source(tmp_path, opened, name, options):
    path = write_video(tmp_path / name, 40, **options)
    raw = VideoFiles([str(path)])
    assert [outcome.error for outcome in make_store(tmp_path / "store", [path])] == [""]
    files = use_store(raw, str(tmp_path / "store"))
    facts, source = read_all(raw)
    for short_side in levels_of(LADDER, min(facts[2])):
        scale = short_side / min(facts[2])
        size = (round(facts[2][0] * scale), round(facts[2][1] * scale))
        same_facts, copy = read_all(files, size)
        assert same_facts == facts
        wanted = read_all(raw, size)[1]
        errors = np.abs(copy[:, None] - wanted[None]).mean(axis=(2, 3, 4))  # (copy, source)
        assert errors.argmin(axis=1).tolist() == list(range(len(source)))
        assert errors.diagonal().max() < 12
    copies = [file for file in opened if file != name]
    levels = levels_of(LADDER, min(facts[2]))
    assert all(file.endswith(f"_{level}.mp4") for file, level in zip(copies, levels, strict=True))


def test_colors_stay_as_they_are(tmp_path):
    """The mean of each channel, of pictures without edges, for which coarser color samples matter little."""
    colors = [(200, 60, 40), (40, 180, 70), (60, 50, 190), (128, 128, 128), (235, 235, 235), (20, 20, 20)]
    frames = [np.full((48, 64, 3), color, np.uint8) for color in colors]
    path = write_video(tmp_path / "v.mp4", frames=frames, options={"crf": "5"})
    make_store(tmp_path / "store", [path])
    raw = VideoFiles([str(path)])
    copy, source = (read_all(files, (24, 32))[1] for files in (use_store(raw, str(tmp_path / "store")), raw))
    assert np.abs(copy.mean(axis=(1, 2)) - source.mean(axis=(1, 2))).max() < 4


@pytest.mark.parametrize(
    ("short_side", "level"),
    [(16, 24), (24, 24), (25, 40), (40, 40), (41, None), (48, None)],
)
def test_a_clip_is_read_from_the_smallest_level_that_is_large_enough(video_dir, store, opened, short_side, level):
    path = str(video_dir / "v0.mp4")
    read_all(use_store(VideoFiles([path]), str(store)), (short_side, short_side * 4 // 3))
    assert opened == ["v0.mp4" if level is None else os.path.basename(copy_path(str(store), path, level))]


def test_the_level_of_the_own_size_serves_all_larger_clips(tmp_path, video_dir, opened):
    path = str(video_dir / "v0.mp4")  # 64 x 48 px
    make_store(tmp_path / "store", [path], [24, 80])
    read_all(use_store(VideoFiles([path]), str(tmp_path / "store")), (72, 96))
    assert opened == [os.path.basename(copy_path(str(tmp_path / "store"), path, 48))]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_samples_are_the_same_within_what_encoding_loses(tmp_path, kinetics_dir, video_dir, split):
    make_store(tmp_path / "store", sorted(video_dir.glob("*.mp4")), [24, 48])
    raw = build_dataset("kinetics", small_cfg(kinetics_dir), split)
    copies = build_dataset("kinetics", small_cfg(kinetics_dir, DATA__PREPARED_DIR=str(tmp_path / "store")), split)
    for index in range(len(raw)):
        clip = ClipIndex(index, 3, 4, 20) if split == "train" else index
        one, other = raw[clip], copies[clip]
        assert one["clip"].shape == other["clip"].shape
        assert one["label"] == other["label"]
        assert one["bad"] == other["bad"] == ""
        assert (one["clip"].float() - other["clip"].float()).abs().mean() < 12
        assert not one["clip"].equal(other["clip"])  # it does come from a copy


def test_worker_processes_give_the_same_batches(kinetics_dir, store):
    keys = {"DATA__PREPARED_DIR": str(store)}
    cfgs = [small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=workers, **keys) for workers in (0, 2)]
    batches = [list(construct_loader(cfg, "train")) for cfg in cfgs]
    assert len(batches[0]) == len(batches[1]) == 3
    assert all(one["clip"].equal(other["clip"]) for one, other in zip(*batches, strict=True))


def test_several_processes_write_the_same_store_as_one(tmp_path, video_dir, store):
    make_store(tmp_path / "other", sorted(video_dir.glob("*.mp4")), workers=2)
    one, other = ([replace(entry, num_bytes=0) for entry in read_index(str(f))] for f in (store, tmp_path / "other"))
    assert one == other
    assert len(one) == 6
    for path in store.rglob("*.mp4"):
        with open_video(path) as video, open_video(tmp_path / "other" / path.relative_to(store)) as same:
            difference = video.read(range(40)).astype(float) - same.read(range(40))
        assert np.abs(difference).mean() < 1  # x264's rate control is not the same to the last bit


def test_frames_counted_by_a_list_and_channels_in_the_order_bgr_work_as_before(video_dir, store):
    raw = VideoFiles([str(video_dir / "v0.mp4")], bgr=True, count=ListedCount([20]))
    facts, source = read_all(raw, (24, 32))
    same_facts, copy = read_all(use_store(raw, str(store)), (24, 32))
    assert facts == same_facts
    assert read_numbers(copy) == read_numbers(source) == list(range(0, 40, 2))
    assert np.abs(copy - source).mean() < 12


def test_a_store_may_be_moved(tmp_path, kinetics_dir, store, opened):
    shutil.move(store, tmp_path / "moved")
    build_dataset("kinetics", small_cfg(kinetics_dir, DATA__PREPARED_DIR=str(tmp_path / "moved")), "train")[0]
    assert opened[0].endswith("_40.mp4") or opened[0].endswith("_24.mp4")


def test_a_changed_source_and_one_that_is_not_in_the_store_are_read_themselves(tmp_path, kinetics_dir, caplog):
    paths = [write_video(tmp_path / f"{name}.mp4", 40) for name in ("same", "changed", "new")]
    make_store(tmp_path / "store", paths[:2])
    write_video(paths[1], frames=[numbered_frame(100 + i) for i in range(30)])
    files = use_store(VideoFiles([str(path) for path in paths]), str(tmp_path / "store"))
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "2 of 3 videos are read from their own files: 1 are not in" in warnings[0]
    assert "1 have changed" in warnings[0]
    assert read_numbers(read_all(files, (24, 32), 1)[1]) == list(range(100, 130))
    assert read_numbers(read_all(files, (24, 32), 2)[1]) == list(range(40))


@pytest.mark.parametrize(
    "damage", [os.remove, truncate, lambda path: write_video(path, 7)], ids=["gone", "cut", "other"]
)
def test_a_damaged_copy_is_reported_once_and_its_source_is_read(kinetics_dir, store, caplog, damage):
    dataset = build_dataset("kinetics", small_cfg(kinetics_dir, DATA__PREPARED_DIR=str(store)), "train")
    assert not caplog.records
    for path in list(store.rglob("*.mp4")):
        damage(path)
    raw = build_dataset("kinetics", small_cfg(kinetics_dir), "train")
    for index in range(len(raw)):
        assert dataset[index]["clip"].equal(raw[index]["clip"])
        assert dataset[index]["bad"] == ""
    assert len([record for record in caplog.records if "cannot be read" in record.getMessage()]) == 1


def test_an_interrupted_preparation_resumes(tmp_path, video_dir):
    folder, paths = tmp_path / "store", sorted(map(str, video_dir.glob("*.mp4")))
    folder.mkdir()
    start_store(str(folder), LADDER)
    outcomes = prepare_all(paths, Preparation(str(folder), LADDER, DEFAULT_LIMITS), 1)
    next(outcomes), next(outcomes)
    outcomes.close()
    with open(folder / "index.jsonl", "a") as index:
        index.write('{"path": "cut o')
    assert len(list(read_index(str(folder)))) == 2
    start_store(str(folder), LADDER)
    assert sorted(prepared_entries(str(folder))) == paths[:2]
    make_store(folder, paths[2:])
    assert sorted(prepared_entries(str(folder))) == paths
    assert not list(folder.rglob("*.part"))


def test_a_missing_copy_and_a_changed_source_are_prepared_again(tmp_path):
    paths = [str(write_video(tmp_path / f"{name}.mp4", 40)) for name in "abc"]
    folder = tmp_path / "store"
    make_store(folder, paths)
    os.remove(copy_path(str(folder), paths[0], 24))
    write_video(paths[1], 20)
    assert list(prepared_entries(str(folder))) == [paths[2]]
    make_store(folder, paths[:2])
    entries = prepared_entries(str(folder))
    assert [entries[path].num_frames for path in paths] == [40, 20, 40]
    assert read_all(use_store(VideoFiles(paths), str(folder)), (24, 32), 1)[0][0] == 20


def test_a_video_that_cannot_be_read_is_left_out(tmp_path):
    paths = [write_video(tmp_path / name, 40) for name in ("good.mp4", "bad.mp4")]
    truncate(paths[1])
    outcomes = make_store(tmp_path / "store", [*paths, tmp_path / "missing.mp4"])
    assert [bool(outcome.entry) for outcome in outcomes] == [True, False, False]
    assert "moov" in outcomes[1].error
    assert "no such file" in outcomes[2].error
    assert len(list(read_index(str(tmp_path / "store")))) == 1
    assert not list((tmp_path / "store").rglob("*.part"))


def test_a_copy_that_differs_from_its_source_is_not_kept(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 40)
    monkeypatch.setitem(prepare.ENCODER, "crf", "51")
    monkeypatch.setattr(prepare, "TOLERANCE", 0.1)
    (outcome,) = make_store(tmp_path / "store", [path])
    assert "differs" in outcome.error
    assert not list((tmp_path / "store").rglob("*.mp4*"))


def test_a_full_disk_is_an_error_that_leaves_no_part_of_a_copy(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 40)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare.os, "replace", fail)
    with pytest.raises(UserError, match="the disk is full; with more space, the same command resumes"):
        make_store(tmp_path / "store", [path])
    assert not list((tmp_path / "store").rglob("*.mp4*"))


def test_a_store_has_one_ladder(tmp_path, video_dir):
    make_store(tmp_path / "store", [video_dir / "v0.mp4"])
    with pytest.raises(UserError, match=r"levels': \[24, 40\].*asks for.*\[24\].*another folder"):
        start_store(str(tmp_path / "store"), [24])


def test_a_folder_that_is_not_a_store_is_an_error(tmp_path, kinetics_dir):
    with pytest.raises(UserError, match="not a store of prepared videos"):
        build_dataset("kinetics", small_cfg(kinetics_dir, DATA__PREPARED_DIR=str(tmp_path)), "train")


def test_a_damaged_index_is_an_error_with_its_line(kinetics_dir, store):
    index = store / "index.jsonl"
    lines = index.read_text().splitlines()
    lines[1] = json.dumps({"path": "x"})
    write_list(index, lines)
    with pytest.raises(UserError, match="index.jsonl, line 2"):
        build_dataset("kinetics", small_cfg(kinetics_dir, DATA__PREPARED_DIR=str(store)), "train")


def test_lists_of_images_have_no_prepared_videos(tmp_path, store):
    write_frame_list(tmp_path / "train.csv", frame_rows("a", 0, write_frames(tmp_path, "a", 3)))
    keys = {"DATA__PATH_PREFIX": str(tmp_path), "DATA__PREPARED_DIR": str(store), "DATA__MULTI_LABEL": True}
    with pytest.raises(UserError, match=r"DATA\.PREPARED_DIR.*not of video files"):
        build_dataset("charades", small_cfg(tmp_path, **keys), "train")
