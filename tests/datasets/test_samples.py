import pickle

import numpy as np
import pytest
import torch

from slowfast.datasets.build import build_dataset
from slowfast.multigrid.sampler import ClipIndex
from tests.datasets.data import small_cfg, write_list
from tests.videos import read_numbers, truncate, write_sound_only, write_video


def whole_frames(folder, **overrides):
    """A config whose crops are complete frames, so that their numbers can be read: 48 x 48 px videos, no flip."""
    keys = {"DATA__TRAIN_JITTER_SCALES": [48, 48], "DATA__TRAIN_CROP_SIZE": 48, "DATA__TEST_CROP_SIZE": 48}
    return small_cfg(folder, **(keys | {"DATA__RANDOM_FLIP": False} | overrides))


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """A list of three square videos of 40, 20 and 1 frames."""
    folder = tmp_path_factory.mktemp("square")
    for number, count in enumerate((40, 20, 1)):
        write_video(folder / f"{number}.mp4", count, size=(48, 48))
    for split in ("train", "val", "test"):
        write_list(folder / f"{split}.csv", [f"{folder}/{n}.mp4 {n}" for n in range(3)])
    return folder


def same(a, b):
    return all(torch.equal(a[k], b[k]) if torch.is_tensor(a[k]) else a[k] == b[k] for k in a)


def test_a_training_sample_has_the_grid_of_its_index(kinetics_dir):
    data = build_dataset("kinetics", small_cfg(kinetics_dir), "train")
    sample = data[ClipIndex(4, 7, 2, 24)]
    assert sample["clip"].shape == (2, 24, 24, 3)
    assert sample["clip"].dtype == torch.uint8
    assert (sample["label"].item(), sample["label"].dtype) == (1, torch.int64)
    assert (sample["video"], sample["bad"]) == (4, "")
    assert data[4]["clip"].shape == (4, 32, 32, 3)
    with pytest.raises(IndexError):
        data[6]


def test_a_sample_is_a_function_of_seed_epoch_and_video(kinetics_dir):
    data = build_dataset("kinetics", small_cfg(kinetics_dir), "train")
    again = build_dataset("kinetics", small_cfg(kinetics_dir), "train")
    other_seed = build_dataset("kinetics", small_cfg(kinetics_dir, RNG_SEED=5), "train")
    index = ClipIndex(1, 0, 4, 32)
    np.random.seed(3)
    data[2]
    assert same(data[index], again[index])
    assert not torch.equal(data[index]["clip"], data[index._replace(epoch=1)]["clip"])
    assert not torch.equal(data[index]["clip"], other_seed[index]["clip"])


def test_nothing_in_a_data_set_changes_when_it_is_read(kinetics_dir):
    data = build_dataset("kinetics", small_cfg(kinetics_dir), "train")
    before = {name: id(value) for name, value in vars(data).items()}
    parts = {name: dict(vars(value)) for name, value in vars(data).items() if hasattr(value, "__dict__")}
    data[ClipIndex(0, 1, 2, 24)]
    assert {name: id(value) for name, value in vars(data).items()} == before
    assert all(vars(getattr(data, name)) == state for name, state in parts.items())


def test_a_data_set_gives_the_same_in_a_process_it_was_sent_to(kinetics_dir):
    data = build_dataset("kinetics", small_cfg(kinetics_dir), "train")
    assert same(pickle.loads(pickle.dumps(data))[3], data[3])


def test_training_clips_are_frames_of_one_stride_in_order(square):
    data = build_dataset("kinetics", whole_frames(square), "train")
    for epoch in range(8):
        numbers = read_numbers(data[ClipIndex(0, epoch, 4, 48)]["clip"])
        assert max(np.diff(numbers)) - min(np.diff(numbers)) <= 1
        assert min(np.diff(numbers)) >= 1
        assert numbers[-1] - numbers[0] in (6, 7)  # a span of 8 frames, at a real start


def test_fewer_frames_draw_a_stride_up_to_the_whole_span(square):
    data = build_dataset("kinetics", whole_frames(square), "train")
    strides = set()
    for epoch in range(40):
        first, second = read_numbers(data[ClipIndex(0, epoch, 2, 48)]["clip"])
        strides.add(second - first)
    assert strides == {3, 5, 7}  # strides 2, 3, 4 twice, less one frame


def test_validation_is_the_center_of_the_video_in_every_epoch(square):
    data = build_dataset("kinetics", whole_frames(square), "val")
    sample = data[0]
    numbers = read_numbers(sample["clip"])
    span = 2 * 4
    assert numbers[0] == (40 - span) // 2
    assert numbers[-1] == numbers[0] + span - 1
    assert same(sample, data[ClipIndex(0, 9, 4, 48)])


def test_a_test_sample_has_all_views_clips_first(square):
    data = build_dataset("kinetics", whole_frames(square, TEST__NUM_ENSEMBLE_VIEWS=4), "test")
    clip = data[0]["clip"]
    assert clip.shape == (4 * 3, 4, 48, 48, 3)
    starts = [read_numbers(view)[0] for view in clip]
    assert starts == [0] * 3 + [8] * 3 + [16] * 3 + [24] * 3  # (40 - 8) * i / 4


def test_spatial_views_run_from_left_to_right(kinetics_dir):
    cfg = small_cfg(kinetics_dir, DATA__TEST_CROP_SIZE=48, TEST__NUM_ENSEMBLE_VIEWS=1)
    left, center, right = build_dataset("kinetics", cfg, "test")[0]["clip"].numpy()
    assert np.array_equal(left[:, :, 8:], center[:, :, :-8])
    assert np.array_equal(center[:, :, 8:], right[:, :, :-8])


@pytest.mark.parametrize("offset", [True, False])
def test_one_view_of_one_crop_works(square, offset):
    keys = {"TEST__NUM_ENSEMBLE_VIEWS": 1, "TEST__NUM_SPATIAL_CROPS": 1, "DATA__USE_OFFSET_SAMPLING": offset}
    clip = build_dataset("kinetics", whole_frames(square, **keys), "test")[0]["clip"]
    assert clip.shape == (1, 4, 48, 48, 3)
    assert read_numbers(clip[0])[0] == (16 if offset else 0)


def test_a_video_shorter_than_a_clip_repeats_its_last_frame(square):
    for split in ("train", "val", "test"):
        data = build_dataset("kinetics", whole_frames(square), split)
        assert set(read_numbers(data[2]["clip"].reshape(-1, 48, 48, 3))) == {0}


@pytest.fixture
def bad_dir(tmp_path, video_dir):
    """Five bad videos, and a good one at the end."""
    (tmp_path / "empty.mp4").touch()
    truncate(write_video(tmp_path / "cut.mp4", 40), 0.5)
    (tmp_path / "text.mp4").write_text("This is not a video.")
    write_sound_only(tmp_path / "sound.mp4")
    names = ["empty.mp4", "cut.mp4", "text.mp4", "sound.mp4", "missing.mp4"]
    lines = [f"{tmp_path}/{name} 1" for name in names] + [f"{video_dir}/v0.mp4 2"] * 5
    for split in ("train", "val", "test"):
        write_list(tmp_path / f"{split}.csv", lines)
    return tmp_path


@pytest.mark.parametrize("video", range(5))
def test_a_bad_video_is_replaced_in_training_and_reported(bad_dir, video):
    data = build_dataset("kinetics", small_cfg(bad_dir), "train")
    sample = data[ClipIndex(video, 3, 4, 32)]
    assert same(sample, data[ClipIndex(video, 3, 4, 32)])
    assert sample["video"] >= 5
    assert sample["label"] == 2
    path, _, reason = sample["bad"].split("\n")[0].partition("\t")
    assert path == data.path_of(video)
    assert reason


def test_replacements_differ_between_epochs(bad_dir):
    data = build_dataset("kinetics", small_cfg(bad_dir), "train")
    assert len({data[ClipIndex(0, epoch, 4, 32)]["video"] for epoch in range(12)}) > 1


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_bad_video_is_skipped_in_evaluation_unless_it_shall_be_an_error(bad_dir, split):
    data = build_dataset("kinetics", small_cfg(bad_dir, TEST__SKIP_BAD_VIDEOS=False), split)
    with pytest.raises(ValueError, match=r"empty.mp4: .*TEST.SKIP_BAD_VIDEOS True"):
        data[0]
    sample = build_dataset("kinetics", small_cfg(bad_dir), split)[0]
    assert sample["clip"].shape == data[5]["clip"].shape
    assert not sample["clip"].any()
    assert sample["video"] == 0
    assert sample["bad"].startswith(data.path_of(0) + "\t")


def test_a_list_of_bad_videos_only_is_an_error(bad_dir):
    write_list(bad_dir / "train.csv", [f"{bad_dir}/missing{n}.mp4 0" for n in range(20)])
    data = build_dataset("kinetics", small_cfg(bad_dir), "train")
    with pytest.raises(ValueError, match="50 videos drawn .*missing.*DATA.PATH_PREFIX"):
        data[0]
