"""The registry of models."""

from fvcore.common.registry import Registry
from torch import nn

from slowfast.errors import UserError
from slowfast.multigrid.batch_norm import convert

MODEL_REGISTRY = Registry("MODEL")
MODEL_REGISTRY.__doc__ = (
    """Models by `MODEL.MODEL_NAME`: a class with `from_cfg(cfg)`, or any callable that takes a cfg."""
)


def build_model(cfg) -> nn.Module:
    """The model of `cfg`, on the CPU: a list of N x C x T x H x W clips, one per pathway, to N x K.

    Logits in training; scores after `MODEL.HEAD_ACT` in evaluation. A registered model of anybody's may be made of
    nn.BatchNorm3d: they become norms that can work in groups, under the same names.
    """
    name = cfg.MODEL.MODEL_NAME
    if name not in MODEL_REGISTRY:
        known = ", ".join(sorted(key for key, _ in MODEL_REGISTRY))
        raise UserError(f"MODEL.MODEL_NAME is {name!r}; choose one of {known}")
    model = MODEL_REGISTRY.get(name)
    return convert(getattr(model, "from_cfg", model)(cfg))
