"""The numbers and the words in figures."""

from itertools import pairwise

import pytest

from slowfast.utils.result_files import PER_CLASS, write_table
from slowfast.visualization.accuracy import draw_runs
from slowfast.visualization.figures import comparison_figures, missing, run_figures
from slowfast.visualization.logs import Group, group_runs, read_run
from slowfast.visualization.loss import draw_loss
from slowfast.visualization.per_class import draw_class_results, read_class_results
from slowfast.visualization.shapes import draw_shapes
from slowfast.visualization.style import COLORS, FONT_PT, number_text, save_figure, shorten, spread_ticks
from slowfast.visualization.time_split import draw_time_split, time_splits
from tests.visualization.logs import TEST, config, end_of_epoch, iteration, records, write_log


def words(figure):
    """All words of a figure's legends."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def a_run(folder, found=None, **changes):
    return read_run(write_log(folder, records() if found is None else found, config(folder, **changes)))


def test_the_accuracy_of_one_run_is_drawn_over_time_iterations_and_epochs(tmp_path):
    groups = group_runs([a_run(tmp_path / "fast")])
    for field, values in {"seconds": [16, 32, 48, 64], "iteration": [8, 16, 24, 32], "position": [2, 4, 6, 8]}.items():
        axes = draw_runs(groups, field).axes[0]
        curve = axes.lines[0]
        assert (curve.get_xdata().tolist(), curve.get_ydata().tolist()) == (values, [20, 40, 60, 80])
        assert curve.get_color() == COLORS[0]
    assert axes.get_ylabel() == "validation top-1 accuracy (%)"
    assert words(axes.figure) == ["fast", "fast: test 62.5 %", "chance: 33.3 %"]


def test_seeds_become_a_mean_and_a_band(tmp_path):
    runs = [
        a_run(tmp_path / f"s{i}", records(accuracy=a, seconds_each=s), RNG_SEED=i)
        for i, (a, s) in enumerate([(8, 1.0), (10, 3.0)])
    ]
    figure = draw_runs(group_runs(runs), "seconds")
    mean, band = figure.axes[0].lines[0], figure.axes[0].collections[0]
    assert mean.get_xdata().tolist() == [16, 32, 48, 64]
    assert mean.get_ydata().tolist() == [18, 36, 54, 72]
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(72 + 8 * 2**0.5)  # of 64 and 80: the deviation of a sample
    assert words(figure)[0].endswith("mean and standard deviation of 2 runs")
    assert "test 62.5 ± 0.0 %" in words(figure)[1]


def test_a_seed_that_is_not_finished_counts_as_far_as_it_goes(tmp_path):
    runs = [a_run(tmp_path / f"s{i}", records(epochs, 10.0), RNG_SEED=i) for i, epochs in enumerate([8, 4])]
    curve = draw_runs(group_runs(runs), "iteration").axes[0].lines[0]
    assert curve.get_xdata().tolist() == [8, 16, 24, 32]


def test_recipes_have_colors_and_markers_of_their_own_and_share_one_line_at_chance(tmp_path):
    groups = group_runs([a_run(tmp_path / "fast"), a_run(tmp_path / "slow", MULTIGRID__LONG_CYCLE=False)])
    lines = [line for line in draw_runs(groups, "iteration").axes[0].lines if len(line.get_xdata()) == 4]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 2
    other = group_runs([groups[0].runs[0], a_run(tmp_path / "many", MODEL__NUM_CLASSES=400)])
    assert not [word for word in words(draw_runs(other, "iteration")) if "chance" in word]


def test_mean_average_precision_is_drawn_in_percent(tmp_path):
    found = [iteration(1), end_of_epoch("val_epoch", 1, map=0.25), TEST | {"map": 0.5, "top1_acc": None}]
    changes = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"}
    figure = draw_runs(group_runs([a_run(tmp_path / "sets", found, **changes)]), "iteration")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [25]
    assert figure.axes[0].get_ylabel() == "validation mean average precision (%)"
    assert words(figure) == ["sets", "sets: test 50.0 %"]


def test_long_times_are_in_hours(tmp_path):
    figure = draw_runs(group_runs([a_run(tmp_path / "long", records(seconds_each=900.0))]), "seconds")
    assert figure.axes[0].lines[0].get_xdata().tolist() == [2, 4, 6, 8]
    assert figure.axes[0].get_xlabel() == "wall-clock of training (hours)"


def test_the_loss_and_the_rate_have_the_phases_behind_them(tmp_path):
    figure = draw_loss(a_run(tmp_path, SOLVER__MAX_EPOCH=8))
    above, below = figure.axes
    assert above.lines[0].get_ydata().tolist()[:3] == [1, 1 / 2, 1 / 3]
    assert above.lines[1].get_xdata().tolist() == list(range(4, 33, 4))
    assert set(below.lines[0].get_ydata()) == {0.1}
    assert (
        len(above.patches) == len(below.patches) == 6
    )  # two shapes in each of two stages, and fine-tuning at two rates
    assert words(figure)[:2] == ["base shape: 4 frames of 45 px", "base shape: 8 frames of 64 px"]


def test_the_shapes_are_those_of_the_log_beside_those_without_multigrid(tmp_path):
    figure = draw_shapes(a_run(tmp_path, SOLVER__MAX_EPOCH=8))
    assert [axes.lines[1].get_ydata().tolist()[:3] for axes in figure.axes] == [[8, 4, 2], [8] * 3, [64] * 3]
    assert [axes.lines[0].get_ydata()[0] for axes in figure.axes] == [2, 8, 64]
    assert [axes.patches[0].get_data().values.tolist()[:3] for axes in figure.axes] == [
        [8, 2, 8],
        [4, 8, 4],
        [45, 64, 45],
    ]
    assert {*words(figure)} == {"base shape of the phase", "logged iteration", "the recipe without multigrid"}


def test_the_time_of_an_iteration_is_split_for_each_phase(tmp_path):
    run = a_run(tmp_path, SOLVER__MAX_EPOCH=8)
    splits = time_splits(run)
    assert len(splits) == 6
    assert splits[0].label == "1: 8 x 4 x 45 px"
    parts = {"waiting for data": 500, "transfer to the device": 100, "forward and backward": 1000, "optimizer": 200}
    assert splits[0].parts == pytest.approx(parts | {"everything else": 200})
    bars = draw_time_split(run).axes[0].containers
    assert [bar.get_label() for bar in bars] == [*parts, "everything else"]
    assert bars[2].patches[0].get_x() == pytest.approx(600)


def test_the_first_iteration_is_left_out_of_the_times_and_old_logs_have_fewer_parts(tmp_path):
    old = [{key: value for key, value in iteration(number).items() if key[3:] != "optimizer"} for number in (2, 3)]
    (split,) = time_splits(read_run(write_log(tmp_path, [iteration(1) | {"dt": 99.0}, *old])))
    assert split.parts["everything else"] == pytest.approx(400)
    assert "optimizer" not in split.parts


def write_classes(folder, accuracies, protocol="protocol"):
    rows = [(k, f"class {k}", 4, 1, f"{value:.2f}", protocol) for k, value in enumerate(accuracies)]
    write_table(folder / PER_CLASS, ("class", "name", "videos", "correct", "top1_acc", "protocol"), rows)
    return read_class_results(folder)


def test_few_classes_are_bars_with_names_and_of_many_the_worst_have_names(tmp_path):
    few = draw_class_results(write_classes(tmp_path, [50, 75])).axes[0]
    assert [bar.get_width() for bar in few.patches] == [75, 50]
    assert [label.get_text() for label in few.get_yticklabels()] == ["class 1 (4)", "class 0 (4)"]
    many = draw_class_results(write_classes(tmp_path, range(100)))
    assert [label.get_text() for label in many.axes[1].get_yticklabels()] == [
        f"class {k} (4)" for k in range(14, -1, -1)
    ]


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_names_of_classes_do_not_overlap_below_a_long_protocol(tmp_path, count):
    figure = draw_class_results(write_classes(tmp_path, range(count), "12 videos on 3 clips " * 10))
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))


def test_a_run_without_a_part_has_no_figure_of_it_and_the_reason_is_known(tmp_path):
    tested = read_run(write_log(tmp_path / "tested", [TEST]))
    assert run_figures(tested) == {}
    assert comparison_figures([Group("tested", (tested,))]) == {}
    reasons = " ".join(missing(tested))
    for part in ("no config.yaml", "no training", "results by class: test it again"):
        assert part in reasons
    old = [{k: v for k, v in r.items() if k not in ("seconds", "dt_optimizer")} for r in records(test=False)]
    reasons = " ".join(missing(read_run(write_log(tmp_path / "old", old))))
    for part in ("without `seconds`", "without the times", "no test in its log"):
        assert part in reasons
    assert "accuracy_wall_clock" not in comparison_figures(group_runs([read_run(tmp_path / "old")]))
    assert missing(a_run(tmp_path / "new", records(test=False))) == ["there is no test in its log"]


def test_no_text_is_smaller_than_in_print_and_files_are_the_same_each_time(tmp_path):
    run = a_run(tmp_path / "run", SOLVER__MAX_EPOCH=8)
    figures = comparison_figures(group_runs([run])) | run_figures(run)
    assert set(figures) == {"accuracy_wall_clock", "accuracy_iterations", "accuracy_epochs"} | {
        *("loss", "batch_shape", "time_split")
    }
    for figure in figures.values():
        texts = [text for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")) if text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= FONT_PT
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    save_figure(draw_loss(run), first)
    save_figure(draw_loss(run), second)
    assert first.read_bytes() == second.read_bytes()


def test_numbers_and_names_are_short():
    assert [number_text(x) for x in (64, 0.8, 0.00025, 1024, 50_000, 1.5e6, 0)] == [
        *("64", "0.8", "0.00025", "1024", "50k", "1.5M", "0")
    ]
    assert shorten("playing the\nguitar badly", 12) == "playin…badly"
    assert spread_ticks([4.0, 8.0, 8.5, 16.0]) == [4, 8.5, 16]
