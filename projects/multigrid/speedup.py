#!/usr/bin/env python3
"""Time every mini-batch shape of a recipe on this machine, and estimate the time of baseline and multigrid training.

    projects/multigrid/speedup.py --cfg YAML [YAML ...] [options] [KEY VALUE ...]
    projects/multigrid/speedup.py --paper [options] [KEY VALUE ...]    # the paper's recipes next to its numbers
    projects/multigrid/speedup.py --paper --reduced                    # small models and clips, for a CPU

Clips come from memory, so this is the time of the engine's training step alone (normalizing, forward, backward,
optimizer) on one device. Waiting for data and for other devices comes on top. TRAIN.MIXED_PRECISION True switches mixed
precision on.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from slowfast.benchmark.batches import Batch, count_iterations, random_batch
from slowfast.engine.learner import Learner
from slowfast.engine.memory import OutOfMemory
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.utils.device import clear_memory, peak_gib, seconds_of
from slowfast.utils.machine import machine_name
from slowfast.utils.parser import argument_parser, change_devices, fail_cleanly, load_config, parse_args
from slowfast.utils.world import World

KINETICS_VIDEOS, SSV2_VIDEOS, CHARADES_VIDEOS = 240_000, 169_000, 7_985
CONFIGS = Path(__file__).parents[2] / "configs" / "multigrid_paper"


class Setting(NamedTuple):
    """A training of the paper: its config, what is changed in it, and its speed-up in wall-clock time there."""

    name: str
    config: str
    paper: float | None = None
    overrides: tuple[str, ...] = ()
    num_videos: int = KINETICS_VIDEOS


def epochs(factor: float) -> tuple[str, ...]:
    return ("MULTIGRID.EPOCH_FACTOR", str(factor))


LONG = "MULTIGRID.LONG_CYCLE_FACTORS"
R50, SSV2, CHARADES = (
    f"{name}_multigrid.yaml" for name in ("SLOWFAST_32x2_R50", "SSV2_SLOWFAST_64_R50", "CHARADES_SLOWFAST_64x2_R50")
)
PAPER = (
    Setting("SlowFast R50, 16 frames", "SLOWFAST_16x4_R50_multigrid.yaml", 4.0),
    Setting("SlowFast R50, 32 frames", R50, 4.5),
    Setting("SlowFast R50, 64 frames", "SLOWFAST_64x1_R50_multigrid.yaml", 5.5),
    Setting("SlowFast R50, 32 frames, 320 px", "SLOWFAST_32x2_R50_320px_multigrid.yaml", 6.5),
    Setting("SlowFast R101", "SLOWFAST_32x2_R101_multigrid.yaml"),
    Setting("I3D R50", "I3D_16x4_R50_multigrid.yaml", 3.9),
    Setting("I3D R50 non-local", "I3D_NLN_16x4_R50_multigrid.yaml", 3.3),
    Setting("I3D R50 on one GPU", "I3D_8x8_R50_1GPU_multigrid.yaml", 3.3),
    Setting("Something-Something V2, 1.0 x epochs", SSV2, 8.3, epochs(1.0), SSV2_VIDEOS),
    Setting("Something-Something V2", SSV2, 5.6, (), SSV2_VIDEOS),
    Setting("Something-Something V2, 2.0 x epochs", SSV2, 4.2, epochs(2.0), SSV2_VIDEOS),
    Setting("Charades, 1.0 x epochs", CHARADES, 8.6, epochs(1.0), CHARADES_VIDEOS),
    Setting("Charades", CHARADES, 5.7, (), CHARADES_VIDEOS),
    Setting("Charades, 2.0 x epochs", CHARADES, 4.3, epochs(2.0), CHARADES_VIDEOS),
    # Table 1 of the paper: SlowFast R50, 32 frames. All have the iterations of the default, so other numbers of epochs.
    Setting("short cycle only", R50, 4.0, ("MULTIGRID.LONG_CYCLE", "False", *epochs(0.684))),
    Setting("long cycle only", R50, 4.2, ("MULTIGRID.SHORT_CYCLE", "False", *epochs(0.951))),
    Setting("2 base shapes", R50, 4.3, (LONG, "[[0.5,1],[1,1]]", *epochs(0.961))),
    Setting("3 base shapes", R50, 4.4, (LONG, f"[[0.5,{0.5**0.5}],[0.5,1],[1,1]]", *epochs(1.107))),
    Setting("short cycle of 2 shapes", R50, 4.3, ("MULTIGRID.SHORT_CYCLE_FACTORS", f"[{0.5**0.5}]", *epochs(1.067))),
)
REDUCED = ["DATA.TRAIN_CROP_SIZE", "64", "DATA.NUM_FRAMES", "16", "RESNET.WIDTH_PER_GROUP", "16"]


@dataclass(frozen=True)
class Timing:
    """Seconds of a step and the peak of memory (see `device.peak_gib`), with the batch split into `parts`."""

    seconds: float
    peak_gib: float | None
    parts: int = 1


class Bench:
    """Times the training step of a config on random clips."""

    def __init__(self, cfg, device: torch.device, iterations: int, warmup: int):
        self.cfg, self.learner = cfg, Learner.from_cfg(cfg, device)
        self.iterations, self.warmup = iterations, warmup

    def time(self, batch: Batch, may_split: bool) -> Timing | None:
        """Return the median time of a step, or None if it does not fit. `may_split`: halve the batch until it fits."""
        parts = 1
        while True:
            size, groups = batch.shape.batch_size // parts, max(batch.bn_groups // parts, 1)
            timing = self._time(Batch(replace(batch.shape, batch_size=size), groups))
            if timing is not None:
                return replace(timing, seconds=timing.seconds * batch.shape.batch_size / size, parts=parts)
            if not may_split or size == 1:
                return None
            parts *= 2

    def _time(self, batch: Batch) -> Timing | None:
        device = self.learner.device
        self.learner.start_phase(batch.bn_groups)
        clear_memory(device)
        try:
            clips = random_batch(self.cfg, batch.shape, device)
            step = partial(self.learner.step, clips, lr=1e-6)  # random labels diverge with a large rate
            times = [seconds_of(device, step) for _ in range(self.warmup + self.iterations)]
        except (OutOfMemory, torch.OutOfMemoryError):  # of a step, and of the batch
            self.learner.optimizer.zero_grad(set_to_none=True)
            return None
        return Timing(median(times[self.warmup :]), peak_gib(device))


def compare(cfg, num_videos: int, args) -> dict:
    """Return times and totals of the config's schedule and of the same recipe without multigrid, as plain numbers."""
    world = World.from_cfg(cfg)
    counts = {
        "baseline": count_iterations(build_baseline(cfg), num_videos, world.size),
        "multigrid": count_iterations(build_schedule(cfg), num_videos, world.size),
    }
    bench = Bench(cfg, torch.device(args.device), args.iterations, args.warmup)
    timings = {}
    for batch in dict.fromkeys([*counts["baseline"], *counts["multigrid"]]):
        timings[batch] = bench.time(batch, args.split)
        print(f"  {batch}: {describe(timings[batch])}", flush=True)
    result: dict[str, Any] = {name: totals(count, timings) for name, count in counts.items()}
    result["world_size"] = world.size
    result["batches"] = [
        asdict(batch) | {name: count[batch] for name, count in counts.items()} | asdict_or_empty(timing)
        for batch, timing in timings.items()
    ]
    baseline, multigrid = result["baseline"], result["multigrid"]
    result["iteration_saving"] = baseline["iterations"] / multigrid["iterations"]
    fits = baseline["hours"] is not None and multigrid["hours"] is not None
    result["speedup"] = baseline["hours"] / multigrid["hours"] if fits else None
    return result


def totals(counts: Counter, timings: dict[Batch, Timing | None]) -> dict:
    missing = [str(batch) for batch in counts if timings[batch] is None]
    seconds = [n * timing.seconds for batch, n in counts.items() if (timing := timings[batch])]
    hours = None if missing else sum(seconds) / 3600
    return {"iterations": sum(counts.values()), "hours": hours, "out_of_memory": missing}


def asdict_or_empty(timing: Timing | None) -> dict:
    return {} if timing is None else asdict(timing)


def describe(timing: Timing | None) -> str:
    if timing is None:
        return "out of memory (--split times it in parts that fit)"
    memory = "" if timing.peak_gib is None else f", peak {timing.peak_gib:.1f} GiB"
    parts = "" if timing.parts == 1 else f", in {timing.parts} parts"
    return f"{1e3 * timing.seconds:.1f} ms{memory}{parts}"


def report(name: str, result: dict) -> str:
    """Return the text for one recipe: the time and the iterations of every batch, and the totals."""
    lines = [
        f"\n{name}: {result['world_size']} device(s)\n",
        "| clips x frames x px | groups | ms | clips/s | peak GiB | baseline iterations | multigrid iterations |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result["batches"]:
        shape, seconds = row["shape"], row.get("seconds")
        memory = "–" if row.get("peak_gib") is None else f"{row['peak_gib']:.1f}"
        speed = f"{1e3 * seconds:.1f} | {shape['batch_size'] / seconds:.1f}" if seconds else "out of memory | –"
        size = f"{shape['batch_size']} x {shape['frames']} x {shape['crop']}"
        counts = f"{row['baseline']:,} | {row['multigrid']:,}"
        lines.append(f"| {size} | {row['bn_groups']} | {speed} | {memory} | {counts} |")
    lines.append("")
    for side in ("baseline", "multigrid"):
        lines.append(f"{side:<10} {result[side]['iterations']:>10,} iterations  {hours_text(result[side])}")
    lines.append(f"fewer iterations {result['iteration_saving']:.2f} x, faster {ratio_text(result['speedup'])}")
    return "\n".join(lines)


def hours_text(side: dict) -> str:
    if side["hours"] is None:
        return "out of memory: " + ", ".join(side["out_of_memory"])
    return f"{side['hours']:.2f} h"


def ratio_text(speedup: float | None) -> str:
    return "–" if speedup is None else f"{speedup:.2f} x"


def paper_table(results: dict[str, dict], machine: str) -> str:
    """Return a table of the paper's recipes: the speed-up measured here beside the paper's."""
    lines = [
        f"\nTraining steps alone, one device, {machine}\n",
        "| recipe | baseline h | multigrid h | fewer iterations | faster | paper |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, _, paper, *_ in PAPER:
        if name in results:
            result = results[name]
            hours = " | ".join(hours_text(result[side]) for side in ("baseline", "multigrid"))
            saving, paper_text = f"{result['iteration_saving']:.2f} x", f"{paper} x" if paper else "–"
            lines.append(f"| {name} | {hours} | {saving} | {ratio_text(result['speedup'])} | {paper_text} |")
    return "\n".join(lines)


def parse(argv: list[str] | None = None):
    words = sys.argv[1:] if argv is None else list(argv)
    if "--paper" in words:
        words += ["--cfg", *dict.fromkeys(str(CONFIGS / setting.config) for setting in PAPER)]
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="time the paper's recipes and print its numbers too")
    parser.add_argument("--reduced", action="store_true", help=f"small enough for a CPU: {' '.join(REDUCED)}")
    parser.add_argument(
        "--num-videos", type=int, help="training videos (default: those of the paper's data set, or of Kinetics-400)"
    )
    parser.add_argument("--num-devices", type=int, help="devices that share the batch of a machine (default: NUM_GPUS)")
    parser.add_argument(
        "--iterations", type=int, default=10, help="timed steps of each shape; the result is the median"
    )
    parser.add_argument("--warmup", type=int, default=3, help="untimed steps of each shape before them")
    parser.add_argument("--split", action="store_true", help="split a batch that does not fit into parts that fit")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--json", metavar="FILE", help="write all numbers as JSON")
    args = parse_args(words, parser)
    args.opts = [*(REDUCED if args.reduced else []), *args.opts]
    change_devices(args)
    return args


def settings(args) -> Iterable[Setting]:
    """Return what is compared: the trainings of the paper, or the configs of the command line."""
    return PAPER if args.paper else (Setting(Path(path).stem, str(Path(path).resolve())) for path in args.cfg_files)


def main(argv: list[str] | None = None) -> dict[str, dict]:
    args = parse(argv)
    where, results = machine_name(args.device), {}
    where += f"; every recipe with {' '.join(map(str, args.opts))}" if args.opts else ""
    print(f"on {where}")
    for name, config, _, overrides, num_videos in settings(args):
        print(f"\n{name} ({Path(config).name} {' '.join(overrides)})", flush=True)
        changed = argparse.Namespace(**vars(args) | {"opts": [*overrides, *args.opts]})
        results[name] = compare(load_config(changed, str(CONFIGS / config)), args.num_videos or num_videos, args)
        print(report(name, results[name]), flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps({"machine": where, "recipes": results}, indent=1))
    if args.paper:
        print(paper_table(results, where))
    return results


if __name__ == "__main__":
    with fail_cleanly():
        main()
