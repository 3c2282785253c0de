"""What the published `slowfast.utils.checkpoint` has."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from slowfast.compat.misc import is_due
from slowfast.config.node import CfgNode
from slowfast.utils import training_checkpoint
from slowfast.utils.distributed import is_master


def get_checkpoint_dir(path_to_job: str) -> str:
    """Return the folder of the checkpoints of an OUTPUT_DIR."""
    return str(Path(path_to_job) / training_checkpoint.FOLDER)


def make_checkpoint_dir(path_to_job: str) -> str:
    """Create the folder of checkpoints on rank 0, and return it."""
    folder = get_checkpoint_dir(path_to_job)
    if is_master():
        Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


def get_path_to_checkpoint(path_to_job: str, epoch: int, task: str = "") -> str:
    """Return the path of the checkpoint after `epoch` epochs. `task` is part of the name if it is not empty."""
    prefix = f"{task}_" if task else ""
    return str(Path(get_checkpoint_dir(path_to_job)) / f"{prefix}checkpoint_epoch_{epoch:05d}.pyth")


def get_last_checkpoint(path_to_job: str, task: str = "") -> str | None:
    """Return the path of the last checkpoint of an OUTPUT_DIR, or None. Names with a `task` are not written here."""
    last = training_checkpoint.last_checkpoint(path_to_job)
    return None if last is None else str(last)


def has_checkpoint(path_to_job: str) -> bool:
    """Return whether an OUTPUT_DIR has a checkpoint."""
    return training_checkpoint.last_checkpoint(path_to_job) is not None


def is_checkpoint_epoch(cfg: CfgNode, cur_epoch: int, multigrid_schedule: None = None) -> bool:
    """Return whether a checkpoint is written after epoch `cur_epoch`, from 0."""
    return is_due(cfg, cur_epoch, cfg.TRAIN.CHECKPOINT_PERIOD, multigrid_schedule)


def save_checkpoint(
    path_to_job: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    cfg: CfgNode,
    scaler: torch.amp.GradScaler | None = None,
) -> str:
    """Write a checkpoint after epoch `epoch`, from 0, on rank 0, and return its path."""
    return str(training_checkpoint.save_checkpoint(path_to_job, model, optimizer, scaler, epoch, cfg.dump(), {}))


def load_checkpoint(
    path_to_checkpoint: str,
    model: nn.Module,
    data_parallel: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    inflation: bool = False,
    convert_from_caffe2: bool = False,
    epoch_reset: bool = False,
    clear_name_pattern: Sequence[str] = (),
    image_init: bool = False,
) -> int:
    """Load what fits `model`, and return the epoch that the checkpoint has finished, from 0; -1 where there is none.

    `data_parallel` and `convert_from_caffe2` have no effect: the model and the file show it.
    """
    if image_init:
        raise NotImplementedError("image_init: vision transformers are not part of this project")
    state = training_checkpoint.load_checkpoint(
        path_to_checkpoint,
        model,
        optimizer,
        scaler,
        inflate=inflation,
        epoch_reset=epoch_reset,
        clear_name_pattern=clear_name_pattern,
    )
    return state["epoch"]


def load_test_checkpoint(cfg: CfgNode, model: nn.Module) -> None:
    """Load the weights to test: TEST.CHECKPOINT_FILE_PATH, else OUTPUT_DIR's last, else TRAIN.CHECKPOINT_FILE_PATH."""
    training_checkpoint.load_for_test(cfg, model)


def load_train_checkpoint(
    cfg: CfgNode,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scaler: torch.amp.GradScaler | None = None,
) -> int:
    """Load the last checkpoint of OUTPUT_DIR, else TRAIN.CHECKPOINT_FILE_PATH. Return the epoch to start at."""
    return training_checkpoint.load_for_training(cfg, model, optimizer, scaler)["epoch"] + 1
