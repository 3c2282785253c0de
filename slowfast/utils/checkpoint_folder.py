"""The checkpoints of an OUTPUT_DIR: write them, and find the one to resume from.

`OUTPUT_DIR/checkpoints` has `checkpoint_epoch_00012.pyth` after epoch 12, `interrupted.pyth` inside an epoch, by
TRAIN.CHECKPOINT_MINUTES or when the training was stopped, and `best.pyth` after the best evaluation. No training
resumes from `best.pyth`.
"""

import logging
import math
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from slowfast.utils.checkpoint_checks import check_fields, require_finite
from slowfast.utils.checkpoint_file import read_checkpoint, write_checkpoint
from slowfast.utils.distributed import is_master
from slowfast.utils.safe_pickle import DamagedFile

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
EPOCH_NAME = re.compile(r"checkpoint_epoch_(\d+)\.pyth")
INTERRUPTED = "interrupted.pyth"
BEST = "best.pyth"


def save_checkpoint(
    output_dir: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    epoch: int,
    cfg_yaml: str,
    extra: dict,
    name: str = "",
) -> Path:
    """Write the state of a training whose last finished epoch is `epoch` (0-based; -1: none), on rank 0 only.

    The file is called `name`, by default after the epoch.
    Raises OSError if the file cannot be written. Earlier checkpoints are then intact.
    """
    path = Path(output_dir) / FOLDER / (name or f"checkpoint_epoch_{epoch + 1:05d}.pyth")
    if not is_master():
        return path
    content = {
        **extra,
        "epoch": epoch,
        "model_state": unwrap(model).state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "cfg": cfg_yaml,
    }
    if scaler is not None and scaler.is_enabled():
        content["scaler_state"] = scaler.state_dict()
    write_checkpoint(path, content)
    return path


def keep_as_best(path: Path) -> None:
    """Make `best.pyth` another name of the checkpoint at `path`, or a copy where the file system has no links."""
    if not is_master():
        return
    temporary, best = path.with_name(f"{BEST}.partial"), path.with_name(BEST)
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:
        shutil.copyfile(path, temporary)
    os.replace(temporary, best)


def remove_old(output_dir: str | Path, epoch: int, keep: int, needed: Iterable[str] = ()) -> None:
    """Remove all but the last `keep` checkpoints of epochs up to `epoch`, 0-based, on rank 0 only; 0: none.

    Later ones may be damaged, or of an earlier training, and do not count. The files at the paths `needed` stay.
    """
    epochs = _of_epochs(output_dir)
    done = sorted(number for number in epochs if number <= epoch + 1)
    stay = {Path(path).resolve() for path in needed if path}
    for number in done[:-keep] if keep and is_master() else ():
        if epochs[number].resolve() not in stay:
            epochs[number].unlink(missing_ok=True)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model itself, without the wrapper of data parallelism."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, wrappers) else model


def checkpoints(output_dir: str | Path) -> list[Path]:
    """Return the checkpoints of `output_dir` to resume from: the one that has come furthest first."""
    folder = Path(output_dir) / FOLDER
    epochs = _of_epochs(output_dir)
    finished = [epochs[number] for number in sorted(epochs, reverse=True)]
    interrupted = folder / INTERRUPTED
    if not interrupted.is_file():
        return finished
    is_newest = not finished or _progress(interrupted) > _progress(finished[0])
    return [interrupted, *finished] if is_newest else [*finished, interrupted]


def _of_epochs(output_dir: str | Path) -> dict[int, Path]:
    """Return the checkpoints after epochs, by the number of the epoch from 1."""
    paths = (Path(output_dir) / FOLDER).glob("checkpoint_epoch_*.pyth")
    return {int(match[1]): path for path in paths if (match := EPOCH_NAME.fullmatch(path.name))}


def last_checkpoint(output_dir: str | Path) -> Path | None:
    """Return the checkpoint of `output_dir` that has come furthest, or None."""
    return next(iter(checkpoints(output_dir)), None)


def last_intact(output_dir: str | Path) -> tuple[Path, dict] | None:
    """Return the path and the content of the last checkpoint of `output_dir` that is not damaged, or None.

    Damaged ones are logged. Raises DamagedFile for the newest one if all are damaged.
    """
    errors: list[DamagedFile] = []
    for path in checkpoints(output_dir):
        try:
            content = read_checkpoint(path)
            check_fields(path, content)
            require_finite(path, content["model_state"])
        except DamagedFile as error:
            errors.append(error)
            continue
        for damage in errors:
            logger.warning("%s. %s, the checkpoint before, is used", damage, path)
        return path, content
    if errors:
        raise errors[0]
    return None


def _progress(path: Path) -> float:
    """Return the exact epoch of a checkpoint. A damaged one goes first, so that its damage is reported.

    Under another batch size the numbers of iterations would not be comparable.
    """
    try:
        content = read_checkpoint(path, mmap=True)
        check_fields(path, content)
    except DamagedFile:
        return math.inf
    return content.get("position", content.get("epoch", -1) + 1)
