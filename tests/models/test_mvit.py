"""MViT: outputs and gradients against plain functions, sizes and costs, clips of any shape, mistakes."""

from math import prod

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slowfast.config.defaults import get_cfg
from slowfast.engine.launch import run
from slowfast.engine.precise_bn import update_statistics
from slowfast.engine.schedule import build_schedule
from slowfast.errors import UserError
from slowfast.inference.gradcam import contributions
from slowfast.models import build_model
from slowfast.models.build import check_shapes
from slowfast.models.freeze import freeze
from slowfast.models.mvit_positions import joint_positions, relative_index, rows_between, separate_positions
from slowfast.models.summary import count_parameters, summarize
from slowfast.multigrid import Shape, regroup
from tests.engine.tiny import BOTH_CYCLES, SYNTHETIC, json_stats, tiny_cfg
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
SHALLOW = {**V2, "DEPTH": 1, "DIM_MUL": [[0, 2.0]], "HEAD_MUL": [[0, 2.0]], "POOL_Q_STRIDE": [[0, 1, 2, 2]]}
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


@torch.no_grad()
def test_at_its_own_size_a_table_is_used_as_it_is():
    space, time, joint = torch.randn(1, 12, 5), torch.randn(1, 2, 5), torch.randn(1, 24, 5)
    stored = (2, 3, 4)
    repeated = space.repeat(1, 2, 1) + time.repeat_interleave(12, 1)
    assert torch.equal(separate_positions(space, time, stored, stored), repeated)
    assert joint_positions(joint, stored, stored) is joint
    assert torch.equal(rows_between(joint[0, :7], 4, 2), joint[0, relative_index(4, 2)])


@pytest.mark.parametrize(
    ("queries", "keys", "index"),
    [
        (3, 3, [[2, 1, 0], [3, 2, 1], [4, 3, 2]]),
        (4, 2, [[2, 0], [3, 1], [4, 2], [5, 3]]),
        (2, 4, [[3, 2, 1, 0], [5, 4, 3, 2]]),
        (1, 1, [[0]]),
        (3, 2, [[1, 0], [2, 1], [3, 2]]),
    ],
)
def test_the_row_of_a_table_is_the_distance_on_the_finer_grid(queries, keys, index):
    assert relative_index(queries, keys).tolist() == index


@torch.no_grad()
def test_one_clip_has_the_same_scores_in_any_batch():
    model, clips = random_mvit(V2), clip(batch=3)
    torch.testing.assert_close(model([clips])[1:2], model([clips[1:2]]), rtol=1e-5, atol=1e-6)


# --- training -----------------------------------------------------------------------------------------


def train_step(model, clips):
    """The gradients of a training step, by name."""
    model.zero_grad()
    nn.functional.cross_entropy(model.train()([clips]), torch.tensor([1, 3])).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(("frames", "height", "width"), [(4, 32, 32), (3, 30, 45)])
@pytest.mark.parametrize("name", ["v1", "v2", "joint positions", "pools first"])
def test_gradients_are_those_of_the_plain_functions(name, frames, height, width):
    keys, changes, facts = VARIANTS[name]
    off = {"DROPPATH_RATE": 0.0, "MODEL__DROPOUT_RATE": 0.0}
    model, clips = random_mvit(keys, **changes, **off), clip(frames, height, width)
    gradients = train_step(model, clips)
    leaves = {name: value.clone().requires_grad_() for name, value in model.state_dict().items()}
    logits = mvit_reference.forward(clips, leaves, **facts)
    nn.functional.cross_entropy(logits, torch.tensor([1, 3])).backward()
    for name, leaf in leaves.items():
        expected = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        torch.testing.assert_close(gradients[name], expected, rtol=1e-3, atol=2e-5, msg=name)


def test_what_moves_the_last_patches_only_has_a_gradient_of_zero():
    """Only the class token is classified. Every process still has a gradient for every parameter to average."""
    gradients = train_step(random_mvit(V2, DROPPATH_RATE=0.0), clip())
    assert all(gradient is not None for gradient in gradients.values())
    without = {name for name, gradient in gradients.items() if not gradient.any()}
    assert without == {f"blocks.2.attn.{name}" for name in ("rel_pos_h", "rel_pos_w", "rel_pos_t", "pool_q.weight")}
    mean = train_step(random_mvit(V2, DROPPATH_RATE=0.0, USE_MEAN_POOLING=True), clip())
    assert all(gradient.any() for gradient in mean.values())


@pytest.mark.parametrize("keys", [V1, V2], ids=["v1", "v2"])
def test_every_shape_of_a_multigrid_plan_trains(keys):
    cycles = {"MULTIGRID__LONG_CYCLE": True, "MULTIGRID__SHORT_CYCLE": True}
    cfg = tiny_mvit(keys, DATA__NUM_FRAMES=8, DATA__TRAIN_CROP_SIZE=64, **cycles)
    shapes = {shape for phase in build_schedule(cfg).phases for shape in phase.shapes}
    sizes = {(shape.frames, shape.crop) for shape in shapes}
    assert sizes == {(2, 45), (2, 32), (4, 45), (4, 32), (4, 64), (8, 64), (8, 45), (8, 32)}
    check_shapes(cfg, shapes)
    model = build_model(cfg)
    for frames, crop in sizes:
        gradients = train_step(model, clip(frames, crop))
        assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_recomputed_activations_give_the_same_gradients():
    rates = {"DROPPATH_RATE": 0.5, "DROPOUT_RATE": 0.2}
    model, clips = random_mvit(V2, **rates), clip(batch=2)
    again = build_model(tiny_mvit(V2, MODEL__ACT_CHECKPOINT=True, **rates))
    again.load_state_dict(model.state_dict())
    torch.manual_seed(1)
    expected = train_step(model, clips)
    torch.manual_seed(1)
    for name, gradient in train_step(again, clips).items():
        torch.testing.assert_close(gradient, expected[name])


def test_the_rate_of_drop_path_grows_from_0_and_acts_in_training_only():
    model = build_model(tiny_mvit(DROPPATH_RATE=0.5, MODEL__DROPOUT_RATE=0.0))
    assert [block.drop_rate for block in model.blocks] == [0, 0.25, 0.5]
    assert build_model(tiny_mvit(DEPTH=1, DIM_MUL=[], HEAD_MUL=[], POOL_Q_STRIDE=[])).blocks[0].drop_rate == 0
    clips = [clip()]
    assert torch.equal(model.eval()(clips), model(clips))
    model.train()
    assert not torch.equal(model(clips), model(clips))


def test_dropout_acts_on_tokens_attention_and_mlps():
    model = build_model(tiny_mvit(DROPPATH_RATE=0.0, MODEL__DROPOUT_RATE=0.0, DROPOUT_RATE=0.3)).train()
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.3] * 7 + [0.0]  # tokens, two a block, the head
    assert not torch.equal(model([clip()]), model([clip()]))


def test_with_a_detached_classifier_only_the_classifier_is_trained():
    gradients = train_step(build_model(tiny_mvit(MODEL__DETACH_FINAL_FC=True)), clip())
    trained = {name for name, gradient in gradients.items() if gradient is not None}
    assert trained == {"head.projection.weight", "head.projection.bias"}


def test_blocks_can_be_frozen():
    frozen = freeze(build_model(tiny_mvit(V2)), ["patch_embed", "blocks.0", "*.rel_pos_?"])
    assert {"patch_embed.proj.weight", "blocks.0.mlp.fc1.bias", "blocks.2.attn.rel_pos_t"} < set(frozen)


def test_precise_statistics_have_nothing_to_do():
    model, batches = build_model(tiny_mvit()), iter([])
    update_statistics(model, batches)
    regroup(model, 2)
    assert not [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]


def test_torch_compile_captures_the_network_in_one_graph():
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph

    model = build_model(tiny_mvit(SHALLOW)).train()
    torch.compile(model, dynamic=False, fullgraph=True, backend=count)([clip(3, 30)])
    assert len(graphs) == 1


@torch.no_grad()
def test_an_exported_program_takes_any_number_of_clips():
    model = random_mvit(SHALLOW)
    sizes = {"x": [{0: torch.export.Dim("clips", min=1)}]}
    program = torch.export.export(model, ([clip()],), dynamic_shapes=sizes).module()
    for count in (1, 3):
        clips = [clip(batch=count)]
        torch.testing.assert_close(program(clips), model(clips))


def test_a_training_and_a_test_run_with_all_cycles(tmp_path):
    model = {"MODEL__MODEL_NAME": "MViT", "MODEL__ARCH": "mvit", "DATA__INPUT_CHANNEL_NUM": [3]}
    model |= {f"MVIT__{key}": value for key, value in V2.items()}
    model |= {"BN__USE_PRECISE_STATS": True, "TEST__ENABLE": True, "LOG_MODEL_INFO": True}
    run(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **BOTH_CYCLES, **model))
    assert json_stats(tmp_path, "test_epoch")[0]["top1_acc"]


# --- sizes, costs, weights ------------------------------------------------------------------------------


def published(depth, widens, frames, dim=96, heads=1, **changes):
    """The MVIT keys of MViTv2 with `depth` blocks, which widens in three of them."""
    factors = [[block, 2.0] for block in widens]
    strides = [[i, 1, 2, 2] if i in widens else [i, 1, 1, 1] for i in range(depth)]
    keys = {**V2, "DEPTH": depth, "EMBED_DIM": dim, "NUM_HEADS": heads, "DIM_MUL": factors, "HEAD_MUL": factors}
    return keys | {"POOL_Q_STRIDE": strides, "POOL_KV_STRIDE_ADAPTIVE": [1, 8, 8], "DATA__NUM_FRAMES": frames} | changes


def published_v1(depth, widens, frames, **changes):
    """The MVIT keys of MViT with `depth` blocks."""
    v1 = {"DIM_MUL_IN_ATT": False, "REL_POS_SPATIAL": False, "REL_POS_TEMPORAL": False, "RESIDUAL_POOLING": False}
    strides = [[block, 1, 2, 2] for block in widens]
    v1 |= {"USE_ABS_POS": True, "SEP_POS_EMBED": True}
    return published(depth, widens, frames, **v1) | {"POOL_Q_STRIDE": strides} | changes


LARGE = published(48, (2, 8, 44), 40, dim=144, heads=2, DATA__TRAIN_CROP_SIZE=312)
SSV2 = {"MODEL__NUM_CLASSES": 174}
NETWORKS = {
    "MVIT_B_16x4": (published_v1(16, (1, 3, 14), 16), 36_610_672, 70.60),
    "MVIT_B_32x3": (published_v1(24, (2, 5, 21), 32, POOL_KVQ_KERNEL=None), 53_115_280, 235.8),
    "MVITv2_S_16x4": (published(16, (1, 3, 14), 16), 34_537_744, 64.22),
    "MVITv2_B_32x3": (published(24, (2, 5, 21), 32), 51_230_128, 224.5),
    "MVITv2_L_40x3": (LARGE, 213_390_112, 2823),
    "SSv2 MVITv2_S_16x4": (published(16, (1, 3, 14), 16) | SSV2, 34_363_950, None),
    "SSv2 MVITv2_B_32x3": (published(24, (2, 5, 21), 32) | SSV2, 51_056_334, None),
    "SSv2 MVITv2_L_40x3": (LARGE | SSV2, 213_129_534, None),
}


def full_size(keys):
    return tiny_mvit({}, **{"MODEL__NUM_CLASSES": 400, "DATA__TRAIN_CROP_SIZE": 224, **keys})


@torch.no_grad()
def multiply_adds(cfg, frames, crop):
    """G multiply-adds of a clip in evaluation, as torch counts them without computing."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_model(cfg).eval()([torch.zeros(1, 3, frames, crop, crop)])
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("name", NETWORKS)
def test_recipes_have_the_published_parameters_and_multiply_adds(name):
    keys, parameters, cost = NETWORKS[name]
    cfg = full_size(keys)
    with torch.device("meta"):
        assert count_parameters(build_model(cfg)) == parameters
    if cost is not None:  # those of fewer classes cost the same
        counted = multiply_adds(cfg, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
        assert counted == pytest.approx(cost, rel=2e-4)


SHARES = {(8, 158): 0.213, (4, 112): 0.0514}


def test_coarser_clips_cost_the_published_share():
    cfg = full_size(published(16, (1, 3, 14), 16))
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
        rows = rows_of(build_model(full_size(LARGE)))
    assert rows == [155] * 2 + [77] * 6 + [37] * 37 + [17] * 3


def sides(cfg, crop):
    """(Side in, side out, side of the keys) of every block for a crop, on the meta device."""
    found = []

    def keep(module, inputs, output):
        keys = module._pool(
            torch.zeros(1, 1, module.spec.class_tokens + prod(inputs[1]), head_width(module)), inputs[1], "k"
        )
        found.append((inputs[1][1], output[1][1], keys[1][1]))

    with torch.device("meta"):
        model = build_model(cfg).eval()
        for block in model.blocks:
            block.attn.register_forward_hook(keep)
        model([torch.zeros(1, 3, 4, crop, crop)])
    return found


def head_width(attention):
    return attention.spec.width // attention.spec.heads


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        (224, [(56, 56, 7), (56, 28, 14), (28, 28, 7), (28, 14, 14), *[(14, 14, 7)] * 10, (14, 7, 14), (7, 7, 7)]),
        (112, [(28, 28, 4), (28, 14, 7), (14, 14, 4), (14, 7, 7), *[(7, 7, 4)] * 10, (7, 4, 7), (4, 4, 4)]),
        (158, [(40, 40, 5), (40, 20, 10), (20, 20, 5), (20, 10, 10), *[(10, 10, 5)] * 10, (10, 5, 10), (5, 5, 5)]),
    ],
)
def test_grids_have_the_published_sides(crop, expected):
    assert sides(full_size(published(16, (1, 3, 14), 16)), crop) == expected


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
