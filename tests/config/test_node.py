"""Merging of files and overrides into the tree."""

import copy
import pickle

import pytest
import yaml

from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.node import flatten, nearest_key, parse_text
from slowfast.errors import UserError


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("SOLVER.BASE_LR", "1e-4", 1e-4),
        ("SOLVER.BASE_LR", "1", 1.0),
        ("SOLVER.WEIGHT_DECAY", "5E-5", 5e-5),
        ("TRAIN.BATCH_SIZE", "1e2", 100),
        ("TRAIN.BATCH_SIZE", "16.0", 16),
        ("SOLVER.MAX_EPOCH", "238.933333", 238.933333),
        ("SOLVER.MAX_EPOCH", "3", 3),
        ("SOLVER.STEPS", "[0, 1e1]", [0, 10.0]),
        ("SOLVER.STEPS", "0,94", [0, 94]),
        ("SOLVER.LRS", "(1, 0.1)", [1, 0.1]),
        ("SOLVER.CLIP_GRAD_VAL", "1", 1.0),
        ("SOLVER.CLIP_GRAD_VAL", "None", None),
        ("DATA.PATH_LABEL_SEPARATOR", ",", ","),
        ("DATA.PATH_LABEL_SEPARATOR", '","', ","),
        ("DATA.PATH_PREFIX", "2020", "2020"),
        ("DATA.TARGET_FPS", "-1", -1),
        ("TRAIN.ENABLE", "False", False),
        ("TRAIN.ENABLE", "false", False),
        ("TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN", "['module.', '1e4']", ["module.", "1e4"]),
        ("NONLOCAL.LOCATION", "[[[]], [[1, 3]], [[1, 3, 5]], [[]]]", [[[]], [[1, 3]], [[1, 3, 5]], [[]]]),
    ],
)
def test_words_of_a_command_line_become_values_of_the_keys_type(key, text, value):
    cfg = get_cfg()
    cfg.merge_from_list([key, text])
    got = dict(flatten(cfg))[key]
    assert got == value
    assert type(got) is type(value)


def test_text_that_reads_as_a_number_in_a_file_is_one(tmp_path):
    cfg = get_cfg()
    cfg.merge_from_file(write(tmp_path / "a.yaml", "SOLVER:\n  BASE_LR: 1e-4\n  LRS: [1, 1e-1]\n  MAX_EPOCH: 1e2\n"))
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.LRS, cfg.SOLVER.MAX_EPOCH) == (1e-4, [1, 0.1], 100)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("NUM_GPUS", "1.5", "NUM_GPUS: 1.5 .*whole number"),
        ("NUM_GPUS", "many", "NUM_GPUS: 'many' .*whole number"),
        ("NUM_GPUS", True, "NUM_GPUS: True .*whole number"),
        ("SOLVER.BASE_LR", "fast", "SOLVER.BASE_LR: 'fast' .*number"),
        ("SOLVER.MAX_EPOCH", "long", "SOLVER.MAX_EPOCH: 'long' .*number"),
        ("SOLVER.CLIP_GRAD_VAL", "x", "SOLVER.CLIP_GRAD_VAL: 'x' .*number"),
        ("TRAIN.ENABLE", "1", "TRAIN.ENABLE: 1 .*True or False"),
        ("SOLVER.STEPS", "5", "SOLVER.STEPS: 5 .*list"),
        ("SOLVER.STEPS", "[a, b]", "SOLVER.STEPS: 'a' .*numbers"),
        ("MODEL.ARCH", True, "MODEL.ARCH: True .*text"),
        ("SOLVER", "3", "SOLVER: 3 .*section"),
    ],
)
def test_a_value_of_another_type_is_refused_with_key_and_value(key, value, expected):
    with pytest.raises(UserError, match=expected):
        get_cfg().merge_from_list([key, value])


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("NUM_GPU", "NUM_GPUS"),
        ("SOLVER.BASE_LRS", "SOLVER.BASE_LR"),
        ("TRAIN.MAX_EPOCH", "SOLVER.MAX_EPOCH"),
        ("solver.base_lr", "SOLVER.BASE_LR"),
        ("SOLVER.BASE_LR.X", "SOLVER.BASE_LR"),
        ("MULTIGRID.BN_BASE", "MULTIGRID.BN_BASE_SIZE"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(key, nearest):
    assert nearest_key(key, get_cfg()) == nearest
    with pytest.raises(UserError, match=f"unknown key {key}; did you mean {nearest}"):
        get_cfg().merge_from_list([key, "1"])


def test_an_unknown_key_in_a_file_is_refused_with_the_files_name(tmp_path):
    path = write(tmp_path / "mine.yaml", "TRAIN:\n  BATCHSIZE: 8\n")
    with pytest.raises(UserError, match=r"mine\.yaml: unknown key TRAIN\.BATCHSIZE; did you mean TRAIN\.BATCH_SIZE"):
        get_cfg().merge_from_file(path)


@pytest.mark.parametrize("text", ["TRAIN: [1", "- a\n- b\n", "just words", "\x00"])
def test_a_file_that_is_not_a_mapping_is_refused_with_its_name(tmp_path, text):
    with pytest.raises(UserError, match="odd.yaml"):
        get_cfg().merge_from_file(write(tmp_path / "odd.yaml", text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.yaml does not exist"):
        get_cfg().merge_from_file(tmp_path / "none.yaml")


def test_an_empty_file_and_an_empty_section_change_nothing(tmp_path):
    cfg = get_cfg()
    cfg.merge_from_file(write(tmp_path / "empty.yaml", "# nothing\n"))
    cfg.merge_from_file(write(tmp_path / "section.yaml", "TRAIN:\n"))
    assert cfg == get_cfg()


def test_an_override_without_a_value_is_refused():
    with pytest.raises(UserError, match="'NUM_GPUS' has no value"):
        get_cfg().merge_from_list(["RNG_SEED", "1", "NUM_GPUS"])


def test_words_that_are_not_values_stay_text():
    assert parse_text("a/b.mp4") == "a/b.mp4"
    assert parse_text("'a b'", is_text=True) == "a b"


def test_get_cfg_gives_a_copy_of_its_own():
    first = get_cfg()
    first.SOLVER.STEPS.append(3)
    first.TRAIN.ENABLE = False
    assert get_cfg().SOLVER.STEPS == []
    assert get_cfg().TRAIN.ENABLE is True


def test_a_loaded_cfg_is_frozen(demo_yaml):
    cfg = load_cfg(demo_yaml)
    with pytest.raises(AttributeError):
        cfg.TRAIN.ENABLE = False
    with pytest.raises(AttributeError):
        cfg.merge_from_list(["NUM_GPUS", "0"])


def test_the_dump_of_a_cfg_loads_again(tmp_path, demo_yaml):
    cfg = load_cfg(demo_yaml, ["SOLVER.MAX_EPOCH", "3.25", "SOLVER.CLIP_GRAD_L2NORM", "None"])
    assert load_cfg(write(tmp_path / "dump.yaml", cfg.dump())) == cfg
    assert isinstance(yaml.safe_load(cfg.dump())["SOLVER"]["BASE_LR"], float)


def test_a_cfg_travels_to_other_processes(demo_yaml):
    cfg = load_cfg(demo_yaml)
    assert pickle.loads(pickle.dumps(cfg)) == cfg
    assert copy.deepcopy(cfg).is_frozen()
    assert pickle.loads(pickle.dumps(cfg)).is_frozen()


@pytest.fixture
def demo_yaml(tmp_path):
    return write(tmp_path / "demo.yaml", "MODEL: {ARCH: slow, MODEL_NAME: ResNet}\nDATA: {INPUT_CHANNEL_NUM: [3]}\n")


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize("key", ["SOLVER.MAX_EPOCH", "SOLVER.BASE_LR", "DATA.MEAN"])
def test_numbers_that_are_not_finite_are_refused(key, value):
    with pytest.raises(UserError, match=f"{key}: .* does not fit"):
        get_cfg().merge_from_list([key, f"[{value}]" if key == "DATA.MEAN" else value])
