"""Published import point: see slowfast.compat.checkpoint."""

from slowfast.compat.checkpoint import (
    get_checkpoint_dir,
    get_last_checkpoint,
    get_path_to_checkpoint,
    has_checkpoint,
    is_checkpoint_epoch,
    load_checkpoint,
    load_test_checkpoint,
    load_train_checkpoint,
    make_checkpoint_dir,
    save_checkpoint,
)

__all__ = [
    "get_checkpoint_dir",
    "get_last_checkpoint",
    "get_path_to_checkpoint",
    "has_checkpoint",
    "is_checkpoint_epoch",
    "load_checkpoint",
    "load_test_checkpoint",
    "load_train_checkpoint",
    "make_checkpoint_dir",
    "save_checkpoint",
]
