"""Mistakes of a new user in a YAML file or on the command line: each is one line that names the place and the fix."""

import math
import os

import pytest

from slowfast.config.checks import STATE_KEYS
from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.node import flatten
from slowfast.engine.launch import check
from slowfast.errors import UserError
from slowfast.utils.parser import load_config, parse_args
from tests.engine.tiny import SYNTHETIC, tiny_cfg

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)

FILES = {
    "SOLVER:\n  BASE_LR: 1\n  BASE_LR: 2\n": "SOLVER.BASE_LR is given twice, in lines 2 and 3",
    "TEST:\n  ENABLE: True\nRNG_SEED: 1\nTEST:\n  BATCH_SIZE: 2\n": "TEST is given twice, in lines 1 and 4",
    "TENSORBOARD:\n  HISTOGRAM:\n    TOPK: 1\n    TOPK: 2\n": "HISTOGRAM.TOPK is given twice, in lines 3 and 4",
    "SOLVER:\n  GAMMA: 1\nSOLVER.GAMMA: 2\n": "SOLVER.GAMMA is given twice, in lines 2 and 3",
    "TRAIN:\n\tENABLE: True\n": "line 2.*indent with blanks instead of tabs",
    "TRAIN:\n  ENABLE: True\n   DATASET: ssv2\n": "line 3.*indent the keys of a section by the same amount",
    "TRAIN:\n  ENABLE:True\n": "TRAIN: 'ENABLE:True' does not fit.*KEY: value",
    "TRAIN.ENABLE = True\n": "has a str; .*KEY: value",
    "TRAIN:\n- ENABLE: True\n": "TRAIN: .* is a section of keys",
    "TRAIN:\nENABLE: True\n": "unknown key ENABLE; did you mean",
    "SOLVER: {STEPS: [0, 2}\n": "line 1.*close every bracket",
    "OUTPUT_DIR: 'runs\n": "line 2.*close every quotation mark",
    "OUTPUT_DIR: @runs\n": "line 1.*in quotes",
    "OUTPUT_DIR: *runs\n": "line 1.*in quotes",
    "RNG_SEED: 1\n---\nRNG_SEED: 2\n": "line 2.*one config in a file",
    "RNG_SEED: !!python/name:os.system\n": "line 1.*remove the tag",
    "solver: {base_lr: 1}\n": "unknown key solver.base_lr; did you mean SOLVER.BASE_LR",
    "SOLVER: {BASE_LR: '0,1'}\n": "SOLVER.BASE_LR: '0,1' does not fit; give a number",
    "TRAIN: {ENABLE: 'yes'}\n": "TRAIN.ENABLE: 'yes' does not fit; give True or False",
    "TRAIN: {BATCH_SIZE: 0x10}\n": "TRAIN.BATCH_SIZE: '0x10' does not fit; give a whole number",
    "TRAIN: {BATCH_SIZE: 1:30}\n": "TRAIN.BATCH_SIZE: '1:30' does not fit; give a whole number",
    "TRAIN: {BATCH_SIZE: 2021-02-03}\n": "TRAIN.BATCH_SIZE: '2021-02-03' does not fit; give a whole number",
    f"TRAIN: {{BATCH_SIZE: {'9' * 5000}}}\n": "line 1.*use a smaller number",
    f"SOLVER: {{STEPS: {'[' * 4000}}}\n": "nested more than 30 deep",
    "SOLVER: &self\n  STEPS: *self\n": "nested more than 30 deep",
    BOMB: "stand for more than 100,000 values",
    "x" * 1_100_000: "1,100,000 bytes, which no config needs",
    "OUTPUT_DIR: grün\n".encode("latin-1"): "save the file as UTF-8",
    b"RNG_SEED: 1\0\n": "save the file as UTF-8",
    "RNG_SED: 1\n".encode("utf-16"): "unknown key RNG_SED; did you mean RNG_SEED",
    b"\xef\xbb\xbfRNG_SED: 1\r\n": "unknown key RNG_SED; did you mean RNG_SEED",
    "DATA: {TRAIN_JITTER_SCALES: [40.5, 60]}\n": "TRAIN_JITTER_SCALES: 40.5 .*whole numbers",
    "DATA: {MEAN: [[0.4]]}\n": r"DATA.MEAN: \[\[0.4\]\] does not fit; give a list nested as \[0.45",
    "DATA: {PATH_PREFIX: $NOT_SET_HERE/videos}\n": "DATA.PATH_PREFIX: .*NOT_SET_HERE, which is not set",
    "DATA: {PATH_PREFIX: 'a $ b'}\n": "DATA.PATH_PREFIX: .*write .. for .",
    "OUTPUT_DIR: ''\n": "OUTPUT_DIR: '' is not a folder",
    "TEST: {SAVE_RESULTS_PATH: ../../scores.pkl}\n": "SAVE_RESULTS_PATH: .* is not inside OUTPUT_DIR",
    "TEST: {SAVE_RESULTS_PATH: /scores.pkl}\n": "SAVE_RESULTS_PATH: .* is not inside OUTPUT_DIR",
    "TENSORBOARD: {LOG_DIR: ..}\n": "TENSORBOARD.LOG_DIR: .* is not inside OUTPUT_DIR",
    "X3D: {WIDTH: 2}\n": "unknown key X3D.WIDTH; did you mean X3D.WIDTH_FACTOR",
    "MODEL: {MODEL_NAME: ptvx3d}\nNEW: 1\n": "MODEL.MODEL_NAME: 'ptvx3d' is not part of this project",
    "TRAIN: {DATASET: Ava}\nNEW: 1\n": "TRAIN.DATASET: 'Ava' is not part of this project",
    "TEST: {DATASET: Imagenet}\n": "TEST.DATASET: 'Imagenet' is not part of this project",
}


@pytest.mark.parametrize(("text", "message"), FILES.items(), ids=FILES.values())
def test_a_mistake_in_a_file_is_reported_with_its_place_and_the_fix(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"mine.yaml: .*{message}"):
        load_cfg(path)


WORDS = {
    ("solver.base_lr", "0.1"): "unknown key solver.base_lr; did you mean SOLVER.BASE_LR",
    ("solver.base_lr=0.1",): "unknown key solver.base_lr; did you mean SOLVER.BASE_LR",
    ("solver.rate", "0.1"): "unknown key solver.rate; did you mean SOLVER",
    ("SOLVER.BASE_LR:", "0.1"): "unknown key SOLVER.BASE_LR:; did you mean SOLVER.BASE_LR",
    ("SOLVER.BASE_LR", "=", "0.1"): "SOLVER.BASE_LR: '=' does not fit",
    ("SOLVER.BASE_LR", "0,1"): r"SOLVER.BASE_LR: \(0, 1\) does not fit",
    ("BATCH_SIZE", "3"): "unknown key BATCH_SIZE; did you mean TEST.BATCH_SIZE or TRAIN.BATCH_SIZE",
    ("TRAIN.ENABLE", "TEST.ENABLE", "False"): "'TRAIN.ENABLE' has no value, the next word is the key TEST.ENABLE",
    ("TRAIN.ENABLE", "--shard_id", "0"): "'TRAIN.ENABLE' has no value",
    ("SOLVER.STEPS", "[" * 9000): r"SOLVER.STEPS: '\[+\.\.\. does not fit",
    ("SOLVER.STEPS", "[" * 90 + "]" * 90 + ", 1"): "SOLVER.STEPS: .*does not fit",
    ("SOLVER.STEPS", BOMB): "SOLVER.STEPS: .*does not fit",
    ("TRAIN.BATCH_SIZE", "7" * 6000): "TRAIN.BATCH_SIZE: inf does not fit",
    ("SOLVER.BASE_LR", "1e999"): "SOLVER.BASE_LR: inf does not fit",
    ("OUTPUT_DIR", "a\0b"): "OUTPUT_DIR: .* does not fit; give text without a NUL character",
    ("K" * 100_000, "1"): "unknown key K+\\.\\.\\.; did you mean",
    ("--cfg", "missing.yaml"): "config file missing.yaml does not exist",
}


@pytest.mark.parametrize(("words", "message"), WORDS.items(), ids=WORDS.values())
def test_a_mistake_on_the_command_line_is_reported_with_its_key_and_the_fix(tmp_path, words, message):
    path = tmp_path / "a.yaml"
    path.write_text("RNG_SEED: 1\n")
    given = words if "--cfg" in words else ["--cfg", str(path), *words]
    args = parse_args(list(given))
    with pytest.raises((UserError, FileNotFoundError), match=message):
        load_config(args, args.cfg_files[0])


def test_a_key_with_characters_that_cannot_be_printed_is_shown_escaped(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text('DATA: {"A\\0B\\n": 1}\n')
    with pytest.raises(UserError, match=r"unknown key 'DATA.A\\x00B\\n'; did you mean"):
        load_cfg(path)


def test_a_folder_is_not_a_config(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}: is a folder; give the path of a YAML file"):
        load_cfg(tmp_path)


def test_merged_keys_may_be_given_again(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "TRAIN: &both\n  BATCH_SIZE: 6\n  DATASET: ssv2\nTEST:\n  <<: {DATASET: ssv2}\n  DATASET: charades\n"
    )
    assert load_cfg(path).TEST.DATASET == "charades"


def test_numbers_mean_what_they_show(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "TRAIN: {BATCH_SIZE: 010}\nDATA: {PATH_PREFIX: 007}\nOUTPUT_DIR: 2021-02-03\nSOLVER: {BASE_LR: 1e-3}\n"
    )
    cfg = load_cfg(path)
    assert (cfg.TRAIN.BATCH_SIZE, cfg.DATA.PATH_PREFIX, cfg.OUTPUT_DIR) == (10, "007", "2021-02-03")


def test_paths_start_at_the_home_folder_or_a_variable(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("VIDEOS", "/disk")
    pairs = ["OUTPUT_DIR", "~/runs", "DATA.PATH_PREFIX", "${VIDEOS}/a", "DATA.PATH_TO_DATA_DIR", "$HOME/$$"]
    cfg = load_cfg(None, pairs)
    assert (cfg.OUTPUT_DIR, cfg.DATA.PATH_PREFIX) == ("/home/me/runs", "/disk/a")
    assert cfg.DATA.PATH_TO_DATA_DIR == "/home/me/$"


def test_the_output_folder_is_named_after_the_config_unless_one_is_given(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("RNG_SEED: 1\n")
    assert load_cfg(path).OUTPUT_DIR == "./runs/mine"
    assert load_cfg(path, ["OUTPUT_DIR", "there"]).OUTPUT_DIR == "there"
    assert load_cfg(None).OUTPUT_DIR == "./runs/default"
    path.write_text("OUTPUT_DIR: .\n")
    assert os.curdir == load_cfg(path).OUTPUT_DIR


REPEATED = """\
MODEL:
  MODEL_NAME: MViT
  ARCH: mvit
MVIT:
  DEPTH: 16
  POOL_Q_STRIDE: [[1, 1, 2, 2]]
  DEPTH: 20
  POOL_Q_STRIDE: [[0, 1, 1, 1], [1, 1, 2, 2]]
  DEPTH: 24
"""


def test_published_configs_of_mvit_may_have_a_key_twice_and_the_last_value_holds(tmp_path, caplog):
    path = tmp_path / "mvit.yaml"
    path.write_text(REPEATED)
    mvit = load_cfg(path).MVIT
    assert (mvit.DEPTH, mvit.POOL_Q_STRIDE) == (24, [[0, 1, 1, 1], [1, 1, 2, 2]])
    assert caplog.messages == [
        "mvit.yaml: MVIT.DEPTH is given twice, in lines 5 and 9; the last holds",
        "mvit.yaml: MVIT.POOL_Q_STRIDE is given twice, in lines 6 and 8; the last holds",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (REPEATED.replace("MViT", "X3D"), "MVIT.DEPTH is given twice, in lines 5 and 9; keep one of them"),
        (REPEATED + "MODEL:\n  NUM_CLASSES: 10\n", "MODEL is given twice, in lines 1 and 10; keep one of them"),
        (REPEATED + "MVIT.DEPTH: 12\n", "MVIT.DEPTH is given twice, in lines 9 and 10; keep one of them"),
        (REPEATED + "TRAIN: 1\nTRAIN: {ENABLE: True}\n", "TRAIN is given twice, in lines 10 and 11"),
    ],
)
def test_other_repeated_keys_are_errors(tmp_path, text, message):
    path = tmp_path / "mvit.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_cfg(path)


def numeric_keys():
    """Every key with a number that this project reads."""
    unread = ("DETECTION", "BENCHMARK", "TENSORBOARD", "DATA.SSL", "DATA.IN_VAL", *STATE_KEYS)
    firsts = {key: value[0] if isinstance(value, list) and value else value for key, value in flatten(get_cfg())}
    return [key for key, first in firsts.items() if type(first) in (int, float) and not key.startswith(unread)]


def error_of(tmp_path, key, value):
    """The error of a tiny training with a value for a key, or ""."""
    try:
        check(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **{key.replace(".", "__"): value}))
    except UserError as error:
        return str(error)
    return ""


NUMBERS = {"-1": -1, "0": 0, "1e30": 1e30, "10**30": 10**30, "10**5000": 10**5000, "nan": math.nan, "inf": math.inf}


@pytest.mark.parametrize("key", numeric_keys())
@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_a_number_out_of_the_range_of_any_key_is_an_error_that_names_the_key(tmp_path, key, number):
    value = [number] if isinstance(dict(flatten(get_cfg()))[key], list) else number
    error = error_of(tmp_path, key, value)
    trains = number in (-1, 0) or key == "SOLVER.BASE_LR"  # a huge rate is for the check of the loss
    assert key in error or (trains and not error)
