"""The command line: config files, pairs with and without --opts, machines, and mistakes without a traceback."""

import argparse

import pytest
import torch

from slowfast.errors import UserError
from slowfast.utils.parser import argument_parser, fail_cleanly, load_config, parse_args

RECIPE = "configs/Kinetics/SLOWFAST_4x16_R50.yaml"


@pytest.fixture
def slow_yaml(tmp_path):
    path = tmp_path / "slow.yaml"
    path.write_text("MODEL: {ARCH: slow, MODEL_NAME: ResNet}\nDATA: {INPUT_CHANNEL_NUM: [3]}\n")
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        ["--cfg", "a.yaml", "b.yml", "NUM_GPUS", "2", "DATA.PATH_PREFIX", "x y"],
        ["--cfg", "a.yaml", "b.yml", "--opts", "NUM_GPUS", "2", "DATA.PATH_PREFIX", "x y"],
        ["NUM_GPUS", "2", "--cfg", "a.yaml", "b.yml", "--opts", "DATA.PATH_PREFIX", "x y"],
        ["--cfg", "a.yaml", "b.yml", "NUM_GPUS=2", "DATA.PATH_PREFIX=x y"],
    ],
)
def test_pairs_are_understood_with_and_without_opts_after_several_files(words):
    args = parse_args(words)
    assert args.cfg_files == ["a.yaml", "b.yml"]
    assert args.opts == ["NUM_GPUS", "2", "DATA.PATH_PREFIX", "x y"]


def test_options_may_come_before_and_after_the_pairs():
    args = parse_args(
        ["--cfg", "a.yaml", "NUM_GPUS", "2", "--shard_id", "1", "--num_shards", "2", "--init_method", "tcp://h:1"]
    )
    assert (args.shard_id, args.num_shards, args.init_method) == (1, 2, "tcp://h:1")
    assert args.opts == ["NUM_GPUS", "2"]


def test_a_value_may_start_with_a_minus():
    assert parse_args(["--cfg", "a.yaml", "DATA.TARGET_FPS", "-1"]).opts == ["DATA.TARGET_FPS", "-1"]


def test_a_file_with_a_name_in_capitals_is_a_file():
    assert parse_args(["--cfg", "A.yaml", "B.YAML", "RNG_SEED", "1"]).cfg_files == ["A.yaml", "B.YAML"]


@pytest.mark.parametrize(
    "name", ["IMG_1234.MOV", "test.csv", "train.txt", "data.mp4", "MODEL.ONNX", "model.pt2", "A.B"]
)
def test_a_file_is_not_a_key_whatever_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A.B").touch()
    with_path = argument_parser()
    with_path.add_argument("path")
    args = parse_args([name, "--cfg", "a.yaml", "NUM_GPUS", "0"], with_path)
    assert (args.path, args.opts) == (name, ["NUM_GPUS", "0"])


def test_the_value_of_a_tools_own_option_is_not_a_key():
    with_json = argument_parser()
    with_json.add_argument("--json")
    args = parse_args(["--cfg", "a.yaml", "--json", "PLAN", "NUM_GPUS", "0"], with_json)
    assert (args.json, args.opts) == ("PLAN", ["NUM_GPUS", "0"])


@pytest.mark.parametrize("words", [["--allow-unknown-keys", "MY.KEY", "3"], ["MY.KEY", "3", "--allow-unknown-keys"]])
def test_unknown_keys_are_kept_when_asked(slow_yaml, words):
    assert load_config(parse_args(["--cfg", slow_yaml, *words])).MY.KEY == 3


def test_a_misspelled_key_is_still_a_key(slow_yaml):
    args = parse_args(["--cfg", slow_yaml, "NUM_GPU", "2"])
    with pytest.raises(UserError, match="unknown key NUM_GPU; did you mean NUM_GPUS"):
        load_config(args)


def test_a_key_without_a_value_is_refused(slow_yaml):
    with pytest.raises(UserError, match="'NUM_GPUS' has no value"):
        load_config(parse_args(["--cfg", slow_yaml, "NUM_GPUS"]))


def test_overrides_win_over_the_file_and_machine_options_over_both(slow_yaml):
    words = ["--cfg", slow_yaml, "NUM_SHARDS", "2", "TRAIN.BATCH_SIZE", "32", "--num_shards", "4", "--shard_id", "3"]
    cfg = load_config(parse_args(words))
    assert (cfg.NUM_SHARDS, cfg.SHARD_ID, cfg.TRAIN.BATCH_SIZE) == (4, 3, 32)


def test_machine_options_that_are_not_given_leave_the_config_alone(slow_yaml):
    assert load_config(parse_args(["--cfg", slow_yaml, "NUM_SHARDS", "4", "SHARD_ID", "1"])).SHARD_ID == 1


def test_one_of_several_files_is_loaded_by_its_path(slow_yaml):
    args = parse_args(["--cfg", slow_yaml, RECIPE])
    assert load_config(args, slow_yaml).MODEL.ARCH == "slow"
    with pytest.raises(UserError, match="2 files"):
        load_config(args)


def test_load_config_takes_a_plain_namespace(slow_yaml):
    args = argparse.Namespace(opts=["TRAIN.BATCH_SIZE", "8"])
    cfg = load_config(args, slow_yaml)
    assert (cfg.TRAIN.BATCH_SIZE, cfg.is_frozen()) == (8, True)


def test_an_error_of_a_check_names_the_file(slow_yaml):
    with pytest.raises(UserError, match="^TRAIN.BATCH_SIZE: 0 is out of range"):
        load_config(parse_args(["--cfg", slow_yaml, "TRAIN.BATCH_SIZE", "0"]))  # the file is not to blame
    with open(slow_yaml, "a") as file:
        file.write("TRAIN: {BATCH_SIZE: 0}\n")
    with pytest.raises(UserError, match=r"slow\.yaml: TRAIN.BATCH_SIZE: 0 is out of range"):
        load_config(parse_args(["--cfg", slow_yaml, "TRAIN.EVAL_PERIOD", "2"]))


def test_no_config_file_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_args([])
    assert "--cfg" in capsys.readouterr().err


def test_a_users_mistake_ends_with_one_line_and_status_2(capsys, slow_yaml):
    with pytest.raises(SystemExit) as stop, fail_cleanly():
        load_config(parse_args(["--cfg", slow_yaml, "MODEL.TRANS_FUNC", "x"]))
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: unknown key MODEL.TRANS_FUNC; did you mean RESNET.TRANS_FUNC?")


def test_a_missing_config_file_ends_cleanly(capsys):
    with pytest.raises(SystemExit), fail_cleanly():
        load_config(parse_args(["--cfg", "none.yaml"]))
    assert (
        capsys.readouterr().err
        == "error: config file none.yaml does not exist; give the path of a YAML file or the name of a recipe "
        "(`slowfast recipes` lists them)\n"
    )


def test_a_library_error_keeps_its_traceback():
    with pytest.raises(ValueError, match="learning rate"), fail_cleanly():
        torch.optim.SGD([torch.zeros(1)], lr=-1)


def test_a_value_error_that_is_not_a_user_error_keeps_its_traceback():
    with pytest.raises(ValueError, match="invalid literal"), fail_cleanly():
        int("x")


def test_an_error_of_another_kind_keeps_its_traceback():
    with pytest.raises(KeyError), fail_cleanly():
        raise KeyError("x")


def test_an_error_from_a_loaders_worker_is_shown_by_its_last_line(capsys):
    text = "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File\n"
    with pytest.raises(SystemExit), fail_cleanly():
        raise UserError(text + "slowfast.errors.UserError: a.mp4: no video stream\n")
    assert capsys.readouterr().err == "error: a.mp4: no video stream\n"
