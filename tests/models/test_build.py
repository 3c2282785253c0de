"""The registry, names and numbers of parameters, and mistakes in a config."""

import pathlib

import pytest
import torch

from slowfast.errors import UserError
from slowfast.models import MODEL_REGISTRY, build_model
from slowfast.models.arch import ARCHS, temporal_kernels
from slowfast.models.slowfast import SlowFast
from slowfast.models.summary import count_parameters
from slowfast.multigrid import SubBatchNorm3d
from tests.models.tiny import CONFIGS, recipe, tiny_cfg

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "parameters"

PARAMETERS = {
    "Kinetics/C2D_8x8_R50": 24_327_632,
    "Kinetics/C2D_NLN_8x8_R50": 31_686_096,
    "Kinetics/c2/C2D_NOPOOL_8x8_R50": 24_327_632,
    "Kinetics/I3D_8x8_R50": 28_043_472,
    "Kinetics/I3D_NLN_8x8_R50": 35_401_936,
    "Kinetics/I3D_8x8_R101": 51_754_192,
    "Kinetics/SLOW_4x16_R50": 32_454_096,
    "Kinetics/SLOW_8x8_R50": 32_454_096,
    "Kinetics/SLOWFAST_4x16_R50": 34_480_216,
    "Kinetics/SLOWFAST_8x8_R50": 34_566_488,
    "Kinetics/SLOWFAST_NLN_8x8_R50": 41_838_680,
    "Kinetics/c2/SLOWFAST_8x8_R101_50_50": 53_774_808,
    "Kinetics/c2/SLOWFAST_8x8_R101_101_101": 62_826_968,
    "Kinetics/c2/SLOWFAST_NLN_16x8_R101_50_50": 60_080_088,
    "Kinetics/X3D_XS": 3_794_322,
    "Kinetics/X3D_S": 3_794_322,
    "Kinetics/X3D_M": 3_794_322,
    "Kinetics/X3D_L": 6_153_432,
    "Charades/SLOWFAST_16x8_R50": 34_006_373,
    "SSv2/SLOWFAST_16x8_R50": 34_045_558,
}


ONE_PATHWAY = "2d, c2d, i3d, slow, c2d_nopool, i3d_nopool"
MULTI_LABEL = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"}


def build_empty(cfg):
    """Return the model without memory for its weights."""
    with torch.device("meta"):
        return build_model(cfg)


@pytest.mark.parametrize("name", PARAMETERS)
def test_recipes_have_the_published_number_of_parameters(name):
    assert count_parameters(build_empty(recipe(name))) == PARAMETERS[name]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.tsv")), ids=lambda path: path.stem)
def test_parameter_names_shapes_and_order_are_the_published_ones(path):
    state = build_empty(recipe(f"Kinetics/{path.stem}")).state_dict()
    names = [f"{k}\t{'x'.join(map(str, v.shape))}" for k, v in state.items() if "num_batches_tracked" not in k]
    assert names == path.read_text().splitlines()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("**/*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_config_builds(path):
    model = build_empty(recipe(str(path.relative_to(CONFIGS).with_suffix(""))))
    assert count_parameters(model) > 0


@pytest.mark.parametrize(
    ("kernels", "blocks", "keep", "expected"),
    [
        ((3,), 3, 3, (3, 3, 3)),
        ((3, 1), 4, 4, (3, 1, 3, 1)),
        ((1, 3), 3, 3, (1, 3, 1)),
        ((3,), 23, 6, (3,) * 6 + (1,) * 17),
        ((3, 1), 4, 1, (3, 1, 1, 1)),
        ((5,), 2, 0, (1, 1)),
    ],
)
def test_temporal_kernels_repeat_over_the_blocks_that_keep_them(kernels, blocks, keep, expected):
    assert temporal_kernels(kernels, blocks, keep) == expected


def test_only_slowfast_has_two_pathways():
    assert {name: len(arch.stems) for name, arch in ARCHS.items()} == {
        "2d": 1,
        "c2d": 1,
        "i3d": 1,
        "slow": 1,
        "c2d_nopool": 1,
        "i3d_nopool": 1,
        "x3d": 1,
        "slowfast": 2,
    }


@pytest.mark.parametrize(
    ("arch", "override", "message"),
    [
        (
            "slow",
            {"MODEL__MODEL_NAME": "ResNext"},
            r"MODEL_NAME: 'ResNext' is not known; choose one of MViT, ResNet, ResNet_nopool, SlowFast, X3D",
        ),
        ("slow", {"MODEL__ARCH": "x3d"}, rf"MODEL.ARCH: 'x3d' does not fit .* {ONE_PATHWAY}$"),
        ("slow", {"MODEL__ARCH": "slowfast"}, rf"MODEL.ARCH: 'slowfast' does not fit .* {ONE_PATHWAY}$"),
        ("slow", {"MODEL__MODEL_NAME": "SlowFast"}, r"MODEL.ARCH: 'slow' does not fit .*; choose one of slowfast$"),
        ("slow", {"MODEL__MODEL_NAME": "X3D"}, r"MODEL.ARCH: 'slow' does not fit .*; choose one of x3d$"),
        ("slow", {"RESNET__DEPTH": 34}, r"RESNET.DEPTH: 34 is not known; choose one of 18, 50, 101"),
        ("slow", {"RESNET__TRANS_FUNC": "x3d"}, r"TRANS_FUNC: 'x3d' is not known; choose one of"),
        ("slow", {"MODEL__HEAD_ACT": "relu"}, r"MODEL.HEAD_ACT: 'relu' is not known; .* softmax, sigmoid, none"),
        ("slow", {"DATA__INPUT_CHANNEL_NUM": [3, 3]}, r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] .*1 pathway.*; give \[3\]"),
        ("slowfast", {"DATA__INPUT_CHANNEL_NUM": [3]}, r"INPUT_CHANNEL_NUM: \[3\] .*2 pathway.*; give \[3, 3\]"),
        ("slow", {"RESNET__SPATIAL_STRIDES": [[1], [2], [2]]}, r"RESNET.SPATIAL_STRIDES: .* give a list of 4"),
        ("slowfast", {"RESNET__SPATIAL_STRIDES": [[1], [2], [2], [2]]}, r"RESNET.SPATIAL_STRIDES: .*2 pathway"),
        ("slow", {"RESNET__SPATIAL_STRIDES": [[0], [2], [2], [2]]}, r"RESNET.SPATIAL_STRIDES: .*numbers of 1 or more"),
        ("slow", {"RESNET__SPATIAL_STRIDES": [[1.5], [2], [2], [2]]}, r"RESNET.SPATIAL_STRIDES: .*whole numbers"),
        ("slow", {"NONLOCAL__GROUP": [[0], [1], [1], [1]]}, r"NONLOCAL.GROUP: .*numbers of 1 or more"),
        ("slow", {"RESNET__SPATIAL_DILATIONS": [1, 1, 1, 1]}, r"RESNET.SPATIAL_DILATIONS: .*give a list nested as"),
        ("slow", {"RESNET__SPATIAL_DILATIONS": [[1, 1]] * 4}, r"RESNET.SPATIAL_DILATIONS: .*1 pathway"),
        ("slow", {"RESNET__NUM_BLOCK_TEMP_KERNEL": [[3, 3]] * 4}, r"RESNET.NUM_BLOCK_TEMP_KERNEL: .*1 pathway"),
        ("slowfast", {"SLOWFAST__FUSION_KERNEL_SZ": 4}, r"SLOWFAST.FUSION_KERNEL_SZ: 4 must be odd"),
        (
            "slowfast",
            {"RESNET__SPATIAL_STRIDES": [[1, 2], [2, 2], [2, 2], [2, 2]]},
            r"RESNET.SPATIAL_STRIDES: .*must be equal in both pathways",
        ),
        ("slow", {"NONLOCAL__LOCATION": [[[]], [[7]], [[]], [[]]]}, r"LOCATION: \[7\] for res3, .*blocks 0 to 1"),
        ("slow", {"NONLOCAL__POOL": [[[1, 2]]] * 4}, r"NONLOCAL.POOL: \[1, 2\] for res2 must be \[frames"),
        ("slowfast", {"NONLOCAL__LOCATION": [[[]]] * 4}, r"NONLOCAL.LOCATION: .*2 pathway"),
        ("slowfast", {"NONLOCAL__GROUP": [[1]] * 4}, r"NONLOCAL.GROUP: .*2 pathway"),
        ("slowfast", {"NONLOCAL__POOL": [[[1, 2, 2]]] * 4}, r"NONLOCAL.POOL: .*2 pathway"),
        ("slow", {"NONLOCAL__POOL": []}, r"NONLOCAL.POOL: \[\] .*give a list of 4"),
        ("slowfast", {"SLOWFAST__BETA_INV": 7}, r"SLOWFAST.BETA_INV: 7 does not divide RESNET.WIDTH_PER_GROUP 8"),
        ("slow", {**MULTI_LABEL, "MODEL__LOSS_FUNC": "bce"}, r"MODEL.LOSS_FUNC: 'bce' needs .*logits; use 'bce_logit'"),
        ("slow", {**MULTI_LABEL, "MODEL__HEAD_ACT": "softmax"}, r"MODEL.HEAD_ACT: 'softmax' .*; use 'sigmoid'"),
        ("slow", {"DATA__TRAIN_CROP_SIZE": 31}, r"8 frames x 31 px: crops under 32 px .*DATA.TRAIN_CROP_SIZE"),
        ("c2d", {"DATA__NUM_FRAMES": 1}, r"1 frames x 64 px: c2d needs more frames: 2 or more.*DATA.NUM_FRAMES"),
        (
            "slowfast",
            {"DATA__NUM_FRAMES": 2},
            r"2 frames x 64 px: 2 frames are not a multiple of SLOWFAST.ALPHA 4.*DATA.NUM_FRAMES",
        ),
        (
            "slow",
            {"NONLOCAL__INSTANTIATION": "gaussian", "NONLOCAL__LOCATION": [[[0]]] * 4},
            r"INSTANTIATION: 'gaussian' is not known; choose one of softmax, dot_product",
        ),
    ],
)
def test_mistakes_name_the_key_the_value_and_the_fix(arch, override, message, stock_models):
    with pytest.raises(ValueError, match=message):
        build_empty(tiny_cfg(arch, **override))


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("slowfast", {}),
        ("slow", {"NONLOCAL__POOL": [[[1, 2, 2], [1, 2, 2]]] * 4}),
        ("slow", MULTI_LABEL),
        ("slow", {**MULTI_LABEL, "MODEL__LOSS_FUNC": "bce", "TRAIN__ENABLE": False}),
        ("slow", {**MULTI_LABEL, "MODEL__HEAD_ACT": "none"}),
    ],
)
def test_a_config_that_fits_together_builds(arch, changes):
    assert count_parameters(build_empty(tiny_cfg(arch, **changes))) > 0


@pytest.mark.parametrize(("old", "new"), [("ResNetModel", "ResNet"), ("SlowFastModel", "SlowFast")])
def test_the_old_name_of_a_stock_model_builds_it(old, new):
    cfg = tiny_cfg("slow" if new == "ResNet" else "slowfast", MODEL__MODEL_NAME=old)
    assert type(build_empty(cfg)) is MODEL_REGISTRY.get(new)


@pytest.mark.parametrize("arch", ["c2d", "i3d"])
def test_an_old_architecture_without_pooling_is_that_of_the_model_without_pooling(arch):
    old, new = tiny_cfg(f"{arch}_nopool"), tiny_cfg(arch, MODEL__MODEL_NAME="ResNet_nopool")
    assert str(build_empty(old).s2) == str(build_empty(new).s2)
    assert not hasattr(build_empty(old), "pool")


@pytest.mark.parametrize("arch", ["slow", "slowfast"])
def test_all_batch_norms_have_the_momentum_and_the_epsilon_of_the_config(arch):
    model = build_empty(tiny_cfg(arch, BN__MOMENTUM=0.2, BN__EPSILON=1e-3))
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm3d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.2, 1e-3)}


@pytest.fixture
def register():
    """Register a model for the test."""
    names = []

    def add(model):
        MODEL_REGISTRY.register(model)
        names.append(model.__name__)

    yield add
    for name in names:
        del MODEL_REGISTRY._obj_map[name]


def test_a_users_model_is_built_by_its_name(register):
    def MyModel(cfg):
        return torch.nn.Linear(3, cfg.MODEL.NUM_CLASSES)

    register(MyModel)
    assert build_model(tiny_cfg("slow", MODEL__MODEL_NAME="MyModel")).out_features == 5


class OwnNet(torch.nn.Module):
    """A model as published code has it."""

    def __init__(self, cfg):
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 4, 3)
        self.bn = torch.nn.BatchNorm3d(4)
        self.projection = torch.nn.Linear(4, cfg.MODEL.NUM_CLASSES)

    def forward(self, x, bboxes=None):
        return self.projection(self.bn(self.conv(x[0])).mean((2, 3, 4)))


class WiderSlowFast(SlowFast):
    """A stock model with a head of its own, and a module that only the user calls."""

    def __init__(self, cfg):
        super().__init__(cfg)
        self.head.projection = torch.nn.Linear(self.head.projection.in_features, 7)
        self.extra = torch.nn.Linear(7, 2)

    def forward(self, x, bboxes=None):
        return self.extra(super().forward(x, bboxes))


@pytest.mark.parametrize(("model", "arch", "outputs"), [(OwnNet, "slow", 5), (WiderSlowFast, "slowfast", 2)])
def test_a_class_with_a_cfg_as_the_argument_of_its_constructor_builds_and_runs(register, model, arch, outputs):
    register(model)
    cfg = tiny_cfg(arch, MODEL__MODEL_NAME=model.__name__)
    fast = torch.zeros(2, 3, 8, 64, 64)
    clips = [fast[:, :, ::4], fast] if arch == "slowfast" else [fast]
    built = build_model(cfg)
    assert type(built) is model
    assert built(clips).shape == (2, outputs)
    assert all(type(m) is SubBatchNorm3d for m in built.modules() if isinstance(m, torch.nn.BatchNorm3d))


def test_the_device_of_build_model_has_no_effect_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = build_model(tiny_cfg("slow"), gpu_id=0)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_stock_models_take_boxes_of_none_and_refuse_others():
    cfg = tiny_cfg("slow")
    model, clips = build_model(cfg).eval(), [torch.zeros(1, 3, 8, 64, 64)]
    assert torch.equal(model(clips, bboxes=None), model(clips))
    with pytest.raises(UserError, match="detection is not part of this project"):
        model(clips, bboxes=torch.zeros(1, 4))
