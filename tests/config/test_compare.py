"""The config in a checkpoint, compared with the current one."""

import logging

import pytest

from slowfast.config.compare import differences, of_output, of_training, read_saved
from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.utils.config_file import write_config
from slowfast.utils.training_checkpoint import load_for_test, load_for_training
from tests.utils.test_training_checkpoint import Tiny, make_cfg, save_checkpoint, trained


def test_values_are_compared_for_the_keys_that_both_have():
    there = {"SOLVER": {"BASE_LR": "1e-1", "MAX_EPOCH": 20.0, "OLD": 3}, "DATA": {"MEAN": (0.5, 0.5, 0.5)}, "X": 1}
    found = differences(there, get_cfg())
    assert [tuple(one) for one in found] == [
        ("DATA.MEAN", (0.5, 0.5, 0.5), [0.45, 0.45, 0.45]),
        ("SOLVER.MAX_EPOCH", 20.0, 300),
    ]


@pytest.mark.parametrize("text", ["a: [", "just text", "!!python/tuple [1]", "MODEL: {}", "", None, 3, {"a": 1}])
def test_a_text_that_is_not_a_config_differs_in_nothing(text):
    assert differences(read_saved(text), get_cfg()) == []


@pytest.mark.parametrize(
    ("key", "value", "changes_output", "changes_training"),
    [
        ("SLOWFAST.ALPHA", 4, True, True),
        ("DATA.MEAN", [0.5, 0.5, 0.5], True, True),
        ("DATA.REVERSE_INPUT_CHANNEL", True, True, True),
        ("BN.EPSILON", 1e-3, True, True),
        ("RESNET.SPATIAL_DILATIONS", [[1, 1], [1, 1], [1, 1], [2, 2]], True, True),
        ("RESNET.STRIDE_1X1", True, True, True),
        ("MODEL.MODEL_NAME", "SlowFastModel", False, False),
        ("MODEL.DROPOUT_RATE", 0.2, False, True),
        ("NONLOCAL.INSTANTIATION", "softmax", False, True),  # there is no such block
        ("X3D.DEPTH_FACTOR", 2.2, False, True),  # nor an X3D
        ("DATA.NUM_FRAMES", 64, False, True),
        ("RNG_SEED", 7, False, True),
        ("TRAIN.BATCH_SIZE", 8, False, True),
        ("OUTPUT_DIR", "elsewhere", False, False),
        ("DATA_LOADER.NUM_WORKERS", 1, False, False),
        ("TEST.BATCH_SIZE", 1, False, False),
    ],
)
def test_a_key_changes_the_output_of_a_model_its_training_or_neither(key, value, changes_output, changes_training):
    section, _, name = key.rpartition(".")
    there = {section: {name: value}} if section else {name: value}
    found = differences(there, get_cfg())
    assert bool(of_output(found, get_cfg())) == changes_output
    assert bool(of_training(found)) == changes_training


def test_non_local_blocks_are_compared_where_there_are_any():
    cfg = load_cfg(None, ["NONLOCAL.LOCATION", "[[[], []], [[], []], [[1], []], [[], []]]"])
    assert of_output(differences({"NONLOCAL": {"INSTANTIATION": "softmax"}}, cfg), cfg)


def test_the_keys_of_x3d_are_compared_for_x3d_and_those_of_resnets_are_not():
    cfg = load_cfg("Kinetics/X3D_M")
    there = {"X3D": {"BN_LIN5": True}, "RESNET": {"DEPTH": 101, "STRIDE_1X1": True}}
    assert [one.key for one in of_output(differences(there, cfg), cfg)] == ["RESNET.STRIDE_1X1", "X3D.BN_LIN5"]


def test_the_keys_of_mvit_are_compared_for_mvit_only():
    there = {"MVIT": {"DEPTH": 24, "DROPPATH_RATE": 0.4}, "RESNET": {"DEPTH": 101}, "X3D": {"BN_LIN5": True}}
    cfg = load_cfg(None, ["MODEL.ARCH", "mvit"])
    assert [one.key for one in of_output(differences(there, cfg), cfg)] == ["MVIT.DEPTH"]
    assert [one.key for one in of_output(differences(there, load_cfg()), load_cfg())] == ["RESNET.DEPTH"]


def saved_with(folder, text):
    model, optimizer = trained()
    return save_checkpoint(folder, model, optimizer, None, 0, text, {})


def test_a_test_of_another_model_is_an_error_with_the_key_and_both_values(tmp_path):
    path = saved_with(tmp_path / "old", "SLOWFAST: {ALPHA: 4}\nDATA: {NUM_FRAMES: 32}")
    with pytest.raises(ValueError, match=r"SLOWFAST\.ALPHA: 4 in the checkpoint, 8 here\. Use the values") as error:
        load_for_test(make_cfg(tmp_path, TEST_PATH=path), Tiny())
    assert "NUM_FRAMES" not in str(error.value)


def test_a_test_of_other_clips_is_a_warning(tmp_path, caplog):
    path = saved_with(tmp_path / "old", "DATA: {NUM_FRAMES: 32, SAMPLING_RATE: 8}")
    with caplog.at_level(logging.WARNING):
        load_for_test(make_cfg(tmp_path, TEST_PATH=path), Tiny())
    assert "DATA.NUM_FRAMES: 32 in the checkpoint, 8 here" in caplog.text
    assert "SAMPLING_RATE" not in caplog.text


def test_initial_weights_of_another_model_are_a_warning(tmp_path, caplog):
    path = saved_with(tmp_path / "old", "DATA: {STD: [0.5, 0.5, 0.5]}\nSOLVER: {BASE_LR: 3.0}")
    with caplog.at_level(logging.WARNING):
        load_for_training(make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(path)), Tiny())
    assert "DATA.STD: [0.5, 0.5, 0.5] in the checkpoint" in caplog.text
    assert "BASE_LR" not in caplog.text


def test_a_resume_lists_what_has_changed_and_warns_of_what_changes_the_training(tmp_path, caplog):
    saved_with(tmp_path, "SOLVER: {BASE_LR: 3.0}\nLOG_PERIOD: 77")
    with caplog.at_level(logging.INFO):
        load_for_training(make_cfg(tmp_path), Tiny())
    lines = {record.levelname: record.getMessage() for record in caplog.records if "has changed" in record.getMessage()}
    assert "SOLVER.BASE_LR: 3.0 in the checkpoint, 0.1 here" in lines["WARNING"]
    assert "LOG_PERIOD: 77 in the checkpoint, 10 here" in lines["INFO"]


def test_the_config_of_a_run_is_written_and_repeats_it(tmp_path):
    cfg = load_cfg(None, ["OUTPUT_DIR", str(tmp_path), "SOLVER.BASE_LR", 0.25, "SOLVER.MAX_EPOCH", 2.5])
    write_config(cfg)
    assert load_cfg(tmp_path / "config.yaml") == cfg
    first = (tmp_path / "config.yaml").read_text().splitlines()
    assert "#   SOLVER.BASE_LR: 0.25" in first[:5]
    assert not any("SOLVER.MOMENTUM" in line for line in first[:5])


def test_an_earlier_config_is_kept_under_a_number(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("# mine\n")
    for rate in (0.1, 0.1, 0.2):
        write_config(load_cfg(None, ["OUTPUT_DIR", str(tmp_path), "SOLVER.BASE_LR", rate]))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.yaml", "config_1.yaml", "config_2.yaml"]
    assert (tmp_path / "config_1.yaml").read_text() == "# mine\n"
    assert load_cfg(tmp_path / "config_2.yaml").SOLVER.BASE_LR == 0.1
    write_config(load_cfg(None, ["OUTPUT_DIR", str(tmp_path)]), replace=False)
    assert load_cfg(path).SOLVER.BASE_LR == 0.2
