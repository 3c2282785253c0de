"""Models in training: every shape of multigrid, logits, initial weights."""

import pytest
import torch

from slowfast.errors import UserError
from slowfast.models import build_model
from slowfast.models.build import check_shapes
from slowfast.models.init import final_norms
from slowfast.models.nonlocal_block import Nonlocal
from slowfast.multigrid import Shape, regroup
from tests.models.tiny import clips_for, random_model, tiny_cfg

SHAPES = [(4, 32), (4, 45), (8, 64)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("arch", ["2d", "c2d", "i3d", "slow", "slowfast", "nopool", "nonlocal"])
def test_every_model_trains_on_coarser_shapes_than_its_config(arch, shape):
    extra = {"nopool": {"MODEL__MODEL_NAME": "ResNet_nopool"}, "nonlocal": {"NONLOCAL__LOCATION": [[[0]]] * 4}}
    cfg = tiny_cfg({"nopool": "c2d", "nonlocal": "i3d"}.get(arch, arch), **extra.get(arch, {}))
    model = build_model(cfg).train()
    logits = model(clips_for(cfg, *shape))
    assert logits.shape == (2, 5)
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 3])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_training_gives_logits_of_the_global_mean():
    cfg = tiny_cfg("slow", MODEL__DROPOUT_RATE=0.0, MODEL__HEAD_ACT="none")
    model, clips = random_model(cfg), clips_for(cfg)
    expected = model(clips)
    model.head.train()
    torch.testing.assert_close(model(clips), expected)


def test_dropout_acts_in_training_only():
    cfg = tiny_cfg("slow", MODEL__DROPOUT_RATE=0.5)
    model, clips = random_model(cfg), clips_for(cfg)
    assert torch.equal(model(clips), model(clips))
    model.head.train()
    assert not torch.equal(model(clips), model(clips))


def test_frames_that_alpha_does_not_divide_are_refused_in_training():
    cfg = tiny_cfg("slowfast")
    with pytest.raises(ValueError, match=r"6 frames, 1 of them slow, do not fit SLOWFAST.ALPHA 4"):
        build_model(cfg)(clips_for(cfg, frames=6))


def test_one_frame_is_refused_where_time_is_halved():
    cfg = tiny_cfg("c2d")
    with pytest.raises(UserError, match="1 frames x 64 px: c2d needs more frames: 2 or more"):
        check_shapes(cfg, [Shape(1, 8, 64), Shape(1, 1, 64)])


def test_clips_of_different_batch_norm_groups_do_not_see_each_other_through_a_nonlocal_group():
    torch.manual_seed(0)
    block, clips = Nonlocal(4, 2, group=2), torch.randn(2, 4, 4, 3, 3)
    torch.nn.init.normal_(block.bn.weight)
    regroup(block, 2)
    first = block(clips)[0]
    clips[1] *= 3
    assert torch.equal(block(clips)[0], first)


def test_frames_that_a_nonlocal_group_does_not_divide_are_refused():
    cfg = tiny_cfg("slow", NONLOCAL__LOCATION=[[[0]], [[]], [[]], [[]]], NONLOCAL__GROUP=[[3], [1], [1], [1]])
    with pytest.raises(
        ValueError, match=r"NONLOCAL.GROUP 3 does not divide the 8 frames that reach a non-local block of res2"
    ):
        build_model(cfg)


@pytest.mark.parametrize("clips", [torch.zeros(1, 3, 8, 64, 64), [torch.zeros(1, 3, 8, 64, 64)]], ids=["tensor", "one"])
def test_another_number_of_clips_than_pathways_is_refused(clips):
    with pytest.raises(ValueError, match="a list of 2 clips, one per pathway"):
        build_model(tiny_cfg("slowfast"))(clips)


def test_convolutions_start_kaiming_normal_and_the_head_with_its_own_deviation():
    model = build_model(tiny_cfg("slow", RESNET__WIDTH_PER_GROUP=32, MODEL__FC_INIT_STD=0.3, MODEL__NUM_CLASSES=50))
    weight = model.s5.pathway0_res1.branch2.b.weight
    expected = (2 / (weight.shape[0] * 9)) ** 0.5
    assert weight.std().item() == pytest.approx(expected, rel=0.02)
    assert model.head.projection.weight.std().item() == pytest.approx(0.3, rel=0.02)
    assert not model.head.projection.bias.any()


@pytest.mark.parametrize("transform", ["basic_transform", "bottleneck_transform"])
def test_final_norms_start_at_zero_only_when_asked(transform):
    def model(zero):
        location = [[[]], [[0]], [[]], [[]]]
        overrides = {"RESNET__TRANS_FUNC": transform, "RESNET__ZERO_INIT_FINAL_BN": zero}
        return build_model(tiny_cfg("slow", NONLOCAL__LOCATION=location, **overrides))

    last = "b_bn" if transform == "basic_transform" else "c_bn"
    for name, module in model(True).named_modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            final = name.endswith(f"branch2.{last}") or "nonlocal" in name
            assert module.weight.unique().tolist() == [0.0 if final else 1.0], name
    assert all(norm.weight.all() for norm in final_norms(model(False)))


def test_biases_of_nonlocal_convolutions_keep_the_default_of_pytorch():
    block = next(
        m for m in build_model(tiny_cfg("slow", NONLOCAL__LOCATION=[[[0]]] * 4)).modules() if type(m) is Nonlocal
    )
    bound = block.conv_theta.in_channels**-0.5
    assert 0 < block.conv_theta.bias.abs().max() <= bound


def test_all_norms_are_of_the_one_class_that_can_group():
    from slowfast.multigrid.batch_norm import SubBatchNorm3d

    norms = [m for m in build_model(tiny_cfg("slowfast")).modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert {type(norm) for norm in norms} == {SubBatchNorm3d}
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.1)}
