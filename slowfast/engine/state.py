"""The state of a training: everything that is built once, and what of it a checkpoint keeps."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from slowfast.datasets.build import build_dataset
from slowfast.engine.precision import Precision
from slowfast.engine.progress import Progress
from slowfast.engine.schedule import build_schedule
from slowfast.models import build_model
from slowfast.models.inputs import PackPathways
from slowfast.models.losses import build_loss
from slowfast.models.summary import log_model_info
from slowfast.multigrid import Schedule, average_statistics, build_plan, remaining
from slowfast.optim.build import construct_optimizer
from slowfast.optim.lr_policy import learning_rate
from slowfast.utils.checkpoint import load_for_training, save_checkpoint
from slowfast.utils.distributed import barrier, device_for_rank, get_rank, get_world_size, is_master, wrap
from slowfast.utils.world import World

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """One model, one optimiser and one wrapper for the whole training.

    `model` is the model itself; `net` the same, with gradients averaged over ranks. `done`: its iterations so far.
    """

    cfg: object
    device: torch.device
    precision: Precision
    model: nn.Module
    net: nn.Module
    loss: Callable
    pack: PackPathways
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    dataset: object
    schedule: Schedule
    progress: Progress
    learning_rate: Callable[[float], float]
    done: int = 0
    best: dict = field(default_factory=dict)
    epoch_sums: list | None = None  # what the meter of a broken-off epoch had counted
    evaluation_due: bool = False  # after the epoch that has just ended

    @classmethod
    def from_cfg(cls, cfg) -> "TrainingState":
        """Build it all, and load the last checkpoint or the initial weights."""
        seed_everything(cfg.RNG_SEED)
        device = device_for_rank(cfg.NUM_GPUS)
        precision = Precision(device, cfg.TRAIN.MIXED_PRECISION)
        schedule = build_schedule(cfg, World.from_cfg(cfg))
        dataset = build_dataset(cfg.TRAIN.DATASET, cfg, "train")
        plan = build_plan(schedule, len(dataset), get_world_size())
        model = precision.place(build_model(cfg))
        if cfg.LOG_MODEL_INFO and is_master():
            log_model_info(model, _one_clip(cfg, precision))
        state = cls(
            cfg=cfg,
            device=device,
            precision=precision,
            model=model,
            net=model,
            loss=build_loss(cfg),
            pack=precision.pack(cfg),
            optimizer=construct_optimizer(model, cfg),
            scaler=precision.scaler(),
            dataset=dataset,
            schedule=schedule,
            progress=Progress(plan, get_world_size()),
            learning_rate=learning_rate(cfg, schedule),
        )
        state.say()
        state._resume()
        state.net = wrap(model)
        return state

    def _resume(self) -> None:
        saved = load_for_training(self.cfg, self.model, self.optimizer, self.scaler)
        self.best = saved.get("best", {})
        same_plan = saved.get("plan") == self._plan_key()
        if same_plan:
            self.done, self.epoch_sums = saved["iteration"], saved.get("epoch_sums")
            self.evaluation_due = saved.get("evaluation_due", False)
        elif saved["epoch"] >= 0 or "plan" in saved:
            self.done = self.progress.iterations_until(saved.get("position", saved["epoch"] + 1.0))
            logger.warning(
                "the checkpoint was written under another plan (videos, devices, batches or epochs differ): "
                "going on at the same position, epoch %.3f",
                saved.get("position", saved["epoch"] + 1.0),
            )
        if self.done:
            logger.info("%d of %d iterations are done", self.done, self.progress.total_iterations)

    def say(self) -> None:
        """What is about to be trained, and on what."""
        progress = self.progress
        logger.debug("config:\n%s", self.cfg.dump())
        logger.info(
            "training on %d videos, %d process(es) on %s: %g epochs, %d iterations, %s clips",
            *(len(self.dataset), progress.world_size, self.device.type),
            *(self.schedule.total_epochs, progress.total_iterations, f"{progress.total_clips:,}"),
        )
        if empty := progress.total_epochs - len(progress.iterations_of_epoch):
            logger.warning(
                "%d of %d epochs have no iteration: batches take more clips than there are videos; "
                "lower TRAIN.BATCH_SIZE",
                *(empty, progress.total_epochs),
            )

    def _plan_key(self) -> list:
        """Two plans with the same key count iterations alike."""
        progress = self.progress
        return [len(self.dataset), progress.world_size, progress.total_iterations, progress.total_clips]

    def remaining_legs(self) -> tuple:
        return remaining(self.progress.legs, self.done)

    def last_leg(self):
        """The leg that has just ended, between two legs."""
        return self.progress.legs[-1 - len(self.remaining_legs())]

    def save(self, epoch: int, position: float, epoch_sums: list | None = None) -> None:
        """A checkpoint after the finished `epoch`, or, with `epoch_sums`, inside the next one."""
        extra = {"iteration": self.done, "position": position, "plan": self._plan_key(), "best": self.best}
        extra["evaluation_due"] = self.evaluation_due
        interrupted = epoch_sums is not None
        if interrupted:
            average_statistics(self.model)
            extra["epoch_sums"] = epoch_sums
        text = self.cfg.dump()
        path = save_checkpoint(
            self.cfg.OUTPUT_DIR, self.model, self.optimizer, self.scaler, epoch, text, extra, interrupted=interrupted
        )
        logger.info("saved %s", path)
        barrier()


def _one_clip(cfg, precision: Precision) -> list[torch.Tensor]:
    """The model's input for one clip of the default grid."""
    size = cfg.DATA.TRAIN_CROP_SIZE
    clip = torch.zeros(1, cfg.DATA.NUM_FRAMES, size, size, 3, dtype=torch.uint8, device=precision.device)
    return precision.pack(cfg)(clip)


def seed_everything(seed: int, *position: int) -> None:
    """Seed torch by the place in training, so that a resumed run draws as if it had never stopped."""
    state = np.random.SeedSequence([seed, get_rank(), *position] if position else [seed]).generate_state(2, np.uint32)
    torch.manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
