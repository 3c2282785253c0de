"""The speed of a test, with the data of the config."""

import time
from collections.abc import Iterable
from itertools import cycle, islice
from typing import cast

import torch

from slowfast.benchmark.report import Row, medians, shape_columns
from slowfast.config.node import CfgNode
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.evaluation import predict_views
from slowfast.engine.test_net import Testing
from slowfast.multigrid import Shape
from slowfast.utils.device import synchronize
from slowfast.utils.training_meters import TimedIterator


def measure(cfg: CfgNode, device: torch.device, repeats: int, iterations: int) -> list[Row]:
    """Return the speed of a test in one row: medians over `repeats` of `iterations` batches each."""
    testing = Testing.from_cfg(cfg, device)
    return [medians([batches(cfg, testing, device, iterations) for _ in range(repeats)])]


def batches(cfg: CfgNode, testing: Testing, device: torch.device, iterations: int) -> Row:
    """Measure `iterations` batches. Batches before them warm up, one for each worker."""
    warmup = max(cfg.DATA_LOADER.NUM_WORKERS, 1)
    videos = list(islice(cycle(cast(Iterable, testing.loader.batch_sampler)), warmup + iterations))
    loader = TimedIterator(construct_loader(cfg, "test", cast(SizedDataset, testing.loader.dataset), videos))
    for _ in range(warmup):
        predict_views(testing.predict, next(loader)["clip"])
    synchronize(device)
    start, waited_before, views = time.perf_counter(), loader.waited_sec, 0
    for _ in range(iterations):
        views += predict_views(testing.predict, next(loader)["clip"]).shape[:2].numel()
    waited = loader.waited_sec - waited_before
    synchronize(device)
    seconds = time.perf_counter() - start
    shape = Shape(views // iterations, cfg.DATA.NUM_FRAMES, cfg.DATA.TEST_CROP_SIZE)
    return shape_columns(shape) | {"views_per_s": views / seconds, "data_wait_percent": 100 * waited / seconds}
