#!/usr/bin/env python3
"""Train a small X3D and a small MViTv2 on the demo data with and without multigrid; print a table for each.

Every run is a plain command, which is printed and stored in its result.json. Finished runs are not repeated.
"""

import argparse
from pathlib import Path

from ablations import run_seeds, variant
from demo import make_data
from runs import Recipe, table

X3D = "configs/Demo/X3D_16x2_W8"
MVIT = "configs/Demo/MVITv2_16x2_W32"
MVIT_MULTIGRID = Recipe("MViTv2, multigrid", f"{MVIT}_multigrid.yaml")
SQRT, FLOPS = ("MULTIGRID.LR_SCALING", "sqrt"), ("MULTIGRID.COST", "flops")

COMPARISONS = (
    (
        Recipe("X3D", f"{X3D}.yaml"),
        Recipe("X3D, multigrid", f"{X3D}_multigrid.yaml"),
    ),
    (
        Recipe("MViTv2", f"{MVIT}.yaml"),
        MVIT_MULTIGRID,
        variant(MVIT_MULTIGRID, "MViTv2, multigrid, sqrt", *SQRT),
        variant(MVIT_MULTIGRID, "MViTv2, multigrid, sqrt, flops", *SQRT, *FLOPS),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo_output/architectures"), help="folder for results")
    parser.add_argument("--data", type=Path, default=Path("demo_output/data"), help="folder of the demo data")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each recipe (3)")
    args = parser.parse_args()
    output, data = args.output.resolve(), args.data.resolve()
    make_data(data)
    runs = [[run_seeds(recipe, range(args.seeds), data, output) for recipe in recipes] for recipes in COMPARISONS]
    report = "\n\n".join(map(table, runs))
    (output / "architectures.md").write_text(report + "\n")
    print(f"\n{report}")


if __name__ == "__main__":
    main()
