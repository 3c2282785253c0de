"""Parameter groups, optimizers and gradient clipping."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from slowfast.multigrid.batch_norm import SubBatchNorm3d
from slowfast.optim.build import clip_gradients, construct_optimizer, parameter_groups


def make_cfg(**solver):
    defaults = {
        "BASE_LR": 0.1,
        "MOMENTUM": 0.9,
        "DAMPENING": 0.0,
        "NESTEROV": True,
        "WEIGHT_DECAY": 1e-4,
        "ZERO_WD_1D_PARAM": False,
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


def test_two_kinds_of_clipping_are_an_error_that_names_both_keys(model):
    message = r"SOLVER\.CLIP_GRAD_VAL: 1\.0 excludes SOLVER\.CLIP_GRAD_L2NORM 2\.0; set one to None"
    with pytest.raises(ValueError, match=message):
        construct_optimizer(model, make_cfg(CLIP_GRAD_VAL=1.0, CLIP_GRAD_L2NORM=2.0))


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


def test_clipping_by_norm_scales_all_together_and_returns_the_norm_before():
    parameters = with_gradients(3.0, -4.0)
    assert clip_gradients(parameters, l2norm=1.0).item() == pytest.approx(5.0)
    assert [p.grad.item() for p in parameters] == pytest.approx([0.6, -0.8], abs=1e-4)


def test_without_a_limit_gradients_stay():
    parameters = with_gradients(3.0, -4.0)
    assert clip_gradients(parameters) is None
    assert [p.grad.item() for p in parameters] == [3.0, -4.0]
