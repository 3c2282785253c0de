"""Precise batch norm: running statistics over fresh batches, not a moving average over past weights.

"Rethinking Batch in BatchNorm" (Wu and Johnson, 2021), Section 3.
"""

from collections.abc import Iterable
from math import ceil

import torch
from torch import Tensor, nn

from slowfast.datasets.loader import construct_loader
from slowfast.multigrid import Leg, Phase, ShortCycleBatchSampler
from slowfast.multigrid.build import default_shape
from slowfast.utils.distributed import all_reduce_sum, get_rank, get_world_size
from slowfast.utils.world import World


@torch.no_grad()
def update_statistics(model: nn.Module, batches: Iterable) -> None:
    """Set the running statistics of `model` to the mean and variance over all `batches` of all ranks."""
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm3d) and m.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.train()
    for layer in layers:
        layer.momentum = 1.0
        layer.running_mean.zero_()  # whatever they were: even 0 times infinity would stay
        layer.running_var.zero_()
    means, squares, count = [], [], 0
    for inputs in batches:
        model(inputs)
        count += 1
        means = _added(means, [layer.running_mean.double() for layer in layers])
        squares = _added(squares, [layer.running_mean.double() ** 2 + layer.running_var for layer in layers])
    sums = [*means, *squares]
    averages = all_reduce_sum(torch.cat(sums)) / (count * get_world_size())  # one message for all layers
    averages = averages.split([len(s) for s in sums])
    for layer, mean, square, momentum in zip(
        layers, averages[: len(layers)], averages[len(layers) :], momenta, strict=True
    ):
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(square - mean**2)
        layer.momentum = momentum
    model.train(was_training)


def _added(sums: list[Tensor], terms: list[Tensor]) -> list[Tensor]:
    return [s + t for s, t in zip(sums, terms, strict=True)] if sums else terms


def fresh_batches(cfg, dataset, total_epochs: float, epoch: int) -> Iterable[dict]:
    """At most BN.NUM_BATCHES_PRECISE batches of the default grid: others each epoch, of clips never trained on."""
    world = get_world_size()
    base = default_shape(cfg, World.from_cfg(cfg).share("TRAIN.BATCH_SIZE", cfg.TRAIN.BATCH_SIZE))
    count = max(1, min(cfg.BN.NUM_BATCHES_PRECISE, len(dataset) // (base.batch_size * world)))
    drawn_epoch = ceil(total_epochs) + epoch
    phase = Phase((base,), stage=0, start_epoch=drawn_epoch, end_epoch=drawn_epoch + 1)
    leg = Leg(phase, drawn_epoch, drawn_epoch + 1, drawn_epoch * len(dataset), count)
    sampler = ShortCycleBatchSampler([leg], len(dataset), cfg.RNG_SEED, get_rank(), world)
    return construct_loader(cfg, "train", dataset, sampler)
