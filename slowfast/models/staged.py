"""The base class of the stock models: parts with the published names, called one after the other."""

from torch import Tensor, nn

from slowfast.errors import UserError
from slowfast.models.init import init_weights
from slowfast.models.norm import set_norms


class StagedModel(nn.Module):
    """A model that calls its parts in the order in which they were appended.

    A subclass may replace a part by name. Other modules that it sets are not called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def append(self, name: str, part: nn.Module) -> None:
        """Add a part, which is called after the others."""
        self.add_module(name, part)
        self.parts.append(name)

    def initialize(self, cfg) -> None:
        """Draw the weights, set the momentum and epsilon of batch norm, and freeze what is not trained."""
        init_weights(self, cfg.MODEL.FC_INIT_STD, cfg.RESNET.ZERO_INIT_FINAL_BN)
        set_norms(self, cfg.BN.MOMENTUM, cfg.BN.EPSILON)
        if cfg.MODEL.DETACH_FINAL_FC:
            train_projection_only(self)

    def forward(self, x: list[Tensor], bboxes: None = None) -> Tensor:
        """Return logits in training, and scores in evaluation. `bboxes` is an argument of published code."""
        refuse_boxes(bboxes)
        for name in self.parts:
            x = getattr(self, name)(x)
        return x  # type: ignore[return-value]  # the head returns a tensor


def train_projection_only(model: nn.Module) -> None:
    """Stop the gradients of all parameters but those of the last linear layer, `head.projection`."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("head.projection.")


def refuse_boxes(bboxes: object) -> None:
    """Raise UserError for the boxes that detection gives a model of published code."""
    if bboxes is not None:
        raise UserError("bboxes: detection is not part of this project; leave the argument out")
