"""The size of a model and its cost per clip."""

import logging
from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

logger = logging.getLogger(__name__)

ATTENTION = "aten::scaled_dot_product_attention"  # which fvcore does not count


@dataclass(frozen=True)
class ModelSummary:
    """Number of parameters, and for one clip 1e9 multiply-adds and 1e6 outputs of convolutions and linear layers.

    Multiply-adds include those of norms, of attention and of its relative positions.
    """

    parameters: int
    gflops: float
    activations_m: float


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def summarize(model: nn.Module, clips: list[Tensor]) -> ModelSummary:
    """Return the summary of `model` for `clips` (batch 1), which are run in evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            flops = _quiet(FlopCountAnalysis(model, (clips,))).set_op_handle(ATTENTION, _attention_flops).total()
            activations = _quiet(ActivationCountAnalysis(model, (clips,))).total()
    finally:
        for module, training in modes:
            module.training = training
    return ModelSummary(count_parameters(model), flops / 1e9, activations / 1e6)


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Return the multiply-adds of queries with keys, and of their weights with values, each N x M x L x D."""
    q, k, v = (tuple(one.type().sizes()) for one in inputs[:3])
    return prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def multiply_adds(model: nn.Module, clips: list[Tensor]) -> float:
    """Return the multiply-adds of convolutions, linear layers and attention in a forward pass.

    Model and clips may be on the meta device, where nothing is computed.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(clips)
    return counter.get_total_flops() / 2  # a multiply-add counts as two there


def _quiet(analysis):
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")


def log_model_info(model: nn.Module, clips: list[Tensor]) -> ModelSummary:
    """Log and return the summary of `model` for `clips` (batch 1)."""
    summary = summarize(model, clips)
    layers = Counter(type(module).__name__ for module in model.modules() if not list(module.children()))
    logger.info("Model: %s with %s", type(model).__name__, ", ".join(f"{n} {name}" for name, n in layers.most_common()))
    logger.info(
        "Parameters: %s; one clip of %s: %.2f GFLOPs, %.2f M activations",
        f"{summary.parameters:,}",
        " and ".join("x".join(str(size) for size in clip.shape[2:]) for clip in clips),
        summary.gflops,
        summary.activations_m,
    )
    return summary
