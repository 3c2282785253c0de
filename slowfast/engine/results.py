"""The files of a test: the published pickle of scores and labels, and a table with one line for each video.

Legend: N videos, K classes.
"""

import csv
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from slowfast.config.node import CfgNode
from slowfast.engine.scores import Scores, VideoScore
from slowfast.errors import UserError
from slowfast.utils.distributed import is_master

logger = logging.getLogger(__name__)

PREDICTIONS = "predictions.csv"
TABLE_SUFFIX = ".csv"
HIGHEST = 5  # classes of a video in the table


def results_path(cfg: CfgNode) -> Path | None:
    """Return the path of the pickle, or None. Raise UserError if it cannot be the path of a file."""
    name, path = cfg.TEST.SAVE_RESULTS_PATH, Path(cfg.OUTPUT_DIR) / cfg.TEST.SAVE_RESULTS_PATH
    if name and (path.is_dir() or path.suffix == TABLE_SUFFIX):
        problem = "is a folder" if path.is_dir() else f"ends in {TABLE_SUFFIX}, as the table beside it does"
        raise UserError(f"TEST.SAVE_RESULTS_PATH: {name!r} {problem}; name a file such as results.pkl")
    return path if name else None


def save_results(cfg: CfgNode, scores: Scores, dataset: Any, class_names: Sequence[str] = ()) -> None:
    """Write the pickle if TEST.SAVE_RESULTS_PATH is set, and the table beside it (rank 0 only).

    `class_names` are those of the scores, which may be more than the labels of the data set.
    The table of videos without labels is always written, to OUTPUT_DIR/predictions.csv unless there is a pickle.
    """
    path = results_path(cfg)
    if not is_master() or not (path or scores.num_unlabeled):
        return
    if path is not None:
        _write_pickle(path, scores)
    table = path.with_suffix(TABLE_SUFFIX) if path else Path(cfg.OUTPUT_DIR) / PREDICTIONS
    _write_table(table, scores, dataset, class_names)


def _write_pickle(path: Path, scores: Scores) -> None:
    """Write a pickle of [scores N x K, labels], in the published format. Rows are those of the list of videos."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump([scores.matrix, scores.labels], file)
    logger.info("saved the scores and labels of every video in %s", path)


def _write_table(path: Path, scores: Scores, dataset: Any, names: Sequence[str]) -> None:
    """Write one line for each video of the list. Bytes of a path that are not UTF-8 are written as they are."""
    path_of = getattr(dataset, "path_of", str)  # data sets of users may know numbers only
    classes = min(HIGHEST, scores.matrix.shape[1])
    columns = [f"top{k}{part}" for k in range(1, classes + 1) for part in ("", "_name", "_score")]
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "label_name", "error", *columns])
        writer.writerows([path_of(row.video), *_fields(row, classes, names)] for row in scores.rows)
    logger.info("saved the labels and predictions of %d videos in %s", len(scores.rows), path)


def _fields(row: VideoScore, classes: int, names: Sequence[str]) -> list:
    """Return the fields of a video after its path. Those of a video that could not be decoded end with its error."""
    labels = _label_numbers(row.label)
    fields = [",".join(map(str, labels)), "; ".join(_name(names, k) for k in labels), row.error.partition("\t")[2]]
    if row.scores is not None:
        values, numbers = row.scores.topk(classes)
        for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
            fields += [str(number), _name(names, number), f"{value:.6g}"]
    return fields


def _label_numbers(label: Tensor) -> list[int]:
    """Return the classes of a video: of a class number, which is -1 without a label, or of a 0/1 vector."""
    if label.ndim:
        return label.nonzero().flatten().tolist()
    return [int(label)] if label >= 0 else []


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else ""
