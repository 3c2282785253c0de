"""Published import point: see slowfast.compat.optimizer."""

from slowfast.compat.optimizer import construct_optimizer, get_epoch_lr, set_lr

__all__ = ["construct_optimizer", "get_epoch_lr", "set_lr"]
