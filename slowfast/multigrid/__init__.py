"""Multigrid training (Wu et al., CVPR 2020): usable in any training loop."""

from slowfast.multigrid.batch_norm import SubBatchNorm3d, average_statistics, convert, regroup, running_statistics
from slowfast.multigrid.build import build_baseline, build_plan, build_schedule, plan_warnings
from slowfast.multigrid.plan import (
    Leg,
    Phase,
    Schedule,
    Shape,
    ShapeCycle,
    iterations_until,
    phase_iterations,
    remaining,
)
from slowfast.multigrid.sampler import ClipIndex, ShortCycleBatchSampler
from slowfast.multigrid.schedule import DESIGNS, Multigrid, Recipe, Span, baseline_schedule, multigrid_schedule

__all__ = [
    "DESIGNS",
    "ClipIndex",
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
    "iterations_until",
    "multigrid_schedule",
    "phase_iterations",
    "plan_warnings",
    "regroup",
    "running_statistics",
    "remaining",
]
