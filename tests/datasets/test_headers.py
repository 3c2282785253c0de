"""The check of the headers of validation and test videos before a run."""

import json
import os
import shutil

import pytest

from slowfast.datasets.build import build_dataset
from slowfast.engine.bad_videos import with_checked_headers
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


def checked(folder, split="val", **changes):
    cfg = small_cfg(folder, OUTPUT_DIR=str(folder / "out"), **changes)
    return with_checked_headers(build_dataset(cfg.TEST.DATASET, cfg, split), cfg)


def remembered(folder):
    """The names of the files that the next check will not open."""
    stamps = json.loads((folder / "out" / "checked_headers.json").read_text())
    return sorted(map(os.path.basename, stamps))


def listed(folder):
    lines = (folder / "out" / "bad_videos.csv").read_text().splitlines()
    return [os.path.basename(line.split(",")[0]) for line in lines]


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("split", ["val", "test"])
def test_bad_videos_are_listed_and_marked_and_all_keep_their_places(mixed_dir, split, workers):
    data = checked(mixed_dir, split, DATA_LOADER__NUM_WORKERS=workers)
    samples = [data[video] for video in range(len(data))]
    assert [int(sample["label"]) for sample in samples] == [2, 0, 1, 0, 2, 1, 1]
    assert [bool(sample["bad"]) for sample in samples] == [True, False, False, True, False, True, True]
    assert listed(mixed_dir) == ["path", "empty.mp4", "cut.mp4", "sound.mp4", "missing.mp4"]


def test_every_bad_video_is_listed_once_however_often_headers_are_checked(mixed_dir):
    for split in ("val", "test", "val"):
        checked(mixed_dir, split)
    assert len(listed(mixed_dir)) == 5


def test_a_video_that_changes_is_checked_again_and_one_that_is_repaired_counts_as_good(mixed_dir, video_dir):
    checked(mixed_dir)
    truncate(mixed_dir / "v1.mp4", 0.3)
    shutil.copy(video_dir / "v4.mp4", mixed_dir / "cut.mp4")
    checked(mixed_dir)
    assert listed(mixed_dir)[-1] == "v1.mp4"
    assert "cut.mp4" in remembered(mixed_dir)


def test_good_videos_are_not_opened_again_and_a_damaged_cache_is_ignored(mixed_dir):
    checked(mixed_dir)
    assert remembered(mixed_dir) == ["v0.mp4", "v1.mp4", "v2.mp4"]
    cache, status = mixed_dir / "out" / "checked_headers.json", os.stat(mixed_dir / "empty.mp4")
    stamps = json.loads(cache.read_text()) | {str(mixed_dir / "empty.mp4"): [status.st_size, status.st_mtime_ns]}
    cache.write_text(json.dumps(stamps))
    (mixed_dir / "out" / "bad_videos.csv").unlink()
    checked(mixed_dir)
    assert "empty.mp4" not in listed(mixed_dir)  # as remembered
    cache.write_text(cache.read_text()[:30])
    checked(mixed_dir)
    assert listed(mixed_dir)[-1] == "empty.mp4"


def test_bad_videos_are_an_error_on_request(mixed_dir):
    with pytest.raises(UserError, match="4 of 7 videos of val .*SKIP_BAD_VIDEOS is False: .*empty.mp4: the file is"):
        checked(mixed_dir, TEST__SKIP_BAD_VIDEOS=False)


def test_it_is_an_error_if_no_video_is_left(mixed_dir):
    with pytest.raises(UserError, match="7 of 7 videos of val cannot be read: .*no such file; .*DATA.PATH_PREFIX"):
        checked(mixed_dir, DATA__PATH_PREFIX="/nowhere")


def test_names_that_are_not_utf8_and_control_characters_are_one_line_in_the_list(tmp_path, video_dir):
    names = [b"caf\xe9.mp4", b"a\tb.mp4", b"good\xff.mp4"]
    for name, content in zip(names, (b"", b"text", (video_dir / "v0.mp4").read_bytes()), strict=True):
        (tmp_path / os.fsdecode(name)).write_bytes(content)
    (tmp_path / "val.csv").write_bytes(b"".join(name + b",0\n" for name in names))
    for _ in range(2):
        checked(tmp_path, DATA__PATH_LABEL_SEPARATOR=",")
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
    data = checked(tmp_path, TEST__DATASET="charades", DATA__MULTI_LABEL=True, DATA__PATH_PREFIX=str(tmp_path))
    assert len(data) == 3
    assert listed(tmp_path) == ["path", "B", "C"]
