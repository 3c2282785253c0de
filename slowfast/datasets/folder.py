"""A folder of video files for each class, without a list."""

import logging
import os

from slowfast.config.node import CfgNode
from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.files import VIDEO_SUFFIXES, walk_videos
from slowfast.datasets.lists.class_names import class_numbers, find_class_names, number_names
from slowfast.datasets.lists.rows import Row
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.targets import ClassNumbers
from slowfast.errors import UserError

logger = logging.getLogger(__name__)


@DATASET_REGISTRY.register()
class Folder(VideoDataset):
    """DATA.PATH_TO_DATA_DIR/{train,val,test}/<class>/*.mp4, or other video files, also in folders below these.

    Classes are numbered by the file of class names, if there is one (see `class_names.find_class_names`), else in the
    alphabetical order of the folders of train. Testing takes val where there is no test.
    """

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        return list_folders(cfg.DATA.PATH_TO_DATA_DIR, split, cfg.MODEL.NUM_CLASSES, cfg.TENSORBOARD.CLASS_NAMES_PATH)


def list_folders(data_dir: str, split: str, num_classes: int, class_file: str = "") -> Listing:
    """Return the video files of a split; `class_file`: the file of class names, where it is not in `data_dir`."""
    root = _split_folder(data_dir, split)
    names = find_class_names(data_dir, class_file)
    if names is None:
        train = os.path.join(data_dir, "train")
        names = number_names(_classes(train if os.path.isdir(train) else root))
    rows = [
        Row(path, name, os.path.join(root, name))
        for name in _classes(root)
        for path in walk_videos(os.path.join(root, name))
    ]
    if not rows:
        raise UserError(f"{root} has no video files in folders of classes (looked for {' '.join(VIDEO_SUFFIXES)})")
    _warn_of_empty_classes(root, {row.label for row in rows})
    targets = ClassNumbers(class_numbers(rows, names, num_classes))
    return Listing(VideoFiles([row.path for row in rows]), targets)


def _warn_of_empty_classes(root: str, filled: set[str]) -> None:
    empty = [name for name in _classes(root) if name not in filled]
    if empty:
        logger.warning("%s has no video files for %s", root, ", ".join(empty))


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
    raise UserError(
        f"{os.path.abspath(os.path.join(data_dir, split))} does not exist: DATA.PATH_TO_DATA_DIR is {data_dir!r}, and "
        f"must hold {split}/<class>/*.mp4"
    )


def _classes(root: str) -> list[str]:
    return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
