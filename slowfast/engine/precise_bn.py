"""Precise batch norm: running statistics over fresh batches at fixed weights, not a moving average during training.

"Rethinking Batch in BatchNorm" (Wu and Johnson, 2021), Section 3.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from slowfast.config.node import CfgNode
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.pathways import Clips
from slowfast.multigrid import Leg, Phase, ShortCycleBatchSampler
from slowfast.multigrid.build import default_groups, default_shape
from slowfast.utils.distributed import all_reduce_sum, get_rank, get_world_size
from slowfast.utils.world import process_batch


@torch.no_grad()
def update_statistics(model: nn.Module, batches: Iterable[Any], forward: Callable[[Any], object] | None = None) -> None:
    """Set the running statistics of `model` to the mean and variance over all `batches` of all ranks.

    `forward` passes a batch through the model; default: the model itself.
    """
    was_training = model.training
    model.train()  # frozen batch norms stay in evaluation mode
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm3d) and m.track_running_stats and m.training]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 1.0  # the statistics become those of the last batch
    _set_statistics(layers, torch.zeros_like(_means_and_squares(layers)))  # 0 times an infinite value is not finite
    sums, count = torch.zeros((), dtype=torch.float64), 0
    for inputs in batches:
        (forward or model)(inputs)
        sums = sums + _means_and_squares(layers)
        count += 1
    averages = all_reduce_sum(sums) / (count * get_world_size())  # one message for all layers
    _set_statistics(layers, averages)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


def in_groups(batches: Iterable[Clips], num_groups: int) -> Iterator[Clips]:
    """Yield the groups that batch norm forms in each batch, one after another (see `SubBatchNorm3d`)."""
    for clips in batches:
        for group in (slice(first, None, num_groups) for first in range(num_groups)):
            yield clips[group] if isinstance(clips, Tensor) else [pathway[group] for pathway in clips]


def _means_and_squares(layers: Sequence[nn.BatchNorm3d]) -> Tensor:
    """Return the mean and the mean square of every channel: the two of a layer, layer after layer, in float64."""
    parts = []
    for layer in layers:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        mean = layer.running_mean.double()
        parts += [mean, mean**2 + layer.running_var]
    return torch.cat(parts)


def _set_statistics(layers: Sequence[nn.BatchNorm3d], means_and_squares: Tensor) -> None:
    parts = iter(means_and_squares.split([layer.num_features for layer in layers for _ in range(2)]))
    for layer, mean, square in zip(layers, parts, parts, strict=True):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(square - mean**2)


def num_batches(cfg: CfgNode, num_videos: int, world: int) -> int:
    """Return how many batches precise batch norm passes through the model on each rank."""
    return max(1, min(cfg.BN.NUM_BATCHES_PRECISE, num_videos // (process_batch(cfg, "TRAIN") * world)))


def fresh_batches(cfg: CfgNode, dataset: SizedDataset, total_epochs: float, epoch: int) -> DataLoader:
    """Return at most BN.NUM_BATCHES_PRECISE batches of the default grid.

    Their clips are drawn as in an epoch after the training, a different one for every `epoch`, so no training step uses
    them. Where several ranks share batch norm, their batches consist of the same clips for any number of ranks.
    """
    world = get_world_size()
    base = default_shape(cfg, process_batch(cfg, "TRAIN"))
    count = num_batches(cfg, len(dataset), world)
    drawn_epoch = ceil(total_epochs) + epoch
    _, sync_ranks = default_groups(cfg, base.batch_size, world)
    phase = Phase((base,), stage=0, start_epoch=drawn_epoch, end_epoch=drawn_epoch + 1, bn_sync_ranks=sync_ranks)
    leg = Leg(phase, drawn_epoch, drawn_epoch + 1, drawn_epoch * len(dataset), count)
    sampler = ShortCycleBatchSampler([leg], len(dataset), cfg.RNG_SEED, get_rank(), world)
    return construct_loader(cfg, "train", dataset, sampler)
