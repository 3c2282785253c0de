"""A folder of video files for each class, without a list."""

import logging
import os

from slowfast.config.node import CfgNode
from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.files import one_line, subfolders, walk_videos
from slowfast.datasets.layouts import wrong_folder
from slowfast.datasets.lists.class_names import class_numbers, find_class_names, in_order, number_names
from slowfast.datasets.lists.rows import Row, is_number
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.targets import ClassNumbers
from slowfast.errors import UserError
from slowfast.utils.suffixes import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)


@DATASET_REGISTRY.register()
class Folder(VideoDataset):
    """DATA.PATH_TO_DATA_DIR/{train,val,test}/<class>/*.mp4, or other video files, also in folders below these.

    Classes are numbered by the file of class names, if there is one (see `class_names.find_class_names`), else in the
    order of the folders of train (see `class_names.number_names`). Testing takes val where there is no test.
    """

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        return list_folders(cfg.DATA.PATH_TO_DATA_DIR, split, cfg.MODEL.NUM_CLASSES, cfg.TENSORBOARD.CLASS_NAMES_PATH)


def list_folders(data_dir: str, split: str, num_classes: int, class_file: str = "") -> Listing:
    """Return the video files of a split; `class_file`: the file of class names, where it is not in `data_dir`."""
    root = _split_folder(data_dir, split)
    names = find_class_names(data_dir, class_file)
    if names is None:
        names = _number_folders(os.path.join(data_dir, "train"), root, split)
    rows = [
        Row(path, name, os.path.join(root, name))
        for name in subfolders(root)
        for path in walk_videos(os.path.join(root, name))
    ]
    if not rows:
        raise UserError(f"{root} has no video files in folders of classes (looked for {' '.join(VIDEO_SUFFIXES)})")
    _warn_of_empty_classes(root, {row.label for row in rows})
    targets = ClassNumbers(class_numbers(rows, names, num_classes))
    return Listing(VideoFiles([row.path for row in rows]), targets, class_names=in_order(names))


def _number_folders(train: str, root: str, split: str) -> dict[str, int]:
    """Number the classes by the folders of train, or where it does not exist by those of the split itself.

    They are logged, but not again for the validation of a training.
    """
    numbered = train if os.path.isdir(train) else root
    names = number_names(subfolders(numbered))
    order = "numbers by value, then names alphabetically" if any(map(is_number, names)) else "alphabetically"
    if split != "val" or numbered == root:
        logger.info("%d classes, numbered by the folders of %s, %s: %s", len(names), numbered, order, _summary(names))
    if numbered == root and root != train:
        logger.warning("%s does not exist: make sure that %s has the folders of all classes", train, root)
    return names


def _summary(names: dict[str, int]) -> str:
    """Return the first classes and the last one with their numbers."""
    listed = [f"{number} {one_line(name)}" for name, number in names.items()]
    return ", ".join(listed if len(listed) <= 12 else [*listed[:10], "...", listed[-1]])


def _warn_of_empty_classes(root: str, filled: set[str]) -> None:
    empty = [name for name in subfolders(root) if name not in filled]
    if empty:
        logger.warning("%s has no video files for %s", root, one_line(", ".join(empty)))


def has_folders(data_dir: str, split: str) -> bool:
    """Return whether a split is given by folders rather than by a list.

    Testing takes the folder of val only where there are no lists of the other splits.
    """
    lists = (os.path.join(data_dir, f"{name}.csv") for name in ("train", "val"))
    if any(map(os.path.isfile, lists)):
        return os.path.isdir(os.path.join(data_dir, split))
    return _find_split(data_dir, split) is not None


def _find_split(data_dir: str, split: str) -> str | None:
    names = ["test", "val"] if split == "test" else [split]
    folders = (os.path.join(data_dir, name) for name in names)
    return next(filter(os.path.isdir, folders), None)


def _split_folder(data_dir: str, split: str) -> str:
    folder = _find_split(data_dir, split)
    if folder is not None:
        return folder
    raise wrong_folder(f"{os.path.abspath(os.path.join(data_dir, split))} does not exist", data_dir)
