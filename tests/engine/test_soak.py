"""Kills at random moments."""

import runpy
from pathlib import Path

from tests.engine.tiny import BOTH_CYCLES, command

ROOT = Path(__file__).parents[2]
soak = runpy.run_path(str(ROOT / "tools" / "soak.py"))["soak"]


def test_two_processes_that_are_killed_end_with_the_weights_of_an_unbroken_run(videos, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = command(videos, tmp_path / "config", **BOTH_CYCLES | {"NUM_GPUS": 2, "TRAIN__CHECKPOINT_KEEP": 1})
    assert soak(words, tmp_path / "runs", kills=2, seed=4) == 0
    text = capsys.readouterr().out
    assert "0 of " in text
    assert "2 kills, 0 failures" in text
