"""Logs of runs for the tests of figures, written by hand: 8 epochs of 4 iterations on a small multigrid recipe."""

import json
from pathlib import Path

from slowfast.config.load import load_cfg
from tests.engine.tiny import BOTH_CYCLES, tiny_options

EPOCHS, PER_EPOCH = 8, 4
START = {"_type": "start", "time": "2026-01-02T03:04:05+00:00", "torch": "2.0", "videos": 16, "processes": 1}
TEST = {"_type": "test_epoch", "top1_acc": 62.5, "top5_acc": 100.0, "views": 2, "crops": 3, "videos": 6, "failed": 1}
TEST |= {"crop_px": 64, "short_side": 64, "frames": 8, "stride": 2, "ensemble": "sum"}


def config(folder: Path, **changes):
    return load_cfg(None, tiny_options(folder, folder, **BOTH_CYCLES | {"SOLVER__STEPS": [0, 6, 7]} | changes))


def iteration(number: int, seconds_each: float = 2.0) -> dict:
    """The record of an iteration, from 1: its loss is 1 / number."""
    times = {"dt": 2.0, "dt_data": 0.5, "dt_transfer": 0.1, "dt_forward_backward": 1.0, "dt_optimizer": 0.2}
    return {
        "_type": "train_iter",
        "epoch": f"{(number - 1) // PER_EPOCH + 1}/{EPOCHS}",
        "position": (number - 1) / PER_EPOCH,
        "iteration": number,
        "loss": 1 / number,
        "lr": 0.1,
        "batch": [8 // number or 1, 8, 64],
        "seconds": seconds_each * number,
        **times,
    }


def end_of_epoch(kind: str, epoch: int, seconds_each: float = 2.0, **figures) -> dict:
    """The record of the end of an epoch, from 1."""
    where = {"epoch": f"{epoch}/{EPOCHS}", "position": epoch, "iteration": epoch * PER_EPOCH}
    return {"_type": kind, **where, "seconds": seconds_each * epoch * PER_EPOCH, **figures}


def records(epochs: int = EPOCHS, accuracy: float = 10.0, seconds_each: float = 2.0, test: bool = True) -> list[dict]:
    """The records of a training, which is evaluated every second epoch at `accuracy` x epoch percent."""
    found = [START | {"iterations": EPOCHS * PER_EPOCH}]
    for epoch in range(1, epochs + 1):
        found += [iteration((epoch - 1) * PER_EPOCH + i, seconds_each) for i in range(1, PER_EPOCH + 1)]
        found.append(end_of_epoch("train_epoch", epoch, seconds_each, loss=1.0, top1_acc=5.0))
        if epoch % 2 == 0:
            found.append(end_of_epoch("val_epoch", epoch, seconds_each, top1_acc=accuracy * epoch, top5_acc=100.0))
    return found + [TEST] * test


def write_log(folder: Path, found: list[dict], cfg=None) -> Path:
    """Write the log of a run, and its config if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "json_stats.log").write_text("".join(f"{json.dumps(record)}\n" for record in found))
    if cfg is not None:
        (folder / "config.yaml").write_text(cfg.dump())
    return folder
