"""The entry point of a run: the training and the test of a config, in all its processes."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

import torch

from slowfast.config.node import CfgNode
from slowfast.engine.test_net import Testing, run_test
from slowfast.engine.train_net import train
from slowfast.engine.training import Training
from slowfast.errors import errors_name
from slowfast.utils.launch import launch
from slowfast.utils.logging import quiet, setup_logging
from slowfast.utils.training_checkpoint import check_files
from slowfast.utils.world import World


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
    named = list(zip_longest(cfgs, names))
    for cfg, name in named:
        with errors_name(name):
            check(cfg, with_training, with_test)
    for cfg, name in named:
        setup_logging()
        with errors_name(name):
            for job in _jobs(cfg, with_training, with_test):
                launch(job, (cfg,), World.from_cfg(cfg), init_method, cfg.DIST_BACKEND)


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


def _jobs(cfg: CfgNode, with_training: bool, with_test: bool) -> list[Callable[[CfgNode], object]]:
    enabled = {train: with_training and cfg.TRAIN.ENABLE, run_test: with_test and cfg.TEST.ENABLE}
    return [job for job, is_enabled in enabled.items() if is_enabled]
