"""Draw the figures of runs from their logs alone: %(prog)s RUN [RUN ...] [--out DIR].

RUN is the OUTPUT_DIR of a training or a test, which may still be running. Several runs are compared; those of one
recipe with different seeds become a mean and a band.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from slowfast.errors import UserError, errors_name_output
from slowfast.utils.parser import fail_cleanly
from slowfast.visualization.figures import comparison_figures, missing, run_figures
from slowfast.visualization.logs import Group, Run, group_runs, read_run
from slowfast.visualization.style import require_matplotlib, save_figure


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    require_matplotlib("plot")
    runs = [read_run(path) for path in args.runs]
    out = args.out or (runs[0].folder / "figures" if len(runs) == 1 else Path("figures"))
    for run in runs:
        for text in missing(run):
            print(f"{run.folder}: {text}")
    with errors_name_output(out, "--out"):
        count = sum(1 for _ in write_figures(labeled(group_runs(runs), args.labels), runs, out, args.formats))
    print(f"{count} figures in {out} ({', '.join(args.formats)})")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="OUTPUT_DIR of a run")
    parser.add_argument("--out", type=Path, help="folder of the figures (RUN/figures; of several runs ./figures)")
    parser.add_argument("--labels", metavar="TEXT", nargs="+", help="names of the recipes in legends (their folders')")
    parser.add_argument("--formats", nargs="+", choices=("png", "svg", "pdf"), default=["png", "svg"])
    return parser


def labeled(groups: list[Group], labels: Sequence[str] | None) -> list[Group]:
    """Return groups with other labels. Raises UserError if there are not as many labels as groups."""
    if labels is None:
        return groups
    if len(labels) != len(groups):
        found = ", ".join(f"{group.label} ({len(group.runs)} runs)" for group in groups)
        raise UserError(f"--labels: {len(labels)} names for {len(groups)} recipes, which are {found}")
    return [replace(group, label=label) for group, label in zip(groups, labels, strict=True)]


def write_figures(groups: Sequence[Group], runs: Sequence[Run], out: Path, formats: Sequence[str]) -> Iterator[Path]:
    """Write the comparison of all runs to `out`, and the figures of each: of several runs in a folder of its own."""
    folders = [out] if len(runs) == 1 else [out / name for name in unique_names(runs)]
    found = [(out, comparison_figures(groups)), *((f, run_figures(r)) for f, r in zip(folders, runs, strict=True))]
    for folder, figures in found:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for suffix in formats:
                save_figure(figure, folder / f"{name}.{suffix}")
            yield folder / name


def unique_names(runs: Sequence[Run]) -> list[str]:
    """Return the names of runs, those that several have with a number."""
    count, seen = Counter(run.name for run in runs), Counter[str]()
    names = []
    for run in runs:
        seen[run.name] += 1
        names.append(run.name if count[run.name] == 1 else f"{run.name}_{seen[run.name]}")
    return names
