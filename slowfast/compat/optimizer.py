"""What the published `slowfast.models.optimizer` has."""

from slowfast.config.node import CfgNode
from slowfast.engine.schedule import build_schedule
from slowfast.optim.build import construct_optimizer
from slowfast.optim.lr_policy import learning_rate, set_lr

__all__ = ["construct_optimizer", "get_epoch_lr", "set_lr"]


def get_epoch_lr(cur_epoch: float, cfg: CfgNode) -> float:
    """Return the learning rate at an exact epoch."""
    return learning_rate(cfg, build_schedule(cfg))(cur_epoch)
