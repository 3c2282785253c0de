"""A folder of video files for each class: no list to write."""

import logging
import os

from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.lists import Row, class_numbers, find_class_names, number_names
from slowfast.datasets.media import VIDEO_SUFFIXES, VideoFiles, is_video
from slowfast.datasets.targets import ClassNumbers
from slowfast.errors import UserError

logger = logging.getLogger(__name__)


@DATASET_REGISTRY.register()
class Folder(VideoDataset):
    """DATA.PATH_TO_DATA_DIR/{train,val,test}/<class>/*.mp4, or other video files, also in folders below.

    Classes are numbered by the file of class names, if there is one (see `lists.find_class_names`), else in the
    alphabetical order of the folders of train. Testing takes val where there is no test.
    """

    @classmethod
    def parse(cls, cfg, split: str) -> Listing:
        return list_folders(cfg.DATA.PATH_TO_DATA_DIR, split, cfg.MODEL.NUM_CLASSES, cfg.TENSORBOARD.CLASS_NAMES_PATH)


def list_folders(data_dir: str, split: str, num_classes: int, class_file: str = "") -> Listing:
    """The video files of a split; `class_file`: of the names, where it does not lie in `data_dir`."""
    root = _split_folder(data_dir, split)
    names = find_class_names(data_dir, class_file)
    if names is None:
        train = os.path.join(data_dir, "train")
        names = number_names(_classes(train if os.path.isdir(train) else root))
    rows = [
        Row(path, name, os.path.join(root, name))
        for name in _classes(root)
        for path in _video_paths(os.path.join(root, name))
    ]
    if not rows:
        raise UserError(f"{root} has no video files in folders of classes (looked for {' '.join(VIDEO_SUFFIXES)})")
    _say_empty_classes(root, {row.label for row in rows})
    targets = ClassNumbers(class_numbers(rows, names, num_classes))
    return Listing(VideoFiles([row.path for row in rows]), targets)


def _say_empty_classes(root: str, filled: set[str]) -> None:
    empty = [name for name in _classes(root) if name not in filled]
    if empty:
        logger.warning("%s has no video files for %s", root, ", ".join(empty))


def has_folders(data_dir: str, split: str) -> bool:
    """Whether a split is given by folders rather than by a list. Beside other lists, testing does not take val's."""
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


def _video_paths(folder: str) -> list[str]:
    walk = os.walk(folder, followlinks=True)
    return sorted(os.path.join(place, name) for place, _, names in walk for name in names if is_video(name))
