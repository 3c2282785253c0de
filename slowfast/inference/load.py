"""From a checkpoint to a model that can be used on videos."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from slowfast.config.checks import NO_EFFECT
from slowfast.config.compare import read_saved
from slowfast.config.load import load_cfg, load_layers, with_keys
from slowfast.config.node import CfgNode
from slowfast.config.paths import PATH_KEYS
from slowfast.datasets.lists.class_names import in_order, read_class_names
from slowfast.errors import UserError
from slowfast.inference.model import VideoModel
from slowfast.models import build_model
from slowfast.utils.checkpoint_checks import check_fields
from slowfast.utils.checkpoint_file import read_checkpoint
from slowfast.utils.checkpoint_folder import FOLDER, last_intact
from slowfast.utils.label_order import same_form
from slowfast.utils.training_checkpoint import load_for_test

PathLike = str | os.PathLike

# Keys and sections in the config of a checkpoint that have no effect on its use: paths of the machine of the training,
# and what a training may ask for that this project does not have.
NOT_USED = (PATH_KEYS | NO_EFFECT.keys() | {"TRAIN.DATASET", "SOLVER", "AUG", "MIXUP"}) - {"MODEL.SINGLE_PATHWAY_ARCH"}


def load(
    path: PathLike,
    cfg: PathLike | CfgNode | None = None,
    *,
    opts: Sequence = (),
    class_names: PathLike | Sequence[str] | None = None,
    device: str | torch.device | None = None,
) -> VideoModel:
    """Return the model of a checkpoint, for use on videos.

    Args:
        path: of a checkpoint, or of the folder of a run, whose last checkpoint is taken.
        cfg: a config, or the path of a YAML file. Default: the one in the checkpoint, which published `.pkl` files and
            files of weights alone do not have.
        opts: `[KEY, value, ...]` to change in the config.
        class_names: a list, or the path of a file of class names. Default: those in the checkpoint, else numbers.
        device: such as "cpu" or "cuda:1". Default: the GPU if there is one.

    Raises UserError if there is no checkpoint, no config or another model in it.
    """
    file, content = _find(Path(path))
    check_fields(file, content)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    config = _for_use(_config(file, content, cfg, opts), file, where)
    net = build_model(config)
    saved = same_form(content.get("class_names"))
    load_for_test(config, net, saved or None)
    return VideoModel(net, config, _all_names(class_names, saved, config.MODEL.NUM_CLASSES), where)


def _find(path: Path) -> tuple[Path, dict]:
    """Return the path and the content of a checkpoint, or of the last one in the folder of a run."""
    if not path.is_dir():
        return path, read_checkpoint(path, mmap=True)  # the weights are read and checked later
    found = last_intact(path.parent if path.name == FOLDER else path)
    if found is None:
        raise UserError(f"{path} is not the folder of a run that has saved a checkpoint: it has no {FOLDER} in it")
    return found


def _config(file: Path, content: Mapping, cfg: PathLike | CfgNode | None, opts: Sequence) -> CfgNode:
    """Return the config that is given, else that of the checkpoint."""
    if isinstance(cfg, CfgNode):
        return with_keys(cfg, opts)
    if cfg is not None:
        return load_cfg(cfg, opts)
    saved = read_saved(content.get("cfg"))
    if not saved:
        raise UserError(f"{file} holds no config: give the one that it was trained with, as cfg='....yaml' or --cfg")
    return with_keys(load_layers([(file, _without_unused(saved))], allow_unknown_keys=True, path=file), opts)


def _without_unused(values: Mapping, prefix: str = "") -> dict:
    """Return nested values without the keys and sections of NOT_USED."""
    return {
        name: _without_unused(value, f"{prefix}{name}.") if isinstance(value, Mapping) else value
        for name, value in values.items()
        if f"{prefix}{name}" not in NOT_USED
    }


def _for_use(cfg: CfgNode, file: Path, device: torch.device) -> CfgNode:
    """Return a config for one process that reads videos from their own files, and the weights from `file`."""
    changes: dict[str, Any] = {
        "NUM_GPUS": int(device.type == "cuda"),
        "NUM_SHARDS": 1,
        "SHARD_ID": 0,
        "TEST.BATCH_SIZE": max(cfg.TEST.BATCH_SIZE // max(cfg.NUM_GPUS, 1), 1),
        "TEST.CHECKPOINT_FILE_PATH": str(file.resolve()).replace("$", "$$"),
        "TEST.SKIP_BAD_VIDEOS": True,
        "DATA.PREPARED_DIR": "",
    }
    return with_keys(cfg, [word for pair in changes.items() for word in pair])


def _all_names(given: PathLike | Sequence[str] | None, saved: list[str], num_classes: int) -> list[str]:
    """Return a name for each class: those given, else those of the checkpoint, else numbers."""
    if isinstance(given, str | os.PathLike):
        given = in_order(read_class_names(os.fspath(given)))
    names = same_form(given) if given is not None else saved
    if len(names) > num_classes:
        raise UserError(f"there are {len(names)} class names for a model of {num_classes} classes: give one for each")
    return [*names, *(f"class {number}" for number in range(len(names), num_classes))]
