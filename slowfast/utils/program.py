"""How the user starts the commands of this package, for messages that name one."""

import sys
from pathlib import Path

SCRIPTS = {  # command: its script in tools/
    "train": "train_net.py",
    "test": "test_net.py",
    "run": "run_net.py",
    "plan": "multigrid_plan.py",
    "check": "check_videos.py",
    "tune": "tune.py",
    "prepare": "prepare_videos.py",
    "plot": "plot.py",
    "report": "report.py",
    "show-clips": "show_clips.py",
    "doctor": "doctor.py",
    "predict": "predict.py",
    "features": "extract_features.py",
    "export": "export.py",
    "benchmark": "benchmark.py",
    "demo-data": "make_demo_data.py",
}


def program(name: str) -> str:
    """Return how to start a command: as a script if a script of tools/ has started this program, else `slowfast NAME`.

    The command `run` is also `train` if that has started this program.
    """
    if name == "run" and _started() == "train":
        name = "train"
    return f"python tools/{SCRIPTS[name]}" if Path(sys.argv[0]).name in SCRIPTS.values() else f"slowfast {name}"


def _started() -> str | None:
    """Return the command that has started this program; None for a program of the user."""
    typed = sys.argv[0]
    if typed.startswith("slowfast "):
        return typed.split()[1]
    return next((name for name, script in SCRIPTS.items() if script == Path(typed).name), None)
