import numpy as np
import pytest

from slowfast.datasets.build import build_dataset
from slowfast.multigrid.sampler import ClipIndex
from tests.datasets.data import frame_rows, small_cfg, write_frame_list, write_frames, write_list
from tests.videos import read_numbers, write_video


def charades_cfg(folder, **overrides):
    keys = {"DATA__TRAIN_JITTER_SCALES": [48, 48], "DATA__TRAIN_CROP_SIZE": 48, "DATA__TEST_CROP_SIZE": 48}
    keys |= {"DATA__MULTI_LABEL": True, "DATA__RANDOM_FLIP": False, "MODEL__NUM_CLASSES": 5}
    keys |= {"DATA__PATH_PREFIX": str(folder / "frames"), "TEST__NUM_SPATIAL_CROPS": 1}
    return small_cfg(folder, **(keys | overrides))


LABELS = [""] * 5 + ["1"] * 10 + ["1,3"] * 5 + [""] * 10  # of 30 frames


@pytest.fixture
def frames_dir(tmp_path):
    """One video of 30 labeled frames, and one of 3."""
    rows = frame_rows("AAAAA", 0, write_frames(tmp_path / "frames", "AAAAA", 30, size=(48, 48)), LABELS)
    rows += frame_rows("BBBBB", 1, write_frames(tmp_path / "frames", "BBBBB", 3, size=(48, 48)), ["4"] * 3)
    write_frame_list(tmp_path / "train.csv", rows)
    write_frame_list(tmp_path / "val.csv", rows)
    return tmp_path


def expected_labels(first, last):
    words = {word for labels in LABELS[first : last + 1] for word in labels.split(",") if word}
    return [float(str(number) in words) for number in range(5)]


def test_training_labels_are_those_of_the_span(frames_dir):
    data = build_dataset("charades", charades_cfg(frames_dir), "train")
    starts = set()
    for epoch in range(20):
        sample = data[ClipIndex(0, epoch, 4, 48)]
        numbers = read_numbers(sample["clip"])
        assert np.diff(numbers).tolist() == [2, 2, 2]
        assert sample["label"].tolist() == expected_labels(numbers[0], numbers[-1])
        starts.add(numbers[0])
    assert len(starts) > 5


def test_a_coarse_grid_spans_up_to_the_same_time(frames_dir):
    data = build_dataset("charades", charades_cfg(frames_dir), "train")
    steps = set()
    for epoch in range(30):
        sample = data[ClipIndex(0, epoch, 2, 48)]
        first, last = read_numbers(sample["clip"])
        assert sample["label"].tolist() == expected_labels(first, last)
        steps.add(last - first)
    assert steps == {2, 3, 4}


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_labels_are_those_of_the_entire_video(frames_dir, split):
    data = build_dataset("charades", charades_cfg(frames_dir), split)
    assert data[0]["label"].tolist() == [0, 1, 0, 1, 0]
    assert data.labels.tolist() == [[0, 1, 0, 1, 0], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize(("views", "starts"), [(1, [12]), (2, [0, 23]), (10, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23])])
def test_test_clips_run_from_the_first_frame_to_the_last(frames_dir, views, starts):
    data = build_dataset("charades", charades_cfg(frames_dir, TEST__NUM_ENSEMBLE_VIEWS=views), "test")
    clip = data[0]["clip"]
    assert clip.shape[0] == views
    assert [read_numbers(view)[0] for view in clip] == pytest.approx(starts, abs=0 if views > 1 else 1)
    assert read_numbers(clip[-1])[-1] <= 29


def test_a_short_video_repeats_its_ends(frames_dir):
    data = build_dataset("charades", charades_cfg(frames_dir), "train")
    for epoch in range(5):
        numbers = read_numbers(data[ClipIndex(1, epoch, 4, 48)]["clip"])
        assert numbers == sorted(numbers)
        assert set(numbers) <= {0, 1, 2}


def test_video_files_replace_missing_images(frames_dir):
    images = build_dataset("charades", charades_cfg(frames_dir), "test")
    (frames_dir / "videos").mkdir()
    write_video(frames_dir / "videos" / "AAAAA.mp4", 30, size=(48, 48))
    write_video(frames_dir / "videos" / "BBBBB.mp4", 3, size=(48, 48))
    videos = build_dataset("charades", charades_cfg(frames_dir, DATA__PATH_PREFIX=str(frames_dir / "videos")), "test")
    assert videos.path_of(1) == str(frames_dir / "videos" / "BBBBB.mp4")
    for number in range(2):
        first, second = videos[number], images[number]
        assert first["label"].tolist() == second["label"].tolist()
        assert [read_numbers(view) for view in first["clip"]] == [read_numbers(view) for view in second["clip"]]
        difference = first["clip"].float().mean((0, 1, 2, 3)) - second["clip"].float().mean((0, 1, 2, 3))
        assert difference.abs().max() < 8  # the same channel order


def test_rows_of_another_frame_rate_are_spread_over_the_video(frames_dir):
    (frames_dir / "videos").mkdir()
    write_video(frames_dir / "videos" / "AAAAA.mp4", 60, size=(48, 48))
    cfg = charades_cfg(frames_dir, DATA__PATH_PREFIX=str(frames_dir / "videos"))
    sample = build_dataset("charades", cfg, "train")[ClipIndex(0, 0, 4, 48)]
    numbers = read_numbers(sample["clip"])
    assert np.diff(numbers).tolist() == [4, 4, 4]
    assert sample["label"].tolist() == expected_labels(numbers[0] // 2, numbers[-1] // 2)


def test_without_a_prefix_images_and_videos_may_be_beside_the_list(tmp_path):
    write_frame_list(tmp_path / "val.csv", frame_rows("A", 0, write_frames(tmp_path, "A", 9, size=(48, 48)), ["2"] * 9))
    cfg = charades_cfg(tmp_path, DATA__PATH_PREFIX="")
    from_images = build_dataset("charades", cfg, "val")
    assert from_images.path_of(0) == str(tmp_path / "A")
    numbers = read_numbers(from_images[0]["clip"])
    for image in (tmp_path / "A").iterdir():
        image.unlink()
    write_video(tmp_path / "A.mp4", 9, size=(48, 48))
    from_videos = build_dataset("charades", cfg, "val")
    assert from_videos.path_of(0) == str(tmp_path / "A.mp4")
    assert read_numbers(from_videos[0]["clip"]) == numbers == [1, 3, 5, 7]


def test_paths_of_a_frame_list_may_be_video_files(tmp_path):
    write_video(tmp_path / "a.mp4", 20, size=(48, 48))
    for split in ("train", "val"):
        write_frame_list(tmp_path / f"{split}.csv", frame_rows("A", 0, ["a.mp4"] * 20, ["2"] * 20))
    data = build_dataset("charades", charades_cfg(tmp_path, DATA__PATH_PREFIX=str(tmp_path)), "test")
    assert read_numbers(data[0]["clip"][0]) == [0, 2, 4, 6]
    assert data[0]["label"].tolist() == [0, 0, 1, 0, 0]


def test_the_original_lists_count_frames_at_24_per_second(tmp_path):
    lines = ["id,script,actions,length", 'VID01,"a, b",c001 0.00 1.00;c003 1.50 2.00,2.0', "VID02,x,,1.0"]
    for split in ("train", "test"):
        write_list(tmp_path / f"Charades_v1_{split}.csv", lines)
    write_video(tmp_path / "VID01.mp4", 96, size=(48, 48), fps=48)
    cfg = charades_cfg(tmp_path, DATA__PATH_PREFIX=str(tmp_path))
    train = build_dataset("charades", cfg, "train")
    for epoch in range(10):
        sample = train[ClipIndex(0, epoch, 4, 48)]
        numbers = read_numbers(sample["clip"])  # of frames at 48 a second
        assert np.diff(numbers).tolist() == [4, 4, 4]
        first, last = numbers[0] / 48, numbers[-1] / 48
        assert sample["label"].tolist() == [0, first <= 1, 0, last >= 1.5, 0]
    assert build_dataset("charades", cfg, "val").labels.tolist() == [[0, 1, 0, 1, 0], [0] * 5]
    (tmp_path / "Charades_v1_test.csv").write_bytes("\r\n".join(lines).encode("utf-16"))  # as spreadsheets save them
    assert build_dataset("charades", cfg, "val").labels.tolist() == [[0, 1, 0, 1, 0], [0] * 5]


def test_wrong_lists_are_named(tmp_path):
    cfg = charades_cfg(tmp_path)
    with pytest.raises(ValueError, match="neither .*val.csv nor Charades_v1_test.csv exists: DATA.PATH_TO_DATA_DIR"):
        build_dataset("charades", cfg, "test")
    write_list(tmp_path / "Charades_v1_train.csv", ["id,actions", "A,c001 0 1", "B,c001 0"])
    with pytest.raises(ValueError, match="line 3: an action is like"):
        build_dataset("charades", cfg, "train")
    write_list(tmp_path / "Charades_v1_train.csv", ["id,actions", "A,c001 0 end"])
    with pytest.raises(ValueError, match="line 2: an action is like"):
        build_dataset("charades", cfg, "train")
    write_list(tmp_path / "Charades_v1_train.csv", ["id,actions", "A,c006 0 1"])
    with pytest.raises(ValueError, match="line 2: label 6 is out of range"):
        build_dataset("charades", cfg, "train")
    write_list(tmp_path / "Charades_v1_train.csv", ["a,b"])
    with pytest.raises(ValueError, match="line 1: the header has no columns id and actions"):
        build_dataset("charades", cfg, "train")
