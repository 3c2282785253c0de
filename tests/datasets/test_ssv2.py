import logging

import numpy as np
import pytest

from slowfast.datasets.build import build_dataset
from slowfast.multigrid.sampler import ClipIndex
from tests.datasets.data import frame_rows, small_cfg, write_frame_list, write_frames, write_ssv2_json
from tests.videos import numbered_frame, read_numbers, write_video

ITEMS = {"10": "Pushing [something]", "11": "Lifting [something] up", "12": "Pulling [something]"}


def ssv2_cfg(folder, **overrides):
    keys = {"DATA__TRAIN_JITTER_SCALES": [48, 48], "DATA__TRAIN_CROP_SIZE": 48, "DATA__TEST_CROP_SIZE": 48}
    keys |= {"DATA__RANDOM_FLIP": False, "TEST__NUM_ENSEMBLE_VIEWS": 1, "TEST__NUM_SPATIAL_CROPS": 1}
    return small_cfg(folder, **(keys | {"DATA__PATH_PREFIX": str(folder / "frames")} | overrides))


@pytest.fixture
def frames_dir(tmp_path):
    """Ids 10, 11, 12; frames of 12 (20 of them), 10 (9) and of one unknown id."""
    for split in ("train", "validation"):
        write_ssv2_json(tmp_path, split, ITEMS)
    rows = []
    for number, (video, count) in enumerate([("12", 20), ("99", 2), ("10", 9)]):
        rows += frame_rows(video, number, write_frames(tmp_path / "frames", video, count, size=(48, 48)))
    write_frame_list(tmp_path / "train.csv", rows)
    write_frame_list(tmp_path / "val.csv", rows)
    return tmp_path


def test_ids_are_matched_and_those_without_frames_left_out_and_counted(frames_dir, caplog):
    with caplog.at_level(logging.WARNING):
        data = build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
    assert "1 of 3 videos are left out" in caplog.text
    assert data.labels.tolist() == [0, 1]
    assert data.class_names == ["Pushing something", "Pulling something", "Lifting something up"]
    assert data.path_of(1) == str(frames_dir / "frames" / "12")


def test_validation_and_testing_take_the_middle_of_each_segment(frames_dir):
    for split in ("val", "test"):
        data = build_dataset("ssv2", ssv2_cfg(frames_dir), split)
        clip = data[1]["clip"].reshape(-1, 48, 48, 3)
        borders = np.linspace(0, 19, 5)
        assert np.allclose(read_numbers(clip), (borders[:-1] + borders[1:]) / 2, atol=1.01)


@pytest.mark.parametrize("frames", [2, 4, 8, 32])
def test_training_takes_a_frame_of_each_segment_under_any_grid(frames_dir, frames):
    data = build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
    numbers = read_numbers(data[ClipIndex(1, 0, frames, 48)]["clip"])
    borders = np.linspace(0, 19, frames + 1)
    assert len(numbers) == frames
    assert all(low - 1 <= number <= high + 1 for low, number, high in zip(borders, numbers, borders[1:], strict=False))


def test_frames_come_in_the_order_of_opencv(frames_dir):
    frame = build_dataset("ssv2", ssv2_cfg(frames_dir), "val")[1]["clip"][0].numpy().astype(int)
    red, _, blue = numbered_frame(0).mean((0, 1))
    assert frame[..., 2].mean() - frame[..., 0].mean() == pytest.approx(red - blue, abs=40)


def test_video_files_give_the_same_clips_as_their_frames(frames_dir, tmp_path_factory):
    for video, count in (("10", 9), ("12", 20)):
        write_video(frames_dir / "frames" / f"{video}.webm", count, size=(48, 48), codec="libvpx-vp9")
    images = build_dataset("ssv2", ssv2_cfg(frames_dir), "val")
    (frames_dir / "val.csv").unlink()
    videos = build_dataset("ssv2", ssv2_cfg(frames_dir), "val")
    assert videos.labels.tolist() == images.labels.tolist()
    assert videos.path_of(0).endswith("frames/10.webm")
    for number in range(2):
        first, second = videos[number]["clip"], images[number]["clip"]
        assert read_numbers(first) == read_numbers(second)
        assert abs(first.float().mean((0, 1, 2)) - second.float().mean((0, 1, 2))).max() < 8  # the same channel order


def test_flipping_gives_a_warning(frames_dir, caplog):
    build_dataset("ssv2", ssv2_cfg(frames_dir, DATA__RANDOM_FLIP=True), "train")
    assert "DATA.RANDOM_FLIP" in caplog.text


def test_a_missing_image_is_a_bad_video(frames_dir):
    for image in (frames_dir / "frames" / "12").iterdir():
        image.unlink()
    data = build_dataset("ssv2", ssv2_cfg(frames_dir, TEST__SKIP_BAD_VIDEOS=False), "val")
    with pytest.raises(ValueError, match="image .*12_0000.*jpg does not exist.*SKIP_BAD_VIDEOS"):
        data[1]
    sample = build_dataset("ssv2", ssv2_cfg(frames_dir), "train")[1]
    assert sample["video"] == 0
    assert "does not exist" in sample["bad"]


def test_an_unreadable_image_is_a_bad_video(frames_dir):
    for image in (frames_dir / "frames" / "12").iterdir():
        image.write_text("no picture")
    with pytest.raises(ValueError, match="cannot be read"):
        build_dataset("ssv2", ssv2_cfg(frames_dir, TEST__SKIP_BAD_VIDEOS=False), "val")[1]


def test_wrong_json_is_named(frames_dir):
    write_ssv2_json(frames_dir, "train", {"10": "Juggling [something]"})
    with pytest.raises(ValueError, match="train.json, id 10: the template 'Juggling something' is not in"):
        build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
    (frames_dir / "something-something-v2-train.json").write_bytes("[]".encode("utf-16-le"))
    with pytest.raises(ValueError, match="train.json is not UTF-8 text"):
        build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
    (frames_dir / "something-something-v2-train.json").write_text("[\n{")
    with pytest.raises(ValueError, match="train.json, line 2: not valid JSON"):
        build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
    for content, message in (
        ('[{"id": "10"}]', "train.json, entry 0: no id and template: {'id': '10'}"),
        ('{"10": "Pushing"}', "train.json: expected a JSON list, not a dict"),
    ):
        (frames_dir / "something-something-v2-train.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
    write_ssv2_json(frames_dir, "train", {"77": "Pushing [something]"})
    with pytest.raises(ValueError, match="none of the 1 ids has frames in"):
        build_dataset("ssv2", ssv2_cfg(frames_dir), "train")


def test_labels_in_the_json_that_are_not_numbers_are_named(frames_dir):
    (frames_dir / "something-something-v2-labels.json").write_text('{"Pushing something": "first"}')
    with pytest.raises(ValueError, match="labels.json: the template 'Pushing something' has the number 'first'"):
        build_dataset("ssv2", ssv2_cfg(frames_dir), "train")


def test_labels_beyond_the_model_and_missing_files_are_refused(frames_dir):
    with pytest.raises(ValueError, match="label 2 is out of range.*MODEL.NUM_CLASSES is 1"):
        build_dataset("ssv2", ssv2_cfg(frames_dir, MODEL__NUM_CLASSES=1), "train")
    (frames_dir / "train.csv").unlink()
    with pytest.raises(ValueError, match="neither the frame list .*train.csv nor video files"):
        build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
    (frames_dir / "something-something-v2-labels.json").unlink()
    with pytest.raises(ValueError, match="labels.json does not exist: DATA.PATH_TO_DATA_DIR"):
        build_dataset("ssv2", ssv2_cfg(frames_dir), "train")
