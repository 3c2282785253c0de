"""What the published `slowfast.utils.misc` has."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast.config.node import CfgNode
from slowfast.datasets.pathways import PackPathways
from slowfast.models import summary
from slowfast.multigrid.build import has_cycle
from slowfast.utils.launch import launch
from slowfast.utils.training_meters import GIB
from slowfast.utils.world import World


def log_model_info(model: nn.Module, cfg: CfgNode, use_train_input: bool = True) -> None:
    """Log the layers, parameters, GFLOPs and activations of `model` for one clip of training or of testing."""
    crop, frames = cfg.DATA.TRAIN_CROP_SIZE if use_train_input else cfg.DATA.TEST_CROP_SIZE, cfg.DATA.NUM_FRAMES
    device = next(model.parameters()).device
    clip = torch.zeros(1, frames, crop, crop, 3, dtype=torch.uint8, device=device)
    summary.log_model_info(model, PackPathways.from_cfg(cfg)(clip))


def launch_job(cfg: CfgNode, init_method: str | None, func: Callable[[CfgNode], object], daemon: bool = False) -> None:
    """Call `func(cfg)` in every process of `cfg`. `daemon` has no effect: the processes end with this one."""
    launch(func, (cfg,), World.from_cfg(cfg), init_method, cfg.DIST_BACKEND)


def check_nan_losses(loss: float | Tensor) -> None:
    """Raise RuntimeError if the loss is NaN."""
    if torch.as_tensor(loss).isnan().any():
        raise RuntimeError("the loss is NaN: lower SOLVER.BASE_LR or set SOLVER.CLIP_GRAD_L2NORM")


def params_count(model: nn.Module, ignore_bn: bool = False) -> int:
    """Return the number of parameters, with `ignore_bn` without those of batch norm."""
    norms = [module for module in model.modules() if ignore_bn and isinstance(module, nn.BatchNorm3d)]
    return summary.count_parameters(model) - sum(map(summary.count_parameters, norms))


def gpu_mem_usage() -> float:
    """Return the peak memory of this process on its GPU, in GiB; 0 without a GPU."""
    return torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_available() else 0.0


def cpu_mem_usage() -> tuple[float, float]:
    """Return the memory of the machine that is in use, and all of it, in GiB."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = (page * os.sysconf(name) / GIB for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    return total - free, total


def is_eval_epoch(cfg: CfgNode, cur_epoch: int, multigrid_schedule: None = None) -> bool:
    """Return whether the model is evaluated after epoch `cur_epoch`, from 0."""
    return cfg.TRAIN.EVAL_PERIOD > 0 and is_due(cfg, cur_epoch, cfg.TRAIN.EVAL_PERIOD, multigrid_schedule)


def is_due(cfg: CfgNode, cur_epoch: int, period: int, multigrid_schedule: None = None) -> bool:
    """Return whether something done every `period` epochs and after the last one is done after `cur_epoch`."""
    if multigrid_schedule is not None or has_cycle(cfg):
        raise NotImplementedError(
            "the epochs of multigrid training are planned by slowfast.engine.progress.Progress here: use its `is_due`"
        )
    return cur_epoch + 1 == cfg.SOLVER.MAX_EPOCH or (period > 0 and (cur_epoch + 1) % period == 0)


def get_class_names(
    path: str, parent_path: str | None = None, subset_path: str | None = None
) -> tuple[list[str], dict[str, list[int]] | None, list[int] | None]:
    """Return the names of the classes by number, the classes of every parent, and the classes of a subset.

    Args:
        path: of a json file, name -> number.
        parent_path: of a json file, parent -> names.
        subset_path: of a text file with a name on each line.
    """
    numbers: dict[str, int] = json.loads(Path(path).read_text(encoding="utf-8"))
    names = [""] * (max(numbers.values(), default=-1) + 1)
    for name, number in numbers.items():
        names[number] = name
    parents = subset = None
    if parent_path:
        listed = json.loads(Path(parent_path).read_text(encoding="utf-8"))
        parents = {parent: [numbers[name] for name in members if name in numbers] for parent, members in listed.items()}
    if subset_path:
        lines = Path(subset_path).read_text(encoding="utf-8").splitlines()
        subset = [numbers[name] for name in map(str.strip, lines) if name in numbers]
    return names, parents, subset
