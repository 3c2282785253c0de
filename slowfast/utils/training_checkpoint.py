"""Checkpoints of a training: save, find and load them.

A checkpoint is `OUTPUT_DIR/checkpoints/checkpoint_epoch_00012.pyth`: a dict of `model_state`, `optimizer_state`,
`scaler_state`, `epoch` (0-based, the last one finished), `cfg` (the user's config as YAML) and entries of the engine,
such as `iteration`, the iterations done since the start of training. A training stopped inside an epoch writes
`interrupted.pyth`.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast.config.node import CfgNode
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
WEIGHTS_ONLY = "set TRAIN.CHECKPOINT_EPOCH_RESET True to load only its weights"


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
    """Write the state of a training whose last finished epoch is `epoch` (0-based; -1: none), on rank 0 only.

    Raises OSError if the file cannot be written. Earlier checkpoints are then intact.
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
    """Return the checkpoint of `output_dir` with the most iterations, or None."""
    folder = Path(output_dir) / FOLDER
    if not folder.is_dir():
        return None
    finished = {int(match[1]): path for path in folder.iterdir() if (match := EPOCH_NAME.fullmatch(path.name))}
    newest = finished[max(finished)] if finished else None
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
    """Load the weights that fit `model`, and log which were loaded, inflated, skipped or left at initialization.

    Args:
        inflate: spread 2-D kernels of an image model over time; only weights are loaded then.
        epoch_reset: load only the weights.
        clear_name_pattern: texts to remove from the names in the file.
        complete: raise an error if a weight of the model is missing in the file.

    Returns the other entries of the checkpoint. `epoch` is always one of them; it is -1 if only weights were loaded.
    Raises UserError if no weight fits, or if the state of the optimizer has another layout.
    """
    content = read_checkpoint(path)
    state = rename(content["model_state"], clear_name_pattern, content["caffe2"])
    bare = unwrap(model)
    result = fit(merge_group_statistics(state), bare.state_dict(), inflate)
    _check_fit(path, result, bare, complete)
    logger.log(logging.WARNING if result.initialized else logging.INFO, "checkpoint %s: %s", path, result.table)
    bare.load_state_dict(result.tensors, strict=False)
    if epoch_reset or inflate or not isinstance(content.get("epoch"), int):
        return dict(NOT_STARTED)
    if optimizer is not None:
        _load_optimizer(path, optimizer, content.get("optimizer_state"))
    if scaler is not None and scaler.is_enabled() and content.get("scaler_state"):
        scaler.load_state_dict(content["scaler_state"])
    return {key: value for key, value in content.items() if key not in STATES}


def load_for_training(
    cfg: CfgNode,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> dict:
    """Load the last checkpoint of OUTPUT_DIR, else TRAIN.CHECKPOINT_FILE_PATH, else nothing.

    Returns `epoch` (0-based, the last one finished, -1: none) and the other entries of the checkpoint.
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
                "TRAIN.CHECKPOINT_FILE_PATH names no image model for TRAIN.CHECKPOINT_INFLATE: "
                "weights are initialized at random"
            )
        return dict(NOT_STARTED)
    _check_exists("TRAIN.CHECKPOINT_FILE_PATH", path)
    state = _load_initial(cfg, model, optimizer, scaler)
    if state["epoch"] >= 0:
        logger.warning(
            "%s has finished epoch %d and training continues from there: to start at epoch 0, %s",
            path,
            state["epoch"],
            WEIGHTS_ONLY,
        )
    return state


def load_for_test(cfg: CfgNode, model: nn.Module) -> dict:
    """Load the weights to test: TEST.CHECKPOINT_FILE_PATH, else OUTPUT_DIR's last, else TRAIN.CHECKPOINT_FILE_PATH.

    Raises UserError if a weight of the model is missing in the file, since the result would be meaningless.
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
    logger.warning("testing a model at its random initialization: TEST.CHECKPOINT_FILE_PATH names no checkpoint")
    return dict(NOT_STARTED)


def check_files(cfg: CfgNode, with_training: bool, with_test: bool) -> None:
    """Raise UserError if a checkpoint that the run will load is missing, and its own training will not write it."""
    train_path, test_path = cfg.TRAIN.CHECKPOINT_FILE_PATH, cfg.TEST.CHECKPOINT_FILE_PATH
    resumes = cfg.TRAIN.AUTO_RESUME and last_checkpoint(cfg.OUTPUT_DIR) is not None
    if with_training and train_path and not resumes:
        _check_exists("TRAIN.CHECKPOINT_FILE_PATH", train_path)
    if with_test and test_path and not (with_training and Path(cfg.OUTPUT_DIR) in Path(test_path).parents):
        _check_exists("TEST.CHECKPOINT_FILE_PATH", test_path)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model itself, without the wrapper of data parallelism."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, wrappers) else model


def _load_initial(
    cfg: CfgNode,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    complete: bool = False,
) -> dict:
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
        raise UserError(f"{key} is {path!r}, but there is no such file: correct the path or leave it empty")


def _check_agreement(output_dir: str, last: Path | None) -> None:
    """Raise UserError if ranks see different checkpoints, because machines do not share OUTPUT_DIR."""
    found = all_gather_object(last.name if last else None)
    if len(set(found)) > 1:
        raise UserError(
            f"OUTPUT_DIR {output_dir!r} holds different checkpoints on different machines ({found}, by rank): put it "
            "on a file system that they share, copy the checkpoints, or set TRAIN.AUTO_RESUME False"
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
    if complete and result.initialized:
        raise UserError(
            f"{path} is of another model, and {len(result.initialized)} tensors would stay at their initialization: "
            f"{result.table}\nUse the config that it was trained with (MODEL.ARCH, RESNET.DEPTH, MODEL.NUM_CLASSES, "
            "...). To fine-tune from it, set it as TRAIN.CHECKPOINT_FILE_PATH with another OUTPUT_DIR"
        )


def _load_optimizer(path: str | Path, optimizer: torch.optim.Optimizer, state: dict | None) -> None:
    """Load momenta and counters. Settings such as the weight decay stay those of the current config."""
    if state is None:
        logger.warning("%s has no state of an optimizer: momenta start at zero", path)
        return
    problem = _layout_problem(optimizer, state)
    if problem:
        raise UserError(
            f"the optimizer's state in {path} does not fit: {problem}. It was saved with another model, other "
            f"weight-decay groups or another SOLVER.OPTIMIZING_METHOD: use those again, or {WEIGHTS_ONLY} (with "
            "another OUTPUT_DIR, or TRAIN.AUTO_RESUME False)"
        )
    groups = [
        {**group, "params": saved_group["params"]}
        for group, saved_group in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    moments = {
        number: _laid_out_like(parameter, state["state"][number])
        for number, parameter in _numbered_parameters(optimizer, state)
        if number in state["state"]
    }
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _numbered_parameters(optimizer: torch.optim.Optimizer, state: dict) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of each parameter in the saved state, and the parameter."""
    for saved_group, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        yield from zip(saved_group["params"], group["params"], strict=True)


def _laid_out_like(parameter: Tensor, saved: dict) -> dict:
    """Return the saved state of `parameter`, with its moments in the memory format of the parameter.

    Fused optimizers walk through the memory of a parameter and its moments in step. The format may have changed since
    the state was saved, with TRAIN.MIXED_PRECISION.
    """
    result = dict(saved)
    for key, value in saved.items():
        if isinstance(value, Tensor) and value.ndim and value.shape == parameter.shape:
            result[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return result


def _layout_problem(optimizer: torch.optim.Optimizer, state: dict) -> str:
    """Return why the saved state does not fit this optimizer, or an empty text if it does."""
    there = [len(group["params"]) for group in state["param_groups"]]
    here = [len(group["params"]) for group in optimizer.param_groups]
    if there != here:
        return f"it has groups of {there} parameters, this training {here}"
    has_moments = isinstance(optimizer, torch.optim.Adam)  # AdamW is an Adam
    for number, parameter in _numbered_parameters(optimizer, state):
        saved = state["state"].get(number, {})
        if saved and has_moments != ("exp_avg" in saved):
            return f"it is not of {type(optimizer).__name__}"
        for key in ("momentum_buffer", "exp_avg"):
            if saved.get(key) is not None and saved[key].shape != parameter.shape:
                return f"{key} {number} is {tuple(saved[key].shape)}, the parameter {tuple(parameter.shape)}"
    return ""
