"""Describe a training plan: as numbers, as a table and as a figure."""

from collections.abc import Callable, Sequence
from itertools import accumulate

from slowfast.errors import UserError
from slowfast.multigrid import Leg, Phase, Schedule, build_plan, iterations_until, phase_iterations, plan_warnings

HEADER = ("phase", "stage", "epochs", "batch x frames x size", "stride", "rate", "statistics", "iterations", "compute")


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
        "multigrid": after,
        "iteration_saving": before["iterations"] / after["iterations"],
        "warmup_epochs": schedule.warmup_epochs,
        "warmup_iterations": iterations_until(legs, schedule.warmup_epochs),
        "warnings": plan_warnings(schedule, legs),
        "phases": [_row(phase, rate, iterations[phase], world_size) for phase in schedule.phases],
    }


def _totals(schedule: Schedule, legs: Sequence[Leg]) -> dict:
    return {"epochs": schedule.total_epochs, "iterations": sum(leg.iterations for leg in legs)}


def _row(phase: Phase, rate: Callable[[float, Phase], float], iterations: int, world: int) -> dict:
    base = phase.shapes[0]
    return {
        "stage": phase.stage,
        "start_epoch": phase.start_epoch,
        "end_epoch": phase.end_epoch,
        "batch_size": base.batch_size * world,
        "frames": base.frames,
        "crop": base.crop,
        "lr": rate(phase.start_epoch, phase),
        "lr_factor": phase.lr_factor,
        "bn_groups": phase.bn_groups,
        "bn_sync_ranks": phase.bn_sync_ranks,
        "parts": phase.parts,
        "stride": list(phase.stride),
        "short_cycle": [{"batch_size": s.batch_size * world, "crop": s.crop} for s in phase.shapes],
        "iterations": iterations,
    }


def plan_table(plan: dict, num_devices: int = 1) -> str:
    """Return the plan as a text table."""
    costs = [_compute(row) for row in plan["phases"]]
    rows = [
        _cells(i, row, cost / sum(costs), num_devices)
        for i, (row, cost) in enumerate(zip(plan["phases"], costs, strict=True), start=1)
    ]
    widths = [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (HEADER, *rows)]
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


def _compute(row: dict) -> float:
    """Return the number of pixels that the phase trains on."""
    pixels = [s["batch_size"] * row["frames"] * s["crop"] ** 2 for s in row["short_cycle"]]
    return row["iterations"] * sum(pixels) / len(pixels)


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


def plot_plan(plan: dict, rate: Callable[[float], float], path: str) -> None:
    """Draw the batch shape and the learning rate over the training, as in the paper's Figure 2.

    `rate` is the learning rate at an epoch. Raises UserError if matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UserError("--plot needs matplotlib: pip install -e '.[plot]'") from error
    rows = plan["phases"]
    borders = list(accumulate((row["iterations"] for row in rows), initial=0))
    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = figure.subplots(4, 1, sharex=True)
    for panel, (name, values) in zip(panels, _curves(rows).items(), strict=False):
        for i, curve in enumerate(zip(*values, strict=True)):
            panel.stairs(curve, borders, baseline=None, linewidth=1.5, label=f"iteration i mod {len(values[0])} = {i}")
        panel.set_ylabel(name)
    panels[0].set_yscale("log")
    panels[0].legend(fontsize="small")
    panels[-1].set(ylabel="learning rate", xlabel="iteration", yscale="log")
    panels[-1].plot(*_rate_curve(rows, borders, rate))
    panels[0].set_title(f"{plan['iteration_saving']:.2f} x fewer iterations")
    for panel in panels:
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _curves(rows: Sequence[dict]) -> dict[str, list[list[float]]]:
    """Return for each panel and each phase the values of the short cycle's shapes."""
    return {
        "clips a batch": [[s["batch_size"] for s in row["short_cycle"]] for row in rows],
        "size (px)": [[s["crop"] for s in row["short_cycle"]] for row in rows],
        "frames": [[row["frames"]] for row in rows],
    }


def _rate_curve(
    rows: Sequence[dict], borders: Sequence[int], rate: Callable[[float], float], points: int = 50
) -> tuple[list[float], list[float]]:
    """Return iterations and their learning rates, at some points of every phase."""
    iterations, rates = [], []
    for row, start in zip(rows, borders, strict=False):
        for done in (i / points for i in range(points)):
            iterations.append(start + row["iterations"] * done)
            rates.append(rate(row["start_epoch"] + (row["end_epoch"] - row["start_epoch"]) * done))
    return iterations, rates
