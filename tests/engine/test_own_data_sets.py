"""Data sets of users in the published form train and test, under multigrid too."""

import random

import numpy as np
import pytest
import torch

from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY, build_dataset
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.targets import ClassNumbers
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.errors import UserError
from slowfast.multigrid.sampler import ClipIndex
from tests.engine.tiny import BOTH_CYCLES, CLASSES, json_stats, tiny_cfg

VIEWS = 6  # of the tiny config
SEEN = []  # (frames, crop) of the clips of OwnPathways


class OwnClips(torch.utils.data.Dataset):
    """Float clips of one shape, C x T x H x W. The color tells the class."""

    def __init__(self, cfg, mode, num_retries=10):
        self.mode, self.shape = mode, (3, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_CROP_SIZE)

    def __len__(self):
        return {"train": 12, "val": 6, "test": 6 * VIEWS}[self.mode]

    def video(self, index):
        return index // VIEWS if self.mode == "test" else index

    def __getitem__(self, index):
        label = self.video(index) % CLASSES
        frames = torch.randn(self.shape)
        frames[label] += 1 + random.random() + np.random.rand()
        return frames, label, index, {}


class OwnPathways(OwnClips):
    """Two pathways, of any shape that multigrid asks for."""

    def __getitem__(self, index):
        return self.at_grid(index, *self.shape[1:3])

    def at_grid(self, index, frames, crop):
        SEEN.append((frames, crop))
        label = self.video(index) % CLASSES
        fast = torch.randn(3, frames, crop, crop)
        fast[label] += 2
        slow = fast[:, torch.linspace(0, frames - 1, frames // 4).long()]
        return [slow, fast], label, index, 0, {}


@pytest.fixture
def own_sets():
    for entry in (OwnClips, OwnPathways):
        DATASET_REGISTRY.register(entry)
    yield
    for entry in (OwnClips, OwnPathways):
        del DATASET_REGISTRY._obj_map[entry.__name__]


def cfg_of(name, tmp_path, **changes):
    return tiny_cfg(tmp_path, tmp_path, TRAIN__DATASET=name, TEST__DATASET=name, TEST__ENABLE=True, **changes)


def train_and_test(cfg):
    train(cfg)
    return run_test(cfg)


@pytest.mark.parametrize("name", ["OwnClips", "OwnPathways"])
def test_a_data_set_in_the_published_form_trains_and_tests(own_sets, tmp_path, name):
    figures = train_and_test(cfg_of(name, tmp_path, BN__USE_PRECISE_STATS=True))
    assert figures["top5_acc"] == 100.0
    losses = [line["loss"] for line in json_stats(tmp_path, "train_epoch")]
    assert len(losses) == 3
    assert losses[-1] < losses[0]


def test_under_multigrid_a_data_set_with_a_hook_gives_clips_of_every_shape(own_sets, tmp_path):
    SEEN.clear()
    train_and_test(cfg_of("OwnPathways", tmp_path, **BOTH_CYCLES))
    assert len(set(SEEN)) > 3


def test_under_multigrid_a_data_set_without_a_hook_keeps_its_shape_and_the_reason_is_logged(own_sets, tmp_path, capsys):
    train_and_test(cfg_of("OwnClips", tmp_path, **BOTH_CYCLES))
    assert capsys.readouterr().out.count("OwnClips has no method at_grid(index, frames, crop)") == 1


def test_random_numbers_of_a_clip_depend_on_seed_epoch_and_index_only(own_sets, tmp_path):
    dataset = build_dataset("OwnClips", cfg_of("OwnClips", tmp_path), "train")
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    first, again, other = (dataset[ClipIndex(3, epoch, 8, 32)]["clip"] for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_a_test_set_without_all_views_is_refused(own_sets, tmp_path):
    cfg = cfg_of("OwnClips", tmp_path, TEST__NUM_ENSEMBLE_VIEWS=7)
    with pytest.raises(ValueError, match="36 test items, not a multiple of the 21 views .*set both to 1"):
        build_dataset("OwnClips", cfg, "test")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"frames": 1}, "an item of OwnClips is a dict: return .frames, label, index"),
        (None, "an item of OwnClips is a NoneType: return .frames, label, index"),
        ((torch.zeros(3, 8, 32, 32, dtype=torch.uint8), 0, 0), "not normalized: return float tensors C x T x H x W"),
        ((torch.zeros(8, 32, 32, 3), 0, 0), "frames of OwnClips have 8 channels, and DATA.INPUT_CHANNEL_NUM is .3, 3."),
        ((torch.zeros(3, 8, 32, 32), "walk", 0), "label 'walk' of OwnClips is not a number: return a whole number"),
        ((torch.zeros(3, 8, 32, 32), None, 0), "label None of OwnClips is not a number"),
        ((torch.zeros(3, 8, 32, 32), 1.0, 0), "label 1.0 of OwnClips is not a whole number: return an int"),
        ((torch.zeros(3, 8, 32, 32), 3, 0), "label 3 of OwnClips does not fit MODEL.NUM_CLASSES 3: .* from 0 to 2"),
        ((torch.zeros(3, 8, 32, 32), -1, 0), "label -1 of OwnClips does not fit MODEL.NUM_CLASSES 3"),
        ((torch.zeros(3, 8, 32, 32), torch.ones(4), 0), "label .* does not fit MODEL.NUM_CLASSES 3: .*vector of 3"),
    ],
)
def test_items_of_another_form_are_refused(own_sets, tmp_path, monkeypatch, item, message):
    monkeypatch.setattr(OwnClips, "__getitem__", lambda self, index: item)
    with pytest.raises(ValueError, match=message):
        build_dataset("OwnClips", cfg_of("OwnClips", tmp_path), "train")[0]


VIDEOS = VideoFiles(["a.mp4", "b.mp4"])
SETS = {
    "Mine.*too many positional arguments; define it as __init__.self, cfg, mode": (
        OwnClips,
        {"__init__": lambda self, cfg: None},
    ),
    "Mine has no length: define __len__": (torch.utils.data.Dataset, {"__init__": lambda self, cfg, mode: None}),
    "'Mine': the data set of the split 'train' is empty": (OwnClips, {"__len__": lambda self: 0}),
    "Mine has no parse.cfg, split., .*: define it": (VideoDataset, {}),
    "too many positional arguments; define it as a classmethod parse.cls, cfg, split.": (
        VideoDataset,
        {"parse": classmethod(lambda cls, cfg: None)},
    ),
    "missing a required argument: 'split'; define it as a classmethod": (
        VideoDataset,
        {"parse": lambda cls, cfg, split: None},
    ),
    "Mine.parse returns a list: return a Listing": (
        VideoDataset,
        {"parse": classmethod(lambda cls, cfg, split: ["a.mp4"])},
    ),
    "2 videos and 1 labels: give each video one": (
        VideoDataset,
        {"parse": classmethod(lambda cls, cfg, split: Listing(VIDEOS, ClassNumbers([1])))},
    ),
    "video 1 of a data set: label 9 is out of range: MODEL.NUM_CLASSES is 3": (
        VideoDataset,
        {"parse": classmethod(lambda cls, cfg, split: Listing(VIDEOS, ClassNumbers([1, 9])))},
    ),
}


@pytest.mark.parametrize(("message", "parts"), SETS.items(), ids=SETS)
def test_a_mistake_in_a_data_set_class_names_the_class_and_the_fix(tmp_path, message, parts):
    base, body = parts
    DATASET_REGISTRY.register(type("Mine", (base,), body))
    try:
        with pytest.raises(UserError, match=message):
            build_dataset("Mine", cfg_of("Mine", tmp_path), "train")
    finally:
        del DATASET_REGISTRY._obj_map["Mine"]


def test_clips_of_different_shapes_in_a_batch_are_an_error_that_states_the_shapes(own_sets, tmp_path, monkeypatch):
    monkeypatch.setattr(OwnClips, "__getitem__", lambda self, index: (torch.zeros(3, 8, 32 + index, 32), 0, index))
    with pytest.raises(UserError, match="differ in shape, give all the same: .*3, 8, [0-9]+, 32.*3, 8, [0-9]+, 32"):
        train(cfg_of("OwnClips", tmp_path))
