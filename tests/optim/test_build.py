"""Parameter groups, optimizers and gradient clipping."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slowfast.multigrid.batch_norm import SubBatchNorm3d
from slowfast.optim.build import clip_gradients, construct_optimizer, parameter_groups
from slowfast.optim.lr_policy import set_lr


def make_cfg(**solver):
    defaults = {
        "BASE_LR": 0.1,
        "MOMENTUM": 0.9,
        "DAMPENING": 0.0,
        "NESTEROV": True,
        "WEIGHT_DECAY": 1e-4,
        "ZERO_WD_1D_PARAM": False,
        "LAYER_DECAY": 1.0,
        "OPTIMIZING_METHOD": "sgd",
        "BETAS": (0.9, 0.999),
        "CLIP_GRAD_VAL": None,
        "CLIP_GRAD_L2NORM": None,
    }
    return SimpleNamespace(SOLVER=SimpleNamespace(**(defaults | solver)), BN=SimpleNamespace(WEIGHT_DECAY=0.0))


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv3d(3, 4, 1), SubBatchNorm3d(4), nn.Flatten(), nn.Linear(4, 2))


def test_batch_norm_has_its_own_weight_decay_and_comes_first(model):
    groups = parameter_groups(model, weight_decay=1e-4, bn_weight_decay=0.01)
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(2, 0.01), (4, 1e-4)]
    assert groups[0]["params"][0] is model[1].weight


def test_vectors_outside_batch_norm_lose_their_weight_decay_when_asked(model):
    groups = parameter_groups(model, 1e-4, 0.01, zero_1d=True)
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(2, 0.01), (2, 1e-4), (2, 0.0)]


class Layers(nn.Module):
    """A model that numbers its layers, and wants no weight decay of its table."""

    num_layers = 3

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, 2))
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
        self.head = nn.Linear(2, 2)

    def no_weight_decay(self):
        return frozenset({"table"})

    def layer_of(self, name):
        first, _, rest = name.partition(".")
        return {"table": 0, "blocks": 1 + int(rest[0]) if first == "blocks" else 0, "head": 3}[first]


def test_a_model_may_name_parameters_without_weight_decay():
    model = Layers()
    groups = parameter_groups(model, 0.05, 0.0)
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(6, 0.05), (1, 0.0)]
    assert groups[1]["params"][0] is model.table


def test_a_bias_of_any_shape_loses_its_weight_decay_with_the_vectors():
    model = Layers()
    model.register_parameter("bias", nn.Parameter(torch.zeros(2, 2)))  # not ".bias": it belongs to no layer
    model.head.bias = nn.Parameter(torch.zeros(1, 2))
    groups = parameter_groups(model, 0.05, 0.0, zero_1d=True)
    decayed = [id(parameter) for parameter in groups[0]["params"]]
    assert decayed == [id(model.bias), *(id(layer.weight) for layer in (*model.blocks, model.head))]


def test_layers_far_from_the_last_learn_more_slowly():
    model = Layers()
    optimizer = construct_optimizer(model, make_cfg(LAYER_DECAY=0.5, ZERO_WD_1D_PARAM=True, OPTIMIZING_METHOD="adamw"))
    set_lr(optimizer, 0.8)
    layers = [model.blocks[0], model.blocks[1], model.head]
    expected = [(layer.weight, 1e-4, lr) for layer, lr in zip(layers, (0.2, 0.4, 0.8), strict=True)]
    expected += [(model.table, 0.0, 0.1)]
    expected += [(layer.bias, 0.0, lr) for layer, lr in zip(layers, (0.2, 0.4, 0.8), strict=True)]
    groups = optimizer.param_groups
    assert [(id(*g["params"]), g["weight_decay"], g["lr"]) for g in groups] == [(id(p), d, r) for p, d, r in expected]


def test_layer_decay_of_1_leaves_the_published_groups():
    groups = construct_optimizer(Layers(), make_cfg(ZERO_WD_1D_PARAM=True)).param_groups
    assert [len(group["params"]) for group in groups] == [3, 4]


def test_layer_decay_needs_a_model_with_layers_and_without_batch_norm(model):
    with pytest.raises(
        ValueError, match=r"SOLVER\.LAYER_DECAY: 0\.5 needs .* Sequential has no layer_of.*; set it to 1"
    ):
        construct_optimizer(model, make_cfg(LAYER_DECAY=0.5))
    with_norm = Layers()
    with_norm.norm = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match=r"SOLVER\.LAYER_DECAY: 0\.5 is for models without batch norm, and Layers"):
        construct_optimizer(with_norm, make_cfg(LAYER_DECAY=0.5))


def test_adamw_has_the_published_constants():
    optimizer = construct_optimizer(Layers(), make_cfg(OPTIMIZING_METHOD="adamw", BETAS=[0.9, 0.95]))
    assert (optimizer.defaults["betas"], optimizer.defaults["eps"]) == ((0.9, 0.95), 1e-8)


def test_groups_that_would_be_empty_are_left_out():
    assert len(parameter_groups(nn.Linear(2, 2), 1e-4, 0.0)) == 1


def test_frozen_parameters_are_not_optimized(model):
    model[0].requires_grad_(False)
    trained = [p for g in parameter_groups(model, 1e-4, 0.0) for p in g["params"]]
    assert all(p is not frozen for p in trained for frozen in model[0].parameters())


def test_a_regrouped_model_keeps_its_parameter_groups(model):
    before = construct_optimizer(model, make_cfg())
    model[1].num_groups = 4
    after = construct_optimizer(model, make_cfg())
    assert [len(g["params"]) for g in before.param_groups] == [len(g["params"]) for g in after.param_groups]


@pytest.mark.parametrize(
    ("method", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_config_names_the_optimizer_and_it_takes_a_step(model, method, kind):
    optimizer = construct_optimizer(model, make_cfg(OPTIMIZING_METHOD=method))
    before = model[3].weight.detach().clone()
    model(torch.randn(2, 3, 1, 1, 1)).sum().backward()
    optimizer.step()
    assert type(optimizer) is kind
    assert not torch.equal(before, model[3].weight)
    assert all(group["lr"] == 0.1 for group in optimizer.param_groups)


def test_adamw_decays_by_the_weight_decay_of_the_config(model):
    optimizer = construct_optimizer(model, make_cfg(OPTIMIZING_METHOD="adamw", WEIGHT_DECAY=0.05))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.05]


def test_an_unknown_optimizer_is_an_error_that_names_the_key(model):
    with pytest.raises(ValueError, match=r"OPTIMIZING_METHOD: 'lamb' is not known; choose one of sgd, adam, adamw"):
        construct_optimizer(model, make_cfg(OPTIMIZING_METHOD="lamb"))


def test_nesterov_without_momentum_is_an_error_that_names_both_keys(model):
    with pytest.raises(ValueError, match=r"SOLVER\.NESTEROV.*SOLVER\.MOMENTUM"):
        construct_optimizer(model, make_cfg(MOMENTUM=0.0))


@pytest.mark.parametrize("method", ["adam", "adamw"])
@pytest.mark.parametrize("betas", [[0.9], [0.9, 1], [-0.1, 0.9]])
def test_betas_that_are_not_two_fractions_are_an_error_that_names_the_key(model, method, betas):
    with pytest.raises(ValueError, match=r"SOLVER\.BETAS: .* does not fit; give two numbers"):
        construct_optimizer(model, make_cfg(OPTIMIZING_METHOD=method, BETAS=betas))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_the_fused_update_gives_the_same_bits_with_any_number_of_threads(threads, method):
    def trained(num_threads):
        threads(num_threads)
        generator = torch.Generator().manual_seed(3)
        layer = nn.Linear(300, 200)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        optimizer = construct_optimizer(layer, make_cfg(OPTIMIZING_METHOD=method))
        for _ in range(4):
            for parameter in layer.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
        return layer.weight.detach().clone()

    assert torch.equal(trained(1), trained(2))


def with_gradients(*values):
    parameters = [nn.Parameter(torch.zeros(1)) for _ in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.grad = torch.tensor([value])
    return parameters


def test_clipping_by_value_clamps_every_number():
    parameters = with_gradients(3.0, -4.0, 0.5)
    assert clip_gradients(parameters, value=1.0) is None
    assert [p.grad.item() for p in parameters] == [1.0, -1.0, 0.5]


def test_both_kinds_of_clipping_clip_by_value_first():
    parameters = with_gradients(3.0, -40.0)
    assert clip_gradients(iter(parameters), value=4.0, l2norm=1.0).item() == pytest.approx(5.0)
    assert [p.grad.item() for p in parameters] == pytest.approx([0.6, -0.8], abs=1e-4)


def test_clipping_by_norm_scales_all_together_and_returns_the_norm_before():
    parameters = with_gradients(3.0, -4.0)
    assert clip_gradients(parameters, l2norm=1.0).item() == pytest.approx(5.0)
    assert [p.grad.item() for p in parameters] == pytest.approx([0.6, -0.8], abs=1e-4)


def test_without_a_limit_gradients_stay():
    parameters = with_gradients(3.0, -4.0)
    assert clip_gradients(parameters) is None
    assert [p.grad.item() for p in parameters] == [3.0, -4.0]
