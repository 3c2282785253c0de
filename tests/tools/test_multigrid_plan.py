"""The plan tool: what it prints, its JSON and its figure, and what it refuses."""

import json
from pathlib import Path

import pytest

from slowfast.commands import plan

ROOT = Path(__file__).resolve().parents[2]
KINETICS = str(ROOT / "configs/Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.yaml")
FIELDS = {
    *("stage", "start_epoch", "end_epoch", "batch_size", "frames", "crop", "lr", "lr_factor"),
    *("bn_groups", "bn_sync_ranks", "parts", "stride", "short_cycle", "iterations", "cost"),
}


def main(*words: str) -> None:
    plan.main(list(words))


def test_the_kinetics_plan_is_printed_written_and_drawn(tmp_path, capsys):
    main(
        "--cfg",
        KINETICS,
        "--num-videos",
        "240000",
        "--json",
        str(tmp_path / "p.json"),
        "--plot",
        str(tmp_path / "p.png"),
    )
    printed = capsys.readouterr().out
    assert "saving          3.42 x fewer iterations" in printed
    assert "64x32x224 128x32x158 256x32x112" in printed
    written = json.loads((tmp_path / "p.json").read_text())
    assert written["baseline"] == {"epochs": 239, "iterations": 896_250}
    assert written["iteration_saving"] == pytest.approx(3.42, abs=0.005)
    assert all(set(phase) == FIELDS for phase in written["phases"])
    assert [phase["lr"] for phase in written["phases"][:4]] == pytest.approx([0.8, 0.4, 0.2, 0.1])
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_devices_share_the_batch_of_the_config(capsys):
    main("--cfg", KINETICS, "--num-videos", "240000", "--num-devices", "16")
    assert "16 device(s) x 4 clips" in capsys.readouterr().out


def test_devices_may_be_others_than_the_config_has(capsys):
    main("--cfg", KINETICS, "--num-videos", "240000", "--num-devices", "4", "TRAIN.BATCH_SIZE", "100")
    assert "4 device(s) x 25 clips" in capsys.readouterr().out


def test_one_file_cannot_hold_the_plans_of_two_configs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main("--cfg", KINETICS, KINETICS, "--num-videos", "240000", "--json", str(tmp_path / "p.json"))
    assert "one --cfg file" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()
