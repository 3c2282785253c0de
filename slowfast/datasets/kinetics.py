"""Lists of video files with lines `path label`: Kinetics, and any data set in its format."""

import os

from slowfast.config.node import CfgNode
from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.folder import has_folders, list_folders
from slowfast.datasets.interfaces import Targets
from slowfast.datasets.lists.class_names import are_names, class_numbers, find_class_names, number_names
from slowfast.datasets.lists.rows import Row, read_lines, read_rows, require, start_folder
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.targets import ClassNumbers, ClassSets
from slowfast.errors import UserError


@DATASET_REGISTRY.register()
class Kinetics(VideoDataset):
    """DATA.PATH_TO_DATA_DIR/{train,val,test}.csv; or, where there is no list, {train,val,test}/<class>/*.mp4.

    Labels are numbers or names. Names are numbered by the file of class names, if there is one (see
    `class_names.find_class_names`), else in the alphabetical order of those in train.csv.
    With DATA.MULTI_LABEL a label is a comma list of numbers.
    """

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        data, data_dir, num_classes = cfg.DATA, cfg.DATA.PATH_TO_DATA_DIR, cfg.MODEL.NUM_CLASSES
        path, class_file = os.path.join(data_dir, f"{split}.csv"), cfg.TENSORBOARD.CLASS_NAMES_PATH
        if not os.path.isfile(path) and has_folders(data_dir, split):
            return list_folders(data_dir, split, num_classes, class_file)
        form = (data.PATH_LABEL_SEPARATOR, data.SKIP_ROWS)
        read = _read_sets if data.MULTI_LABEL else read_rows
        rows = read(require(path, data_dir), *form)
        if data.MULTI_LABEL:
            targets: Targets = _class_sets(rows, num_classes)
        else:
            names = _names(data_dir, class_file, form) if are_names([row.label for row in rows]) else None
            targets = ClassNumbers(class_numbers(rows, names, num_classes))
        start = start_folder(data.PATH_PREFIX, data_dir, rows[0].path)
        return Listing(VideoFiles([os.path.join(start, row.path) for row in rows]), targets)


def _names(data_dir: str, class_file: str, form: tuple[str, int]) -> dict[str, int]:
    """Return the numbers of the class names of a list; `form`: the arguments of `read_rows`."""
    names = find_class_names(data_dir, class_file)
    if names is None:
        train = require(os.path.join(data_dir, "train.csv"), data_dir)
        names = number_names(row.label for row in read_rows(train, *form))
    return names


def _read_sets(path: str, separator: str, skip_rows: int) -> list[Row]:
    return [_split_sets(line, separator, where) for line, where in read_lines(path, skip_rows)]


def _split_sets(line: str, separator: str, where: str) -> Row:
    path, _, labels = (part.strip() for part in line.partition(separator))
    if not path or not all(word.strip().isdecimal() for word in labels.strip('"').split(",")):
        raise UserError(f"{where}: expected 'path 3,17' (DATA.MULTI_LABEL), not {line!r}")
    return Row(path, labels.strip('"'), where)


def _class_sets(rows: list[Row], num_classes: int) -> ClassSets:
    sets = [
        class_numbers([row._replace(label=word.strip()) for word in row.label.split(",")], None, num_classes)
        for row in rows
    ]
    return ClassSets.of_videos(sets, num_classes)
