import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from slowfast.utils.metrics import average_precision, mean_average_precision, topk_accuracies, topk_correct


def test_top_k_counts_labels_among_the_k_highest_scores():
    scores = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.3, 0.4, 0.2, 0.1]])
    assert topk_correct(scores, torch.tensor([3, 1, 3]), (1, 2)).tolist() == [1, 2]
    assert topk_accuracies(scores, torch.tensor([3, 1, 3]), (1, 2, 4)) == pytest.approx([100 / 3, 200 / 3, 100])


def test_top_5_of_three_classes_is_top_3():
    scores = torch.tensor([[0.1, 0.2, 0.3]])
    assert topk_accuracies(scores, torch.tensor([0])) == [0, 100]


@pytest.mark.parametrize("levels", [1, 2, 4, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_scikit_learns_with_ties_too(levels, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (40, 6))
    labels[0] = 1
    scores = rng.integers(0, levels, (40, 6)) / levels
    for k in range(6):
        expected = average_precision_score(labels[:, k], scores[:, k])
        assert average_precision(labels[:, k], scores[:, k]) == pytest.approx(expected, abs=1e-12)
    assert mean_average_precision(torch.tensor(scores), torch.tensor(labels)) == pytest.approx(
        average_precision_score(labels, scores, average="macro")
    )


def test_classes_without_a_positive_are_left_out_and_logged(caplog):
    labels, scores = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.1], [0.1, 0.9]])
    with caplog.at_level("INFO", "slowfast"):
        assert mean_average_precision(scores, labels) == 1.0
    assert "leaves out 1 of 2 classes" in caplog.text


def test_no_positive_at_all_is_an_error_and_so_are_scores_that_are_not_finite():
    with pytest.raises(ValueError, match="no class has a positive"):
        mean_average_precision(np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="not finite"):
        mean_average_precision(np.full((2, 2), np.nan), np.ones((2, 2)))
