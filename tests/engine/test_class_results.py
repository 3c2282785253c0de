"""The results of a test class by class: values computed by hand, files, log lines and the picture."""

import numpy as np
import pytest
import torch

from slowfast.engine.class_results import save_class_results
from slowfast.engine.scores import Scores, VideoScore
from slowfast.engine.test_net import run_test
from slowfast.utils.metrics import average_precisions, confusion_matrix
from slowfast.utils.protocol import Protocol
from slowfast.utils.result_files import read_table
from slowfast.visualization.confusion import Confusion, draw_confusion, read_confusion
from tests.engine.tiny import SYNTHETIC, json_stats, tiny_cfg

PROTOCOL = Protocol(2, 3, 32, 32, 8, 2, "sum", videos=5, failed=1)
PROTOCOL_TEXT = (
    "5 videos (1 failed) on 2 clips x 3 crops of 32 px, 8 frames x stride 2, short side 32 px, combined by sum"
)
NAMES = ["jump", "run, fast", "走", ""]


def scores_of(predictions, labels):
    """Scores of four classes with these highest classes; a prediction of None is a video that failed."""
    rows = [
        VideoScore(video, None if k is None else torch.eye(4)[k], torch.tensor(label), "" if k is not None else "p\te")
        for video, (k, label) in enumerate(zip(predictions, labels, strict=True))
    ]
    return Scores(rows)


@pytest.fixture
def saved(tmp_path, caplog):
    scores = scores_of([1, 0, 1, None, 1, 1], [1, 0, 0, 0, 2, 0])
    with caplog.at_level("INFO", "slowfast"):
        save_class_results(tmp_path, scores, NAMES, PROTOCOL)
    return tmp_path


def test_the_accuracy_of_each_class_is_over_the_videos_that_could_be_decoded(saved):
    rows = read_table(saved / "per_class.csv")
    values = [(row["class"], row["name"], row["videos"], row["correct"], row["top1_acc"]) for row in rows]
    assert values == [
        ("0", "jump", "3", "1", "33.33"),
        ("1", "run, fast", "1", "1", "100.00"),
        ("2", "走", "1", "0", "0.00"),
        ("3", "3", "0", "0", ""),
    ]
    assert {row["protocol"] for row in rows} == {PROTOCOL_TEXT}


def test_the_confusion_matrix_is_written_as_a_table_a_list_and_a_picture(saved):
    rows = read_table(saved / "confusion.csv")
    counts = [[int(row[str(k)]) for k in range(4)] for row in rows]
    assert counts == [[1, 2, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    pairs = read_table(saved / "confused_pairs.csv")
    columns = ("label_name", "prediction_name", "videos", "percent_of_label", "protocol")
    assert [tuple(pair[column] for column in columns) for pair in pairs] == [
        ("jump", "run, fast", "2", "66.67", PROTOCOL_TEXT),
        ("走", "run, fast", "1", "100.00", PROTOCOL_TEXT),
    ]
    assert (saved / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_the_log_names_the_worst_classes_and_pairs_with_the_protocol(saved, caplog):
    text = "\n".join(record.getMessage() for record in caplog.get_records("setup"))
    assert f"worst classes ({PROTOCOL_TEXT}): 走 0.00 % (0 of 1); jump 33.33 % (1 of 3)" in text
    assert f"most confused ({PROTOCOL_TEXT}): jump taken for run, fast (2 of 3)" in text


def test_without_matplotlib_only_the_picture_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("slowfast.engine.class_results.has_matplotlib", lambda: False)
    save_class_results(tmp_path, scores_of([1, 0], [1, 1]), [], PROTOCOL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confused_pairs.csv", "confusion.csv", "per_class.csv"]


def test_sets_of_labels_give_the_average_precision_of_each_class_and_no_confusion(tmp_path, caplog):
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0]])
    labels = torch.tensor([[1.0, 1, 0], [0, 0, 0], [1, 0, 0]])
    rows = [VideoScore(video, *row) for video, row in enumerate(zip(scores, labels, strict=True))]
    with caplog.at_level("INFO", "slowfast"):
        save_class_results(tmp_path, Scores(rows), ["a", "b", "c"], PROTOCOL)
    table = read_table(tmp_path / "per_class.csv")
    # Class a: positives at ranks 1 and 3, (1/1 + 2/3) / 2; class b: one at rank 3.
    values = [(row["name"], row["videos"], row["average_precision"]) for row in table]
    assert values == [("a", "2", "83.33"), ("b", "1", "33.33"), ("c", "0", "")]
    assert f"lowest average precision ({PROTOCOL_TEXT}): b 33.33 % (1 videos); a 83.33 % (2 videos)" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["per_class.csv"]


def test_videos_without_labels_have_no_results_by_class(tmp_path):
    save_class_results(tmp_path, scores_of([1, 0], [-1, -1]), [], PROTOCOL)
    assert not list(tmp_path.iterdir())


def test_metrics_by_class_take_any_number_of_classes():
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2]])
    assert confusion_matrix(scores, torch.tensor([3, 0])).tolist() == [[1, 0, 0, 0], *[[0] * 4] * 2, [0, 1, 0, 0]]
    assert np.isnan(average_precisions([[0.1], [0.2]], [[0], [0]])).all()


def test_a_matrix_comes_back_from_its_table(saved):
    confusion = read_confusion(saved)
    assert confusion.counts.tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert (confusion.names, confusion.protocol) == (["jump", "run, fast", "走", "3"], PROTOCOL_TEXT)
    assert read_confusion(saved / "nothing") is None


def test_the_picture_shows_the_classes_that_occur_with_their_names_and_counts(saved):
    figure = draw_confusion(read_confusion(saved))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["jump", "run, fast", "走"]
    assert np.asarray(axes.images[0].get_array()).round(1).tolist() == [[33.3, 66.7, 0], [0, 100, 0], [0, 100, 0]]
    assert [text.get_text() for text in axes.texts] == ["1", "2", "1", "1"]
    assert PROTOCOL_TEXT in " ".join(figure.get_suptitle().split())


def test_the_picture_of_many_classes_lists_the_most_confused_pairs():
    counts = 50 * np.eye(400, dtype=int)
    counts[7, 9], counts[300, 1] = 30, 20
    figure = draw_confusion(Confusion(counts, [f"${k}$" for k in range(400)], "protocol"))
    listed = figure.axes[1].texts[1].get_text().splitlines()
    assert listed == ["30 of 80   $7$ → $9$", "20 of 70   $300$ → $1$"]


def test_a_test_writes_its_results_by_class(tmp_path):
    figures = run_test(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TEST__RANDOM_WEIGHTS=True))
    rows = read_table(tmp_path / "per_class.csv")
    assert [int(row["videos"]) for row in rows] == [3, 2, 2]
    assert sum(int(row["correct"]) for row in rows) == round(figures["top1_acc"] * 7 / 100)
    assert read_confusion(tmp_path).accuracy == pytest.approx(figures["top1_acc"])
    start = next(line for line in json_stats(tmp_path, "start"))
    assert (start["test_videos"], start["torch"]) == (7, torch.__version__)
