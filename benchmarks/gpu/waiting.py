#!/usr/bin/env python3
"""Print the speed of trainings and the share of the time in which they waited for data: waiting.py OUTPUT_DIR ...

The figures are those of the records in their logs, so that of the first iterations only in part: see LOG_PERIOD.
"""

import argparse
from pathlib import Path
from statistics import median

from slowfast.benchmark.report import Row, table
from slowfast.utils.json_log import read_json_log


def speed(output_dir: Path) -> Row:
    """Return the row of a training: its iterations, speed, wait for data, and last loss and accuracy."""
    records = read_json_log(output_dir)
    laps = [record for record in records if record.get("_type") == "train_iter"]
    accuracies = [float(record["top1_acc"]) for record in records if record.get("_type") == "val_epoch"]
    seconds = sum(lap["dt"] for lap in laps)
    return {
        "run": output_dir.name,
        "iterations": laps[-1]["iteration"] if laps else 0,
        "clips_per_s": median(lap["clips_per_sec"] for lap in laps) if laps else None,
        "data_wait_percent": 100 * sum(lap["dt"] * lap["data_wait"] for lap in laps) / seconds if laps else None,
        "loss": laps[-1]["loss"] if laps else None,
        "val_top1_percent": accuracies[-1] if accuracies else None,
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output_dirs", metavar="OUTPUT_DIR", type=Path, nargs="+")
    print(table([speed(folder) for folder in parser.parse_args(argv).output_dirs]))


if __name__ == "__main__":
    main()
