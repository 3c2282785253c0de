"""The plan of an MViT: sizes and costs of the published networks, first weights, layers, images, mistakes."""

from math import prod

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from slowfast.errors import UserError
from slowfast.inference.gradcam import contributions
from slowfast.models import build_model
from slowfast.models.build import check_shapes
from slowfast.models.summary import count_parameters, summarize
from slowfast.multigrid import Shape
from tests.models.tiny import recipe
from tests.models.tiny_mvit import V1, V2, clip, random_mvit, tiny_mvit

# --- sizes, costs, weights ------------------------------------------------------------------------------


NETWORKS = {  # recipe: parameters, G multiply-adds
    "Kinetics/MVIT_B_16x4_CONV": (36_610_672, 70.60),
    "Kinetics/MVIT_B_32x3_CONV": (53_115_280, 235.8),
    "Kinetics/MVITv2_S_16x4": (34_537_744, 64.22),
    "Kinetics/MVITv2_B_32x3": (51_230_128, 224.5),
    "Kinetics/MVITv2_L_40x3_test": (213_390_112, 2823),
    "SSv2/MVITv2_S_16x4": (34_363_950, None),  # fewer classes cost the same
    "SSv2/MVITv2_B_32x3": (51_056_334, None),
    "SSv2/MVITv2_L_40x3": (213_129_534, None),
}


@torch.no_grad()
def multiply_adds(cfg, frames, crop):
    """G multiply-adds of a clip in evaluation, as torch counts them without computing."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_model(cfg).eval()([torch.zeros(1, 3, frames, crop, crop)])
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("name", NETWORKS)
def test_recipes_have_the_published_parameters_and_multiply_adds(name):
    parameters, cost = NETWORKS[name]
    cfg = recipe(name)
    with torch.device("meta"):
        assert count_parameters(build_model(cfg)) == parameters
    if cost is not None:
        counted = multiply_adds(cfg, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
        assert counted == pytest.approx(cost, rel=2e-4)


SHARES = {(8, 158): 0.213, (4, 112): 0.0514}


def test_coarser_clips_cost_the_published_share():
    cfg = recipe("Kinetics/MVITv2_S_16x4")
    whole = multiply_adds(cfg, 16, 224)
    for (frames, crop), share in SHARES.items():
        assert multiply_adds(cfg, frames, crop) / whole == pytest.approx(share, abs=6e-4)


def test_the_summary_counts_attention_and_its_positions():
    cfg = tiny_mvit(V2)
    summary = summarize(build_model(cfg), [clip(batch=1)])
    assert summary.parameters == count_parameters(build_model(cfg))
    counted = multiply_adds(cfg, 4, 32)
    assert counted <= summary.gflops < 1.05 * counted


def rows_of(model):
    """Rows of the tables of height for every block."""
    return [block.attn.rel_pos_h.shape[0] for block in model.blocks]


def test_tables_have_the_published_rows_where_sides_are_odd():
    with torch.device("meta"):
        rows = rows_of(build_model(recipe("Kinetics/MVITv2_L_40x3_test")))
    assert rows == [155] * 2 + [77] * 6 + [37] * 37 + [17] * 3


def sides(cfg, crop):
    """(Side in, side out, side of the keys) of every block for a crop, on the meta device."""
    found = []

    def keep(module, inputs, output):
        keys = module._pool(
            torch.zeros(1, 1, module.spec.class_tokens + prod(inputs[1]), module.spec.head_width), inputs[1], "k"
        )
        found.append((inputs[1][1], output[1][1], keys[1][1]))

    with torch.device("meta"):
        model = build_model(cfg).eval()
        for block in model.blocks:
            block.attn.register_forward_hook(keep)
        model([torch.zeros(1, 3, 4, crop, crop)])
    return found


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        (224, [(56, 56, 7), (56, 28, 14), (28, 28, 7), (28, 14, 14), *[(14, 14, 7)] * 10, (14, 7, 14), (7, 7, 7)]),
        (112, [(28, 28, 4), (28, 14, 7), (14, 14, 4), (14, 7, 7), *[(7, 7, 4)] * 10, (7, 4, 7), (4, 4, 4)]),
        (158, [(40, 40, 5), (40, 20, 10), (20, 20, 5), (20, 10, 10), *[(10, 10, 5)] * 10, (10, 5, 10), (5, 5, 5)]),
    ],
)
def test_grids_have_the_published_sides(crop, expected):
    assert sides(recipe("Kinetics/MVITv2_S_16x4"), crop) == expected


def test_the_network_starts_with_the_published_weights():
    model = build_model(tiny_mvit(V2, USE_ABS_POS=True, HEAD_INIT_SCALE=0.1, EMBED_DIM=32, NORM_STEM=True))
    for name, parameter in model.named_parameters():
        if name.startswith("head"):
            expected = parameter.std() if name.endswith("weight") else parameter[0]
            assert expected.item() == pytest.approx(0.002, rel=0.15)
        elif name == "patch_embed.proj.bias":
            assert 0.01 < parameter.abs().max() <= 441**-0.5
        elif name.endswith("bias"):
            assert parameter.eq(0.02).all()
        elif "norm" in name:
            assert parameter.eq(1).all()
        elif parameter.numel() > 500:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15)
        else:
            assert parameter.any()
    zero = build_model(tiny_mvit(V2, REL_POS_ZERO_INIT=True))
    assert not any(p.any() for name, p in zero.named_parameters() if "rel_pos" in name)
    assert zero.cls_token.any()


def test_positions_and_the_class_token_have_no_weight_decay_unless_the_config_gives_them_some():
    assert build_model(tiny_mvit(ZERO_DECAY_POS_CLS=False)).no_weight_decay() == frozenset()
    names = build_model(tiny_mvit()).no_weight_decay()
    assert names == {"cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class"}
    names = build_model(tiny_mvit(V2, USE_ABS_POS=True, SEP_POS_EMBED=False)).no_weight_decay()
    assert names == {"cls_token", "pos_embed", *(f"blocks.{i}.attn.rel_pos_{axis}" for i in range(3) for axis in "hwt")}


def test_parameters_belong_to_layers_from_the_patches_to_the_head():
    model = build_model(tiny_mvit(V2, USE_ABS_POS=True, NORM_STEM=True))
    layers = {name.split(".attn")[0].split(".norm")[0]: model.layer_of(name) for name in model.state_dict()}
    assert model.num_layers == 4
    assert {name: layer for name, layer in layers.items() if "mlp" not in name and "proj" not in name} == {
        **dict.fromkeys(["cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class"], 0),
        **{f"blocks.{i}": i + 1 for i in range(3)},
        **{"norm_stem.weight": 4, "norm_stem.bias": 4, "norm.weight": 4, "norm.bias": 4},
    }
    assert model.layer_of("patch_embed.proj.bias") == 0
    assert model.layer_of("blocks.2.proj.weight") == 3
    assert model.layer_of("head.projection.weight") == 4


# --- images and mistakes --------------------------------------------------------------------------------


def test_patches_of_images_have_a_grid_of_one_frame():
    sizes = {"PATCH_KERNEL": [7, 7], "PATCH_STRIDE": [4, 4], "PATCH_PADDING": [3, 3], "POOL_KVQ_KERNEL": [1, 3, 3]}
    cfg = tiny_mvit(V2, PATCH_2D=True, REL_POS_TEMPORAL=False, DATA__NUM_FRAMES=1, **sizes)
    model = build_model(cfg)
    assert model.patch_embed.proj.weight.shape == (8, 3, 7, 7)
    assert model([clip(1)]).shape == (2, 5)
    with pytest.raises(UserError, match="2 frames x 32 px: MVIT.PATCH_2D is for images, clips of 1 frame"):
        check_shapes(cfg, [Shape(1, 2, 32)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MODEL__ARCH": "slow"}, "MODEL.ARCH: 'slow' does not fit MODEL.MODEL_NAME; use mvit"),
        ({"DATA__INPUT_CHANNEL_NUM": [3, 3]}, r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] does not fit .*give \[3\]"),
        ({"MODEL__HEAD_ACT": "tanh"}, "MODEL.HEAD_ACT: 'tanh' is not known; choose one of softmax"),
        ({"NORM": "batchnorm"}, "MVIT.NORM: 'batchnorm' is not known; use layernorm"),
        ({"MODE": "median"}, "MVIT.MODE: 'median' is not known; choose one of conv, conv_unshared, max, avg"),
        ({"MODE": "conv_unshared"}, "MVIT.MODE: 'conv_unshared' pools all channels at once; use conv, or .*POOL_FIRST"),
        (
            {"NUM_HEADS": 3, "EMBED_DIM": 8, "DIM_MUL": []},
            "HEAD_MUL: the 3 heads of block 0 do not divide its 8 channels",
        ),
        ({"DIM_MUL": [[4, 2.0]]}, r"MVIT.DIM_MUL: \[4, 2.0\] must be .* from 0 to 3 \(MVIT.DEPTH\)"),
        ({"DIM_MUL": [[0.5, 2.0]]}, r"MVIT.DIM_MUL: \[0.5, 2.0\] must be \[block, factor\]"),
        ({"HEAD_MUL": [[1, 0]]}, r"MVIT.HEAD_MUL: \[1, 0\] must be \[block, factor\], .* a factor above 0"),
        ({"HEAD_MUL": [[1]]}, r"MVIT.HEAD_MUL: \[1\] must be \[block, factor\]"),
        (
            {"DIM_MUL": [[1, 2.0], [1, 3.0]]},
            r"MVIT.DIM_MUL: block 1 has 2 rows in \[\[1, 2.0\], \[1, 3.0\]\]; keep one",
        ),
        ({"POOL_Q_STRIDE": [[1, 1, 2, 2]] * 2}, "MVIT.POOL_Q_STRIDE: block 1 has 2 rows in .*; keep one of them"),
        ({"POOL_Q_STRIDE": [[3, 1, 2, 2]]}, r"MVIT.POOL_Q_STRIDE: \[3, 1, 2, 2\] must be .* from 0 to 2"),
        ({"POOL_Q_STRIDE": [[1, 2, 2]]}, r"MVIT.POOL_Q_STRIDE: \[1, 2, 2\] must be \[block, frames, height, width\]"),
        (
            {"POOL_KV_STRIDE_ADAPTIVE": None, "POOL_KV_STRIDE": [[1, 1, 0, 2]]},
            r"POOL_KV_STRIDE: \[1, 1, 0, 2\] must be",
        ),
        ({"POOL_KV_STRIDE_ADAPTIVE": [4, 4]}, r"MVIT.POOL_KV_STRIDE_ADAPTIVE: \[4, 4\] must have 3 numbers, \[frames"),
        ({"POOL_KVQ_KERNEL": [3, 3]}, r"MVIT.POOL_KVQ_KERNEL: \[3, 3\] must have 3 numbers"),
        ({"POOL_KVQ_KERNEL": [3, 2, 3]}, r"MVIT.POOL_KVQ_KERNEL: \[3, 2, 3\] does not fit the stride \[1, 2, 2\]"),
        ({"PATCH_STRIDE": [4, 4]}, r"MVIT.PATCH_STRIDE: \[4, 4\] must have 3 numbers, \[frames, height, width\]"),
        ({"PATCH_2D": True}, r"MVIT.PATCH_KERNEL: \[3, 7, 7\] must have 2 numbers, \[height, width\]"),
        (
            {"PATCH_PADDING": [0, 0, 0], "DATA__TRAIN_CROP_SIZE": 6},
            r"4 frames x 6 px: it is smaller than a patch, MVIT.PATCH_KERNEL \[3, 7, 7\] less MVIT.PATCH_PADDING",
        ),
        (
            {**V2, "POOL_FIRST": True, "EMBED_DIM": 7, "DIM_MUL": [[0, 2.0]], "HEAD_MUL": [[0, 2.0]]},
            "HEAD_MUL: the 2 heads of block 0 do not divide its 7 channels; change them, MVIT.EMBED_DIM",
        ),
        ({"MLP_RATIO": 0.01}, "MVIT.MLP_RATIO: 0.01 leaves nothing of 8 channels; raise it"),
    ],
)
def test_mistakes_name_the_key_the_value_and_the_fix(changes, message):
    with pytest.raises(UserError, match=message):
        build_model(tiny_mvit(V1, **changes))


def test_detection_and_grad_cam_are_refused():
    model = random_mvit()
    with pytest.raises(UserError, match="bboxes: detection is not part of this project"):
        model([clip()], bboxes=[])
    with pytest.raises(UserError, match="the head of MViT takes one vector of a clip, which has no places; Grad-CAM"):
        contributions(model, model.head, model.head.projection, [clip()], 0)
