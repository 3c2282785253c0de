"""Accuracy: top-k and mean average precision.

Legend: N clips or videos, K classes.
"""

import logging

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from slowfast.errors import UserError

logger = logging.getLogger(__name__)


def topk_correct(scores: Tensor, labels: Tensor, ks: tuple[int, ...] = (1, 5)) -> Tensor:
    """Return for each k how many of N x K `scores` have their label among the k highest, on the device."""
    highest = highest_classes(scores, max(ks))
    hits = highest.eq(labels.view(-1, 1))  # (N, K')
    return torch.stack([hits[:, :k].sum() for k in ks])


def highest_classes(scores: Tensor, count: int) -> Tensor:
    """Return the classes of the `count` highest scores of each row, the highest first: N x min(count, K)."""
    return scores.topk(min(count, scores.shape[1]), dim=1).indices


def topks_correct(preds: Tensor, labels: Tensor, ks: tuple[int, ...]) -> list[Tensor]:
    """Return the rows of `topk_correct` in a list, as published."""
    return list(topk_correct(preds, labels, ks).float())


def topk_accuracies(preds: Tensor, labels: Tensor, ks: tuple[int, ...] = (1, 5)) -> list[Tensor]:
    """Return the top-k accuracies in percent."""
    return [100.0 * count / len(labels) for count in topks_correct(preds, labels, ks)]


def topk_errors(preds: Tensor, labels: Tensor, ks: tuple[int, ...] = (1, 5)) -> list[Tensor]:
    """Return the top-k errors in percent."""
    return [100.0 - accuracy for accuracy in topk_accuracies(preds, labels, ks)]


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the average precision of one class: the mean over positives of the precision at their rank.

    Videos of equal score get the same rank, as in scikit-learn's average_precision_score. At least one video must be
    positive.
    """
    order = np.argsort(-scores, kind="stable")
    labels, scores = np.asarray(labels, np.float64)[order], scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(labels)[last_of_ties]
    precision = hits / (last_of_ties + 1)
    recall_steps = np.diff(hits, prepend=0.0) / hits[-1]
    return float((precision * recall_steps).sum())


def average_precisions(scores: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return the average precision of each class, in [0, 1]; NaN for a class without a positive video.

    Both arrays are N x K, labels are 0 or 1.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if not np.isfinite(scores).all():
        raise UserError("scores that are not finite have no average precision: the model gives NaN or infinity")
    has_positive = labels.sum(0) > 0
    classes = range(labels.shape[1])
    return np.array([average_precision(labels[:, k], scores[:, k]) if has_positive[k] else np.nan for k in classes])


def mean_average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean over classes of the average precision, in [0, 1]. Both arrays are N x K, labels are 0 or 1.

    Classes without a positive video are left out, and logged.
    """
    values = average_precisions(scores, labels)
    present = values[~np.isnan(values)]
    if len(present) < len(values):
        missing = len(values) - len(present)
        logger.info("mAP leaves out %d of %d classes, which have no positive", missing, len(values))
    if not len(present):
        raise UserError("no class has a positive video, so there is no average precision: check the labels of the list")
    return float(np.mean(present))


def confusion_matrix(scores: Tensor, labels: Tensor) -> Tensor:
    """Return how many videos of each label (row) have their highest score in each class (column), K x K."""
    classes = max(scores.shape[1], int(labels.max()) + 1 if len(labels) else 0)
    predicted = highest_classes(scores, 1).flatten()
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
