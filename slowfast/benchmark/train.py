"""The speed of training at every shape of a schedule, with the data of the config."""

import time

import torch

from slowfast.benchmark.batches import Batch, batches_of
from slowfast.benchmark.data import index_batches
from slowfast.benchmark.report import Row, medians
from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.learner import Learner
from slowfast.utils.device import synchronize
from slowfast.utils.training_meters import TimedIterator
from slowfast.utils.world import clips_per_video

LR = 1e-6  # the rate does not change the time, and must not make the loss diverge


def measure(cfg: CfgNode, device: torch.device, repeats: int, iterations: int) -> list[Row]:
    """Return the time of a training step for every batch: medians over `repeats`. The shapes take turns.

    `data_wait_percent` is the share of it in which the process waits for the loader.
    """
    dataset = build_dataset(cfg.TRAIN.DATASET, cfg, "train")
    learner = Learner.from_cfg(cfg, device)
    rows: dict[Batch, list[Row]] = {batch: [] for batch in batches_of(cfg)}
    for epoch in range(repeats):
        for batch in rows:
            rows[batch].append(steps(cfg, learner, dataset, batch, epoch, iterations))
    return [batch.columns() | medians(rows[batch]) for batch in rows]


def steps(cfg: CfgNode, learner: Learner, dataset: SizedDataset, batch: Batch, epoch: int, iterations: int) -> Row:
    """Measure `iterations` steps on `batch`. Steps before them warm up, one for each worker."""
    warmup = max(cfg.DATA_LOADER.NUM_WORKERS, 1)
    indices = index_batches(dataset, batch.shape, epoch, warmup + iterations)
    batches = TimedIterator(construct_loader(cfg, "train", dataset, indices))
    learner.start_phase(batch.bn_groups)
    for _ in range(warmup):
        learner.step(next(batches), LR)
    synchronize(learner.device)
    start, waited_before = time.perf_counter(), batches.waited_sec
    for _ in range(iterations):
        learner.step(next(batches), LR)
    waited = batches.waited_sec - waited_before
    synchronize(learner.device)
    seconds = time.perf_counter() - start
    return {
        "step_ms": 1000 * seconds / iterations,
        "clips_per_s": iterations * batch.shape.batch_size * clips_per_video(cfg) / seconds,
        "data_wait_percent": 100 * waited / seconds,
    }
