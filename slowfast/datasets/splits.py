"""The official split files of UCF101 and HMDB51. Testing and validation both take the test videos."""

import os
from glob import escape, glob

from slowfast.config.node import CfgNode
from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.layouts import require, wrong_folder
from slowfast.datasets.lists.class_names import class_numbers, in_order, number_names
from slowfast.datasets.lists.rows import Row, video_paths
from slowfast.datasets.lists.text import read_lines
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.targets import ClassNumbers
from slowfast.errors import UserError
from slowfast.utils.label_order import normalized


@DATASET_REGISTRY.register()
class Ucf101(VideoDataset):
    """classInd.txt, trainlist01.txt and testlist01.txt in DATA.PATH_TO_DATA_DIR; videos under DATA.PATH_PREFIX.

    Lines are `Class/video.avi`, followed in train lists by the number of the class. The files number classes from 1.
    """

    fold = 1

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        data_dir = cfg.DATA.PATH_TO_DATA_DIR
        names = _class_index(require(os.path.join(data_dir, "classInd.txt"), data_dir))
        name = f"{'train' if split == 'train' else 'test'}list{cls.fold:02d}.txt"
        path = require(os.path.join(data_dir, name), data_dir)
        rows = [Row(line.split()[0], line.split("/")[0], path, number) for line, number in read_lines(path)]
        return list_rows(rows, names, cfg)


@DATASET_REGISTRY.register()
class Ucf101_2(Ucf101):
    """The second split."""

    fold = 2


@DATASET_REGISTRY.register()
class Ucf101_3(Ucf101):
    """The third split."""

    fold = 3


@DATASET_REGISTRY.register()
class Hmdb51(VideoDataset):
    """<class>_test_split1.txt in DATA.PATH_TO_DATA_DIR; videos at <class>/<video> under DATA.PATH_PREFIX.

    Lines are `video.avi flag`: 1 is for training, 2 for testing, 0 for neither. Classes are numbered alphabetically.
    """

    fold = 1

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        data_dir, ending = cfg.DATA.PATH_TO_DATA_DIR, f"_test_split{cls.fold}.txt"
        files = sorted(glob(os.path.join(escape(data_dir), f"*{ending}")))
        if not files:
            raise wrong_folder(f"no <class>{ending} in {os.path.abspath(data_dir)}", data_dir)
        flag = "1" if split == "train" else "2"
        rows = [row for file in files for row in _flagged(file, os.path.basename(file).removesuffix(ending), flag)]
        if not rows:
            raise UserError(f"no video of {len(files)} files *{ending} in {data_dir} has the flag {flag} ({split})")
        names = number_names(os.path.basename(file).removesuffix(ending) for file in files)
        return list_rows(rows, names, cfg)


@DATASET_REGISTRY.register()
class Hmdb51_2(Hmdb51):
    """The second split."""

    fold = 2


@DATASET_REGISTRY.register()
class Hmdb51_3(Hmdb51):
    """The third split."""

    fold = 3


def list_rows(rows: list[Row], names: dict[str, int], cfg: CfgNode) -> Listing:
    """Return video files with their classes."""
    targets = ClassNumbers(class_numbers(rows, names, cfg.MODEL.NUM_CLASSES))
    media = VideoFiles(video_paths(rows, cfg.DATA.PATH_PREFIX, cfg.DATA.PATH_TO_DATA_DIR))
    return Listing(media, targets, class_names=in_order(names))


def _class_index(path: str) -> dict[str, int]:
    """Read lines `1 ApplyEyeMakeup`. The numbers returned start from 0."""
    names = {}
    for line, line_number in read_lines(path):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name:
            raise UserError(f"{path}, line {line_number}: expected '1 ApplyEyeMakeup', not {line!r}")
        names[normalized(name.strip())] = int(number) - 1
    return names


def _flagged(path: str, name: str, flag: str) -> list[Row]:
    rows = []
    for line, number in read_lines(path):
        video, _, found = line.rpartition(" ")
        if found not in ("0", "1", "2"):
            raise UserError(f"{path}, line {number}: expected 'video.avi flag' with flag 0, 1 or 2, not {line!r}")
        if found == flag:
            rows.append(Row(os.path.join(name, video.strip()), name, path, number))
    return rows
