"""Precise batch norm: running statistics over fresh batches, not a moving average over past weights."""

import logging
from itertools import islice
from math import ceil

from fvcore.nn.precise_bn import update_bn_stats

from slowfast.datasets.loader import construct_loader
from slowfast.multigrid import Leg, Phase, Shape, ShortCycleBatchSampler, average_statistics
from slowfast.utils.distributed import get_rank, get_world_size

logger = logging.getLogger(__name__)


def update_statistics(model, batches, num_batches: int) -> None:
    """Set the running statistics of `model` to those over `num_batches` of `batches`, averaged over ranks."""
    was_training = model.training
    model.train()
    update_bn_stats(model, batches, num_batches, progress=None)
    model.train(was_training)
    average_statistics(model)


def fresh_batches(cfg, dataset, schedule, epoch: int):
    """Batches of the default grid: other videos each epoch, in clips that training never draws. (batches, how many)."""
    world = get_world_size()
    base = Shape(cfg.TRAIN.BATCH_SIZE // max(cfg.NUM_GPUS, 1), cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
    available = dataset.num_videos // (base.batch_size * world)
    count = max(1, min(cfg.BN.NUM_BATCHES_PRECISE, available))
    drawn_epoch = ceil(schedule.total_epochs) + epoch
    phase = Phase(0, drawn_epoch, drawn_epoch + 1, (base,), stride=(cfg.DATA.SAMPLING_RATE,) * 2)
    leg = Leg(phase, drawn_epoch, drawn_epoch + 1, drawn_epoch * dataset.num_videos, count)
    sampler = ShortCycleBatchSampler([leg], dataset.num_videos, cfg.RNG_SEED, get_rank(), world)
    return islice(construct_loader(cfg, "train", dataset, sampler), count), count
