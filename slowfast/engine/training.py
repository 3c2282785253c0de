"""Everything that a training needs, built once, before its first iteration."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from slowfast.config.node import CfgNode
from slowfast.datasets.balance import classes_to_balance
from slowfast.datasets.build import build_dataset
from slowfast.datasets.interfaces import SizedDataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.bad_videos import with_checked_headers
from slowfast.engine.early_stop import check_early_stop
from slowfast.engine.first_aid import unusual_batch_norm
from slowfast.engine.learner import Learner
from slowfast.engine.precise_bn import fresh_batches
from slowfast.engine.progress import Progress
from slowfast.engine.schedule import build_schedule
from slowfast.models.summary import log_model_info
from slowfast.multigrid import Leg, Schedule, ShortCycleBatchSampler, build_plan, plan_warnings, running_statistics
from slowfast.multigrid.build import clip_costs, counts_cost, default_groups
from slowfast.optim.lr_policy import learning_rate
from slowfast.optim.rates import log_rates
from slowfast.utils.distributed import get_rank, is_master
from slowfast.utils.label_order import class_names_of
from slowfast.utils.world import clips_per_video, process_batch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """The learner, the data sets and the plan of a training.

    `learning_rate` is a function of the epoch. With TRAIN.EVAL_PERIOD 0, `val_set` is None. `classes` are those of the
    training videos if they are to be balanced, else None.
    """

    cfg: CfgNode
    learner: Learner
    train_set: SizedDataset
    val_set: SizedDataset | None
    schedule: Schedule
    progress: Progress
    learning_rate: Callable[[float], float]
    classes: np.ndarray | None = None

    @classmethod
    def from_cfg(cls, cfg: CfgNode, device: torch.device, world_size: int) -> "Training":
        """Build the training of `cfg` on one of `world_size` processes, at its start."""
        check_early_stop(cfg)
        schedule = build_schedule(cfg)
        train_set = build_dataset(cfg.TRAIN.DATASET, cfg, "train")
        val_set = (
            with_checked_headers(build_dataset(cfg.TRAIN.DATASET, cfg, "val"), cfg) if cfg.TRAIN.EVAL_PERIOD else None
        )
        return cls(
            cfg,
            Learner.from_cfg(cfg, device),
            train_set,
            val_set,
            schedule,
            Progress(build_plan(schedule, len(train_set), world_size), world_size, clips_per_video(cfg)),
            learning_rate(cfg, schedule),
            classes_to_balance(cfg, train_set),
        )

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes in the order of their labels; None where the data set does not know them."""
        return class_names_of(self.train_set)

    @property
    def plan_key(self) -> list[int]:
        """A key of the plan: two plans with the same key count iterations alike."""
        progress = self.progress
        return [len(self.train_set), progress.world_size, progress.total_iterations, progress.total_clips]

    @property
    def size(self) -> dict[str, object]:
        """The numbers of a plan, and the costs of clips that it is made from if they are counted, for the log."""
        names = ("videos", "processes", "iterations", "clips")
        numbers: dict[str, object] = dict(zip(names, self.plan_key, strict=True))
        if counts_cost(self.cfg):
            numbers["clip_costs"] = clip_costs(self.schedule, process_batch(self.cfg, "TRAIN"))
        return numbers

    def is_due(self, epoch: int, key: str) -> bool:
        """Return whether what TRAIN.`key` is the period of is done after `epoch`."""
        return self.progress.is_due(epoch, self.cfg.TRAIN[key])

    def batches(self, legs: Sequence[Leg]) -> DataLoader:
        """Return the batches of all `legs` from one loader, so that it loads ahead across epochs and phases."""
        seed, world_size = self.cfg.RNG_SEED, self.progress.world_size
        sampler = ShortCycleBatchSampler(legs, len(self.train_set), seed, get_rank(), world_size, self.classes)
        return construct_loader(self.cfg, "train", self.train_set, sampler)

    def val_batches(self) -> DataLoader:
        """Return one clip of every video of the validation set, in batches."""
        return construct_loader(self.cfg, "val", self.val_set)

    def fresh_batches(self, epoch: int) -> DataLoader:
        """Return batches for precise batch norm after `epoch`."""
        return fresh_batches(self.cfg, self.train_set, self.schedule.total_epochs, epoch)

    @property
    def default_groups(self) -> tuple[int, int]:
        """The groups of batch norm in a batch of the default grid, and the ranks that share one."""
        return default_groups(self.cfg, process_batch(self.cfg, "TRAIN"), self.progress.world_size)

    def log_summary(self) -> None:
        """Log the config, the size of the model if LOG_MODEL_INFO is set, the length and the learning rates."""
        progress = self.progress
        if self.cfg.LOG_MODEL_INFO and is_master():
            log_model_info(self.learner.model, self._one_clip())
        logger.debug("config:\n%s", self.cfg.dump())
        logger.info(
            "training on %d videos, %d process(es) on %s: %g epochs, %d iterations, %s clips",
            *(len(self.train_set), progress.world_size, self.learner.device.type),
            *(self.schedule.total_epochs, progress.total_iterations, f"{progress.total_clips:,}"),
        )
        log_rates(self.cfg, self.schedule, self.learning_rate)
        advice = unusual_batch_norm(self.cfg, self.schedule) if running_statistics(self.learner.model) else []
        for warning in [*plan_warnings(self.schedule, progress.legs), *advice]:
            logger.warning(warning)
        if empty := progress.total_epochs - len(progress.iterations_of_epoch):
            logger.warning(
                "%d of %d epochs have no iteration, since a batch takes more clips than there are videos: "
                "lower TRAIN.BATCH_SIZE",
                *(empty, progress.total_epochs),
            )

    def _one_clip(self) -> list[torch.Tensor]:
        """Return the input of the model for one clip at the default grid."""
        size, frames = self.cfg.DATA.TRAIN_CROP_SIZE, self.cfg.DATA.NUM_FRAMES
        return self.learner.pack(torch.zeros(1, frames, size, size, 3, dtype=torch.uint8, device=self.learner.device))


def seed_everything(seed: int, *position: int) -> None:
    """Seed torch by the position in training, so that a resumed run draws the same numbers."""
    state = np.random.SeedSequence([seed, get_rank(), *position] if position else [seed]).generate_state(2, np.uint32)
    torch.manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
