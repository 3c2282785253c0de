"""What a user gets when things go wrong: one clear message, a status that is not 0, and nothing lost."""

import logging
import runpy
import subprocess
import weakref
from pathlib import Path

import pytest

from slowfast.config.node import ConfigError
from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.launch import run
from slowfast.utils.parser import fail_cleanly
from tests.engine.tiny import SYNTHETIC, json_stats, tiny_cfg

ROOT = Path(__file__).parents[1]
run_net = runpy.run_path(str(ROOT / "tools" / "run_net.py"))["main"]


def test_a_mistake_in_the_second_config_is_told_before_the_first_one_trains(tmp_path, capsys):
    first = tmp_path / "first.yaml"
    first.write_text(tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC).dump())
    with pytest.raises(SystemExit) as end:
        run_net(["--cfg", str(first), str(tmp_path / "second.yaml")])
    assert end.value.code == 2
    assert "second.yaml does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_the_test_list_is_told_before_the_training(tmp_path):
    (tmp_path / "test.csv").write_text("")
    cfg = tiny_cfg(tmp_path, tmp_path / "out", TRAIN__DATASET="synthetic", TEST__ENABLE=True)
    with pytest.raises(ValueError, match="test.csv lists no videos"):
        run(cfg)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_written_is_told_with_its_key(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ValueError, match="OUTPUT_DIR is '.*out', where nothing can be written"):
        run(tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC))


def test_what_a_failed_run_held_is_let_go_before_the_program_ends():
    class Loader:
        """Stands for the workers, which complain when the program ends around them."""

    held = []

    def fail():
        loader = Loader()
        held.append(weakref.ref(loader))
        raise ConfigError("a mistake")

    with pytest.raises(SystemExit) as end, fail_cleanly():
        fail()
    assert end.value.code == 2
    assert held[0]() is None


def test_workers_load_on_behind_a_sigterm_so_that_the_state_can_be_saved(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, DATA_LOADER__NUM_WORKERS=1, TRAIN__BATCH_SIZE=1)
    batches = iter(construct_loader(cfg, "val", build_dataset("synthetic", cfg, "val")))
    next(batches)
    subprocess.run(["kill", "-TERM", str(batches._workers[0].pid)], check=True)  # from a process that is not its parent
    assert len(list(batches)) == 6


def test_a_class_without_videos_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("slowfast"), "propagate", True)
    for name in ("jump", "run"):
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / "run" / "1.mp4").touch()
    dataset = build_dataset("folder", tiny_cfg(tmp_path, tmp_path), "train")
    assert dataset.labels.tolist() == [1]
    assert "train has no video files for jump" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_a_damaged_last_checkpoint_is_told_with_the_way_on(content, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, SOLVER__MAX_EPOCH=3, TRAIN__EVAL_PERIOD=10)
    run(cfg)
    (checkpoints / "checkpoint_epoch_00003.pyth").write_bytes(content)
    with pytest.raises(ValueError, match="checkpoint_epoch_00003.pyth is not a readable.*remove it"):
        run(cfg)
    (checkpoints / "checkpoint_epoch_00003.pyth").unlink()
    run(cfg)
    assert json_stats(tmp_path)[-1]["iteration"] == 9
    assert (checkpoints / "checkpoint_epoch_00003.pyth").stat().st_size > 1000
