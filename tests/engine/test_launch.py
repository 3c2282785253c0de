"""What is checked before the first of several configs runs."""

import pytest
import torch

from slowfast.engine.launch import check, check_separate, run, warn_of_missing_gpus
from slowfast.engine.schedule import build_schedule
from slowfast.errors import UserError
from tests.engine.tiny import SYNTHETIC, tiny_cfg

NAMES = ("first.yaml", "second.yaml")


@pytest.mark.parametrize(
    ("first", "second", "written"),
    [
        ({}, {}, "run"),
        ({}, {"SOLVER__BASE_LR": 0.1}, "run"),
        (
            {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__SAVE_RESULTS_PATH": "a.pkl"},
            {"TEST__ENABLE": True, "TEST__SAVE_RESULTS_PATH": "./a.pkl"},
            "run/a.pkl",
        ),
    ],
)
def test_two_configs_that_write_the_same_outputs_are_refused(tmp_path, first, second, written):
    cfgs = [tiny_cfg(tmp_path, tmp_path / "run", **changes) for changes in (first, second)]
    with pytest.raises(UserError, match=f"first.yaml and second.yaml both write .*{written}; give each its own"):
        check_separate(cfgs, NAMES, True, True)


@pytest.mark.parametrize(
    "second", [{"TRAIN__ENABLE": False, "TEST__ENABLE": True}, {"OUTPUT_DIR": "elsewhere"}], ids=["test", "folder"]
)
def test_a_test_may_share_the_folder_of_a_training_and_trainings_have_their_own(tmp_path, second):
    first = tiny_cfg(tmp_path, tmp_path / "run")
    check_separate([first, tiny_cfg(tmp_path, tmp_path / "run", **second)], NAMES, True, True)


@pytest.mark.parametrize(("gpus", "has_cuda", "warns"), [(1, False, True), (0, False, False), (1, True, False)])
def test_a_config_for_gpus_on_a_machine_without_any_gives_one_warning(
    tmp_path, caplog, monkeypatch, gpus, has_cuda, warns
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    warn_of_missing_gpus(tiny_cfg(tmp_path, tmp_path, NUM_GPUS=gpus))
    expected = ["NUM_GPUS is 1 but no CUDA device is visible: running on the CPU (NUM_GPUS 0 asks for it)"]
    assert caplog.messages == expected * warns


def test_the_warning_of_missing_gpus_is_in_the_log_file_once(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    changes = {"NUM_GPUS": 1, "TEST__ENABLE": True, "SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "SOLVER__LRS": [1]}
    run(tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC, **changes))
    assert (tmp_path / "out" / "stdout.log").read_text().count("no CUDA device is visible") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BN__NORM_TYPE": "sub_batchnorm", "BN__NUM_SPLITS": 3}, "BN.NUM_SPLITS: 3 does not divide the 4 clips"),
        ({"DATA__INPUT_CHANNEL_NUM": [1, 1]}, r"DATA.INPUT_CHANNEL_NUM: \[1, 1\] .*in color; give \[3, 3\]"),
        ({"DATA__INPUT_CHANNEL_NUM": [3, 4]}, r"DATA.INPUT_CHANNEL_NUM: \[3, 4\] .*in color; give \[3, 3\]"),
    ],
)
def test_what_the_first_step_would_refuse_is_refused_before_it(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        check(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes))


def test_a_short_cycle_of_one_size_gives_a_warning(tmp_path, caplog):
    cfg = tiny_cfg(tmp_path, tmp_path, MULTIGRID__SHORT_CYCLE=True, MULTIGRID__SHORT_CYCLE_FACTORS=[])
    build_schedule(cfg)
    assert [message for message in caplog.messages if message.startswith("MULTIGRID.SHORT_CYCLE_FACTORS: []")]
