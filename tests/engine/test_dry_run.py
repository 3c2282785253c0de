"""A dry run goes through every shape of the training and leaves nothing behind."""

import sys
from pathlib import Path

import pytest

from slowfast.commands import run
from slowfast.config.load import with_keys
from slowfast.engine.dry_run import Cost, dry_run
from slowfast.errors import UserError
from tests.engine.tiny import BOTH_CYCLES, SYNTHETIC, finish, start, tiny_cfg, write_dataset


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_reports_every_shape_and_a_forecast_and_writes_nothing(tmp_path, capsys):
    changes = BOTH_CYCLES | {"BN__USE_PRECISE_STATS": True, "TEST__ENABLE": True, "DATA_LOADER__NUM_WORKERS": 1}
    changes |= {"BN__NUM_BATCHES_PRECISE": 10**9}  # more than the videos give
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg(write_dataset(tmp_path), tmp_path / "out", **changes).dump())
    before = files(tmp_path)
    run.main(["--cfg", str(config), "--dry-run", "TENSORBOARD.ENABLE", "True"])
    assert files(tmp_path) == before
    text = capsys.readouterr().out
    for shape in ("8 clips x 4 frames x 45 px, batch norm in 4 groups", "2 clips x 8 frames x 64 px"):
        assert f"{shape}, " in text
    assert " GiB" in text
    assert "evaluations: 1 in 0.0" in text
    assert "forecast without the test: 0.0" in text


def test_a_dry_run_uses_the_processes_of_the_training(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg(write_dataset(tmp_path), tmp_path / "out", NUM_GPUS=2).dump())
    command = [
        sys.executable,
        str(Path(__file__).parents[2] / "tools" / "run_net.py"),
        "--cfg",
        str(config),
        "--dry-run",
    ]
    status, text = finish(start(command))
    assert status == 0, text
    assert "2 process(es) on cpu" in text
    assert text.count("2 clips x 8 frames x 32 px") == 1
    assert not (tmp_path / "out").exists()


def test_a_dry_run_needs_a_training(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC, TRAIN__ENABLE=False)
    with pytest.raises(UserError, match="TRAIN.ENABLE: False leaves nothing for a dry run"):
        dry_run(cfg)


def test_mistakes_are_found_as_in_a_training(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC)
    with pytest.raises(UserError, match="TRAIN.CHECKPOINT_FILE_PATH .*no such file"):
        dry_run(with_keys(cfg, ["TRAIN.CHECKPOINT_FILE_PATH", str(tmp_path / "missing.pyth")]))


@pytest.mark.parametrize(
    ("load", "device", "overlap", "seconds", "wait"),
    [(1.0, 3.0, True, 3.0, 0.0), (4.0, 3.0, True, 4.0, 0.25), (1.0, 3.0, False, 4.0, 0.25)],
)
def test_workers_load_while_the_device_computes(load, device, overlap, seconds, wait):
    cost = Cost(load, device, overlap)
    assert (cost.seconds, cost.wait_share) == (seconds, wait)
