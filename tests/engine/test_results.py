"""The results of a test: the published pickle, and a table with the path, label and names of each video."""

import csv
import os
import pickle

import pytest
import torch

from slowfast.datasets.pathways import flatten_views
from slowfast.engine.results import save_results
from slowfast.engine.scores import Scores, VideoScore, score_batch
from slowfast.engine.test_net import run_test
from slowfast.errors import UserError
from tests.engine.tiny import SYNTHETIC, Synthetic, json_stats, tiny_cfg

PATHS = ["a,b\tc.mp4", "line\nbreak.mp4", os.fsdecode(b"caf\xe9.mp4")]


NAMES = ["jump", "run fast", "走"]


class Named:
    """The paths of a data set."""

    def path_of(self, video):
        return PATHS[video]


def rows_of(path):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def a_score(video, label, values=(0.1, 0.7, 0.2), error=""):
    return VideoScore(video, None if error else torch.tensor(values), torch.as_tensor(label), error)


def test_scores_come_back_in_the_order_of_the_videos_each_once():
    scores = Scores.gather([a_score(2, 1), a_score(0, 0, (1.0, 0.0, 0.0)), a_score(2, 1), a_score(1, 2, error="p\te")])
    assert [row.video for row in scores.rows] == [0, 1, 2]
    assert scores.labels.tolist() == [0, 2, 1]
    assert scores.matrix.isnan().all(1).tolist() == [False, True, False]
    assert scores.accuracy() == {"top1_acc": 100.0, "top5_acc": 100.0}  # of the two that were decoded


@pytest.mark.parametrize("rows", [[], [a_score(0, 1, error="a\tcut off")]])
def test_nothing_to_evaluate_is_an_error(rows):
    with pytest.raises(UserError, match="no video to evaluate"):
        Scores.gather(rows).accuracy()


def test_only_the_clips_that_could_be_decoded_are_scored():
    clips = torch.arange(3.0)[:, None]
    batch = {"clip": clips, "label": torch.tensor([5, 6, 7]), "video": [3, 4, 5], "bad": ["", "a\tcut off", ""]}
    first, second, third = score_batch(lambda clips: 10 * clips, batch)
    assert (first.scores.item(), second.scores, third.scores.item()) == (0, None, 20)
    assert (second.video, second.label, second.error) == (4, 6, "a\tcut off")


def test_a_batch_without_errors_is_scored_where_it_is_so_that_it_stays_in_pinned_memory():
    batch = {"clip": torch.zeros(2, 6, 1), "label": torch.zeros(2), "video": [0, 1], "bad": ["", ""]}
    places = []
    score_batch(lambda clips: places.append(flatten_views(clips)[0].data_ptr()) or clips[:, 0], batch)
    assert places == [batch["clip"].data_ptr()]


def test_a_video_that_was_left_out_keeps_its_row_in_both_files(tmp_path):
    scores = Scores([a_score(0, 1), a_score(1, 0, error="line\\nbreak.mp4\tcut off"), a_score(2, 2, (0.5, 0.1, 0.4))])
    save_results(tiny_cfg(tmp_path, tmp_path, TEST__SAVE_RESULTS_PATH="r/results.pkl"), scores, Named(), NAMES)
    with open(tmp_path / "r" / "results.pkl", "rb") as file:
        matrix, labels = pickle.load(file)
    assert matrix.shape == (3, 3)
    assert matrix[1].isnan().all()
    assert labels.tolist() == [1, 0, 2]
    rows = rows_of(tmp_path / "r" / "results.csv")
    assert [row["path"] for row in rows] == PATHS
    assert [(row["label"], row["label_name"]) for row in rows] == [("1", "run fast"), ("0", "jump"), ("2", "走")]
    assert [row["prediction_name"] for row in rows] == ["run fast", None, "jump"]
    assert rows_of(tmp_path / "predictions.csv") == rows
    assert [row["error"] for row in rows] == ["", "cut off", ""]
    assert (rows[2]["top2"], rows[2]["top2_score"], rows[2]["top3_name"]) == ("2", "0.4", "run fast")


def test_sets_of_labels_are_listed_with_their_names(tmp_path):
    scores = Scores([a_score(0, [1.0, 0.0, 1.0]), a_score(1, [0.0, 0.0, 0.0])])
    save_results(tiny_cfg(tmp_path, tmp_path, TEST__SAVE_RESULTS_PATH="results.pkl"), scores, Named(), NAMES)
    rows = rows_of(tmp_path / "results.csv")
    assert [(row["label"], row["label_name"]) for row in rows] == [("0,2", "jump; 走"), ("", "")]


class Unlabeled(Synthetic):
    """Videos without labels."""

    def __getitem__(self, index):
        return super().__getitem__(index) | {"label": torch.tensor(-1)}


def test_videos_without_labels_give_predictions_only(tmp_path, monkeypatch):
    monkeypatch.setattr(Synthetic, "from_cfg", lambda cfg, split: Unlabeled(split, 8, 32))
    assert run_test(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TEST__RANDOM_WEIGHTS=True)) == {}
    line = json_stats(tmp_path, None)[-1]
    assert "top1_acc" not in line
    assert line["videos"] == 7
    rows = rows_of(tmp_path / "predictions.csv")
    assert [row["path"] for row in rows] == [str(video) for video in range(7)]
    assert all(row["label"] == "" and row["prediction"] in "012" for row in rows)
    assert "predictions only, since 7 videos have no label" in (tmp_path / "stdout.log").read_text()


def test_a_test_writes_the_path_label_prediction_and_score_of_every_video(tmp_path):
    run_test(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TEST__RANDOM_WEIGHTS=True, TEST__SAVE_RESULTS_PATH="r.pkl"))
    matrix, labels = pickle.loads((tmp_path / "r.pkl").read_bytes())
    rows = rows_of(tmp_path / "predictions.csv")
    assert [row["path"] for row in rows] == [str(video) for video in range(7)]
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert [int(row["prediction"]) for row in rows] == matrix.argmax(1).tolist()
    assert [float(row["score"]) for row in rows] == pytest.approx(matrix.max(1).values.tolist(), rel=1e-5)
    assert not {"top1", "top4"}.intersection(rows[0])  # there are three classes


@pytest.mark.parametrize(("name", "problem"), [("results.csv", "ends in .csv"), ("sub", "is a folder")])
def test_a_path_of_the_results_that_is_not_a_file_is_refused_first(name, problem, tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(UserError, match=f"TEST.SAVE_RESULTS_PATH: '{name}' {problem}.* such as results.pkl"):
        run_test(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TEST__RANDOM_WEIGHTS=True, TEST__SAVE_RESULTS_PATH=name))
