"""Checkpoints of a training: saved whole or not at all, found again, loaded with a table of what became of them.

A native checkpoint is `OUTPUT_DIR/checkpoints/checkpoint_epoch_00012.pyth`: a dict of `model_state`,
`optimizer_state`, `scaler_state`, `epoch` (0-based, the last one finished), `cfg` (the user's config as YAML) and what
else the engine adds, `iteration` among it: iterations done since the start of training. A stop inside an epoch leaves
`interrupted.pyth`.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from slowfast.errors import UserError
from slowfast.utils.checkpoint_file import read_checkpoint, write_checkpoint
from slowfast.utils.distributed import all_gather_object, is_master
from slowfast.utils.weight_names import rename
from slowfast.utils.weights import Fit, fit, merge_group_statistics

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
EPOCH_NAME = re.compile(r"checkpoint_epoch_(\d+)\.pyth")
INTERRUPTED = "interrupted.pyth"
STATES = ("model_state", "optimizer_state", "scaler_state", "caffe2")
NOT_STARTED = {"epoch": -1}
WEIGHTS_ALONE = "set TRAIN.CHECKPOINT_EPOCH_RESET True to take its weights alone"


def save_checkpoint(
    output_dir: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    epoch: int,
    cfg_yaml: str,
    extra: dict,
    *,
    interrupted: bool = False,
) -> Path:
    """Save the state of a training whose last finished epoch (0-based; -1: none) is `epoch`; the master writes.

    Raises OSError when the file cannot be written; checkpoints saved before are then intact.
    """
    name = INTERRUPTED if interrupted else f"checkpoint_epoch_{epoch + 1:05d}.pyth"
    path = Path(output_dir) / FOLDER / name
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


def last_checkpoint(output_dir: str | Path) -> Path | None:
    """The checkpoint of `output_dir` that has trained longest, if there is one."""
    folder = Path(output_dir) / FOLDER
    if not folder.is_dir():
        return None
    finished = [path for path in folder.iterdir() if EPOCH_NAME.fullmatch(path.name)]
    newest = max(finished, key=lambda path: int(EPOCH_NAME.fullmatch(path.name)[1]), default=None)
    interrupted = folder / INTERRUPTED
    if not interrupted.is_file():
        return newest
    return interrupted if newest is None or _progress(interrupted) > _progress(newest) else newest


def _progress(path: Path) -> tuple[int, int]:
    content = read_checkpoint(path, mmap=True)
    return content.get("epoch", -1), content.get("iteration", 0)


def load_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    *,
    inflate: bool = False,
    epoch_reset: bool = False,
    clear_name_pattern: Sequence[str] = (),
    complete: bool = False,
) -> dict:
    """Load what fits `model` and log one table: loaded, inflated, skipped (why), left at initialisation.

    `epoch_reset` takes the weights alone, and the result says that training begins at its start; so does `inflate`, for
    the file is of another model. `complete` makes it an error when any weight of the model is missing. Returns what the
    checkpoint holds besides states; always `epoch`.
    Raises UserError when nothing fits, or when the optimiser's state is of another layout.
    """
    content = read_checkpoint(path)
    state = rename(content["model_state"], clear_name_pattern, content["caffe2"])
    bare = unwrap(model)
    result = fit(merge_group_statistics(state), bare.state_dict(), inflate)
    _check_fit(path, result, bare, complete)
    logger.log(logging.WARNING if result.initialised else logging.INFO, "checkpoint %s: %s", path, result.table)
    bare.load_state_dict(result.tensors, strict=False)
    if epoch_reset or inflate or not isinstance(content.get("epoch"), int):
        return dict(NOT_STARTED)
    if optimizer is not None:
        _load_optimizer(path, optimizer, content.get("optimizer_state"))
    if scaler is not None and scaler.is_enabled() and content.get("scaler_state"):
        scaler.load_state_dict(content["scaler_state"])
    return {key: value for key, value in content.items() if key not in STATES}


def load_for_training(
    cfg,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> dict:
    """Continue the training of OUTPUT_DIR, else start from TRAIN.CHECKPOINT_FILE_PATH, else from the initialisation.

    Returns the state of the training: `epoch` (0-based, the last one finished, -1: none) and what was saved beside it.
    """
    last = last_checkpoint(cfg.OUTPUT_DIR) if cfg.TRAIN.AUTO_RESUME else None
    _check_agreement(cfg.OUTPUT_DIR, last)
    if last is not None:
        logger.info("resuming from %s (TRAIN.AUTO_RESUME)", last)
        return load_checkpoint(last, model, optimizer, scaler, complete=True)
    path = cfg.TRAIN.CHECKPOINT_FILE_PATH
    if not path:
        if cfg.TRAIN.CHECKPOINT_INFLATE:
            logger.warning(
                "TRAIN.CHECKPOINT_FILE_PATH names no image model for TRAIN.CHECKPOINT_INFLATE: weights start at random"
            )
        return dict(NOT_STARTED)
    _check_exists("TRAIN.CHECKPOINT_FILE_PATH", path)
    state = _load_initial(cfg, model, optimizer, scaler)
    if state["epoch"] >= 0:
        logger.warning(
            "%s has finished epoch %d and training goes on from there: to start at epoch 0, %s",
            path,
            state["epoch"],
            WEIGHTS_ALONE,
        )
    return state


def load_for_test(cfg, model: nn.Module) -> dict:
    """Load the weights to evaluate: TEST.CHECKPOINT_FILE_PATH, else OUTPUT_DIR's last, else TRAIN.CHECKPOINT_FILE_PATH.

    Raises UserError when they leave a weight of the model at its initialisation: the result would mean nothing.
    """
    if cfg.TEST.CHECKPOINT_FILE_PATH:
        _check_exists("TEST.CHECKPOINT_FILE_PATH", cfg.TEST.CHECKPOINT_FILE_PATH)
        return load_checkpoint(cfg.TEST.CHECKPOINT_FILE_PATH, model, complete=True)
    last = last_checkpoint(cfg.OUTPUT_DIR)
    if last is not None:
        return load_checkpoint(last, model, complete=True)
    if cfg.TRAIN.CHECKPOINT_FILE_PATH:
        _check_exists("TRAIN.CHECKPOINT_FILE_PATH", cfg.TRAIN.CHECKPOINT_FILE_PATH)
        return _load_initial(cfg, model, complete=True)
    logger.warning("testing a model at its random initialisation: TEST.CHECKPOINT_FILE_PATH names no checkpoint")
    return dict(NOT_STARTED)


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, without the wrapper of data parallelism."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, wrappers) else model


def _load_initial(cfg, model, optimizer=None, scaler=None, complete: bool = False) -> dict:
    train = cfg.TRAIN
    return load_checkpoint(
        train.CHECKPOINT_FILE_PATH,
        model,
        optimizer,
        scaler,
        inflate=train.CHECKPOINT_INFLATE,
        epoch_reset=train.CHECKPOINT_EPOCH_RESET,
        clear_name_pattern=train.CHECKPOINT_CLEAR_NAME_PATTERN,
        complete=complete,
    )


def _check_exists(key: str, path: str) -> None:
    if not Path(path).is_file():
        raise UserError(f"{key} is {path!r}, and there is no such file: correct the path or leave it empty")


def _check_agreement(output_dir: str, last: Path | None) -> None:
    """Machines that do not share OUTPUT_DIR would resume from different states without a word."""
    found = all_gather_object(last.name if last else None)
    if len(set(found)) > 1:
        raise UserError(
            f"OUTPUT_DIR {output_dir!r} holds other checkpoints on other machines ({found}, by rank): put it on a file "
            "system that they share, copy the checkpoints, or set TRAIN.AUTO_RESUME False"
        )


def _check_fit(path: str | Path, result: Fit, model: nn.Module, complete: bool) -> None:
    if not result.tensors:
        here = ", ".join(list(model.state_dict())[:3])
        there = "; ".join(f"{name}: {why}" for name, why in list(result.skipped.items())[:3])
        raise UserError(
            f"{path} is of another model: none of its {len(result.skipped)} tensors fits. In the file: {there}. In the "
            f"model: {here}. Check MODEL.ARCH, RESNET.DEPTH and MODEL.NUM_CLASSES, or remove a prefix with "
            "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN"
        )
    if complete and result.initialised:
        raise UserError(
            f"{path} is of another model, and {len(result.initialised)} tensors would stay at their initialisation: "
            f"{result.table}\nUse the config that it was trained with (MODEL.ARCH, RESNET.DEPTH, MODEL.NUM_CLASSES, "
            "...). To fine-tune from it, give it as TRAIN.CHECKPOINT_FILE_PATH with another OUTPUT_DIR"
        )


def _load_optimizer(path: str | Path, optimizer: torch.optim.Optimizer, state: dict | None) -> None:
    """Restore momenta and counters; what the config decides (weight decay, momentum, ...) stays as it decides now."""
    if state is None:
        logger.warning("%s holds no state of an optimiser: momenta start from zero", path)
        return
    problem = _layout_problem(optimizer, state)
    if problem:
        raise UserError(
            f"the optimiser's state in {path} does not fit: {problem}. It was saved with another model, other "
            f"weight-decay groups or another SOLVER.OPTIMIZING_METHOD: go back to those, or {WEIGHTS_ALONE} (with "
            "another OUTPUT_DIR, or TRAIN.AUTO_RESUME False)"
        )
    groups = [
        {**ours, "params": theirs["params"]}
        for ours, theirs in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})


def _layout_problem(optimizer: torch.optim.Optimizer, state: dict) -> str:
    """Why the saved state is not of this optimiser's layout; empty when it is."""
    there = [len(group["params"]) for group in state["param_groups"]]
    here = [len(group["params"]) for group in optimizer.param_groups]
    if there != here:
        return f"it has groups of {there} parameters, this training {here}"
    has_moments = isinstance(optimizer, torch.optim.Adam)  # AdamW is an Adam
    for theirs, ours in zip(state["param_groups"], optimizer.param_groups, strict=True):
        for number, parameter in zip(theirs["params"], ours["params"], strict=True):
            saved = state["state"].get(number, {})
            if saved and has_moments != ("exp_avg" in saved):
                return f"it is not of {type(optimizer).__name__}"
            for key in ("momentum_buffer", "exp_avg"):
                if saved.get(key) is not None and saved[key].shape != parameter.shape:
                    return f"{key} {number} is {tuple(saved[key].shape)}, the parameter {tuple(parameter.shape)}"
    return ""
