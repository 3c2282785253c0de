"""Checkpoints of an MViT in models for other clips, for images, and their optimizers."""

import logging

import pytest
import torch

from slowfast.models import build_model
from slowfast.optim.build import construct_optimizer
from slowfast.utils.training_checkpoint import load_checkpoint, load_for_test, load_for_training, save_checkpoint
from tests.models.tiny import override
from tests.models.tiny_mvit import V1, V2, clip, random_mvit, tiny_mvit

IMAGES = {
    "PATCH_2D": True,
    "PATCH_KERNEL": [7, 7],
    "PATCH_STRIDE": [4, 4],
    "PATCH_PADDING": [3, 3],
    "POOL_KVQ_KERNEL": [1, 3, 3],
    "DATA__NUM_FRAMES": 1,
}
LARGER = {"DATA__NUM_FRAMES": 8, "DATA__TRAIN_CROP_SIZE": 64}


@pytest.fixture(autouse=True)
def _random_state():
    state = torch.get_rng_state()
    torch.manual_seed(3)
    yield
    torch.set_rng_state(state)


def save(folder, model, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    return save_checkpoint(folder, model, optimizer, None, 0, "MODEL: {}", {})


@pytest.mark.parametrize(("keys", "tables"), [(V1, 2), (V2, 9)], ids=["v1", "v2"])
def test_weights_for_larger_clips_give_the_scores_of_the_model_that_they_come_from(tmp_path, caplog, keys, tables):
    model, large = random_mvit(keys), build_model(tiny_mvit(keys, **LARGER)).eval()
    cfg = override(tiny_mvit(keys, **LARGER), {"TEST__CHECKPOINT_FILE_PATH": str(save(tmp_path, model))})
    load_for_test(cfg, large)  # a warning: the scores are not those of a model that was trained on such clips
    assert f" 0 inflated, {tables} resampled, 0 skipped, 0 left at initialization" in caplog.text
    clips = clip(8, 64)
    with torch.no_grad():
        torch.testing.assert_close(large([clips]), model([clips]), rtol=1e-4, atol=1e-4)


def test_joint_positions_of_another_size_are_no_weights_to_test(tmp_path):
    keys = {**V1, "SEP_POS_EMBED": False}
    cfg = override(tiny_mvit(keys, **LARGER), {"TEST__CHECKPOINT_FILE_PATH": str(save(tmp_path, random_mvit(keys)))})
    with pytest.raises(ValueError, match=r"(?s)skipped +pos_embed +1x129x8 in the file, 1x1025x8 here"):
        load_for_test(cfg, build_model(cfg))


@pytest.mark.parametrize("keys", [V1, V2], ids=["v1", "v2"])
def test_a_model_for_images_becomes_one_for_clips(tmp_path, caplog, keys):
    image = random_mvit(keys, **IMAGES, REL_POS_TEMPORAL=False)
    path = save(tmp_path / "image", image)
    changes = {"TRAIN__CHECKPOINT_FILE_PATH": str(path), "TRAIN__CHECKPOINT_IN_INIT": True}
    cfg = override(tiny_mvit(keys), {**changes, "OUTPUT_DIR": str(tmp_path / "clips")})
    model = build_model(cfg)
    with caplog.at_level(logging.INFO):
        assert load_for_training(cfg, model) == {"epoch": -1}
    there, here = image.state_dict(), model.state_dict()
    kernel = here["patch_embed.proj.weight"]
    assert all(torch.equal(kernel[:, :, i], there["patch_embed.proj.weight"]) for i in range(3))
    pool = here["blocks.0.attn.pool_k.weight"]
    assert all(torch.equal(pool[:, :, [i]], there["blocks.0.attn.pool_k.weight"]) for i in range(3))
    lacking = sum("rel_pos_t" in name for name in here)
    assert f"0 skipped, {lacking} left at initialization" in caplog.text


def test_a_model_for_images_is_not_loaded_without_being_asked(tmp_path):
    path = save(tmp_path, random_mvit(V1, **IMAGES))
    with pytest.raises(ValueError, match=r"patch_embed: 2 +a kernel .* set TRAIN\.CHECKPOINT_IN_INIT True"):
        load_checkpoint(path, build_model(tiny_mvit(V1)), complete=True)


def names_of(model, group):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)] for parameter in group["params"]}


def test_the_recipes_decay_all_but_vectors_and_the_default_spares_positions_too():
    solver = {"SOLVER__OPTIMIZING_METHOD": "adamw", "SOLVER__ZERO_WD_1D_PARAM": True}
    tables = {"cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class"}
    model = build_model(tiny_mvit(V1, ZERO_DECAY_POS_CLS=False))
    decayed, bare = construct_optimizer(model, override(tiny_mvit(V1), solver)).param_groups
    assert (decayed["weight_decay"], bare["weight_decay"]) == (1e-4, 0.0)
    assert names_of(model, bare) == {name for name, parameter in model.named_parameters() if parameter.ndim == 1}
    assert tables <= names_of(model, decayed)
    spared = build_model(tiny_mvit(V1))
    assert tables <= names_of(spared, construct_optimizer(spared, override(tiny_mvit(V1), solver)).param_groups[1])


def test_the_rate_of_a_block_falls_with_its_distance_from_the_head():
    cfg = override(tiny_mvit(V2), {"SOLVER__LAYER_DECAY": 0.5})
    model = build_model(cfg)
    factors = {
        name: group["lr_factor"]
        for group in construct_optimizer(model, cfg).param_groups
        for name in names_of(model, group)
    }
    expected = {"cls_token": 4, "patch_embed.proj.bias": 4, "blocks.0.attn.rel_pos_h": 3, "blocks.2.mlp.fc1.bias": 1}
    expected |= {"norm.weight": 0, "head.projection.weight": 0}
    assert {name: factors[name] for name in expected} == {name: 0.5**power for name, power in expected.items()}
    assert len(factors) == len(list(model.parameters()))


@pytest.mark.parametrize("decay", [1.0, 0.75])
def test_the_state_of_the_optimizer_is_resumed_with_every_rate_in_its_group(tmp_path, decay):
    changes = {"SOLVER__OPTIMIZING_METHOD": "adamw", "SOLVER__LAYER_DECAY": decay, "OUTPUT_DIR": str(tmp_path)}
    cfg = override(tiny_mvit(V2), changes)
    model, other = build_model(cfg), build_model(cfg)
    optimizer, resumed = construct_optimizer(model, cfg), construct_optimizer(other, cfg)
    model.train()([clip(batch=1)]).sum().backward()
    optimizer.step()
    factors = [group.pop("lr_factor") for group in optimizer.param_groups]  # published states have none
    save(tmp_path, model, optimizer)
    assert load_for_training(cfg, other, resumed)["epoch"] == 0
    state, again = optimizer.state_dict(), resumed.state_dict()
    assert [group["lr_factor"] for group in again["param_groups"]] == factors
    assert all(torch.equal(value["exp_avg"], again["state"][i]["exp_avg"]) for i, value in state["state"].items())
