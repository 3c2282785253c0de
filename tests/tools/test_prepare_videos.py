"""The tool that prepares videos: what it prints and writes, and that it resumes."""

from pathlib import Path

import pytest

from slowfast.commands import prepare as command
from slowfast.datasets.build import build_dataset
from slowfast.datasets.prepared import read_index
from tests.datasets.data import frame_rows, small_cfg, write_frame_list, write_frames, write_list
from tests.videos import truncate, write_video

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """Lists of 20 videos for training, one for validation and one for testing, and a config."""
    for number in range(22):
        write_video(tmp_path / f"v{number}.mp4", 10)
    write_list(tmp_path / "train.csv", [f"{tmp_path}/v{number}.mp4 0" for number in range(20)])
    write_list(tmp_path / "val.csv", [f"{tmp_path}/v20.mp4 0"])
    write_list(tmp_path / "test.csv", [f"{tmp_path}/v20.mp4 0", f"{tmp_path}/v21.mp4 0"])
    cycles = {"MULTIGRID__SHORT_CYCLE": True, "TRAIN__DATASET": "kinetics", "TEST__DATASET": "kinetics"}
    cycles |= {"MODEL__ARCH": "slow", "MODEL__MODEL_NAME": "ResNet", "DATA__INPUT_CHANNEL_NUM": [3]}
    cycles |= {"DATA__TRAIN_CROP_SIZE": 64, "DATA__TRAIN_JITTER_SCALES": [72, 96]}
    (tmp_path / "small.yaml").write_text(small_cfg(tmp_path, **cycles).dump())
    return tmp_path


@pytest.fixture
def prepare(folder, capsys):
    def run(*words):
        status = command.main(["--cfg", str(folder / "small.yaml"), str(folder / "store"), "--workers", "2", *words])
        return status, capsys.readouterr().out

    return run


def test_the_tool_prints_the_levels_an_estimate_and_what_the_store_takes(prepare, folder):
    status, printed = prepare()
    assert status == 0
    assert "training draws short sides from 36 to 96 px" in printed
    assert "96 px:" in printed
    assert "22 videos, of which 0 are prepared already" in printed
    assert "estimate for 11 more videos, from 11:" in printed
    assert "22 videos prepared in" in printed
    assert "MB a video" in printed
    assert len(list(read_index(str(folder / "store")))) == 22
    assert (
        build_dataset("kinetics", small_cfg(folder, DATA__PREPARED_DIR=str(folder / "store")), "train")[0]["bad"] == ""
    )


def test_the_same_command_prepares_what_is_missing(prepare, folder):
    assert prepare("--splits", "train")[0] == 0
    write_video(folder / "v3.mp4", 12)
    status, printed = prepare()
    assert status == 0
    assert "22 videos, of which 19 are prepared already" in printed
    assert "3 videos prepared in" in printed
    assert "22 videos, of which 22 are prepared already" in prepare()[1]


def test_an_estimate_prepares_a_sample_only(prepare, folder):
    status, printed = prepare("--estimate")
    assert status == 0
    assert "estimate for 11 more videos, from 11:" in printed
    assert len(list(read_index(str(folder / "store")))) == 11


def test_bad_videos_are_listed_and_left_out(prepare, folder):
    truncate(folder / "v5.mp4")
    status, printed = prepare()
    assert status == 1
    assert "1 videos cannot be prepared" in printed
    rows = (folder / "store/bad_videos.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["path", str(folder / "v5.mp4")]


def test_a_config_that_trains_with_the_store_prepares_it_too(prepare, folder):
    assert prepare("DATA.PREPARED_DIR", str(folder / "store"))[0] == 0


def test_a_disk_with_less_space_than_the_estimate_is_an_error_before_it_is_full(prepare, monkeypatch, capsys):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(SystemExit) as end:
        prepare()
    assert end.value.code == 2
    assert "the disk has less space than the estimate" in capsys.readouterr().err


def test_lists_of_images_cannot_be_prepared(prepare, folder, capsys):
    write_frame_list(folder / "train.csv", frame_rows("a", 0, write_frames(folder, "a", 3)))
    keys = ["TRAIN.DATASET", "charades", "DATA.PATH_PREFIX", str(folder), "DATA.MULTI_LABEL", "True"]
    with pytest.raises(SystemExit) as end:
        prepare("--splits", "train", *keys, "MODEL.LOSS_FUNC", "bce_logit", "MODEL.HEAD_ACT", "sigmoid")
    assert end.value.code == 2
    assert "not video files" in capsys.readouterr().err
