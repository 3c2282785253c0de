"""The check of the headers of validation and test videos before a run."""

import json
import os
import shutil

import pytest

from slowfast.datasets.build import build_dataset
from slowfast.engine.bad_videos import without_bad_headers
from slowfast.errors import UserError
from tests.datasets.data import frame_rows, small_cfg, write_frame_list, write_frames, write_list
from tests.videos import truncate, write_sound_only


@pytest.fixture
def mixed_dir(tmp_path, video_dir):
    """Good videos v0, v1, v2 of the classes 0, 1, 2, and a bad one before, between and after them."""
    for number in range(3):
        shutil.copy(video_dir / f"v{number}.mp4", tmp_path)
    (tmp_path / "empty.mp4").touch()
    truncate(shutil.copy(video_dir / "v3.mp4", tmp_path / "cut.mp4"), 0.3)
    write_sound_only(tmp_path / "sound.mp4")
    names = ["empty.mp4 2", "v0.mp4 0", "v1.mp4 1", "cut.mp4 0", "v2.mp4 2", "sound.mp4 1", "missing.mp4 1"]
    for split in ("train", "val", "test"):
        write_list(tmp_path / f"{split}.csv", names)
    return tmp_path


def readable(folder, split="val", **changes):
    cfg = small_cfg(folder, OUTPUT_DIR=str(folder / "out"), **changes)
    return without_bad_headers(build_dataset(cfg.TEST.DATASET, cfg, split), cfg)


def listed(folder):
    lines = (folder / "out" / "bad_videos.csv").read_text().splitlines()
    return [os.path.basename(line.split(",")[0]) for line in lines]


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("split", ["val", "test"])
def test_bad_videos_are_left_out_and_the_others_keep_their_paths_and_labels(mixed_dir, split, workers):
    data = readable(mixed_dir, split, DATA_LOADER__NUM_WORKERS=workers)
    assert [os.path.basename(data.path_of(video)) for video in range(len(data))] == ["v0.mp4", "v1.mp4", "v2.mp4"]
    assert data.labels.tolist() == [0, 1, 2]
    assert [(sample["video"], int(sample["label"]), sample["bad"]) for sample in map(data.__getitem__, range(3))] == [
        (0, 0, ""),
        (1, 1, ""),
        (2, 2, ""),
    ]
    assert listed(mixed_dir) == ["path", "empty.mp4", "cut.mp4", "sound.mp4", "missing.mp4"]


def test_every_bad_video_is_listed_once_however_often_headers_are_checked(mixed_dir):
    for split in ("val", "test", "val"):
        readable(mixed_dir, split)
    assert len(listed(mixed_dir)) == 5


def test_a_video_that_changes_is_checked_again_and_one_that_is_repaired_comes_back(mixed_dir, video_dir):
    readable(mixed_dir)
    truncate(mixed_dir / "v1.mp4", 0.3)
    shutil.copy(video_dir / "v4.mp4", mixed_dir / "cut.mp4")
    data = readable(mixed_dir)
    assert [os.path.basename(data.path_of(video)) for video in range(len(data))] == ["v0.mp4", "cut.mp4", "v2.mp4"]


def test_good_videos_are_not_opened_again_and_a_damaged_memory_of_them_is_ignored(mixed_dir):
    readable(mixed_dir)
    memory = mixed_dir / "out" / "checked_headers.json"
    stamps = json.loads(memory.read_text())
    assert sorted(map(os.path.basename, stamps)) == ["v0.mp4", "v1.mp4", "v2.mp4"]
    missing = os.stat(mixed_dir / "empty.mp4")
    stamps[str(mixed_dir / "empty.mp4")] = [missing.st_size, missing.st_mtime_ns]
    memory.write_text(json.dumps(stamps))
    assert len(readable(mixed_dir)) == 4  # as remembered
    memory.write_text(memory.read_text()[:30])
    assert len(readable(mixed_dir)) == 3


def test_bad_videos_are_an_error_on_request(mixed_dir):
    with pytest.raises(UserError, match="4 of 7 videos of val .*SKIP_BAD_VIDEOS is False: .*empty.mp4: the file is"):
        readable(mixed_dir, TEST__SKIP_BAD_VIDEOS=False)


def test_it_is_an_error_if_no_video_is_left(mixed_dir):
    with pytest.raises(UserError, match="none of the 7 videos can be read: .*no such file; .*DATA.PATH_PREFIX"):
        readable(mixed_dir, DATA__PATH_PREFIX="/nowhere")


def test_names_that_are_not_utf8_and_control_characters_are_one_line_in_the_list(tmp_path, video_dir):
    names = [b"caf\xe9.mp4", b"a\tb.mp4", b"good\xff.mp4"]
    for name, content in zip(names, (b"", b"text", (video_dir / "v0.mp4").read_bytes()), strict=True):
        (tmp_path / os.fsdecode(name)).write_bytes(content)
    (tmp_path / "val.csv").write_bytes(b"".join(name + b",0\n" for name in names))
    for _ in range(2):
        data = readable(tmp_path, DATA__PATH_LABEL_SEPARATOR=",")
        assert os.fsencode(data.path_of(0)).endswith(b"good\xff.mp4")
    assert listed(tmp_path) == ["path", "caf\\xe9.mp4", "a\\tb.mp4"]


def test_a_video_of_images_lacks_its_first_or_last_image(tmp_path):
    rows = []
    for number, video in enumerate("ABC"):
        names = write_frames(tmp_path, video, 6)
        rows += frame_rows(video, number, names, ["1"] * 6)
        if number:
            (tmp_path / names[{1: 0, 2: -1}[number]]).unlink()
    for split in ("train", "val"):
        write_frame_list(tmp_path / f"{split}.csv", rows)
    data = readable(tmp_path, TEST__DATASET="charades", DATA__MULTI_LABEL=True, DATA__PATH_PREFIX=str(tmp_path))
    assert [data.path_of(video) for video in range(len(data))] == [str(tmp_path / "A")]
    assert data.labels.tolist() == [[0, 1, 0]]
