"""Multigrid training (Wu et al., CVPR 2020): usable in any training loop."""

from slowfast.multigrid.batch_norm import SubBatchNorm3d, average_statistics, convert, regroup, running_statistics
from slowfast.multigrid.build import build_baseline, build_plan, build_schedule, plan_warnings
from slowfast.multigrid.plan import (
    Kind,
    Leg,
    Phase,
    Schedule,
    Shape,
    ShapeCycle,
    first_iterations,
    iterations_until,
    kind_iterations,
    phase_iterations,
    remaining,
)
from slowfast.multigrid.sampler import ClipIndex, ShortCycleBatchSampler
from slowfast.multigrid.schedule import DESIGNS, Multigrid, Recipe, Span, baseline_schedule, multigrid_schedule

__all__ = [
    "DESIGNS",
    "ClipIndex",
    "Kind",
    "Leg",
    "Multigrid",
    "Phase",
    "Recipe",
    "Schedule",
    "Shape",
    "ShapeCycle",
    "ShortCycleBatchSampler",
    "Span",
    "SubBatchNorm3d",
    "average_statistics",
    "baseline_schedule",
    "build_baseline",
    "build_plan",
    "build_schedule",
    "convert",
    "first_iterations",
    "iterations_until",
    "kind_iterations",
    "multigrid_schedule",
    "phase_iterations",
    "plan_warnings",
    "regroup",
    "running_statistics",
    "remaining",
]
