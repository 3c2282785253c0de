"""Outputs in evaluation, compared with the plain functions of reference.py."""

import pytest
import torch

from tests.models import reference
from tests.models.tiny import clips_for, random_model, tiny_cfg

BOTTLENECK = {"RESNET__TRANS_FUNC": "bottleneck_transform"}
ONE_NONLOCAL = [[[]], [[0]], [[1]], [[]]]

VARIANTS = {
    "basic 2d": ("2d", {}),
    "basic c2d": ("c2d", {}),
    "basic i3d": ("i3d", {}),
    "basic slow": ("slow", {}),
    "basic slowfast": ("slowfast", {}),
    "bottleneck slowfast": ("slowfast", BOTTLENECK),
    "depth 50": ("i3d", {**BOTTLENECK, "RESNET__DEPTH": 50, "RESNET__NUM_BLOCK_TEMP_KERNEL": [[2], [4], [3], [3]]}),
    "stride in 1x1": ("slow", {**BOTTLENECK, "RESNET__STRIDE_1X1": True}),
    "groups": ("slowfast", {**BOTTLENECK, "RESNET__NUM_GROUPS": 2}),
    "dilation": ("slow", {**BOTTLENECK, "RESNET__SPATIAL_DILATIONS": [[1], [1], [2], [3]]}),
    "dilation instead of stride": (
        "i3d",
        {"RESNET__SPATIAL_DILATIONS": [[1], [1], [1], [2]], "RESNET__SPATIAL_STRIDES": [[1], [2], [2], [1]]},
    ),
    "softmax non-local": ("i3d", {"NONLOCAL__LOCATION": ONE_NONLOCAL, "NONLOCAL__INSTANTIATION": "softmax"}),
    "dot-product non-local": ("c2d", {"NONLOCAL__LOCATION": ONE_NONLOCAL}),
    "non-local groups": ("slow", {"NONLOCAL__LOCATION": ONE_NONLOCAL, "NONLOCAL__GROUP": [[1], [2], [4], [1]]}),
    "non-local without a pool": ("slow", {"NONLOCAL__LOCATION": ONE_NONLOCAL, "NONLOCAL__POOL": [[[1, 1, 1]]] * 4}),
    "non-local pool over time": ("slow", {"NONLOCAL__LOCATION": ONE_NONLOCAL, "NONLOCAL__POOL": [[[2, 2, 1]]] * 4}),
    "non-local in both pathways": ("slowfast", {"NONLOCAL__LOCATION": [[[], []], [[0], [1]], [[1], []], [[], []]]}),
    "no temporal pool": ("i3d", {"MODEL__MODEL_NAME": "ResNet_nopool"}),
    "other fusion": ("slowfast", {"SLOWFAST__FUSION_KERNEL_SZ": 7, "SLOWFAST__FUSION_CONV_CHANNEL_RATIO": 3}),
    "sigmoid": ("slow", {"MODEL__HEAD_ACT": "sigmoid"}),
    "no activation": ("slow", {"MODEL__HEAD_ACT": "none"}),
    "short cycle": ("slowfast", {"MULTIGRID__SHORT_CYCLE": True}),
    "global pool": ("slowfast", {"MODEL__GLOBAL_POOL": True}),
}


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_outputs_are_those_of_the_interface_page(name):
    arch, overrides = VARIANTS[name]
    cfg = tiny_cfg(arch, **overrides)
    model, clips = random_model(cfg), clips_for(cfg, crop=96)
    scores = model(clips)
    assert scores.shape == (2, 5)
    assert scores.std() > 1e-3
    torch.testing.assert_close(scores, reference.forward(cfg, model.state_dict(), clips), rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("crop", [32, 33, 50, 64, 97])
@pytest.mark.parametrize("arch", ["c2d", "slowfast"])
@torch.no_grad()
def test_any_crop_from_32_pixels_is_evaluated(arch, crop):
    location = [[[], []], [[0], []], [[0], []], [[0], []]] if arch == "slowfast" else [[[]], [[0]], [[0]], [[0]]]
    cfg = tiny_cfg(arch, NONLOCAL__LOCATION=location)
    scores = random_model(cfg)(clips_for(cfg, crop=crop))
    torch.testing.assert_close(scores.sum(1), torch.ones(2))


@torch.no_grad()
def test_coarser_clips_than_the_window_are_evaluated_at_one_position():
    cfg = tiny_cfg("slowfast")
    model, clips = random_model(cfg), clips_for(cfg, frames=4, crop=32)
    torch.testing.assert_close(model(clips), reference.forward(cfg, model.state_dict(), clips), rtol=1e-5, atol=5e-6)


@torch.no_grad()
def test_longer_clips_are_evaluated_at_several_positions_in_time():
    cfg = tiny_cfg("slow")
    model, clips = random_model(cfg), clips_for(cfg, frames=11, crop=32)
    torch.testing.assert_close(model(clips), reference.forward(cfg, model.state_dict(), clips), rtol=1e-5, atol=5e-6)


@torch.no_grad()
def test_pathways_that_disagree_in_time_are_refused_with_the_frames_needed():
    cfg = tiny_cfg("slowfast")
    with pytest.raises(ValueError, match=r"needs clips of 8 frames \(DATA.NUM_FRAMES\), and this one has 12"):
        random_model(cfg)(clips_for(cfg, frames=12))


@torch.no_grad()
def test_channels_last_clips_give_the_same_scores():
    cfg = tiny_cfg("slowfast", NONLOCAL__LOCATION=[[[], []], [[0], []], [[], []], [[], []]])
    model, clips = random_model(cfg), clips_for(cfg)
    expected = model(clips)
    model.to(memory_format=torch.channels_last_3d)
    scores = model([clip.contiguous(memory_format=torch.channels_last_3d) for clip in clips])
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=5e-6)


@torch.no_grad()
def test_the_model_does_not_change_its_input():
    cfg = tiny_cfg("slowfast")
    clips = clips_for(cfg)
    copies, objects = [clip.clone() for clip in clips], list(map(id, clips))
    random_model(cfg)(clips)
    assert list(map(id, clips)) == objects
    assert all(torch.equal(clip, copy) for clip, copy in zip(clips, copies, strict=True))
