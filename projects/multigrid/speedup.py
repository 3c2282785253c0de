#!/usr/bin/env python3
"""Time every mini-batch shape of a recipe on this machine, and estimate the time of baseline and multigrid training.

    projects/multigrid/speedup.py --cfg YAML [YAML ...] [options] [KEY VALUE ...]
    projects/multigrid/speedup.py --paper [options] [KEY VALUE ...]    # the paper's recipes next to its numbers
    projects/multigrid/speedup.py --paper --reduced                    # small models and clips, for a CPU

Clips come from memory, so this is the time of the engine's training step alone (normalizing, forward, backward,
optimizer) on one device. Waiting for data and for other devices comes on top. TRAIN.MIXED_PRECISION True switches mixed
precision on.
"""

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from slowfast.benchmark.batches import Batch, count_iterations, random_batch
from slowfast.engine.learner import Learner
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.utils.device import clear_memory, peak_gib, synchronize
from slowfast.utils.machine import machine_name
from slowfast.utils.parser import argument_parser, change_devices, fail_cleanly, load_config, parse_args
from slowfast.utils.world import World

CONFIGS = Path(__file__).parents[2] / "configs" / "multigrid_paper"
# name, config, the paper's speed-up in wall-clock time
PAPER = (
    ("SlowFast R50, 16 frames", "SLOWFAST_16x4_R50_multigrid.yaml", 4.0),
    ("SlowFast R50, 32 frames", "SLOWFAST_32x2_R50_multigrid.yaml", 4.5),
    ("SlowFast R50, 64 frames", "SLOWFAST_64x1_R50_multigrid.yaml", 5.5),
    ("SlowFast R50, 32 frames, 320 px", "SLOWFAST_32x2_R50_320px_multigrid.yaml", 6.5),
    ("I3D R50", "I3D_16x4_R50_multigrid.yaml", 3.9),
    ("I3D R50 non-local", "I3D_NLN_16x4_R50_multigrid.yaml", 3.3),
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
            times = [self._step(clips) for _ in range(self.warmup + self.iterations)]
        except torch.OutOfMemoryError:
            self.learner.optimizer.zero_grad(set_to_none=True)
            return None
        return Timing(median(times[self.warmup :]), peak_gib(device))

    def _step(self, batch: dict) -> float:
        synchronize(self.learner.device)
        start = perf_counter()
        self.learner.step(batch, lr=1e-6)  # the rate does not change the time, and random labels diverge
        synchronize(self.learner.device)
        return perf_counter() - start


def compare(cfg, args) -> dict:
    """Return times and totals of the config's schedule and of the same recipe without multigrid, as plain numbers."""
    world = World.from_cfg(cfg)
    counts = {
        "baseline": count_iterations(build_baseline(cfg), args.num_videos, world.size),
        "multigrid": count_iterations(build_schedule(cfg), args.num_videos, world.size),
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
    for name, _, paper in PAPER:
        if name in results:
            result = results[name]
            hours = " | ".join(hours_text(result[side]) for side in ("baseline", "multigrid"))
            saving = f"{result['iteration_saving']:.2f} x"
            lines.append(f"| {name} | {hours} | {saving} | {ratio_text(result['speedup'])} | {paper} x |")
    return "\n".join(lines)


def parse(argv: list[str] | None = None):
    words = sys.argv[1:] if argv is None else list(argv)
    if "--paper" in words:
        words += ["--cfg", *(str(CONFIGS / file) for _, file, _ in PAPER)]
    parser = argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="time the paper's recipes and print its numbers too")
    parser.add_argument("--reduced", action="store_true", help=f"small enough for a CPU: {' '.join(REDUCED)}")
    parser.add_argument(
        "--num-videos", type=int, default=240_000, help="training videos (default: those of Kinetics-400)"
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


def main(argv: list[str] | None = None) -> dict[str, dict]:
    args = parse(argv)
    names = {file: name for name, file, _ in PAPER}
    where, results = machine_name(args.device), {}
    where += f"; every recipe with {' '.join(map(str, args.opts))}" if args.opts else ""
    print(f"on {where}")
    for path in args.cfg_files:
        name = names.get(Path(path).name, Path(path).stem)
        print(f"\n{name} ({Path(path).name})", flush=True)
        results[name] = compare(load_config(args, path), args)
        print(report(name, results[name]), flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps({"machine": where, "recipes": results}, indent=1))
    if args.paper:
        print(paper_table(results, where))
    return results


if __name__ == "__main__":
    with fail_cleanly():
        main()
