"""The different mini-batches of a training."""

from collections import Counter
from dataclasses import dataclass

import torch

from slowfast.benchmark.report import Row, shape_columns
from slowfast.config.node import CfgNode
from slowfast.engine.schedule import build_schedule
from slowfast.multigrid import Schedule, Shape, build_plan, kind_iterations
from slowfast.utils.world import World, clips_per_video


@dataclass(frozen=True)
class Batch:
    """The mini-batch of one device and its batch-norm groups, on which the time of a step depends."""

    shape: Shape
    bn_groups: int

    def __str__(self) -> str:
        return f"{self.shape.batch_size} x {self.shape.frames} x {self.shape.crop}"

    def columns(self) -> Row:
        """Return the columns that identify the row of the batch."""
        return shape_columns(self.shape) | {"bn_groups": self.bn_groups}


def count_iterations(schedule: Schedule, num_videos: int, world: int) -> Counter[Batch]:
    """Return the number of iterations of every batch in the training. The short cycle restarts with every leg."""
    counts: Counter[Batch] = Counter()
    for kind, iterations in kind_iterations(build_plan(schedule, num_videos, world)).items():
        counts[Batch(kind.shape, kind.bn_groups)] += iterations
    return counts


def batches_of(cfg: CfgNode) -> list[Batch]:
    """Return the different batches of the schedule of `cfg`, in the order in which they first occur."""
    phases = build_schedule(cfg).phases
    return list(dict.fromkeys(Batch(shape, phase.bn_groups) for phase in phases for shape in phase.shapes))


def shares_of_clips(cfg: CfgNode, num_videos: int) -> dict[Shape, float]:
    """Return the share of every shape in the clips of the training, in percent."""
    clips: Counter[Shape] = Counter()
    for batch, iterations in count_iterations(build_schedule(cfg), num_videos, World.from_cfg(cfg).size).items():
        clips[batch.shape] += batch.shape.batch_size * iterations
    return {shape: 100 * count / clips.total() for shape, count in clips.items()}


def random_batch(cfg: CfgNode, shape: Shape, device: torch.device) -> dict[str, torch.Tensor]:
    """Return random clips of `shape` with random labels, as a loader would give them."""
    count = shape.batch_size * clips_per_video(cfg)
    size = (count, shape.frames, shape.crop, shape.crop, 3)
    clips = torch.randint(256, size, dtype=torch.uint8, device=device)
    labels = torch.randint(cfg.MODEL.NUM_CLASSES, (count,), device=device)
    if cfg.MODEL.LOSS_FUNC.startswith("bce"):  # 0/1 vectors of classes
        labels = torch.nn.functional.one_hot(labels, cfg.MODEL.NUM_CLASSES).float()
    return {"clip": clips, "label": labels}
