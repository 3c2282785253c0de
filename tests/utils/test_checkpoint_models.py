"""Checkpoints of other formats into the stock models, at reduced width."""

import logging
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from slowfast.config.defaults import get_cfg
from slowfast.models import build_model
from slowfast.utils.training_checkpoint import load_checkpoint, load_for_test
from slowfast.utils.weight_names import from_caffe2

GOLDEN = Path(__file__).parents[1] / "golden"
WIDTH = 8
TWO_PATHWAYS = [
    *("RESNET.NUM_BLOCK_TEMP_KERNEL", [[3, 3], [4, 4], [6, 6], [3, 3]]),
    *("RESNET.SPATIAL_STRIDES", [[1, 1], [2, 2], [2, 2], [2, 2]]),
    *("RESNET.SPATIAL_DILATIONS", [[1, 1]] * 4),
    *("NONLOCAL.LOCATION", [[[], []]] * 4),
    *("NONLOCAL.GROUP", [[1, 1]] * 4),
]


def make_cfg(*overrides):
    cfg = get_cfg()
    common = ["RESNET.WIDTH_PER_GROUP", WIDTH, "MODEL.NUM_CLASSES", 5, "DATA.TRAIN_CROP_SIZE", 32]
    cfg.merge_from_list([*common, *overrides])
    return cfg


def make_slow(arch="slow", *overrides):
    names = ["MODEL.ARCH", arch, "MODEL.MODEL_NAME", "ResNet", "DATA.INPUT_CHANNEL_NUM", [3], "DATA.NUM_FRAMES", 4]
    return build_model(make_cfg(*names, *overrides))


def make_slowfast(*overrides):
    common = ["DATA.NUM_FRAMES", 8, "SLOWFAST.ALPHA", 4, "SLOWFAST.FUSION_KERNEL_SZ", 7]
    return build_model(make_cfg(*common, *TWO_PATHWAYS, *overrides))


@pytest.fixture(autouse=True)
def _random_state():
    state = torch.get_rng_state()
    torch.manual_seed(11)
    yield
    torch.set_rng_state(state)


class Bottleneck(nn.Module):
    """The block of torch.nn's usual ResNet, written out with its usual names."""

    def __init__(self, inputs, inner, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, 4 * inner, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * inner)
        self.downsample = None
        if stride > 1 or inputs != 4 * inner:
            projection = nn.Conv2d(inputs, 4 * inner, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(4 * inner))

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        return (self.bn3(self.conv3(y)) + (self.downsample(x) if self.downsample else x)).relu()


class ResNet50(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for stage, blocks in enumerate((3, 4, 6, 3)):
            inner, layers = width << stage, []
            for block in range(blocks):
                layers.append(Bottleneck(inputs, inner, 2 if stage and not block else 1))
                inputs = 4 * inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def image_model():
    model = ResNet50(WIDTH, classes=5)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return model.eval()


def test_an_inflated_image_model_gives_a_still_clip_the_output_of_the_image(tmp_path, image_model):
    torch.save(image_model.state_dict(), tmp_path / "resnet50.pth")
    model = make_slow("c2d", "MODEL.HEAD_ACT", "none").eval()
    load_checkpoint(tmp_path / "resnet50.pth", model, inflate=True, complete=True)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = image_model(image)
        scores = model([image[:, :, None].repeat(1, 1, 4, 1, 1)])
    assert torch.allclose(scores, expected, atol=1e-4)


def test_an_image_model_inflates_into_every_temporal_kernel_of_i3d(tmp_path, image_model):
    torch.save({"state_dict": image_model.state_dict()}, tmp_path / "resnet50.pth")
    model = make_slow("i3d")
    load_checkpoint(tmp_path / "resnet50.pth", model, inflate=True, complete=True)
    stem = model.state_dict()["s1.pathway0_stem.conv.weight"]
    assert stem.shape[2] == 5
    assert torch.allclose(stem.sum(2), image_model.conv1.weight, atol=1e-6)


def test_an_image_model_leaves_the_fast_pathway_untouched(tmp_path, image_model):
    torch.save(image_model.state_dict(), tmp_path / "resnet50.pth")
    model = make_slowfast()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_checkpoint(tmp_path / "resnet50.pth", model, inflate=True)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "s1.pathway0_stem.conv.weight" in changed
    assert all("pathway0" in name for name in changed)


def test_a_slow_model_loads_into_the_slow_pathway_and_the_wider_convolutions_are_listed(tmp_path, caplog):
    slow, model = make_slow(), make_slowfast()
    with torch.no_grad():
        for value in slow.parameters():
            value.add_(0.01)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save({"model_state": slow.state_dict()}, tmp_path / "slow.pyth")
    with caplog.at_level(logging.INFO):
        load_checkpoint(tmp_path / "slow.pyth", model)
    state, given = model.state_dict(), slow.state_dict()
    matching = [name for name in given if name in state and given[name].shape == state[name].shape]
    matching.remove("head.projection.bias")
    assert len(matching) > 250
    assert all(torch.equal(state[name], given[name]) for name in matching)
    assert all(torch.equal(state[name], before[name]) for name in state if name not in matching)
    assert "s2.pathway1: 50" in caplog.text


def test_a_caffe2_slowfast_loads_completely(tmp_path):
    source, model = make_slowfast(), make_slowfast()
    with torch.no_grad():
        for value in source.state_dict().values():
            value.add_(1)
    rows = (GOLDEN / "caffe2_SLOWFAST_8x8_R50.tsv").read_text().splitlines()[1:]
    state = source.state_dict()
    blobs = {blob: state[from_caffe2(blob)].numpy() for blob in (row.split("\t")[0] for row in rows)}
    blobs["pred_w_momentum"] = blobs["pred_w"]
    (tmp_path / "SLOWFAST_8x8_R50.pkl").write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    load_for_test(make_cfg("TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "SLOWFAST_8x8_R50.pkl")), model)
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in loaded if not name.endswith("num_batches_tracked"))


def test_a_grouped_checkpoint_of_the_published_code_loads_into_every_norm(tmp_path):
    source = make_slow()
    state, groups = {}, 4
    for name, value in source.state_dict().items():
        norm, _, statistic = name.rpartition(".")
        if statistic in ("running_mean", "running_var"):
            state[f"{norm}.bn.{statistic}"] = torch.full_like(value, statistic == "running_var")  # not evaluated yet
            state[f"{norm}.split_bn.{statistic}"] = torch.cat([value + i for i in range(groups)])
        elif statistic == "num_batches_tracked":
            state[f"{norm}.bn.{statistic}"], state[f"{norm}.split_bn.{statistic}"] = value, value + 2
        else:
            state[name] = value
    torch.save({"model_state": state, "epoch": 5}, tmp_path / "grouped.pyth")
    model = make_slow()
    load_checkpoint(tmp_path / "grouped.pyth", model, complete=True)
    loaded = model.state_dict()
    for name, value in source.state_dict().items():
        if name.endswith("running_mean"):
            assert torch.allclose(loaded[name], value + 1.5)
        elif name.endswith("running_var"):
            assert torch.allclose(loaded[name], value + 1.5 + 1.25)  # 1.25: the variance of the means 0, 1, 2 and 3
