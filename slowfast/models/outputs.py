"""The check of what a model returns, which may be of the user's own class.

Legend: N clips, K classes.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config.node import CfgNode
from slowfast.errors import UserError


def require_scores(model: nn.Module, cfg: CfgNode) -> nn.Module:
    """Return `model`, whose calls now raise UserError unless they return N x K scores."""
    model.register_forward_hook(partial(_check, cfg.MODEL.MODEL_NAME, cfg.MODEL.NUM_CLASSES))
    return model


def _check(name: str, classes: int, model: nn.Module, inputs: tuple, scores: Any) -> None:
    if torch.jit.is_tracing():
        return
    clips = inputs[0][0].shape[0]  # of the first pathway; len() would be a constant in exported programs
    if not isinstance(scores, Tensor) or scores.shape != (clips, classes):
        kind = (
            f"a tensor of {'x'.join(map(str, scores.shape))}" if isinstance(scores, Tensor) else type(scores).__name__
        )
        raise UserError(
            f"MODEL.MODEL_NAME: forward of {name} returns {kind} for {clips} clips and MODEL.NUM_CLASSES {classes}: "
            f"return a tensor of {clips}x{classes} scores"
        )
