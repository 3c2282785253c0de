#!/usr/bin/env python3
"""Run a recipe with its plain command, time it, and show the results of several runs as a table and a figure.

As a command, it prints the table of finished runs: the result.json files below the folders.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from slowfast.visualization import accuracy
from slowfast.visualization.style import has_matplotlib, save_figure

REPO = Path(__file__).resolve().parents[2]
JSON_PREFIX = "json_stats: "
THREADS = {"OMP_NUM_THREADS": "1"}  # one core trains, the other decodes: a second thread would slow both down
RESULT = "result.json"
CHANCE = 100 / 12  # percent, of the twelve motions of the demo


@dataclass(frozen=True)
class Recipe:
    """A config of this repository and its overrides."""

    name: str
    config: str
    overrides: tuple[str, ...] = ()

    def command(self, data: Path, output_dir: Path, seed: int) -> list[str]:
        given = ["DATA.PATH_TO_DATA_DIR", data, "DATA.PATH_PREFIX", data, "RNG_SEED", seed, "OUTPUT_DIR", output_dir]
        return ["tools/run_net.py", "--cfg", self.config, *self.overrides, *map(str, given)]


@dataclass(frozen=True)
class Result:
    """The measurements of a run.

    Attributes:
        train_sec: wall-clock of the training command from its start to after the last evaluation.
        eval_sec: the part of it that the evaluations took.
        cpu_sec: processor seconds of the command, test included; comparable even on a shared machine.
        test_acc: top-1 accuracy in percent over all views.
        curve: (seconds, epoch, validation top-1 in percent) at each evaluation.
    """

    name: str
    command: str
    seed: int
    epochs: int = 0
    iterations: int = 0
    clips: int = 0
    train_sec: float = 0.0
    eval_sec: float = 0.0
    cpu_sec: float = 0.0
    test_acc: float = 0.0
    curve: Sequence[Sequence[float]] = ()


def run(recipe: Recipe, data: Path, output_dir: Path, seed: int = 0) -> Result:
    """Train and test in another process, or read the result of the same command if there is one."""
    arguments = recipe.command(data, output_dir, seed)
    blank = Result(recipe.name, " ".join([*map("=".join, THREADS.items()), shlex.join(arguments)]), seed)
    done = read_result(output_dir / RESULT)
    if done and done.command == blank.command:
        return done
    if (output_dir / "stdout.log").exists():  # a run that would resume has a wrong time
        shutil.rmtree(output_dir)
    print(f"\n== {recipe.name}: {blank.command}", flush=True)
    start = cpu_seconds()
    stats = follow([sys.executable, *arguments])
    result = replace(summarize(blank, stats), cpu_sec=round(cpu_seconds() - start, 1))
    (output_dir / RESULT).write_text(json.dumps(asdict(result), indent=1))
    return result


def read_result(path: Path) -> Result | None:
    return Result(**json.loads(path.read_text())) if path.exists() else None


def cpu_seconds() -> float:
    """Processor seconds of all ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def follow(command: list[str]) -> list[dict]:
    """Run a command in the root of the repository, print its text, and return its json lines with their seconds."""
    start, stats = time.perf_counter(), []
    environment = os.environ | THREADS
    with subprocess.Popen(command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if JSON_PREFIX in line:
                seconds = round(time.perf_counter() - start, 2)
                stats.append(json.loads(line.split(JSON_PREFIX, 1)[1]) | {"wall_sec": seconds})
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"ended with status {process.returncode}: {shlex.join(command)}")
    return stats


def summarize(blank: Result, stats: list[dict]) -> Result:
    """Fill in a result from the json lines of its run."""
    last_epoch = [line for line in stats if line.get("_type") == "train_epoch"][-1]
    evaluations = [line for line in stats if line.get("_type") == "val_epoch"]  # the last epoch always has one
    return replace(
        blank,
        epochs=int(last_epoch["epoch"].split("/")[1]),
        iterations=last_epoch["iteration"],
        clips=last_epoch["clips"],
        train_sec=evaluations[-1]["wall_sec"],
        eval_sec=round(sum(line["dt"] for line in evaluations), 1),
        test_acc=float(next(line for line in stats if line.get("split") == "test_final")["top1_acc"]),
        curve=[[line["wall_sec"], int(line["epoch"].split("/")[0]), line["top1_acc"]] for line in evaluations],
    )


HEADER = ("recipe", "seeds", "epochs", "iterations", "clips", "training", "speed-up", "processor", "test top-1")


def table(groups: Sequence[Sequence[Result]]) -> str:
    """Return a table with one line per recipe. A group has the results of all seeds; speed-ups are over the first."""
    first = mean(result.train_sec for result in groups[0])
    rows = [HEADER, *(_row(group, first) for group in groups)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|")
    return "\n".join(lines)


def _row(group: Sequence[Result], first_sec: float) -> tuple[str, ...]:
    one, seconds = group[0], mean(result.train_sec for result in group)
    return (
        *(one.name, str(len(group)), str(one.epochs), f"{one.iterations:,}", f"{one.clips:,}"),
        *(f"{seconds:.0f} s", f"{first_sec / seconds:.2f} x", f"{mean(r.cpu_sec for r in group):.0f} s"),
        f"{spread([result.test_acc for result in group])} %",
    )


def spread(values: Sequence[float]) -> str:
    """The mean, with the standard deviation where there are several."""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def plot(groups: Sequence[Sequence[Result]], path: Path) -> bool:
    """Draw accuracy over training time, a curve for each recipe. Return False if matplotlib is not installed.

    A recipe with several seeds has a mean and a band.
    """
    if not has_matplotlib():
        return False
    recipes = [accuracy.Recipe(group[0].name, [_curve(result) for result in group]) for group in groups]
    save_figure(accuracy.draw_accuracy(recipes, "seconds", "validation top-1 accuracy (%)", CHANCE), path)
    return True


def _curve(result: Result) -> accuracy.Curve:
    seconds, epochs, values = zip(*result.curve, strict=True)
    return accuracy.Curve(epochs, seconds, values, result.test_acc)


def finished(folders: Sequence[Path]) -> list[list[Result]]:
    """Return the results below the folders in the order of their paths, one group for each recipe."""
    groups: dict[str, list[Result]] = {}
    for path in (path for folder in folders for path in sorted(folder.rglob(RESULT))):
        result = Result(**json.loads(path.read_text()))
        groups.setdefault(result.name, []).append(result)
    return list(groups.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="folders of runs, such as demo_output")
    groups = finished(parser.parse_args().folders)
    if not groups:
        parser.error(f"no {RESULT} below these folders")
    print(table(groups))


if __name__ == "__main__":
    main()
