"""Load the checkpoints of a training or a test.

A checkpoint is a dict of `model_state`, `optimizer_state`, `scaler_state`, `epoch` (0-based, the last one finished),
`cfg` (the user's config as YAML), `class_names` (the classes in the order of their labels, or None) and entries of the
engine, such as `iteration`, the iterations done since the start of training. With an average of the weights (EMA),
`model_state` has the averaged weights, which are for use, and `trained_state` those that the training continues with.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast.config.compare import VIEW_KEYS, among, changes_since, of_output, of_training
from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.utils.checkpoint_checks import check_fields, require_finite
from slowfast.utils.checkpoint_file import read_checkpoint
from slowfast.utils.checkpoint_folder import BEST, FOLDER, last_checkpoint, last_intact, save_checkpoint, unwrap
from slowfast.utils.distributed import all_gather_object
from slowfast.utils.label_order import compare_names, head_of, names_text, reorder_head, same_form, without_head
from slowfast.utils.optimizer_state import WEIGHTS_ONLY, load_optimizer
from slowfast.utils.weight_names import rename
from slowfast.utils.weights import Fit, fit, merge_group_statistics

__all__ = [
    "FOLDER",
    "check_files",
    "last_checkpoint",
    "load_checkpoint",
    "load_for_test",
    "load_for_training",
    "read_checkpoint",
    "save_checkpoint",
    "unwrap",
]

logger = logging.getLogger(__name__)

STATES = ("model_state", "trained_state", "optimizer_state", "scaler_state", "caffe2")
BEST_WEIGHTS = "best"  # a value of TEST.CHECKPOINT_FILE_PATH
NOT_STARTED = {"epoch": -1}
NO_WEIGHTS = (
    "there are no weights to test: set TEST.CHECKPOINT_FILE_PATH (or TRAIN.CHECKPOINT_FILE_PATH) to a checkpoint, "
    "or OUTPUT_DIR to the folder of a training that has saved one. To test a model at its random initialization, set "
    "TEST.RANDOM_WEIGHTS True"
)


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
    """Load the weights that fit `model`, and log which were loaded, changed, skipped or left at initialization.

    Args:
        inflate: spread 2-D kernels of an image model over time; only weights are loaded then.
        epoch_reset: load only the weights.
        clear_name_pattern: texts to remove from the names in the file.
        complete: raise an error if a weight of the model is missing in the file.

    Returns the other entries of the checkpoint. `epoch` is always one of them; it is -1 if only weights were loaded.
    Raises UserError if no weight fits, if the file is damaged, or if the state of the optimizer has another layout.
    """
    content = read_checkpoint(path)
    state = _named_for(model, path, content, clear_name_pattern)
    _load_weights(path, model, state, complete=complete, inflate=inflate)
    return _load_progress(path, content, optimizer, scaler, epoch_reset or inflate)


def load_for_training(
    cfg: CfgNode,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    scaler: torch.amp.GradScaler | None = None,
    class_names: Sequence[str] | None = None,
) -> dict:
    """Load the last checkpoint of OUTPUT_DIR, else TRAIN.CHECKPOINT_FILE_PATH, else nothing.

    `class_names` are those of the training data in the order of their labels, None if they are not known.
    Returns `epoch` (0-based, the last one finished, -1: none) and the other entries of the checkpoint.
    """
    found = last_intact(cfg.OUTPUT_DIR) if cfg.TRAIN.AUTO_RESUME else None
    _check_agreement(cfg.OUTPUT_DIR, found[0] if found else None)
    if found is not None:
        return _resume(cfg, *found, model, optimizer, scaler, class_names)
    if cfg.TRAIN.CHECKPOINT_FILE_PATH:
        return _start_from(cfg, model, optimizer, scaler, class_names)
    for key in ("CHECKPOINT_INFLATE", "CHECKPOINT_IN_INIT"):
        if cfg.TRAIN[key]:
            logger.warning(
                "TRAIN.CHECKPOINT_FILE_PATH names no image model for TRAIN.%s: weights are initialized at random", key
            )
    return dict(NOT_STARTED)


def load_for_test(cfg: CfgNode, model: nn.Module, class_names: Sequence[str] | None = None) -> dict:
    """Load the weights to test: TEST.CHECKPOINT_FILE_PATH, else OUTPUT_DIR's last, else TRAIN.CHECKPOINT_FILE_PATH.

    `class_names` are those of the test data in the order of their labels, None if they are not known.
    Returns the entries of the checkpoint beside its weights.
    Raises UserError if a weight of the model is missing in the file, if the checkpoint is of another model or lacks a
    class, or if there is no checkpoint and TEST.RANDOM_WEIGHTS is False: the result would be meaningless.
    """
    found = _weights_to_test(cfg)
    if found is None:
        if not cfg.TEST.RANDOM_WEIGHTS:
            raise UserError(NO_WEIGHTS)
        logger.warning("testing a model at its random initialization (TEST.RANDOM_WEIGHTS)")
        return dict(NOT_STARTED)
    path, content = found
    _compare_for_test(cfg, path, content)
    state = _named_for(model, path, content, cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN)
    state = _for_classes_of_test(path, content, state, class_names)
    inflate, repeat = cfg.TRAIN.CHECKPOINT_INFLATE, cfg.TRAIN.CHECKPOINT_IN_INIT
    _load_weights(path, model, state, complete=True, inflate=inflate, repeat=repeat)
    return {key: value for key, value in content.items() if key not in STATES}


def check_files(cfg: CfgNode, with_training: bool, with_test: bool) -> None:
    """Raise UserError if a checkpoint that the run will load is missing, and its own training will not write it."""
    train_path, test_path = cfg.TRAIN.CHECKPOINT_FILE_PATH, _test_path(cfg)
    last = last_checkpoint(cfg.OUTPUT_DIR)
    if with_training and train_path and not (cfg.TRAIN.AUTO_RESUME and last):
        _check_exists("TRAIN.CHECKPOINT_FILE_PATH", train_path)
    if not with_test:
        return
    if test_path and not (with_training and Path(cfg.OUTPUT_DIR) in Path(test_path).parents):
        _check_exists("TEST.CHECKPOINT_FILE_PATH", test_path)
    if not any((with_training, test_path, last, train_path, cfg.TEST.RANDOM_WEIGHTS)):
        raise UserError(NO_WEIGHTS)


def _resume(
    cfg: CfgNode,
    path: Path,
    content: dict,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scaler: torch.amp.GradScaler | None,
    class_names: Sequence[str] | None,
) -> dict:
    logger.info("resuming from %s (TRAIN.AUTO_RESUME)", path)
    there, here = _class_lists(path, content, class_names)
    if there and here and there != here:
        raise UserError(
            f"the classes of the training data are not those of {path}, and labels would change their meaning: "
            f"{compare_names(there, here)}. Restore the data, or start anew in another OUTPUT_DIR (with "
            "TRAIN.CHECKPOINT_FILE_PATH to start from these weights)"
        )
    _log_changes(path, cfg, content)
    content = _to_continue(content)
    _load_weights(path, model, _named_for(model, path, content, ()), complete=True)
    return _load_progress(path, content, optimizer, scaler, False)


def _start_from(
    cfg: CfgNode,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scaler: torch.amp.GradScaler | None,
    class_names: Sequence[str] | None,
) -> dict:
    """Load TRAIN.CHECKPOINT_FILE_PATH, from which a training starts or continues."""
    train, path = cfg.TRAIN, cfg.TRAIN.CHECKPOINT_FILE_PATH
    _check_exists("TRAIN.CHECKPOINT_FILE_PATH", path)
    content = read_checkpoint(path)
    weights_only = train.CHECKPOINT_EPOCH_RESET or train.CHECKPOINT_INFLATE or train.CHECKPOINT_IN_INIT
    if not weights_only:
        content = _to_continue(content)
    _warn_of_another_output(path, cfg, content)
    state = _named_for(model, path, content, train.CHECKPOINT_CLEAR_NAME_PATTERN)
    state, same_classes = _for_classes_of_training(path, content, state, class_names)
    _load_weights(path, model, state, inflate=train.CHECKPOINT_INFLATE, repeat=train.CHECKPOINT_IN_INIT)
    result = _load_progress(path, content, optimizer, scaler, weights_only or not same_classes)
    if result["epoch"] >= 0:
        logger.warning(
            "%s has finished epoch %d and training continues from there: to start at epoch 0, %s",
            *(path, result["epoch"], WEIGHTS_ONLY),
        )
    return result


def _test_path(cfg: CfgNode) -> str:
    """Return the path of TEST.CHECKPOINT_FILE_PATH, which may be the best checkpoint of OUTPUT_DIR, or ""."""
    path = cfg.TEST.CHECKPOINT_FILE_PATH
    return str(Path(cfg.OUTPUT_DIR) / FOLDER / BEST) if path == BEST_WEIGHTS else path


def _to_continue(content: dict) -> dict:
    """Return a checkpoint with the weights that its training continues with, and with averaged ones besides."""
    if "trained_state" not in content:
        return content
    return content | {"model_state": content["trained_state"], "averaged_state": content["model_state"]}


def _weights_to_test(cfg: CfgNode) -> tuple[str | Path, dict] | None:
    for key, path in (("TEST", _test_path(cfg)), ("TRAIN", cfg.TRAIN.CHECKPOINT_FILE_PATH)):
        found = last_intact(cfg.OUTPUT_DIR) if key == "TRAIN" else None
        if found is not None:
            return found
        if path:
            _check_exists(f"{key}.CHECKPOINT_FILE_PATH", path)
            return path, read_checkpoint(path)
    return None


def _named_for(model: nn.Module, path: str | Path, content: dict, clear_name_pattern: Sequence[str]) -> dict:
    """Return the weights of a checkpoint under the names that fit `model`."""
    saved = content["model_state"]
    state = rename(saved, clear_name_pattern, content["caffe2"], unwrap(model).state_dict().keys())
    if not content["caffe2"] and state.keys().isdisjoint(saved):
        first = next(iter(saved))
        logger.info("checkpoint %s: names such as %s are read as %s", path, first, next(iter(state)))
    return merge_group_statistics(state)


def _load_weights(
    path: str | Path,
    model: nn.Module,
    state: dict[str, Tensor],
    *,
    complete: bool = False,
    inflate: bool = False,
    repeat: bool = False,
) -> None:
    """Load the weights that fit. `complete`: raise if one is missing; see `fit` for `inflate` and `repeat`."""
    bare = unwrap(model)
    result = fit(state, bare.state_dict(), inflate, repeat)
    _check_fit(path, result, bare, complete)
    require_finite(path, result.tensors)
    level = logging.WARNING if result.initialized or result.resampled else logging.INFO
    logger.log(level, "checkpoint %s: %s", path, result.table)
    bare.load_state_dict(result.tensors, strict=False)


def _load_progress(
    path: str | Path,
    content: dict,
    optimizer: torch.optim.Optimizer | None,
    scaler: torch.amp.GradScaler | None,
    weights_only: bool,
) -> dict:
    """Load what a training resumes from, unless `weights_only`. Return the entries of the checkpoint beside weights."""
    if weights_only or content.get("epoch") is None:
        return dict(NOT_STARTED)
    check_fields(path, content)
    if optimizer is not None:
        load_optimizer(path, optimizer, content.get("optimizer_state"))
    if scaler is not None and scaler.is_enabled() and content.get("scaler_state"):
        scaler.load_state_dict(content["scaler_state"])
    return {key: value for key, value in content.items() if key not in STATES}


def _for_classes_of_test(path: str | Path, content: dict, state: dict, class_names: Sequence[str] | None) -> dict:
    """Return `state` with the head's rows in the order of the test data. Raise UserError if it lacks a class."""
    there, here = _class_lists(path, content, class_names)
    if not there or not here or there[: len(here)] == here:
        return state
    if not set(here) <= set(there) or not head_of(state, len(there)):
        raise UserError(
            f"{path} was trained on other classes than those of the test data: {compare_names(there, here)}. Test a "
            "checkpoint of these classes, or correct the data"
        )
    logger.info("the head of %s is put into the order of the classes of the test data", path)
    return reorder_head(state, there, here)


def _for_classes_of_training(
    path: str, content: dict, state: dict, class_names: Sequence[str] | None
) -> tuple[dict, bool]:
    """Return `state` with a head for the classes of the training data, and whether it had them in this order.

    Other classes leave the head at its initialization.
    """
    there, here = _class_lists(path, content, class_names)
    if not there or not here or there == here:
        return state, True
    if not head_of(state, len(there)):
        raise UserError(
            f"{path} was trained on other classes, and no layer with a row for each was found in it: call the layer of "
            "the scores `head`, or remove it from the file"
        )
    if set(there) == set(here):
        logger.warning("%s has the classes in another order: its head is reordered, and only weights are loaded", path)
        return reorder_head(state, there, here), False
    logger.warning(
        "%s was trained on other classes, so that the head stays at its initialization and only the other weights are "
        "loaded: %s",
        *(path, compare_names(there, here)),
    )
    return without_head(state, len(there)), False


def _class_lists(path: str | Path, content: dict, class_names: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Return the classes of a checkpoint and of the data. Warn if only the checkpoint has names to compare."""
    there, here = same_form(content.get("class_names")), same_form(class_names)
    if there and not here:
        logger.warning(
            "the data set has no class names: make sure that its labels number the classes as %s does: %s",
            *(path, names_text(there)),
        )
    return there, here


def _log_changes(path: str | Path, cfg: CfgNode, content: dict) -> None:
    """Log the keys that differ from the config in a checkpoint: as a warning if they change the training."""
    found = changes_since(content, cfg)
    changing = of_training(found)
    for level, some in ((logging.WARNING, changing), (logging.INFO, [one for one in found if one not in changing])):
        if some:
            logger.log(level, "the config has changed since %s: %s", path, "; ".join(map(str, some)))


def _warn_of_another_output(path: str | Path, cfg: CfgNode, content: dict) -> None:
    if found := of_output(changes_since(content, cfg), cfg):
        logger.warning("the weights of %s were trained in another model: %s", path, "; ".join(map(str, found)))


def _compare_for_test(cfg: CfgNode, path: str | Path, content: dict) -> None:
    """Raise UserError if the weights would give another output than in their training; warn of other clips."""
    found = changes_since(content, cfg)
    if wrong := of_output(found, cfg):
        raise UserError(
            f"{path} was trained in another model, and its scores would be meaningless: "
            f"{'; '.join(map(str, wrong))}. Use the values of the checkpoint"
        )
    if views := among(found, VIEW_KEYS):
        logger.warning("this test differs from the training of %s: %s", path, "; ".join(map(str, views)))


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
            f"model: {here}. Check MODEL.ARCH, RESNET.DEPTH and MODEL.NUM_CLASSES, or remove a part of the names with "
            "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN (in training and tests)"
        )
    if complete and result.initialized:
        raise UserError(
            f"{path} is of another model, and {len(result.initialized)} tensors would stay at their initialization: "
            f"{result.table}\nUse the config that it was trained with (MODEL.ARCH, RESNET.DEPTH, MODEL.NUM_CLASSES, "
            "...). To fine-tune from it, set it as TRAIN.CHECKPOINT_FILE_PATH with another OUTPUT_DIR"
        )
