"""Describe a training plan: as numbers and as a table."""

from collections.abc import Callable, Sequence

from slowfast.multigrid import Leg, Phase, Schedule, build_plan, iterations_until, phase_iterations, plan_warnings

HEADER = ("phase", "stage", "epochs", "batch x frames x size", "stride", "rate", "statistics", "iterations", "compute")
STATISTICS = HEADER.index("statistics")  # of batch norm: a model without has no such column


def describe_plan(
    schedule: Schedule,
    baseline: Schedule,
    rate: Callable[[float, Phase], float],
    num_videos: int,
    world_size: int = 1,
) -> dict:
    """Return a plan and that of the same recipe without multigrid as plain numbers.

    Batch sizes are totals over all devices. `rate` is the learning rate at an epoch of a phase. Raises UserError if a
    stage or a base shape has no iteration.
    """
    legs = build_plan(schedule, num_videos, world_size)
    before = _totals(baseline, build_plan(baseline, num_videos, world_size))
    after, iterations = _totals(schedule, legs), phase_iterations(legs)
    return {
        "baseline": before,
        "baseline_shape": _shape(baseline.phases[0], world_size),
        "multigrid": after,
        "iteration_saving": before["iterations"] / after["iterations"],
        "warmup_epochs": schedule.warmup_epochs,
        "warmup_iterations": iterations_until(legs, schedule.warmup_epochs),
        "batch_norm": schedule.batch_norm,
        "warnings": plan_warnings(schedule, legs),
        "phases": [_row(phase, rate, iterations[phase], world_size) for phase in schedule.phases],
    }


def _totals(schedule: Schedule, legs: Sequence[Leg]) -> dict:
    return {"epochs": schedule.total_epochs, "iterations": sum(leg.iterations for leg in legs)}


def _row(phase: Phase, rate: Callable[[float, Phase], float], iterations: int, world: int) -> dict:
    return {
        "stage": phase.stage,
        "start_epoch": phase.start_epoch,
        "end_epoch": phase.end_epoch,
        **_shape(phase, world),
        "lr": rate(phase.start_epoch, phase),
        "lr_factor": phase.lr_factor,
        "bn_groups": phase.bn_groups,
        "bn_sync_ranks": phase.bn_sync_ranks,
        "parts": phase.parts,
        "stride": list(phase.stride),
        "short_cycle": [{"batch_size": s.batch_size * world, "crop": s.crop} for s in phase.shapes],
        "iterations": iterations,
        "cost": phase.mean_cost,
    }


def _shape(phase: Phase, world: int) -> dict[str, int]:
    base = phase.shapes[0]
    return {"batch_size": base.batch_size * world, "frames": base.frames, "crop": base.crop}


def plan_table(plan: dict, num_devices: int = 1) -> str:
    """Return the plan as a text table."""
    rows = [plan_header(plan), *plan_rows(plan, num_devices)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    baseline, multigrid = plan["baseline"], plan["multigrid"]
    return "\n".join(
        [
            *(line.rstrip() for line in lines),
            "",
            f"warm-up         {plan['warmup_iterations']:>9,} iterations in {plan['warmup_epochs']:g} epochs",
            f"this config     {multigrid['iterations']:>9,} iterations in {multigrid['epochs']:g} epochs",
            f"without         {baseline['iterations']:>9,} iterations in {baseline['epochs']:g} epochs",
            f"saving          {plan['iteration_saving']:.2f} x fewer iterations, each of about the same cost",
            *(f"warning         {warning}" for warning in plan["warnings"]),
        ]
    )


def plan_header(plan: dict) -> tuple[str, ...]:
    """Return the names of the columns of the table."""
    return _shown(HEADER, plan)


def plan_rows(plan: dict, num_devices: int = 1) -> list[tuple[str, ...]]:
    """Return the cells of the table under `plan_header`, one row for each phase."""
    costs = [row["iterations"] * row["cost"] for row in plan["phases"]]
    return [
        _shown(_cells(i, row, cost / sum(costs), num_devices), plan)
        for i, (row, cost) in enumerate(zip(plan["phases"], costs, strict=True), start=1)
    ]


def _shown(cells: tuple[str, ...], plan: dict) -> tuple[str, ...]:
    """Return the cells of a row without those of batch norm where the model has none."""
    return cells if plan["batch_norm"] else (*cells[:STATISTICS], *cells[STATISTICS + 1 :])


def _cells(number: int, row: dict, share: float, num_devices: int) -> tuple[str, ...]:
    shapes = [f"{s['batch_size']}x{row['frames']}x{s['crop']}" for s in row["short_cycle"]]
    groups = num_devices * row["parts"] * row["bn_groups"]
    clips = [s["batch_size"] * row["bn_sync_ranks"] // groups for s in row["short_cycle"]]
    ranks = f", {row['bn_sync_ranks']} ranks" if row["bn_sync_ranks"] > 1 else ""
    low, high = row["stride"]
    return (
        str(number),
        str(row["stage"]),
        f"{row['start_epoch']:.2f}-{row['end_epoch']:.2f}",
        " ".join(shapes),
        str(low) if low == high else f"{low}-{high}",
        f"{row['lr']:.4g}",
        f"{row['bn_groups']} of {'/'.join(map(str, clips))} clips{ranks}",
        f"{row['iterations']:,}",
        f"{share:.1%}",
    )
