"""The comparison of the demo: reading the results of a run, and the tables and figures."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "projects" / "multigrid"))

import ablations  # noqa: E402
import demo  # noqa: E402
import runs  # noqa: E402

BLANK = runs.Result("baseline", "tools/run_net.py --cfg x.yaml", seed=0)
STATS = [
    {"_type": "train_iter", "iteration": 10, "wall_sec": 4.0},
    {"_type": "train_epoch", "epoch": "1/2", "iteration": 10, "clips": 80, "wall_sec": 5.0},
    {"_type": "val_epoch", "epoch": "1/2", "top1_acc": 30.0, "dt": 1.0, "wall_sec": 6.0},
    {"_type": "train_iter", "iteration": 20, "wall_sec": 10.0},
    {"_type": "train_epoch", "epoch": "2/2", "iteration": 20, "clips": 160, "wall_sec": 10.5},
    {"_type": "val_epoch", "epoch": "2/2", "top1_acc": 60.0, "dt": 1.5, "wall_sec": 12.0},
    {"split": "test_final", "top1_acc": "58.33", "top5_acc": "90.00", "wall_sec": 20.0},
]


def test_a_result_is_read_from_the_json_lines_of_a_run():
    result = runs.summarize(BLANK, STATS)
    assert (result.epochs, result.iterations, result.clips) == (2, 20, 160)
    assert (result.train_sec, result.eval_sec, result.test_acc) == (12.0, 2.5, 58.33)
    assert result.curve == [[6.0, 1, 30.0], [12.0, 2, 60.0]]


def test_the_table_compares_with_the_first_recipe_and_averages_over_seeds():
    slow = runs.summarize(BLANK, STATS)
    fast = replace(slow, name="multigrid", train_sec=4.0, test_acc=60.33)
    text = runs.table([[slow], [fast, replace(fast, test_acc=62.33)]])
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert lines[2][:7] == ["baseline", "1", "2", "20", "160", "12 s", "1.00 x"]
    assert lines[3][:7] == ["multigrid", "2", "2", "20", "160", "4 s", "3.00 x"]
    assert [line[-1] for line in lines[2:]] == ["58.3 %", "61.3 ± 1.4 %"]


def test_a_finished_run_is_read_and_not_done_again(tmp_path, monkeypatch):
    recipe = runs.Recipe("baseline", "x.yaml", ("KEY", "1"))
    calls = []
    monkeypatch.setattr(runs, "follow", lambda command: calls.append(command) or STATS)
    (tmp_path / "data").mkdir()
    first = runs.run(recipe, tmp_path / "data", tmp_path, seed=1)
    assert runs.run(recipe, tmp_path / "data", tmp_path, seed=1) == first
    assert len(calls) == 1
    runs.run(recipe, tmp_path / "data", tmp_path, seed=2)
    assert len(calls) == 2


def test_a_run_that_fails_ends_the_comparison(tmp_path):
    with pytest.raises(SystemExit, match="status 3"):
        runs.follow([sys.executable, "-c", "import sys; sys.exit(3)"])


def test_the_seconds_of_every_json_line_are_kept():
    program = 'print("human"); print("[x] json_stats: " + \'{"split": "test_final", "top1_acc": "1.00"}\')'
    (stats,) = runs.follow([sys.executable, "-c", program])
    assert stats["top1_acc"] == "1.00"
    assert stats["wall_sec"] >= 0


def test_the_report_has_a_table_and_a_figure(tmp_path):
    slow = runs.summarize(BLANK, STATS)
    text = demo.write_report([slow, replace(slow, name="multigrid", train_sec=4.0)], tmp_path)
    assert "3.00 x" in text
    assert (tmp_path / "comparison.md").read_text().startswith("| recipe")
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_every_recipe_of_the_comparison_and_the_ablations_is_a_command_with_a_config_that_exists(tmp_path):
    recipes = [*demo.RECIPES, *ablations.ABLATIONS]
    assert len({recipe.name for recipe in recipes}) == len(recipes)
    for recipe in recipes:
        assert (ROOT / recipe.config).exists(), recipe.config
        assert recipe.command(tmp_path, tmp_path, 0)[0] == "tools/run_net.py"


def test_results_survive_their_file(tmp_path):
    result = runs.summarize(BLANK, STATS)
    (tmp_path / runs.RESULT).write_text(json.dumps(asdict(result)))
    assert runs.read_result(tmp_path / runs.RESULT) == result


def test_the_command_prints_the_finished_runs_below_its_folders(tmp_path, monkeypatch, capsys):
    for name, seconds in (("baseline", 12.0), ("multigrid", 4.0)):
        (tmp_path / name).mkdir()
        result = replace(runs.summarize(BLANK, STATS), name=name, train_sec=seconds)
        (tmp_path / name / runs.RESULT).write_text(json.dumps(asdict(result)))
    monkeypatch.setattr(sys, "argv", ["runs.py", str(tmp_path)])
    runs.main()
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:]] == ["baseline", "multigrid"]
