"""MViT: outputs and gradients against plain functions, clips of any shape, training, programs."""

import pytest
import torch
from torch import nn

from slowfast.engine.launch import run
from slowfast.engine.precise_bn import update_statistics
from slowfast.engine.schedule import build_schedule
from slowfast.models import build_model
from slowfast.models.build import check_shapes
from slowfast.models.freeze import freeze
from slowfast.models.mvit_positions import joint_positions, relative_index, rows_between, separate_positions
from slowfast.multigrid import regroup
from tests.engine.tiny import BOTH_CYCLES, SYNTHETIC, json_stats, tiny_cfg
from tests.models import mvit_reference
from tests.models.tiny_mvit import SHALLOW, V1, V2, clip, random_mvit, tiny_mvit

FACTS = {
    "dim_mul": {1: 2.0, 2: 2.0},
    "head_mul": {1: 2.0, 2: 2.0},
    "q": {1: (1, 2, 2)},
    "adaptive": (1, 4, 4),
    "kernel": (3, 3, 3),
}
FACTS_V2 = {**FACTS, "v2": True, "residual": True, "q": {0: (1, 1, 1), 1: (1, 2, 2), 2: (1, 1, 1)}}


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
