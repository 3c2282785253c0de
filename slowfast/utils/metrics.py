"""Accuracy: top-k and mean average precision.

Legend: N clips or videos, K classes.
"""

import logging

import numpy as np
import torch
from torch import Tensor

from slowfast.errors import UserError

logger = logging.getLogger(__name__)


def topk_correct(scores: Tensor, labels: Tensor, ks: tuple[int, ...] = (1, 5)) -> Tensor:
    """How many of N x K `scores` have their label among the k highest (k at most K), for each k; on the device."""
    highest = scores.topk(min(max(ks), scores.shape[1]), dim=1).indices
    hits = highest.eq(labels.view(-1, 1))  # (N, K')
    return torch.stack([hits[:, :k].sum() for k in ks])


def topk_accuracies(scores: Tensor, labels: Tensor, ks: tuple[int, ...] = (1, 5)) -> list[float]:
    """Top-k accuracies in percent."""
    return [100.0 * count / len(labels) for count in topk_correct(scores, labels, ks).tolist()]


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """The area under the precision-recall steps of one class: the mean over positives of the precision at their rank.

    Videos of equal score enter together, as scikit-learn's average_precision_score does it. Needs a positive.
    """
    order = np.argsort(-scores, kind="stable")
    labels, scores = np.asarray(labels, np.float64)[order], scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(labels)[last_of_ties]
    precision = hits / (last_of_ties + 1)
    recall_steps = np.diff(hits, prepend=0.0) / hits[-1]
    return float((precision * recall_steps).sum())


def mean_average_precision(scores, labels) -> float:
    """The mean over classes of the average precision over videos, in [0, 1]; both N x K, labels 0 or 1.

    Classes with no positive are left out, and said.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if not np.isfinite(scores).all():
        raise UserError("scores that are not finite have no average precision: the model gives NaN or infinity")
    present = np.flatnonzero(labels.sum(0) > 0)
    if len(present) < labels.shape[1]:
        missing = labels.shape[1] - len(present)
        logger.info("mAP leaves out %d of %d classes, which have no positive", missing, labels.shape[1])
    if not len(present):
        raise UserError(
            "no class has a positive video, so there is no average precision: look at the labels of the list"
        )
    return float(np.mean([average_precision(labels[:, k], scores[:, k]) for k in present]))
