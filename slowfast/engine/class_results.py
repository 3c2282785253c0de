"""The results of a test class by class: per_class.csv, and for one label a video the confusion matrix.

Legend: N videos, K classes.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from slowfast.engine.scores import Scores
from slowfast.utils.distributed import is_master
from slowfast.utils.metrics import average_precisions, confusion_matrix
from slowfast.utils.protocol import Protocol
from slowfast.utils.result_files import CONFUSED_PAIRS, CONFUSION, CONFUSION_PICTURE, PER_CLASS, write_table
from slowfast.visualization.confusion import Confusion, draw_confusion
from slowfast.visualization.style import has_matplotlib, save_figure

logger = logging.getLogger(__name__)

NAMED = 5  # classes and pairs of classes in the log


def save_class_results(output_dir: str | Path, scores: Scores, names: Sequence[str], protocol: Protocol) -> None:
    """Log the worst classes and write the tables and the picture (rank 0 only). Videos without labels give none.

    `names` are those of the scores, or empty.
    """
    if not is_master() or scores.num_unlabeled:
        return
    matrix, labels = scores.decoded
    save = save_precisions if labels.ndim == 2 else save_confusion
    save(Path(output_dir), matrix, labels, names, protocol)


def save_precisions(folder: Path, scores: Tensor, labels: Tensor, names: Sequence[str], protocol: Protocol) -> None:
    """Write the average precision of each class. That of a class without a positive video is empty."""
    precisions, videos = average_precisions(scores, labels), labels.sum(0).long().tolist()
    named = names_or_numbers(names, len(videos))
    rows = [
        (k, named[k], videos[k], "" if np.isnan(value) else f"{100 * value:.2f}", protocol)
        for k, value in enumerate(precisions)
    ]
    write_table(folder / PER_CLASS, ("class", "name", "videos", "average_precision", "protocol"), rows)
    worst = [k for k in np.argsort(precisions, kind="stable")[:NAMED] if videos[k]]
    texts = [f"{named[k]} {100 * precisions[k]:.2f} % ({videos[k]} videos)" for k in worst]
    logger.info("lowest average precision (%s): %s", protocol, "; ".join(texts))
    logger.info("saved the average precision of every class in %s", folder / PER_CLASS)


def save_confusion(folder: Path, scores: Tensor, labels: Tensor, names: Sequence[str], protocol: Protocol) -> None:
    """Write the accuracy of each class, and the confusion matrix: as a table, as a list of pairs and as a picture."""
    counts = confusion_matrix(scores, labels).numpy()
    confusion = Confusion(counts, names_or_numbers(names, len(counts)), str(protocol))
    save_accuracies(folder / PER_CLASS, confusion)
    header = ("label", "label_name", *map(str, range(len(counts))), "protocol")
    rows = zip(range(len(counts)), confusion.names, counts.tolist(), strict=True)
    write_table(folder / CONFUSION, header, ((k, name, *row, protocol) for k, name, row in rows))
    save_pairs(folder / CONFUSED_PAIRS, confusion)
    if has_matplotlib():
        save_figure(draw_confusion(confusion), folder / CONFUSION_PICTURE)
    written = f", {CONFUSION} and {CONFUSION_PICTURE}" if has_matplotlib() else f" and {CONFUSION} (no matplotlib)"
    logger.info("saved the results of every class in %s: %s, %s%s", folder, PER_CLASS, CONFUSED_PAIRS, written)


def save_accuracies(path: Path, confusion: Confusion) -> None:
    """Write the accuracy of each class, and log the worst. That of a class without videos is empty."""
    counts, names, accuracies = confusion.counts, confusion.names, confusion.accuracies
    videos, correct = counts.sum(1), counts.diagonal()
    rows = [
        (k, names[k], videos[k], correct[k], f"{accuracies[k]:.2f}" if videos[k] else "", confusion.protocol)
        for k in range(len(counts))
    ]
    write_table(path, ("class", "name", "videos", "correct", "top1_acc", "protocol"), rows)
    worst = [k for k in np.argsort(accuracies, kind="stable")[:NAMED] if correct[k] < videos[k]]
    if texts := [f"{names[k]} {accuracies[k]:.2f} % ({correct[k]} of {videos[k]})" for k in worst]:
        logger.info("worst classes (%s): %s", confusion.protocol, "; ".join(texts))


def save_pairs(path: Path, confusion: Confusion) -> None:
    """Write the pairs of classes that were confused, the most frequent first, and log the first ones."""
    counts, names, pairs = confusion.counts, confusion.names, confusion.pairs()
    videos = counts.sum(1)
    rows = [
        (label, names[label], taken_for, names[taken_for], count, f"{100 * count / videos[label]:.2f}")
        for label, taken_for, count in pairs
    ]
    header = ("label", "label_name", "prediction", "prediction_name", "videos", "percent_of_label", "protocol")
    write_table(path, header, ((*row, confusion.protocol) for row in rows))
    if texts := [f"{row[1]} taken for {row[3]} ({row[4]} of {videos[row[0]]})" for row in rows[:NAMED]]:
        logger.info("most confused (%s): %s", confusion.protocol, "; ".join(texts))


def names_or_numbers(names: Sequence[str], count: int) -> list[str]:
    """Return `count` names, with the number of a class in place of a name that is not known."""
    return [names[k] if k < len(names) and names[k] else str(k) for k in range(count)]
