"""Loss functions by the name of `MODEL.LOSS_FUNC`.

Legend: N clips, K classes.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.errors import UserError


class SoftCrossEntropyLoss(nn.Module):
    """Cross-entropy with a distribution over the classes: -sum(target * log_softmax(scores)) per clip."""

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise UserError(f"reduction is {reduction!r}; choose mean, sum or none")
        self.reduction = reduction

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return the loss of scores N x K. The target is N x K too, or N class numbers."""
        if not target.is_floating_point():
            target = F.one_hot(target, scores.shape[-1])
        loss = -(target * scores.log_softmax(dim=-1)).sum(dim=-1)
        return loss if self.reduction == "none" else getattr(loss, self.reduction)()


class SmoothedLoss(nn.Module):
    """A loss with the gradient of smoothed labels and the value without smoothing, comparable with any other run.

    The target has 1 - s + s / K on the class and s / K elsewhere, as in published code. `loss` is a cross-entropy.
    """

    def __init__(self, loss: nn.Module, smoothing: float):
        super().__init__()
        self.loss, self.smoothing = loss, smoothing

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        value = self.loss(scores, target)
        uniform = -scores.log_softmax(dim=-1).mean()  # the cross-entropy with 1 / K for every class
        return value + self.smoothing * ((uniform - value) - (uniform - value).detach())


LOSSES = {
    "cross_entropy": nn.CrossEntropyLoss,
    "soft_cross_entropy": SoftCrossEntropyLoss,
    "bce": nn.BCELoss,
    "bce_logit": nn.BCEWithLogitsLoss,
}


BINARY_LOSSES = ("bce", "bce_logit")  # for sets of labels: one binary decision per class


def get_loss_func(name: str) -> Callable[..., nn.Module]:
    """Return the class of the loss `name`. Its argument is `reduction`: "mean", "sum" or "none"."""
    if name not in LOSSES:
        raise UserError(f"MODEL.LOSS_FUNC: {name!r} is not known; choose one of {', '.join(LOSSES)}")
    return LOSSES[name]


def build_loss(cfg) -> nn.Module:
    """Return the loss of `cfg`, averaged over the batch. Raise UserError where it does not suit the labels."""
    loss, smoothing = get_loss_func(cfg.MODEL.LOSS_FUNC)(reduction="mean"), cfg.MODEL.LABEL_SMOOTHING
    for applies, problem in _problems(cfg):
        if applies:
            raise UserError(problem)
    return SmoothedLoss(loss, smoothing) if smoothing else loss


def _problems(cfg) -> tuple[tuple[object, str], ...]:
    """Return (whether it applies, text) for what does not suit a loss."""
    name, smoothing, multi_label = cfg.MODEL.LOSS_FUNC, cfg.MODEL.LABEL_SMOOTHING, cfg.DATA.MULTI_LABEL
    return (
        (
            multi_label and name not in BINARY_LOSSES,
            f"MODEL.LOSS_FUNC: {name!r} does not take the sets of labels of MULTI_LABEL; use 'bce_logit'",
        ),
        (
            cfg.MIXUP.ENABLE and not multi_label and name != "soft_cross_entropy",
            f"MODEL.LOSS_FUNC: {name!r} does not take the mixed labels of MIXUP.ENABLE; use 'soft_cross_entropy', or "
            "set MIXUP.ENABLE False",
        ),
        (
            name in BINARY_LOSSES and not multi_label,
            f"MODEL.LOSS_FUNC: {name!r} is for videos with sets of labels; use 'cross_entropy', or set "
            "DATA.MULTI_LABEL True",
        ),
        (
            smoothing and multi_label,
            f"MODEL.LABEL_SMOOTHING: {smoothing} is for videos of one class each, and DATA.MULTI_LABEL is True; set "
            "it to 0",
        ),
    )


def check_scores(cfg) -> None:
    """Raise UserError where the loss does not suit a head that trains on logits and evaluates by MODEL.HEAD_ACT."""
    loss, activation = cfg.MODEL.LOSS_FUNC, cfg.MODEL.HEAD_ACT
    if loss == "bce" and cfg.TRAIN.ENABLE:
        name = cfg.MODEL.MODEL_NAME
        raise UserError(f"MODEL.LOSS_FUNC: 'bce' needs probabilities, and {name} trains on logits; use 'bce_logit'")
    if loss in BINARY_LOSSES and activation == "softmax":
        raise UserError(
            f"MODEL.HEAD_ACT: 'softmax' makes the classes compete, and MODEL.LOSS_FUNC {loss!r} does not; use 'sigmoid'"
        )
