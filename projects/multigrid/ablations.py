#!/usr/bin/env python3
"""Train the demo's recipes with several seeds, and multigrid without each of its parts; print the tables.

Every run is a plain command, which is printed and stored in its result.json. Finished runs are not repeated.
"""

import argparse
from pathlib import Path

from demo import RECIPES, make_data
from runs import Recipe, Result, plot, run, table

BASELINE, MULTIGRID = RECIPES
SHAPES = "[0.25,0.7071067811865476]", "[0.5,0.7071067811865476]", "[0.5,1]", "[1,1]"


def variant(base: Recipe, name: str, *overrides: str) -> Recipe:
    return Recipe(name, base.config, (*base.overrides, *overrides))


def last_shapes(count: int) -> Recipe:
    """Multigrid with only the last, largest base shapes of its long cycle."""
    factors = f"[{','.join(SHAPES[-count:])}]"
    return variant(MULTIGRID, f"S = {count}", "MULTIGRID.LONG_CYCLE_FACTORS", factors)


ABLATIONS = (
    variant(MULTIGRID, "long cycle only", "MULTIGRID.SHORT_CYCLE", "False"),
    variant(MULTIGRID, "short cycle only", "MULTIGRID.LONG_CYCLE", "False"),
    variant(MULTIGRID, "no fine-tuning phase", "MULTIGRID.FINE_TUNE", "False"),
    variant(MULTIGRID, "epoch factor 1", "MULTIGRID.EPOCH_FACTOR", "1.0"),
    *map(last_shapes, (1, 2, 3)),  # S = 4 is multigrid itself
    variant(MULTIGRID, "single long cycle", "MULTIGRID.LONG_CYCLE_DESIGN", "single"),
    variant(BASELINE, "baseline, cosine", "SOLVER.LR_POLICY", "cosine", "SOLVER.STEPS", "[]", "SOLVER.LRS", "[]"),
    variant(MULTIGRID, "multigrid, cosine", "SOLVER.LR_POLICY", "cosine", "SOLVER.STEPS", "[]", "SOLVER.LRS", "[]"),
    Recipe("one frame", "configs/Demo/2D_1x1_R26_W16.yaml"),
)


def run_seeds(recipe: Recipe, seeds: range, data: Path, output: Path) -> list[Result]:
    folder = output / recipe.name.replace(",", "").replace(" = ", "").replace(" ", "_")
    return [run(recipe, data, folder / f"seed{seed}", seed) for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo_output/ablations"), help="folder for results")
    parser.add_argument("--data", type=Path, default=Path("demo_output/data"), help="folder of the demo data")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of baseline and multigrid (3)")
    parser.add_argument("--ablation-seeds", type=int, default=1, help="seeds of each ablation (1; 0: none)")
    args = parser.parse_args()
    output, data = args.output.resolve(), args.data.resolve()
    make_data(data)
    groups = [run_seeds(recipe, range(args.seeds), data, output) for recipe in RECIPES]
    plot(groups, output / "accuracy.png")
    if args.ablation_seeds:
        groups += [run_seeds(recipe, range(args.ablation_seeds), data, output) for recipe in ABLATIONS]
    commands = "\n".join(f"{group[0].name}: {group[0].command}" for group in groups)
    report = f"{table(groups)}\n\n{commands}"
    (output / "ablations.md").write_text(report + "\n")
    print(f"\n{report}")


if __name__ == "__main__":
    main()
