"""Lists of video files, `path label` a line: Kinetics, and any data set in its format."""

import os

from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.folder import list_folders
from slowfast.datasets.lists import (
    Row,
    are_names,
    class_numbers,
    find_class_names,
    number_names,
    read_lines,
    read_rows,
    require,
    start_folder,
)
from slowfast.datasets.targets import ClassNumbers, ClassSets


@DATASET_REGISTRY.register()
class Kinetics(VideoDataset):
    """DATA.PATH_TO_DATA_DIR/{train,val,test}.csv; or, where there is no list, {train,val,test}/<class>/*.mp4.

    Labels are numbers or names. Names are numbered by the file of class names, if there is one (see
    `lists.find_class_names`), else in the alphabetical order of those in train.csv.
    With DATA.MULTI_LABEL a label is a comma list of numbers.
    """

    @classmethod
    def parse(cls, cfg, split: str) -> Listing:
        data, data_dir = cfg.DATA, cfg.DATA.PATH_TO_DATA_DIR
        path = os.path.join(data_dir, f"{split}.csv")
        if not os.path.isfile(path) and os.path.isdir(os.path.join(data_dir, split)):
            return list_folders(cfg, split)
        require(path, data_dir)
        if data.MULTI_LABEL:
            lines = read_lines(path, data.SKIP_ROWS)
            rows = [_split_sets(line, data.PATH_LABEL_SEPARATOR, where) for line, where in lines]
            targets = _class_sets(rows, cfg.MODEL.NUM_CLASSES)
        else:
            rows = read_rows(path, data.PATH_LABEL_SEPARATOR, data.SKIP_ROWS)
            targets = ClassNumbers(class_numbers(rows, _names(cfg, rows), cfg.MODEL.NUM_CLASSES))
        start = start_folder(data.PATH_PREFIX, data_dir, rows[0].path)
        return Listing.of_files(cfg, [os.path.join(start, row.path) for row in rows], targets)


def _names(cfg, rows: list[Row]) -> dict[str, int] | None:
    """The numbers of the names that the rows have for classes; None where they have numbers."""
    if not are_names([row.label for row in rows]):
        return None
    data = cfg.DATA
    names = find_class_names(data.PATH_TO_DATA_DIR, cfg.TENSORBOARD.CLASS_NAMES_PATH)
    if names is None:
        train = require(os.path.join(data.PATH_TO_DATA_DIR, "train.csv"), data.PATH_TO_DATA_DIR)
        names = number_names(row.label for row in read_rows(train, data.PATH_LABEL_SEPARATOR, data.SKIP_ROWS))
    return names


def _split_sets(line: str, separator: str, where: str) -> Row:
    path, _, labels = (part.strip() for part in line.partition(separator))
    if not path or not all(word.strip().isdecimal() for word in labels.strip('"').split(",")):
        raise ValueError(f"{where}: expected 'path 3,17' (DATA.MULTI_LABEL), not {line!r}")
    return Row(path, labels.strip('"'), where)


def _class_sets(rows: list[Row], num_classes: int) -> ClassSets:
    sets = [
        class_numbers([row._replace(label=word.strip()) for word in row.label.split(",")], None, num_classes)
        for row in rows
    ]
    return ClassSets.of_videos(sets, num_classes)
