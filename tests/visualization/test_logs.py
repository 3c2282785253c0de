"""Reading the logs of runs: finished, going on, interrupted, resumed, of earlier versions, and in groups."""

import numpy as np
import pytest

from slowfast.errors import UserError
from slowfast.visualization.logs import group_runs, read_run
from slowfast.visualization.phases import spans
from tests.visualization.logs import TEST, config, iteration, records, write_log


def test_a_log_gives_numbers_and_leaves_out_those_that_are_missing(tmp_path):
    odd = [iteration(1), iteration(2) | {"loss": None}, iteration(3)]
    run = read_run(write_log(tmp_path / "run", odd))
    x, loss = run.series("train_iter", "iteration", "loss")
    assert (x.tolist(), loss.tolist()) == ([1, 3], [1, 1 / 3])
    assert len(run.series("val_epoch", "iteration", "top1_acc")) == 2
    assert (run.test, run.cfg, run.phases, run.chance) == (None, None, (), None)


def test_iterations_that_were_repeated_after_a_stop_count_once(tmp_path):
    first = [iteration(number) for number in range(1, 7)]
    again = [iteration(number) | {"loss": 9.0} for number in range(5, 9)]
    run = read_run(write_log(tmp_path / "resumed", first + again))
    assert run.series("train_iter", "iteration")[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert run.series("train_iter", "loss")[0].tolist()[3:] == [0.25, 9, 9, 9, 9]


def test_a_second_training_in_the_same_folder_takes_the_place_of_the_first(tmp_path):
    run = read_run(write_log(tmp_path / "twice", records() + [iteration(1), iteration(2)]))
    assert run.series("train_iter", "iteration")[0].tolist() == [1, 2]
    assert not run.of("val_epoch")


def test_the_last_test_counts(tmp_path):
    assert read_run(write_log(tmp_path / "tested", [TEST, TEST | {"top1_acc": 70.0}])).test["top1_acc"] == 70


@pytest.mark.parametrize("text", [None, "", "not json\n", '{"_type"'])
def test_a_folder_without_records_is_refused(text, tmp_path):
    if text is not None:
        (tmp_path / "json_stats.log").write_text(text)
    with pytest.raises(UserError, match=r"json_stats.log.*(give the OUTPUT_DIR|no records)"):
        read_run(tmp_path)


def test_a_config_that_cannot_be_loaded_is_a_fact_about_the_run(tmp_path):
    write_log(tmp_path, [iteration(1)])
    (tmp_path / "config.yaml").write_text("TRAIN: {BATCH_SIZE: many}\n")
    run = read_run(tmp_path)
    assert run.cfg is None
    assert "TRAIN.BATCH_SIZE" in run.problem


def test_phases_end_where_the_log_ends(tmp_path):
    cfg = config(tmp_path, SOLVER__MAX_EPOCH=8)
    complete = spans(read_run(write_log(tmp_path / "all", records(), cfg)))
    begun = spans(read_run(write_log(tmp_path / "half", records(epochs=3), cfg)))
    assert [span.start for span in complete][0] == 0
    assert complete[-1].end == 32
    assert all(one.end == pytest.approx(other.start) for one, other in zip(complete, complete[1:], strict=False))
    assert len(begun) < len(complete)
    assert begun[-1].end == 12
    assert {span.label for span in complete} == {"base shape: 4 frames of 45 px", "base shape: 8 frames of 64 px"}


def test_the_iterations_at_epochs_are_those_of_the_log(tmp_path):
    found = read_run(write_log(tmp_path / "run", records(epochs=3))).iteration_at([0, 1, 2.5, 3, 4])
    assert found[:4].tolist() == [0, 4, 10, 12]
    assert np.isnan(found[4])


def test_runs_of_one_recipe_with_other_seeds_and_folders_are_a_group(tmp_path):
    seeds = [write_log(tmp_path / f"fast_seed{i}", records(), config(tmp_path / f"{i}", RNG_SEED=i)) for i in (0, 1, 2)]
    slow = write_log(tmp_path / "slow", records(), config(tmp_path, MULTIGRID__LONG_CYCLE=False))
    unknown = write_log(tmp_path / "old", records())
    groups = group_runs([read_run(path) for path in (seeds[0], slow, *seeds[1:], unknown)])
    assert [(group.label, len(group.runs)) for group in groups] == [("fast", 3), ("slow", 1), ("old", 1)]


def test_groups_with_equal_names_are_called_by_their_folders(tmp_path):
    paths = [write_log(tmp_path / name / "run", records()) for name in ("a", "b")]
    assert [group.label for group in group_runs([read_run(path) for path in paths])] == ["a/run", "b/run"]
