"""The cost of a clip, counted from the model of a config without computing anything.

The count depends on the config alone, so all ranks have the same without communication.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache

import torch

from slowfast.config.node import CfgNode
from slowfast.datasets.pathways import COLORS, PackPathways
from slowfast.errors import UserError
from slowfast.models.build import build_model, check_shapes
from slowfast.models.summary import multiply_adds
from slowfast.multigrid import Shape
from slowfast.multigrid.schedule import Cost

CLIPS = 2  # counted together: batch norm in training may need more than one
META_ERRORS = (RuntimeError, TypeError, ValueError)  # of what reads the values of tensors that have none


def clip_cost(cfg: CfgNode) -> Cost:
    """Return a function from frames and px to the multiply-adds of the model of `cfg` for such a clip in training.

    Each size is counted once, on torch's meta device, also if this is called again for an equal config. Raises
    UserError for a model that does not run there, and for a size that the model does not take.
    """
    return _clip_cost(_Key(cfg.dump(), cfg))


@dataclass(frozen=True)
class _Key:
    """A config that is compared by its text."""

    text: str
    cfg: CfgNode = field(compare=False)


@lru_cache(maxsize=4)
def _clip_cost(key: _Key) -> Cost:
    cfg = key.cfg
    with _errors_name_model(cfg):
        model = build_model(cfg).train()
    pack = PackPathways.from_cfg(cfg)

    @cache
    def cost(frames: int, crop: int) -> float:
        check_shapes(cfg, [Shape(1, frames, crop)])
        with _errors_name_model(cfg):
            clips = pack.split(torch.empty(CLIPS, COLORS, frames, crop, crop))  # (N, C, T, H, W)
            return _positive(multiply_adds(model, clips), cfg) / CLIPS

    return cost


def _positive(count: float, cfg: CfgNode) -> float:
    if count <= 0:
        raise UserError(
            f"MULTIGRID.COST: 'flops' finds no multiply-adds in MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME}; use pixels"
        )
    return count


@contextmanager
def _errors_name_model(cfg: CfgNode) -> Iterator[None]:
    """Make tensors on the meta device, leave torch's random state as it is, and name the key in errors."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            yield
    except UserError:
        raise
    except META_ERRORS as error:
        raise UserError(
            f"MULTIGRID.COST: 'flops' cannot be counted for MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME}, which does not "
            f"run on torch's meta device ({error}); use MULTIGRID.COST pixels"
        ) from error
