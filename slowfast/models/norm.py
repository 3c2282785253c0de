"""Batch norm that does not depend on multigrid."""

import logging

from torch import nn

from slowfast.errors import UserError
from slowfast.utils.world import World, process_batch

logger = logging.getLogger(__name__)


class PlainBatchNorm3d(nn.BatchNorm3d):
    """An nn.BatchNorm3d that stays one: it is never in groups, and its statistics are never shared by processes."""


def norm_groups(cfg, world: World) -> tuple[int, int]:
    """Return (groups of a process's clips, processes that share statistics), as BN.NORM_TYPE has it."""
    bn = cfg.BN
    if bn.NORM_TYPE == "sub_batchnorm":
        clips = process_batch(cfg, "TRAIN") // cfg.SOLVER.ACCUMULATE
        if clips % bn.NUM_SPLITS:
            raise UserError(
                f"BN.NUM_SPLITS: {bn.NUM_SPLITS} does not divide the {clips} clips of a process "
                "(TRAIN.BATCH_SIZE over NUM_GPUS and SOLVER.ACCUMULATE); use a divisor"
            )
        return bn.NUM_SPLITS, 1
    if bn.NORM_TYPE != "sync_batchnorm":
        return 1, 1
    if world.size == 1:
        logger.info("BN.NORM_TYPE sync_batchnorm on one process is plain batch norm")
    if bn.GLOBAL_SYNC:
        return 1, world.size
    if world.processes < bn.NUM_SYNC_DEVICES:
        logger.info("BN.NUM_SYNC_DEVICES %d: all %d of a machine share", bn.NUM_SYNC_DEVICES, world.processes)
        return 1, world.processes
    if world.processes % bn.NUM_SYNC_DEVICES:
        raise UserError(
            f"BN.NUM_SYNC_DEVICES: {bn.NUM_SYNC_DEVICES} does not divide NUM_GPUS {world.processes}; "
            "use a divisor, or BN.GLOBAL_SYNC True"
        )
    return 1, bn.NUM_SYNC_DEVICES


def set_norms(model: nn.Module, momentum: float, epsilon: float) -> None:
    """Set the momentum of the running statistics, and what is added to the variance, of all batch norms."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum, module.eps = momentum, epsilon
