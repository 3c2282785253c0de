"""The files of a test video by video: a table of predictions, and the published pickle of scores and labels.

Legend: N videos, K classes.
"""

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
from slowfast.utils.result_files import PREDICTIONS, write_table

logger = logging.getLogger(__name__)

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
    """Write the table of predictions to OUTPUT_DIR (rank 0 only).

    If TEST.SAVE_RESULTS_PATH is set, write the pickle there and the table beside it, too.
    `class_names` are those of the scores, which may be more than the labels of the data set.
    """
    if not is_master():
        return
    path, tables = results_path(cfg), [Path(cfg.OUTPUT_DIR) / PREDICTIONS]
    if path is not None:
        _write_pickle(path, scores)
        tables.append(path.with_suffix(TABLE_SUFFIX))
    for table in dict.fromkeys(tables):
        _write_predictions(table, scores, dataset, class_names)


def _write_pickle(path: Path, scores: Scores) -> None:
    """Write a pickle of [scores N x K, labels], in the published format. Rows are those of the list of videos."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump([scores.matrix, scores.labels], file)
    logger.info("saved the scores and labels of every video in %s", path)


def _write_predictions(path: Path, scores: Scores, dataset: Any, names: Sequence[str]) -> None:
    """Write one line for each video of the list. That of a video that could not be decoded has an error instead."""
    path_of = getattr(dataset, "path_of", str)  # data sets of users may know numbers only
    highest = scores.matrix.topk(min(HIGHEST, scores.matrix.shape[1]))
    classes = highest.indices.shape[1]
    more = [f"top{k}{part}" for k in range(2, classes + 1) for part in ("", "_name", "_score")]
    header = ["path", "label", "label_name", "error", "prediction", "prediction_name", "score", *more]
    found = zip(scores.rows, highest.indices.tolist(), highest.values.tolist(), strict=True)
    rows = ([path_of(row.video), *_fields(row, numbers, values, names)] for row, numbers, values in found)
    write_table(path, header, rows)
    logger.info("saved the labels and predictions of %d videos in %s", len(scores.rows), path)


def _fields(row: VideoScore, classes: list[int], values: list[float], names: Sequence[str]) -> list:
    """Return the fields of a video after its path. Those of a video that could not be decoded end with its error."""
    labels = _label_numbers(row.label)
    fields = [",".join(map(str, labels)), "; ".join(_name(names, k) for k in labels), row.error.partition("\t")[2]]
    if row.scores is not None:
        for value, number in zip(values, classes, strict=True):
            fields += [str(number), _name(names, number), f"{value:.6g}"]
    return fields


def _label_numbers(label: Tensor) -> list[int]:
    """Return the classes of a video: of a class number, which is -1 without a label, or of a 0/1 vector."""
    if label.ndim:
        return label.nonzero().flatten().tolist()
    return [int(label)] if label >= 0 else []


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else ""
