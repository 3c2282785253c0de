"""The model summary, and golden complexities of published recipes."""

import logging
import warnings

import pytest
import torch

from slowfast.models import build_model
from slowfast.models.summary import log_model_info, summarize
from tests.models.tiny import clips_for, random_model, recipe, tiny_cfg

# Parameters in 1e6, GFLOPs and activations in 1e6 of one clip at 128 x 128 pixels.
COMPLEXITY = {
    "Kinetics/C2D_8x8_R50": [24.328, 6.408, 21.332],
    "Kinetics/I3D_NLN_8x8_R50": [35.402, 11.319, 26.035],
    "Kinetics/SLOW_4x16_R50": [32.454, 6.845, 14.517],
    "Kinetics/SLOWFAST_4x16_R50": [34.48, 9.085, 29.557],
}


@pytest.mark.parametrize("name", COMPLEXITY)
def test_recipes_have_the_recorded_costs(name):
    cfg = recipe(name)
    summary = summarize(build_model(cfg), clips_for(cfg, crop=128, batch=1))
    measured = (summary.parameters / 1e6, summary.gflops, summary.activations_m)
    assert [round(value, 3) for value in measured] == COMPLEXITY[name]


def test_the_summary_leaves_modes_and_statistics_as_they_were():
    cfg = tiny_cfg("slowfast")
    model = random_model(cfg).train()
    model.head.eval()
    modes = [m.training for m in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    summarize(model, clips_for(cfg, batch=1))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_summary_is_logged_without_warnings(caplog):
    cfg = tiny_cfg("slow", NONLOCAL__LOCATION=[[[0]]] * 4)
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = log_model_info(build_model(cfg), clips_for(cfg, batch=1))
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert f"Parameters: {summary.parameters:,}; one clip of 8x64x64: {summary.gflops:.2f} GFLOPs" in caplog.text
