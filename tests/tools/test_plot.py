"""tools/plot.py: which files it writes, and what it refuses."""

from pathlib import Path

import pytest

from slowfast.commands.plot import main, unique_names
from slowfast.visualization.logs import read_run
from tests.visualization.logs import config, records, write_log


@pytest.fixture
def runs(tmp_path):
    """Two seeds of a recipe, and one run of another."""
    changes = ({"RNG_SEED": 0}, {"RNG_SEED": 1}, {"MULTIGRID__LONG_CYCLE": False})
    names = ("fast0", "fast1", "slow")
    made = zip(names, changes, strict=True)
    return [str(write_log(tmp_path / name, records(), config(tmp_path / name, **values))) for name, values in made]


def test_the_figures_of_one_run_are_beside_its_log(runs, tmp_path, capsys):
    assert main([runs[0]]) == 0
    names = {path.name for path in (tmp_path / "fast0" / "figures").iterdir()}
    drawn = ("accuracy_wall_clock", "accuracy_iterations", "accuracy_epochs", "loss", "batch_shape", "time_split")
    assert names == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}
    assert "6 figures" in capsys.readouterr().out


def test_several_runs_are_compared_and_each_has_its_own_folder(runs, tmp_path):
    assert main([*runs[1:], "--out", str(tmp_path / "out"), "--formats", "svg", "--labels", "quick", "usual"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("accuracy_wall_clock.svg", "accuracy_iterations.svg", "accuracy_epochs.svg", "fast1", "slow")
    }
    assert (tmp_path / "out" / "slow" / "loss.svg").exists()


def test_runs_with_equal_names_get_numbers(runs, tmp_path):
    again = write_log(tmp_path / "other" / "slow", records())
    assert unique_names([read_run(Path(path)) for path in (runs[0], runs[2], again)]) == ["fast0", "slow_1", "slow_2"]


def test_mistakes_are_reported_in_one_line(runs, tmp_path, capsys):
    for words, message in {
        (str(tmp_path / "nowhere"),): "nowhere does not exist; give the OUTPUT_DIR of a training",
        (str(tmp_path),): "has no json_stats.log; give the OUTPUT_DIR of a training",
        (*runs, "--labels", "one"): "--labels: 1 names for 2 recipes, which are fast (2 runs), slow (1 runs)",
    }.items():
        with pytest.raises(SystemExit) as end:
            main(list(words))
        assert end.value.code == 2
        assert message in capsys.readouterr().err


def test_what_a_log_lacks_is_printed(tmp_path, capsys):
    main([str(write_log(tmp_path / "old", records(epochs=0, test=False)))])
    out = capsys.readouterr().out
    assert "there is no config.yaml" in out
    assert "there is no test in its log" in out
    assert "0 figures" in out
