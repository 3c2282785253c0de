"""Lists of video files with lines `path label`: Kinetics, and any data set in its format."""

import os

from slowfast.config.node import CfgNode
from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.folder import has_folders, list_folders
from slowfast.datasets.layouts import require
from slowfast.datasets.lists.class_names import (
    are_names,
    class_numbers,
    find_class_names,
    in_order,
    number_names,
    one_of_each,
)
from slowfast.datasets.lists.rows import Format, Labels, Row, are_labeled, is_number, read_rows, video_paths
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.targets import ClassNumbers, ClassSets, NoLabels
from slowfast.errors import UserError

LABELS = {  # (DATA.MULTI_LABEL, whether for testing)
    (False, False): Labels.ONE,
    (False, True): Labels.ONE_OR_NONE,
    (True, False): Labels.SET,
    (True, True): Labels.SET_OR_NONE,
}


@DATASET_REGISTRY.register()
class Kinetics(VideoDataset):
    """DATA.PATH_TO_DATA_DIR/{train,val,test}.csv; or, where there is no list, {train,val,test}/<class>/*.mp4.

    Labels are numbers or names. Names are numbered by the file of class names, if there is one (see
    `class_names.find_class_names`), else in the alphabetical order of those in train.csv.
    A list for testing may have paths alone (see `targets.NoLabels`).
    With DATA.MULTI_LABEL a label is a comma list of numbers, in quotes or not; `""` is a video without labels.
    """

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        data, data_dir, num_classes = cfg.DATA, cfg.DATA.PATH_TO_DATA_DIR, cfg.MODEL.NUM_CLASSES
        path, class_file = os.path.join(data_dir, f"{split}.csv"), cfg.TENSORBOARD.CLASS_NAMES_PATH
        if not os.path.isfile(path) and has_folders(data_dir, split):
            return list_folders(data_dir, split, num_classes, class_file)
        form = Format(data.PATH_LABEL_SEPARATOR, data.SKIP_ROWS, LABELS[data.MULTI_LABEL, split == "test"])
        rows = read_rows(require(path, data_dir), form)
        media = VideoFiles(video_paths(rows, data.PATH_PREFIX, data_dir))
        if not are_labeled(rows):
            return Listing(media, NoLabels(len(rows)))
        if data.MULTI_LABEL:
            return Listing(media, _class_sets(rows, num_classes))
        names = _names(data_dir, class_file, form) if are_names([row.label for row in rows]) else None
        numbers = ClassNumbers(class_numbers(rows, names, num_classes))
        return Listing(media, numbers, class_names=in_order(names) if names else None)


def _names(data_dir: str, class_file: str, form: Format) -> dict[str, int]:
    """Return the numbers of the class names of a list of this form."""
    names = find_class_names(data_dir, class_file)
    if names is None:
        rows = read_rows(require(os.path.join(data_dir, "train.csv"), data_dir), form)
        names = number_names(row.label for row in rows if not is_number(row.label))
    return names


def _class_sets(rows: list[Row], num_classes: int) -> ClassSets:
    sets = {row.label: _class_set(row, num_classes) for row in one_of_each(rows)}
    return ClassSets.of_videos([sets[row.label] for row in rows], num_classes)


def _class_set(row: Row, num_classes: int) -> list[int]:
    """Return the classes of a row whose label is like `3,17` or `"3,17"`."""
    text = row.label.strip('"').strip()
    words = [word.strip() for word in text.split(",")] if text else []
    if not all(map(is_number, words)):
        raise UserError(f"{row.where}: expected labels like 3,17 (DATA.MULTI_LABEL), not {row.label!r}")
    return class_numbers([row._replace(label=word) for word in words], None, num_classes)
