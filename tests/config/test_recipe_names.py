"""Configs by the name of a recipe, and configs that start from another one."""

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.recipes import find_config, recipes

NAME = "Kinetics/SLOWFAST_8x8_R50"


def write(folder, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [NAME, f"{NAME}.yaml", f"configs/{NAME}.yaml", f"configs/{NAME}"])
def test_a_recipe_is_found_by_its_name_in_any_folder(name):
    assert find_config(name) == recipes()[NAME]
    assert load_cfg(name).OUTPUT_DIR == load_cfg(recipes()[NAME]).OUTPUT_DIR


def test_every_recipe_has_a_name():
    assert len(recipes()) > 50
    assert all(find_config(name) == path for name, path in recipes().items())


def test_a_file_that_exists_comes_before_the_recipe_of_its_name(tmp_path):
    write(tmp_path, f"{NAME}.yaml", "RNG_SEED: 3")
    assert load_cfg(f"{NAME}.yaml").RNG_SEED == 3
    assert load_cfg(NAME).RNG_SEED != 3


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("Kinetics/SLOWFAST_4x16_R5O", "the recipe Kinetics/SLOWFAST_4x16_R50"),
        ("kinetics/slow_8x8_r50", "the recipe Kinetics/SLOW_8x8_R50"),
        ("SLOWFAST_16x8_R101_50_50", "the recipe Kinetics/c2/SLOWFAST_16x8_R101_50_50"),
        ("SSv2/SLOW", "the recipe SSv2/SLOWFAST_16x8_R50 or SSv2/SLOWFAST_16x8_R50_multigrid"),
        ("runs/mine.yaml", "the path of a YAML file or the name of a recipe"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_names_near_it(name, fix):
    with pytest.raises(FileNotFoundError, match=f"config file {name} does not exist; .* {fix}"):
        load_cfg(name)


def test_a_folder_is_not_a_config(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="mine: is a folder"):
        load_cfg("mine")


def test_a_config_starts_from_a_recipe_and_changes_some_keys(tmp_path):
    mine = write(tmp_path, "mine.yaml", f"_BASE_: {NAME}\nTRAIN: {{BATCH_SIZE: 8}}\nRNG_SEED: 5\n")
    recipe, cfg = load_cfg(NAME), load_cfg(mine, ["RNG_SEED", "7"])
    assert (cfg.TRAIN.BATCH_SIZE, cfg.RNG_SEED) == (8, 7)
    assert cfg.RESNET == recipe.RESNET
    assert cfg.TRAIN.DATASET == recipe.TRAIN.DATASET


def test_the_path_of_a_base_starts_from_the_file_that_names_it(tmp_path):
    write(tmp_path, "shared/first.yaml", "RNG_SEED: 1\nTRAIN.BATCH_SIZE: 24")
    write(tmp_path, "shared/second.yaml", "_BASE_: first.yaml\nRNG_SEED: 2")
    third = write(tmp_path, "mine/third.yaml", "_BASE_: ../shared/second.yaml\nMODEL: {NUM_CLASSES: 7}")
    for cfg in (load_cfg(third), get_cfg()):
        cfg.is_frozen() or cfg.merge_from_file(third)
        assert (cfg.RNG_SEED, cfg.TRAIN.BATCH_SIZE, cfg.MODEL.NUM_CLASSES) == (2, 24, 7)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("mine.yaml", "mine.yaml: _BASE_: .* remove the line"),
        ("other.yaml", "other.yaml: _BASE_: .* remove the line"),
        ("none.yaml", "mine.yaml: _BASE_ none.yaml: config file none.yaml does not exist"),
        ("shared", "mine.yaml: _BASE_ shared: is a folder"),
        ("[a.yaml]", r"mine.yaml: _BASE_: \['a.yaml'\] is not the path"),
        ("wrong.yaml", "wrong.yaml: unknown key RGN_SEED"),
    ],
)
def test_a_base_that_cannot_be_used_is_an_error_with_the_file_that_names_it(base, message, tmp_path):
    (tmp_path / "shared").mkdir()
    write(tmp_path, "other.yaml", "_BASE_: mine.yaml")
    write(tmp_path, "wrong.yaml", "RGN_SEED: 3")
    mine = write(tmp_path, "mine.yaml", f"_BASE_: {base}")
    with pytest.raises(ValueError, match=message):
        load_cfg(mine)
