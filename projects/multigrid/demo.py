#!/usr/bin/env python3
"""Make the demo data, train SlowFast on it with and without multigrid, test both and compare: `make demo`."""

import argparse
import subprocess
import sys
from pathlib import Path

from runs import REPO, Recipe, Result, plot, run, table

RECIPES = (
    Recipe("baseline", "configs/Demo/SLOWFAST_4x8_R26_W16.yaml"),
    Recipe("multigrid", "configs/Demo/SLOWFAST_4x8_R26_W16_multigrid.yaml"),
)


def make_data(data: Path) -> None:
    subprocess.run([sys.executable, REPO / "tools/make_demo_data.py", data], check=True)


def write_report(results: list[Result], output: Path) -> str:
    """Write the comparison to OUTPUT/comparison.md and, with matplotlib, .png; return it as text."""
    groups = [[result] for result in results]
    text = table(groups)
    (output / "comparison.md").write_text(text + "\n")
    drawn = plot(groups, output / "comparison.png")
    where = f"written to {output / 'comparison.md'}" + (f" and {output / 'comparison.png'}" if drawn else "")
    return f"\n{text}\n\n{where}" + ("" if drawn else "; install matplotlib for the figure")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for data and results")
    parser.add_argument("--data", type=Path, help="folder of the demo data (OUTPUT/data)")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    args = parser.parse_args()
    output = args.output.resolve()
    data = (args.data or output / "data").resolve()
    make_data(data)
    results = [run(recipe, data, output / recipe.name, args.seed) for recipe in RECIPES]
    print(write_report(results, output))


if __name__ == "__main__":
    main()
