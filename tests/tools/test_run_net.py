"""The command line that trains and tests."""

from pathlib import Path

import pytest

from slowfast.commands.run import main as run_net
from tests.engine.tiny import SYNTHETIC, tiny_cfg

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", ["TRAIN.CHECKPOINT_FILE_PATH", "TEST.CHECKPOINT_FILE_PATH"])
def test_a_missing_checkpoint_is_reported_before_the_training(key, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC, TEST__ENABLE=True).dump())
    with pytest.raises(SystemExit) as end:
        run_net(["--cfg", str(path), key, str(tmp_path / "missing.pyth")])
    assert end.value.code == 2
    assert f"{key} is '{tmp_path / 'missing.pyth'}', but there is no such file" in capsys.readouterr().err
    assert not (tmp_path / "out" / "json_stats.log").exists()


def test_a_mistake_that_a_builder_finds_in_one_of_several_configs_names_its_file(tmp_path, capsys):
    paths = [tmp_path / "first.yaml", tmp_path / "second.yaml"]
    for path, momentum in zip(paths, (0.9, 0.0), strict=True):
        changes = {"TRAIN__ENABLE": momentum == 0.0, "SOLVER__MOMENTUM": momentum}
        path.write_text(tiny_cfg(tmp_path, tmp_path / path.stem, **SYNTHETIC, **changes).dump())
    with pytest.raises(SystemExit) as end:
        run_net(["--cfg", *map(str, paths)])
    assert end.value.code == 2
    assert f"error: {paths[1]}: SOLVER.NESTEROV: True needs SOLVER.MOMENTUM above 0" in capsys.readouterr().err
