"""How large a model is and what one clip costs."""

import logging
from collections import Counter
from dataclasses import dataclass

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import Tensor, nn

from slowfast.models.inputs import slow_positions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSummary:
    """Parameters, and for one clip multiply-adds in 1e9 and outputs of convolutions and linear layers in 1e6."""

    parameters: int
    gflops: float
    activations_m: float


def example_clips(frames: int, crop_px: int, alpha: int | None = None, channels: int = 3, device="cpu") -> list[Tensor]:
    """The input of one clip: `[slow, fast]` with alpha, else `[clip]`."""
    counts = [frames] if alpha is None else [len(slow_positions(frames, alpha)), frames]
    return [torch.zeros(1, channels, t, crop_px, crop_px, device=device) for t in counts]


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def summarize(model: nn.Module, clips: list[Tensor]) -> ModelSummary:
    """Counts in evaluation mode and leaves the model as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            flops = _quiet(FlopCountAnalysis(model, (clips,))).total()
            activations = _quiet(ActivationCountAnalysis(model, (clips,))).total()
    finally:
        for module, training in modes:
            module.training = training
    return ModelSummary(count_parameters(model), flops / 1e9, activations / 1e6)


def _quiet(analysis):
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")


def log_model_info(model: nn.Module, clips: list[Tensor]) -> ModelSummary:
    """Log the layers of `model`, its parameters, GFLOPs and activations for `clips` (batch 1)."""
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
