"""The registry of models."""

from collections.abc import Callable, Iterable

import torch
from fvcore.common.registry import Registry
from torch import nn

from slowfast.errors import UserError, check_call
from slowfast.multigrid.batch_norm import convert
from slowfast.multigrid.build import default_shape
from slowfast.multigrid.plan import Shape

MODEL_REGISTRY = Registry("MODEL")
MODEL_REGISTRY.__doc__ = (
    """Models by `MODEL.MODEL_NAME`: a class with `__init__(self, cfg)` or `from_cfg(cfg)`, or a function of a cfg."""
)


OLD_NAMES = {"SlowFastModel": "SlowFast", "ResNetModel": "ResNet"}  # of the stock models in old configs


def build_model(cfg, gpu_id: int | None = None) -> nn.Module:
    """Return the model of `cfg`: from a list of N x C x T x H x W clips, one per pathway, to N x K.

    It returns logits in training, and scores after `MODEL.HEAD_ACT` in evaluation. Every nn.BatchNorm3d of the model
    becomes a SubBatchNorm3d of the same name. The model is on the CPU, or on CUDA device `gpu_id` if it is given and
    there is CUDA.
    """
    model = find_model(cfg)
    check_shapes(cfg, [default_shape(cfg)])
    build = getattr(model, "from_cfg", model)
    check_call(build, "__init__(self, cfg), from_cfg(cfg) or a function of a cfg", cfg)
    built = build(cfg)
    if not isinstance(built, nn.Module):
        raise UserError(
            f"MODEL.MODEL_NAME: {cfg.MODEL.MODEL_NAME} gives a {type(built).__name__}, not a torch.nn.Module"
        )
    built = convert(built)
    return built if gpu_id is None or not torch.cuda.is_available() else built.to(f"cuda:{gpu_id}")


def find_model(cfg) -> Callable:
    """Return the model class or function that MODEL.MODEL_NAME names."""
    name = cfg.MODEL.MODEL_NAME
    if name not in MODEL_REGISTRY:
        name = OLD_NAMES.get(name, name)
    if name not in MODEL_REGISTRY:
        known = ", ".join(sorted(key for key, _ in MODEL_REGISTRY))
        raise UserError(f"MODEL.MODEL_NAME: {name!r} is not known; choose one of {known}")
    return MODEL_REGISTRY.get(name)


def has_batch_norm(cfg) -> bool:
    """Return whether the model of `cfg` has batch norm.

    The model's class decides, by an attribute `has_batch_norm`. A registered model without it is taken to have some.
    """
    return getattr(find_model(cfg), "has_batch_norm", True)


TRAIN_KEYS = (
    "DATA.NUM_FRAMES, DATA.TRAIN_CROP_SIZE or, for a shape of multigrid training, MULTIGRID.LONG_CYCLE_FACTORS and "
    "MULTIGRID.SHORT_CYCLE_FACTORS"
)


def check_shapes(cfg, shapes: Iterable[Shape], keys: str = TRAIN_KEYS) -> None:
    """Raise UserError, naming the `keys` to change, for the first of `shapes` that the model of `cfg` does not take.

    The model's class decides: `input_problem(cfg, frames, crop)` returns why it does not take such clips, or "". A
    registered model without that method takes any clips.
    """
    problem_of = getattr(find_model(cfg), "input_problem", _no_problem)
    for shape in shapes:
        if problem := problem_of(cfg, shape.frames, shape.crop):
            raise UserError(f"the shape of {shape.frames} frames x {shape.crop} px: {problem}. Change {keys}")


def _no_problem(cfg, frames: int, crop: int) -> str:
    return ""
