"""A dry run: one batch of every shape of a training, with its memory and a forecast of hours."""

import logging
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any

from slowfast.config.load import with_keys
from slowfast.config.node import CfgNode
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine import precise_bn
from slowfast.engine.first_aid import LONG_WAIT, waiting_cures
from slowfast.engine.launch import check, start, warn_of_missing_gpus
from slowfast.engine.position import resume
from slowfast.engine.progress import groups_text
from slowfast.engine.training import Training, seed_everything
from slowfast.errors import UserError, errors_name
from slowfast.multigrid import Kind, ShortCycleBatchSampler, first_iterations, kind_iterations
from slowfast.utils.device import clear_memory, peak_gib, seconds_of
from slowfast.utils.distributed import device_for_rank, get_rank, get_world_size
from slowfast.utils.logging import setup_logging
from slowfast.utils.machine import allowed_cores
from slowfast.utils.stop import handled, stop_at_once
from slowfast.utils.training_meters import clock_text
from slowfast.utils.world import clips_per_video, process_batch

logger = logging.getLogger(__name__)

DRY_RUN = "build everything, run one batch of every shape, print memory and a forecast of hours, and write nothing"
LR = 0.0  # a step takes as long as with any other rate, and the weights stay finite


def dry_run(*cfgs: CfgNode, names: Sequence[str] = (), init_method: str | None = None) -> None:
    """Build everything, run one batch of every shape, print memory and a forecast of hours, and write nothing.

    It uses the devices and processes of the training, and a temporary folder in place of OUTPUT_DIR. `names` and
    `init_method` are those of `engine.launch.run`.
    """
    setup_logging()
    with handled(stop_at_once, (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)):
        for cfg, name in zip_longest(cfgs, names):
            with errors_name(name), tempfile.TemporaryDirectory(prefix="slowfast_dry_run_") as folder:
                if not cfg.TRAIN.ENABLE:
                    raise UserError("TRAIN.ENABLE: False leaves nothing for a dry run; set it to True")
                rehearsed = with_keys(cfg, ["OUTPUT_DIR", folder])
                check(rehearsed)
                warn_of_missing_gpus(cfg)
                start(rehearse, rehearsed, init_method)


@dataclass(frozen=True)
class Cost:
    """Seconds of a batch: for loading it, divided by the number of workers, and for training on the device."""

    load_sec: float
    device_sec: float
    overlap: bool  # workers load the next batches while the device computes

    @property
    def seconds(self) -> float:
        return max(self.load_sec, self.device_sec) if self.overlap else self.load_sec + self.device_sec

    @property
    def wait_share(self) -> float:
        return 1 - self.device_sec / self.seconds


class Timed:
    """A data set whose samples have the `seconds` that they took to load."""

    def __init__(self, dataset: SizedDataset):
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> dict[str, Any]:
        start = time.perf_counter()
        sample = self._dataset[index]
        return {**sample, "seconds": time.perf_counter() - start}


def rehearse(cfg: CfgNode) -> None:
    """Run the batches of the dry run in this process, and log the figures (rank 0)."""
    setup_logging()
    seed_everything(cfg.RNG_SEED)
    training = Training.from_cfg(cfg, device_for_rank(cfg.NUM_GPUS), get_world_size())
    training.log_summary()
    resume(training)  # the initial weights: there is no checkpoint
    training.learner.join_ranks(cfg.TRAIN.COMPILE)
    iterations = kind_iterations(training.progress.legs)
    costs = {}
    for kind, cost, gib in _steps(training):
        costs[kind] = cost
        memory = "" if gib is None else f", {gib:.2f} GiB"
        logger.info(
            "%s, %s iterations: %.3f s, of which %.0f %% waiting for data; device %.3f s, loading %.3f s%s",
            *(_text(kind, clips_per_video(cfg)), f"{iterations[kind]:,}", cost.seconds, 100 * cost.wait_share),
            *(cost.device_sec, cost.load_sec, memory),
        )
    evaluation = _evaluation_sec(training) if training.val_set is not None else 0.0
    for line in forecast(training, {kind: (iterations[kind], cost) for kind, cost in costs.items()}, evaluation):
        logger.info("%s", line)


def _text(kind: Kind, repeats: int) -> str:
    shape = kind.shape
    clips = shape.batch_size * repeats
    return f"{clips} clips x {shape.frames} frames x {shape.crop} px{groups_text(kind.bn_groups)}"


def _steps(training: Training) -> Iterator[tuple[Kind, Cost, float | None]]:
    """Yield the cost and the peak of memory of a batch of every kind. It is taken twice: the first step warms up."""
    learner, first = training.learner, first_iterations(training.progress.legs)
    sampler = ShortCycleBatchSampler(
        *(training.progress.legs, len(training.train_set), training.cfg.RNG_SEED),
        *(get_rank(), training.progress.world_size),
    )
    indices = [sampler.batch(leg, i) for leg, i in first.values()]
    loader = construct_loader(training.cfg, "train", Timed(training.train_set), indices)
    for (kind, (leg, _)), batch in zip(first.items(), loader, strict=True):
        learner.start_phase(leg.phase.bn_groups, leg.phase.bn_sync_ranks)
        clear_memory(learner.device)
        learner.step(batch, LR)
        seconds = seconds_of(learner.device, partial(learner.step, batch, LR))
        cost = _cost(training.cfg, batch, seconds, clips_per_video(training.cfg))
        yield kind, cost, peak_gib(learner.device)


def _cost(cfg: CfgNode, batch: dict[str, Any], device_sec: float, repeats: int = 1) -> Cost:
    """Return the cost of a batch with `repeats` clips of each video, which are loaded together."""
    workers = cfg.DATA_LOADER.NUM_WORKERS
    return Cost(float(batch["seconds"].sum()) / repeats / max(workers, 1), device_sec, overlap=workers > 0)


def _evaluation_sec(training: Training) -> float:
    """Return the seconds of an evaluation, from one batch of it. With precise batch norm, its batches are added."""
    cfg, val_set = training.cfg, training.val_set
    assert val_set is not None
    size = min(process_batch(cfg, "TRAIN"), len(val_set))
    (batch,) = construct_loader(cfg, "val", Timed(val_set), [list(range(size))])
    predict = partial(training.learner.predictor(), batch["clip"])
    _, seconds = (seconds_of(training.learner.device, predict) for _ in range(2))  # the first one warms up
    world = training.progress.world_size
    batches = len(val_set) / size / world
    batches += precise_bn.num_batches(cfg, len(training.train_set), world) if cfg.BN.USE_PRECISE_STATS else 0
    return batches * _cost(cfg, batch, seconds).seconds


def forecast(training: Training, costs: dict[Kind, tuple[int, Cost]], evaluation_sec: float) -> list[str]:
    """Return the time of a training, from the cost of an iteration of every kind and their number, as lines."""
    cfg, progress = training.cfg, training.progress
    seconds = sum(count * cost.seconds for count, cost in costs.values())
    waiting = 1 - sum(count * cost.device_sec for count, cost in costs.values()) / seconds
    evaluations = sum(training.is_due(epoch, "EVAL_PERIOD") for epoch in progress.iterations_of_epoch)
    evaluating = evaluations * evaluation_sec if training.val_set is not None else 0.0
    lines = [
        f"training: {progress.total_iterations:,} iterations in {_hours(seconds)}, of which {100 * waiting:.0f} % "
        "waiting for data"
    ]
    if evaluating:
        lines.append(f"evaluations: {evaluations} in {_hours(evaluating)}")
    lines.append(f"forecast without the test: {_hours(seconds + evaluating)}")
    if waiting > LONG_WAIT:
        cures = "; ".join(cure.text for cure in waiting_cures(cfg, allowed_cores()))
        lines.append(f"to wait less for data: {cures}")
    return lines


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h ({clock_text(seconds)})"
