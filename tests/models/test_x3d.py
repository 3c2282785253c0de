"""X3D: widths and costs, outputs and gradients against plain modules, clips of any shape, training, checkpoints."""

import copy

import pytest
import torch
from torch import nn

from slowfast.config.load import load_cfg
from slowfast.engine.schedule import build_schedule
from slowfast.errors import UserError
from slowfast.models import build_model
from slowfast.models.build import check_shapes
from slowfast.models.drop_path import drop_path
from slowfast.models.specs import round_width
from slowfast.models.summary import summarize
from slowfast.multigrid import SubBatchNorm3d, regroup
from slowfast.utils.training_checkpoint import load_checkpoint
from tests.models import x3d_reference
from tests.models.tiny import override, recipe

SMALL = {"WIDTH_FACTOR": 0.5, "DEPTH_FACTOR": 0.4, "BOTTLENECK_FACTOR": 2.25, "DIM_C5": 32}


def tiny_x3d(**overrides):
    """An X3D of 6 to 48 channels for 4 frames of 64 x 64 pixels and 5 classes; keys with `__` for the dot."""
    data = {"DATA__NUM_FRAMES": 4, "DATA__TRAIN_CROP_SIZE": 64, "MODEL__NUM_CLASSES": 5, "MODEL__DROPOUT_RATE": 0.0}
    small = {f"X3D__{key}": value for key, value in SMALL.items()}
    return override(recipe("Kinetics/X3D_XS"), {**data, **small, **overrides})


def random_pair(reference=None, **overrides):
    """A tiny X3D with random weights and statistics, and the plain modules with the same."""
    model = build_model(tiny_x3d(**overrides))
    sizes = {"width": 0.5, "depth": 0.4, "bottleneck": 2.25, "c5": 32, "frames": 4}
    plain = x3d_reference.X3D(**{**sizes, **(reference or {})})
    for name, tensor in plain.state_dict().items():
        if name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("bn.bias", "running_mean", "se.fc1.bias", "se.fc2.bias")):
            tensor.normal_(std=0.3)
    nn.init.normal_(plain.head.projection.weight, std=0.3)
    model.load_state_dict(plain.state_dict())
    return model, plain


def clip(frames=4, crop=64, batch=2):
    return torch.randn(batch, 3, frames, crop, crop)


VARIANTS = {
    "published": ({}, {}),
    "scaled res2": ({"X3D__SCALE_RES2": True}, {"scale_res2": True}),
    "norm after lin5": ({"X3D__BN_LIN5": True}, {"bn_lin5": True}),
    "groups": ({"X3D__CHANNELWISE_3x3x3": False, "X3D__BOTTLENECK_FACTOR": 2}, {"groups": 1, "bottleneck": 2}),
    "other widths": (
        {"X3D__WIDTH_FACTOR": 0.7, "X3D__DIM_C1": 10, "X3D__DIM_C5": 20},
        {"width": 0.7, "c1": 10, "c5": 20},
    ),
    "factors of 0": ({"X3D__WIDTH_FACTOR": 0, "X3D__DEPTH_FACTOR": 0}, {"width": 1, "depth": 1}),
    "dilation": ({"RESNET__SPATIAL_DILATIONS": [[1], [1], [2], [3]]}, {"dilations": (1, 1, 2, 3)}),
    "stride in 1x1": ({"RESNET__STRIDE_1X1": True}, {"stride_first": True}),
}


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_scores_are_those_of_the_plain_modules(name):
    overrides, reference = VARIANTS[name]
    model, plain = random_pair(reference, **overrides)
    assert list(model.state_dict()) == list(plain.state_dict())
    clips = clip()
    scores = model.eval()([clips])
    assert scores.std() > 1e-3
    torch.testing.assert_close(scores, plain.eval()(clips), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("frames", "crop"), [(1, 32), (3, 45), (4, 65), (4, 96), (7, 64), (9, 130)])
@torch.no_grad()
def test_a_clip_of_any_shape_is_evaluated_at_all_positions_of_the_window(frames, crop):
    model, plain = random_pair()
    clips = clip(frames, crop)
    torch.testing.assert_close(model.eval()([clips]), plain.eval()(clips), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_channels_last_clips_give_the_same_scores():
    model, plain = random_pair()
    clips, model = clip(crop=96), model.eval().to(memory_format=torch.channels_last_3d)
    scores = model([clips.contiguous(memory_format=torch.channels_last_3d)])
    torch.testing.assert_close(scores, plain.eval()(clips), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_test_crop_larger_than_the_training_crop_has_several_positions():
    shapes = []
    model = build_model(tiny_x3d(DATA__TRAIN_CROP_SIZE=160)).eval()
    model.head.projection.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    for crop in (160, 182):
        model([clip(crop=crop, batch=1)])
    assert shapes == [(1, 1, 1, 1, 5), (1, 1, 2, 2, 5)]


@torch.no_grad()
def test_a_global_pool_has_one_position_at_any_crop():
    cfg = tiny_x3d(MODEL__GLOBAL_POOL=True, MODEL__HEAD_ACT="none")
    model, clips = build_model(cfg).eval(), clip(crop=130)
    expected = model([clips])
    model.head.train()
    model.head.conv_5_bn.eval()
    torch.testing.assert_close(model([clips]), expected)


@pytest.mark.parametrize(("frames", "crop"), [(4, 64), (2, 45), (5, 90)])
def test_a_training_step_is_that_of_the_plain_modules(frames, crop):
    model, plain = random_pair()
    clips, labels = clip(frames, crop), torch.tensor([1, 3])
    for net, inputs in ((model, [clips]), (plain, clips)):
        nn.functional.cross_entropy(net.train()(inputs), labels).backward()
    gradients = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-3, atol=5e-5, msg=name)
    buffers = plain.state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, buffers[name], rtol=1e-5, atol=5e-5, msg=name)


# --- sizes and costs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "factor", "divisor", "expected"),
    [(12, 2, 8, 24), (24, 2, 1, 48), (12, 0, 8, 12), (54, 0.0625, 8, 8), (216, 0.0625, 8, 16), (432, 0.0625, 8, 32)],
)
def test_widths_are_rounded_as_published(width, factor, divisor, expected):
    assert round_width(width, factor, divisor) == expected


def stages(model):
    return [list(getattr(model, f"s{i}").children()) for i in range(2, 6)]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("XS", [3, 5, 11, 7]), ("S", [3, 5, 11, 7]), ("M", [3, 5, 11, 7]), ("L", [5, 10, 25, 15])],
)
def test_stages_have_the_published_widths_and_depths(name, blocks):
    with torch.device("meta"):
        model = build_model(recipe(f"Kinetics/X3D_{name}"))
    assert [len(stage) for stage in stages(model)] == blocks
    branches = [stage[0].branch2 for stage in stages(model)]
    sizes = [(b.c.out_channels, b.b.out_channels, b.b.groups, b.se.fc1.out_channels) for b in branches]
    assert sizes == [(24, 54, 54, 8), (48, 108, 108, 8), (96, 216, 216, 16), (192, 432, 432, 32)]
    assert model.s1.pathway0_stem.conv.out_channels == 24
    gated = [hasattr(block.branch2.se, "fc1") for block in stages(model)[2]]
    assert gated == [i % 2 == 0 for i in range(blocks[2])]


def multiply_adds(model, frames, crop):
    """G multiply-adds of convolutions and linear layers for a clip, on the meta device."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    layers = [module for module in model.modules() if isinstance(module, (nn.Conv3d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    model([torch.zeros(1, 3, frames, crop, crop)])
    for handle in handles:
        handle.remove()
    return total / 1e9


COSTS = {"XS": (0.605, 0.844), "S": (1.963, 2.727), "M": (4.732, 6.186), "L": (18.368, 24.778)}


@pytest.mark.parametrize("name", COSTS)
def test_a_clip_costs_the_published_multiply_adds_at_the_training_and_the_test_crop(name):
    cfg = recipe(f"Kinetics/X3D_{name}")
    with torch.device("meta"):
        model, data = build_model(cfg).eval(), cfg.DATA
        costs = tuple(
            round(multiply_adds(model, data.NUM_FRAMES, c), 3) for c in (data.TRAIN_CROP_SIZE, data.TEST_CROP_SIZE)
        )
    assert costs == COSTS[name]


def test_the_summary_counts_the_network():
    cfg = tiny_x3d()
    model, clips = build_model(cfg), [clip(batch=1)]
    summary = summarize(model, clips)
    assert summary.parameters == sum(p.numel() for p in model.parameters())
    counted = multiply_adds(model.eval(), 4, 64)
    assert counted <= summary.gflops < 1.2 * counted


# --- training ---------------------------------------------------------------------------------------


def test_every_shape_of_the_multigrid_recipe_trains_a_narrow_network():
    cfg = load_cfg("Kinetics/X3D_M_multigrid")
    shapes = {shape for phase in build_schedule(cfg).phases for shape in phase.shapes}
    assert {(shape.frames, shape.crop) for shape in shapes} == {
        *((4, 158), (4, 112), (8, 158), (8, 112), (8, 224)),
        *((16, 224), (16, 158), (16, 112)),
    }
    check_shapes(cfg, shapes)
    narrow = {"WIDTH_FACTOR": 0.25, "DEPTH_FACTOR": 0.2, "BOTTLENECK_FACTOR": 1, "DIM_C5": 8}
    model = build_model(recipe("Kinetics/X3D_M_multigrid", **{f"X3D__{key}": value for key, value in narrow.items()}))
    for frames, crop in {(shape.frames, shape.crop) for shape in shapes}:
        loss = nn.functional.cross_entropy(model.train()([clip(frames, crop, batch=1)]), torch.tensor([1]))
        model.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_clips_under_32_pixels_are_refused():
    with pytest.raises(UserError, match="4 frames x 31 px: crops under 32 px are too small"):
        build_model(tiny_x3d(DATA__TRAIN_CROP_SIZE=31))


def test_batch_norms_of_the_stages_are_grouped_and_those_of_the_head_are_not():
    model, _ = random_pair(reference={"bn_lin5": True}, X3D__BN_LIN5=True)
    regroup(model, 2)
    norms = {name: m for name, m in model.named_modules() if isinstance(m, nn.BatchNorm3d)}
    plain = {name for name, norm in norms.items() if not isinstance(norm, SubBatchNorm3d)}
    assert plain == {"head.conv_5_bn", "head.lin_5_bn"}
    assert {norm.num_groups for name, norm in norms.items() if name not in plain} == {2}

    features = []
    model.head.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0][0].detach()))
    clips = clip(batch=4)
    model.train()([clips])
    for group in (0, 1):
        alone = copy.deepcopy(model)
        regroup(alone, 1)
        alone([clips[group::2]])
        torch.testing.assert_close(features[0][group::2], features[-1], rtol=1e-4, atol=1e-5)


def test_the_network_starts_with_the_published_weights():
    model = build_model(tiny_x3d(X3D__WIDTH_FACTOR=2, MODEL__FC_INIT_STD=0.3, X3D__DIM_C5=200))
    for block in (block for stage in stages(model) for block in stage):
        assert not block.branch2.c_bn.weight.any()
        assert block.branch2.a_bn.weight.eq(1).all()
    gate, channelwise = model.s5.pathway0_res0.branch2.se, model.s5.pathway0_res0.branch2.b
    assert not gate.fc1.bias.any()
    assert not gate.fc2.bias.any()
    assert channelwise.weight.std().item() == pytest.approx((2 / (432 * 27)) ** 0.5, rel=0.05)
    assert model.head.lin_5.weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.05)
    assert model.head.projection.weight.std().item() == pytest.approx(0.3, rel=0.1)
    assert not model.head.projection.bias.any()
    assert build_model(tiny_x3d(RESNET__ZERO_INIT_FINAL_BN=False)).s2.pathway0_res0.branch2.c_bn.weight.eq(1).all()


def test_drop_path_drops_the_branches_of_some_clips_and_keeps_the_mean():
    dropped = drop_path(torch.ones(4000, 2, 1, 1, 1), 0.25, training=True)
    assert dropped.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    branch = torch.randn(3, 2)
    assert drop_path(branch, 0.25, training=False) is branch
    assert drop_path(branch, 0.0, training=True) is branch
    assert not drop_path(branch, 1.0, training=True).any()


def test_the_rate_of_drop_connect_grows_with_the_stage_and_acts_in_training_only():
    model = build_model(tiny_x3d(MODEL__DROPCONNECT_RATE=0.5, RESNET__ZERO_INIT_FINAL_BN=False))
    assert [stage[0].drop_rate for stage in stages(model)] == pytest.approx([0.2, 0.3, 0.4, 0.5])
    clips = [clip()]
    assert torch.equal(model.eval()(clips), model(clips))
    for norm in (m for m in model.train().modules() if isinstance(m, nn.BatchNorm3d)):
        norm.eval()
    assert not torch.equal(model(clips), model(clips))


def test_with_a_detached_classifier_only_the_classifier_is_trained():
    model = build_model(tiny_x3d(MODEL__DETACH_FINAL_FC=True))
    nn.functional.cross_entropy(model.train()([clip()]), torch.tensor([1, 3])).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {"head.projection.weight", "head.projection.bias"}


def test_torch_compile_captures_the_network_in_one_graph():
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph

    model = build_model(tiny_x3d(MODEL__DROPCONNECT_RATE=0.5, X3D__DEPTH_FACTOR=0.2)).train()
    torch.compile(model, dynamic=False, fullgraph=True, backend=count)([clip()])
    assert len(graphs) == 1


# --- checkpoints and mistakes -------------------------------------------------------------------------


def test_a_published_checkpoint_loads_and_a_saved_one_has_its_names(tmp_path):
    model, plain = random_pair()
    torch.save({"model_state": plain.state_dict()}, tmp_path / "published.pyth")
    fresh = build_model(tiny_x3d())
    load_checkpoint(str(tmp_path / "published.pyth"), fresh)
    clips = clip()
    assert torch.equal(fresh.eval()([clips]), model.eval()([clips]))
    x3d_reference.X3D(width=0.5, depth=0.4, bottleneck=2.25, c5=32, frames=4).load_state_dict(fresh.state_dict())


def test_a_checkpoint_of_other_classes_leaves_the_classifier_at_its_initialization(tmp_path, caplog):
    _, plain = random_pair()
    torch.save({"model_state": plain.state_dict()}, tmp_path / "published.pyth")
    model = build_model(tiny_x3d(MODEL__NUM_CLASSES=3))
    before = model.head.projection.weight.clone()
    load_checkpoint(str(tmp_path / "published.pyth"), model)
    assert torch.equal(model.head.projection.weight, before)
    assert torch.equal(model.head.lin_5.weight, plain.head.lin_5.weight)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"MODEL__ARCH": "slow"}, "MODEL.ARCH: 'slow' does not fit MODEL.MODEL_NAME; choose one of x3d"),
        ({"MODEL__MODEL_NAME": "ResNet"}, "MODEL.ARCH: 'x3d' does not fit MODEL.MODEL_NAME; choose one of 2d, c2d"),
        ({"X3D__BOTTLENECK_FACTOR": 0.01}, "X3D.BOTTLENECK_FACTOR: 0.01 leaves nothing of 6 channels; raise it"),
        (
            {"X3D__CHANNELWISE_3x3x3": False, "RESNET__NUM_GROUPS": 4},
            "RESNET.NUM_GROUPS: 4 does not divide the 13 channels inside a residual branch; use a divisor",
        ),
        (
            {"X3D__BN_LIN5": True, "TRAIN__BATCH_SIZE": 8},
            "X3D.BN_LIN5: True normalizes over the clips of a device, and there is one; raise TRAIN.BATCH_SIZE",
        ),
        ({"DATA__INPUT_CHANNEL_NUM": [3, 3]}, r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] .*1 pathway.*; give \[3\]"),
        ({"NONLOCAL__LOCATION": [[[9]]] * 4}, r"LOCATION: \[9\] for res2, .*blocks 0 to 1"),
    ],
)
def test_mistakes_name_the_key_the_value_and_the_fix(overrides, message):
    with pytest.raises(UserError, match=message):
        build_model(tiny_x3d(**overrides))


def test_the_nonlocal_blocks_of_res2_are_those_of_all_stages():
    location = [[[1]], [[]], [[]], [[]]]
    model = build_model(tiny_x3d(NONLOCAL__LOCATION=location, NONLOCAL__GROUP=[[2], [1], [1], [1]]))
    names = [name for name, module in model.named_modules() if type(module).__name__ == "Nonlocal"]
    assert names == [f"s{stage}.pathway0_nonlocal1" for stage in (4, 5)]  # res2 and res3 have one block here
    assert model([clip()]).shape == (2, 5)
    with pytest.raises(UserError, match="NONLOCAL.GROUP 3 does not divide the 4 frames"):
        build_model(tiny_x3d(NONLOCAL__LOCATION=location, NONLOCAL__GROUP=[[3], [1], [1], [1]]))
