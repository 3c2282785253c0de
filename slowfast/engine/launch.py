"""The entry point of a run: the training and the test of a config, in all its processes."""

import logging
import signal
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

import torch

from slowfast.config.node import CfgNode
from slowfast.engine.test_net import Testing, run_test
from slowfast.engine.train_net import train
from slowfast.engine.training import Training
from slowfast.errors import UserError, errors_name
from slowfast.utils.distributed import is_master
from slowfast.utils.launch import launch
from slowfast.utils.logging import quiet, setup_logging
from slowfast.utils.placement import ignore_launcher, launched_by
from slowfast.utils.rendezvous import shared_values
from slowfast.utils.stop import handled, stop_at_once
from slowfast.utils.training_checkpoint import check_files
from slowfast.utils.world import World

logger = logging.getLogger(__name__)


def run(
    *cfgs: CfgNode,
    names: Sequence[str] = (),
    init_method: str | None = None,
    with_training: bool = True,
    with_test: bool = True,
) -> None:
    """Run each config in turn: train if TRAIN.ENABLE, then test if TEST.ENABLE.

    Mistakes in any of the configs are reported before the first one starts.

    Args:
        names: of the configs, for errors.
        init_method: where several machines meet.
    """
    setup_logging()
    if init_method:
        ignore_launcher()
    named = list(zip_longest(cfgs, names))
    with handled(stop_at_once, (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)):
        for cfg, name in named:
            if not _jobs(cfg, with_training, with_test):
                logger.warning("%s: nothing to run: set TRAIN.ENABLE or TEST.ENABLE to True", name or "the config")
            with errors_name(name):
                check(cfg, with_training, with_test)
        check_separate([cfg for cfg, _ in named], names, with_training, with_test)
        for cfg, name in named:
            with errors_name(name):
                setup_logging(cfg.OUTPUT_DIR if World.from_cfg(cfg).machine == 0 else None)
                warn_of_missing_gpus(cfg)
                for job in _jobs(cfg, with_training, with_test):
                    start(job, cfg, init_method)


def start(job: Callable[[CfgNode], object], cfg: CfgNode, init_method: str | None = None) -> None:
    """Call `job(cfg)` in every process of `cfg`. All machines must agree on the config."""
    world, place = World.from_cfg(cfg), launched_by()
    if place and cfg.NUM_GPUS not in (0, place.local_size) and is_master():
        logger.info(
            "NUM_GPUS %d: %s started %d process(es) here instead", cfg.NUM_GPUS, place.launcher, place.local_size
        )
    launch(
        *(job, (cfg,), world, init_method, cfg.DIST_BACKEND),
        config=shared_values(cfg),
        wait_minutes=cfg.DIST_TIMEOUT_MIN,
    )


def check(cfg: CfgNode, with_training: bool = True, with_test: bool = True) -> None:
    """Raise UserError if the training or the test of `cfg` cannot be built.

    This builds their data sets, schedule, model, loss and optimizer on the CPU and discards them: every rule stays with
    its builder. It needs no device and no other process. A SlowFast R50 takes 0.3 s of processor time.
    """
    jobs, device = _jobs(cfg, with_training, with_test), torch.device("cpu")
    check_files(cfg, train in jobs, run_test in jobs)
    with quiet():  # the processes log the same messages when they build
        if train in jobs:
            Training.from_cfg(cfg, device, World.from_cfg(cfg).size)
        if run_test in jobs:
            Testing.from_cfg(cfg, device)


def warn_of_missing_gpus(cfg: CfgNode) -> None:
    """Warn of a config that asks for GPUs on a machine without any."""
    if cfg.NUM_GPUS and not torch.cuda.is_available():
        logger.warning(
            "NUM_GPUS is %d but no CUDA device is visible: running on the CPU (NUM_GPUS 0 asks for it)", cfg.NUM_GPUS
        )


def check_separate(cfgs: Sequence[CfgNode], names: Sequence[str], with_training: bool, with_test: bool) -> None:
    """Raise UserError if two configs write the same checkpoints or the same file of results."""
    writers: dict[Path, str] = {}
    for number, cfg in enumerate(cfgs):
        jobs, folder = _jobs(cfg, with_training, with_test), Path(cfg.OUTPUT_DIR).resolve()
        outputs = [folder] * (train in jobs)
        outputs += [folder / cfg.TEST.SAVE_RESULTS_PATH] * (run_test in jobs and bool(cfg.TEST.SAVE_RESULTS_PATH))
        for output in outputs:
            name = names[number] if number < len(names) else f"config {number + 1}"
            if output in writers:
                raise UserError(f"OUTPUT_DIR: {writers[output]} and {name} both write {output}; give each its own")
            writers[output] = name


def _jobs(cfg: CfgNode, with_training: bool, with_test: bool) -> list[Callable[[CfgNode], object]]:
    enabled = {train: with_training and cfg.TRAIN.ENABLE, run_test: with_test and cfg.TEST.ENABLE}
    return [job for job, is_enabled in enabled.items() if is_enabled]
