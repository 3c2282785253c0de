"""Augmented clips through the doors of the data sets and the loader."""

import pickle

import numpy as np
import pytest
import torch

from slowfast.datasets.augment.clips import Augmentation
from slowfast.datasets.augment.operations import apply_operations
from slowfast.datasets.augment.policy import RandAugment
from slowfast.datasets.base import Listing
from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.spatial import Window
from slowfast.errors import UserError
from slowfast.multigrid.sampler import ClipIndex
from tests.datasets.data import frame_rows, small_cfg, write_frame_list, write_frames, write_ssv2_json

ALL = {
    "AUG__ENABLE": True,
    "AUG__NUM_SAMPLE": 2,
    "AUG__AA_TYPE": "rand-m7-n4-mstd0.5-inc1",
    "AUG__RE_PROB": 0.5,
    "AUG__RE_COUNT": 2,
    "DATA__TRAIN_JITTER_SCALES_RELATIVE": [0.08, 1.0],
    "DATA__TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3333],
}
FULL, SMALL = ClipIndex(1, 3, 4, 32), ClipIndex(1, 3, 2, 16)


def train_set(folder, **keys):
    return build_dataset("kinetics", small_cfg(folder, **keys), "train")


def views(data, index):
    with data.locate(index.video) as source:
        return data.sample(source, index)


@pytest.mark.parametrize("index", [FULL, SMALL])
def test_a_sample_has_several_clips_of_the_shape_of_its_index(kinetics_dir, index):
    sample = train_set(kinetics_dir, **ALL)[index]
    assert sample["clip"].shape == (2, index.frames, index.crop, index.crop, 3)
    assert sample["clip"].dtype == torch.uint8
    assert sample["erased"].shape == (2, 2, 5)
    assert (sample["erased"][..., 1:].sum(-1) <= 2 * index.crop * 2).all()
    assert not torch.equal(*sample["clip"])


def test_a_sample_is_a_function_of_seed_epoch_and_video(kinetics_dir):
    data, again = train_set(kinetics_dir, **ALL), pickle.loads(pickle.dumps(train_set(kinetics_dir, **ALL)))
    sample = data[FULL]
    np.random.seed(1)
    for name in ("clip", "erased"):
        assert torch.equal(sample[name], again[FULL][name])
        others = [data[FULL._replace(epoch=epoch)][name] for epoch in range(4, 12)]
        assert not all(torch.equal(sample[name], other) for other in others)
    assert not torch.equal(sample["clip"], train_set(kinetics_dir, **ALL, RNG_SEED=9)[FULL]["clip"])


def test_no_choice_shifts_those_of_another_kind(kinetics_dir):
    whole = views(train_set(kinetics_dir, **ALL), FULL)
    for key, value in {"AUG__AA_TYPE": "", "AUG__RE_PROB": 0.0, "AUG__NUM_SAMPLE": 3}.items():
        changed = views(train_set(kinetics_dir, **(ALL | {key: value})), FULL)
        assert (changed.frames == whole.frames).all()
        assert [crop.place for crop in changed.crops[:2]] == [crop.place for crop in whole.crops]
    assert (changed.erased[:2] == whole.erased).all()


def test_a_draw_stays_the_same_in_all_versions(kinetics_dir):
    drawn = views(train_set(kinetics_dir, **ALL), FULL)
    assert drawn.frames.tolist() == GOLDEN_FRAMES
    assert [str(crop) for crop in drawn.crops] == GOLDEN_CROPS


GOLDEN_FRAMES = [[31, 34, 36, 38]]
GOLDEN_CROPS = [
    "short side 36 px\nSharpness 0.354; Posterize 2; box of 38 x 32 px at (10, 3)",
    "short side 36 px\nPosterize 2; box of 19 x 15 px at (17, 0)",
]


def test_without_any_of_the_keys_clips_are_those_without_augmentation(kinetics_dir):
    plain = train_set(kinetics_dir)
    off = {"AUG__ENABLE": True, "AUG__AA_TYPE": "", "AUG__COLOR_JITTER": 0.0, "AUG__RE_PROB": 0.0}
    assert torch.equal(plain[FULL]["clip"], train_set(kinetics_dir, **off)[FULL]["clip"])
    erasing = train_set(kinetics_dir, **(off | {"AUG__RE_PROB": 1.0}))[FULL]
    assert torch.equal(plain[FULL]["clip"], erasing["clip"])
    assert erasing["erased"].shape == (1, 5)
    assert set(plain[FULL]) == {"clip", "label", "video", "bad"}


@pytest.mark.parametrize(("index", "side"), [(FULL, 36), (SMALL, 18)])
def test_operations_see_the_whole_frames_whose_short_side_shrinks_with_the_crop(kinetics_dir, index, side):
    data = train_set(kinetics_dir, **(ALL | {"AUG__AA_TYPE": "rand-n20"}))
    drawn = views(data, index)
    assert {crop.short_side for crop in drawn.crops} == {side}
    assert drawn.window == Window(0, 0, side, side * 64 // 48)
    with data.locate(index.video) as source:
        frames = source.read(drawn.frames[0], (side, side * 64 // 48), drawn.window)
    for clip, crop in zip(data[index]["clip"].numpy(), drawn.crops, strict=True):
        y, x, height, width = crop.place.first
        changed = apply_operations(frames, crop.operations)
        assert (clip == crop.place.cut(changed[:, y : y + height, x : x + width], crop.place.first)).all()


def test_without_operations_only_the_crop_is_read(kinetics_dir):
    drawn = views(train_set(kinetics_dir, **(ALL | {"AUG__ENABLE": False, "AUG__NUM_SAMPLE": 1})), FULL)
    assert drawn.window == drawn.crops[0].place.first
    assert drawn.erased is None


def test_scale_jitter_after_operations_resizes_the_frames_again(kinetics_dir):
    data = train_set(kinetics_dir, AUG__ENABLE=True, AUG__AA_TYPE="rand-n1", AUG__RE_PROB=0.0)
    for index, sides in ((FULL, range(36, 49)), (SMALL, range(18, 49))):
        crops = [views(data, index._replace(epoch=epoch)).crops[0] for epoch in range(99)]
        assert {crop.short_side for crop in crops} == {sides[0]}
        drawn = {crop.place.choice.short_side for crop in crops}
        assert drawn <= set(sides)
        assert len(drawn) > len(sides) * 0.8
        assert data[index]["clip"].shape == (index.frames, index.crop, index.crop, 3)


def test_color_jitter_takes_the_place_of_randaugment(kinetics_dir):
    data = train_set(kinetics_dir, AUG__ENABLE=True, AUG__AA_TYPE="", AUG__COLOR_JITTER=0.3)
    (crop,) = views(data, FULL).crops
    assert sorted(operation.name for operation in crop.operations) == ["Brightness", "Color", "Contrast"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluations_are_not_augmented(kinetics_dir, split):
    plain, data = (build_dataset("kinetics", small_cfg(kinetics_dir, **keys), split) for keys in ({}, ALL))
    assert torch.equal(plain[1]["clip"], data[1]["clip"])
    assert "erased" not in data[1]
    batch = next(iter(construct_loader(small_cfg(kinetics_dir, **ALL), split, data)))
    assert len(batch["video"]) == len(batch["clip"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_has_the_clips_of_each_video_after_each_other(kinetics_dir, workers):
    cfg = small_cfg(kinetics_dir, **ALL, DATA_LOADER__NUM_WORKERS=workers)
    data = build_dataset("kinetics", cfg, "train")
    indices = [SMALL, SMALL._replace(video=5)]
    (batch,) = construct_loader(cfg, "train", data, [indices])
    assert batch["video"].tolist() == [1, 1, 5, 5]
    assert batch["label"].tolist() == [1, 1, 2, 2]
    assert batch["bad"] == [""] * 4
    for name in ("clip", "erased"):
        assert torch.equal(batch[name], torch.cat([data[index][name] for index in indices]))
    inputs, labels, index, *_ = batch
    assert [len(inputs[0]), len(labels), len(index)] == [4, 4, 4]


def test_a_bad_video_is_replaced_in_all_of_its_clips(kinetics_dir, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    lines = (kinetics_dir / "train.csv").read_text().splitlines()
    (kinetics_dir / "train.csv").write_text("\n".join([f"{tmp_path}/bad.mp4 0", *lines[1:]]))
    cfg = small_cfg(kinetics_dir, **ALL)
    (batch,) = construct_loader(cfg, "train", None, [[ClipIndex(0, 0, 4, 32)]])
    assert batch["clip"].shape[0] == 2
    assert batch["video"][0] == batch["video"][1] != 0
    assert all("bad.mp4" in bad for bad in batch["bad"])


class OneClip(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return {"clip": torch.zeros(4, 8, 8, 3, dtype=torch.uint8), "label": 0, "video": 0, "bad": ""}


def test_a_data_set_of_the_user_that_gives_one_clip_is_named(kinetics_dir):
    cfg = small_cfg(kinetics_dir, AUG__NUM_SAMPLE=2)
    with pytest.raises(UserError, match=r"AUG.NUM_SAMPLE .*ask for 2 clips of a video.*\(4, 8, 8, 3\).*both keys to 1"):
        next(iter(construct_loader(cfg, "train", OneClip(), [[0]])))


def test_spatial_crops_multiply_the_clips(kinetics_dir):
    data = train_set(kinetics_dir, AUG__NUM_SAMPLE=2, DATA__TRAIN_CROP_NUM_SPATIAL=3)
    clips = data[FULL]["clip"]
    assert clips.shape == (6, 4, 32, 32, 3)
    assert len({clip.numpy().tobytes() for clip in clips}) == 6


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"AUG__ENABLE": True, "AUG__AA_TYPE": "rand-m7-o3"}, "AUG.AA_TYPE: 'rand-m7-o3' has a part 'o3'"),
        ({"DATA__TRAIN_JITTER_SCALES_RELATIVE": [0.1, 1]}, r"ASPECT_RELATIVE: \[\] is not a range; .*or leave .*empty"),
        ({"DATA__TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3]}, r"TRAIN_JITTER_SCALES_RELATIVE: \[\] is not a range"),
        (
            {"DATA__TRAIN_JITTER_SCALES_RELATIVE": [0.5, 0.1], "DATA__TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3]},
            r"TRAIN_JITTER_SCALES_RELATIVE: \[0.5, 0.1\] is not a range; give \[lowest, highest\]",
        ),
        ({"DATA__TRAIN_JITTER_MOTION_SHIFT": True}, "SCALES_RELATIVE: .*TRAIN_JITTER_MOTION_SHIFT False"),
    ],
)
def test_mistakes_are_reported_when_the_data_set_is_built(kinetics_dir, keys, message):
    with pytest.raises(UserError, match=message):
        train_set(kinetics_dir, **keys)
    build_dataset("kinetics", small_cfg(kinetics_dir, **keys), "val")


@pytest.mark.parametrize("name", ["ssv2", "charades"])
def test_frame_lists_are_augmented_too(tmp_path, name):
    rows = frame_rows("7", 0, write_frames(tmp_path, "7", 10), ["1"] * 10)
    write_frame_list(tmp_path / "train.csv", rows)
    write_ssv2_json(tmp_path, "train", {"7": "Pushing [something]"})
    keys = {"DATA__MULTI_LABEL": name == "charades", "DATA__PATH_PREFIX": str(tmp_path)}
    data = build_dataset(name, small_cfg(tmp_path, **(ALL | keys)), "train")
    sample = data[ClipIndex(0, 0, 4, 32)]
    assert sample["clip"].shape == (2, 4, 32, 32, 3)
    assert all(isinstance(crop.operations, tuple) for crop in views(data, ClipIndex(0, 0, 4, 32)).crops)


def test_an_augmentation_is_built_without_a_config(kinetics_dir):
    plain = train_set(kinetics_dir)
    data = type(plain)(
        *(Listing(plain.media, plain.targets, plain.time), "train", plain.grid),
        augmentation=Augmentation(2, RandAugment(magnitude=5, number=1)),
    )
    assert data[FULL]["clip"].shape == (2, 4, 32, 32, 3)
