"""MViT: outputs and gradients against plain functions, sizes and costs, clips of any shape, mistakes."""

import pytest
import torch
from torch import nn

from slowfast.config.defaults import get_cfg
from slowfast.models import build_model
from tests.models import mvit_reference
from tests.models.tiny import override

V1 = {
    "DEPTH": 3,
    "EMBED_DIM": 8,
    "PATCH_PADDING": [1, 3, 3],
    "DIM_MUL": [[1, 2.0], [2, 2.0]],
    "HEAD_MUL": [[1, 2.0], [2, 2.0]],
    "POOL_Q_STRIDE": [[1, 1, 2, 2]],
    "POOL_KV_STRIDE_ADAPTIVE": [1, 4, 4],
    "POOL_KVQ_KERNEL": [3, 3, 3],
    "SEP_POS_EMBED": True,
}
V2 = {
    **V1,
    "DIM_MUL_IN_ATT": True,
    "POOL_Q_STRIDE": [[0, 1, 1, 1], [1, 1, 2, 2], [2, 1, 1, 1]],
    "REL_POS_SPATIAL": True,
    "REL_POS_TEMPORAL": True,
    "RESIDUAL_POOLING": True,
    "USE_ABS_POS": False,
}
FACTS = {
    "dim_mul": {1: 2.0, 2: 2.0},
    "head_mul": {1: 2.0, 2: 2.0},
    "q": {1: (1, 2, 2)},
    "adaptive": (1, 4, 4),
    "kernel": (3, 3, 3),
}
FACTS_V2 = {**FACTS, "v2": True, "residual": True, "q": {0: (1, 1, 1), 1: (1, 2, 2), 2: (1, 1, 1)}}


def tiny_mvit(keys=V1, **changes):
    """The cfg of an MViT of 8 to 32 channels for 4 frames of 32 x 32 pixels and 5 classes. `changes` are of MVIT."""
    values = {"MODEL__MODEL_NAME": "MViT", "MODEL__ARCH": "mvit", "MODEL__NUM_CLASSES": 5, "MODEL__HEAD_ACT": "none"}
    values |= {"DATA__INPUT_CHANNEL_NUM": [3], "DATA__NUM_FRAMES": 4, "DATA__TRAIN_CROP_SIZE": 32}
    others = {key: value for key, value in changes.items() if "__" in key}
    keys = {f"MVIT__{key}": value for key, value in (keys | changes).items() if "__" not in key}
    return override(get_cfg(), values | keys | others)


def random_mvit(keys=V1, **changes):
    """A tiny MViT in evaluation whose every parameter matters."""
    model = build_model(tiny_mvit(keys, **changes)).eval()
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.3)
        if "norm" in name and name.endswith("weight"):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def clip(frames=4, height=32, width=None, batch=2):
    return torch.randn(batch, 3, frames, height, width or height)


VARIANTS = {
    "v1": (V1, {}, FACTS),
    "v2": (V2, {}, FACTS_V2),
    "joint positions": (V1, {"SEP_POS_EMBED": False}, FACTS),
    "no class token": (V1, {"CLS_EMBED_ON": False}, {**FACTS, "cls": False}),
    "no class token, v2": (V2, {"CLS_EMBED_ON": False}, {**FACTS_V2, "cls": False}),
    "mean of the patches": (V2, {"USE_MEAN_POOLING": True}, {**FACTS_V2, "mean": True}),
    "no positions": (V1, {"USE_ABS_POS": False}, FACTS),
    "norm of the stem": (V1, {"NORM_STEM": True}, FACTS),
    "three layers without biases": (V1, {"SEPARATE_QKV": True, "QKV_BIAS": False}, {**FACTS, "separate": True}),
    "max pools": (V1, {"MODE": "max"}, {**FACTS, "mode": "max"}),
    "average pools, v2": (V2, {"MODE": "avg"}, {**FACTS_V2, "mode": "avg"}),
    "pools first": (V2, {"POOL_FIRST": True}, {**FACTS_V2, "pool_first": True}),
    "pools first over all channels": (
        V1,
        {"POOL_FIRST": True, "MODE": "conv_unshared"},
        {**FACTS, "pool_first": True, "mode": "conv_unshared"},
    ),
    "kernels from the strides": (V1, {"POOL_KVQ_KERNEL": None}, {**FACTS, "kernel": None}),
    "strides of keys by block": (
        V1,
        {"POOL_KV_STRIDE_ADAPTIVE": None, "POOL_KV_STRIDE": [[1, 2, 1, 3]]},
        {**FACTS, "adaptive": None, "kv": {1: (2, 1, 3)}},
    ),
    "positions in space only": (V2, {"REL_POS_TEMPORAL": False}, FACTS_V2),
    "positions in time only": (V2, {"REL_POS_SPATIAL": False}, FACTS_V2),
    "both kinds of positions": (V2, {"USE_ABS_POS": True}, FACTS_V2),
    "strides of time, and other factors": (
        V2,
        {
            "POOL_Q_STRIDE": [[0, 2, 1, 1], [2, 1, 2, 2]],
            "EMBED_DIM": 12,
            "NUM_HEADS": 3,
            "DIM_MUL": [[1, 1.4]],
            "HEAD_MUL": [[1, 2.0]],
        },
        {
            **FACTS_V2,
            "q": {0: (2, 1, 1), 2: (1, 2, 2)},
            "heads": 3,
            "dim_mul": {1: 1.4},
            "head_mul": {1: 2.0},
            "dim": 12,
        },
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_scores_are_those_of_the_plain_functions(name):
    keys, changes, facts = VARIANTS[name]
    model, clips = random_mvit(keys, **changes), clip()
    scores = model([clips])
    assert scores.std() > 1e-2
    expected = mvit_reference.forward(clips, model.state_dict(), **facts)
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


SHAPES = [(4, 32, 32), (1, 32, 32), (3, 30, 45), (6, 17, 50), (4, 64, 64), (2, 4, 4)]


@pytest.mark.parametrize(("frames", "height", "width"), SHAPES)
@pytest.mark.parametrize("name", ["v1", "joint positions", "v2", "average pools, v2", "max pools"])
@torch.no_grad()
def test_clips_of_any_shape_have_the_scores_of_the_plain_functions(name, frames, height, width):
    keys, changes, facts = VARIANTS[name]
    model, clips = random_mvit(keys, **changes), clip(frames, height, width, batch=1)
    expected = mvit_reference.forward(clips, model.state_dict(), **facts)
    torch.testing.assert_close(model([clips]), expected, rtol=1e-5, atol=2e-5)
