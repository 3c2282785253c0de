"""Loss functions by the name of `MODEL.LOSS_FUNC`; each takes scores N x K, and `reduction` when it is made."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.errors import UserError


class SoftCrossEntropyLoss(nn.Module):
    """Cross-entropy against a distribution over the classes: -sum(target * log_softmax(scores)) per clip."""

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise UserError(f"reduction is {reduction!r}; choose mean, sum or none")
        self.reduction = reduction

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Scores are N x K, and so is the target, or it is N class numbers."""
        if not target.is_floating_point():
            target = F.one_hot(target, scores.shape[-1])
        loss = -(target * scores.log_softmax(dim=-1)).sum(dim=-1)
        return loss if self.reduction == "none" else getattr(loss, self.reduction)()


LOSSES = {
    "cross_entropy": nn.CrossEntropyLoss,
    "soft_cross_entropy": SoftCrossEntropyLoss,
    "bce": nn.BCELoss,
    "bce_logit": nn.BCEWithLogitsLoss,
}


def get_loss_func(name: str) -> Callable[..., nn.Module]:
    """The class of the loss `name`; call it with `reduction="mean"`, `"sum"` or `"none"`."""
    if name not in LOSSES:
        raise UserError(f"MODEL.LOSS_FUNC is {name!r}; choose one of {', '.join(LOSSES)}")
    return LOSSES[name]
