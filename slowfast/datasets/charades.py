"""Charades: several actions in each video, each for a part of it; frames as images or in video files."""

import csv
import io
import os
import re
from collections.abc import Sequence

import numpy as np

from slowfast.config.node import CfgNode
from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.files import find_videos
from slowfast.datasets.frame_media import listed_media
from slowfast.datasets.interfaces import Medium
from slowfast.datasets.layouts import wrong_folder
from slowfast.datasets.lists.frame_list import FrameList
from slowfast.datasets.lists.text import read_text
from slowfast.datasets.media import CountAtRate, VideoFiles
from slowfast.datasets.targets import ClassSets, NoLabels, check_range
from slowfast.datasets.temporal import FrameSpan
from slowfast.errors import UserError

ACTION = r"c(\d+) +(\d+\.?\d*) +(\d+\.?\d*)"  # class, seconds from and to
EXTRACTED_FPS = 24.0  # of the published frames, which strides count


@DATASET_REGISTRY.register()
class Charades(VideoDataset):
    """The frame lists {train,val}.csv in DATA.PATH_TO_DATA_DIR, with images or video files (see
    `frame_media.listed_media`) under DATA.PATH_PREFIX; without them the data set's own Charades_v1_{train,test}.csv,
    with the video files DATA.PATH_PREFIX/<id>.mp4, whose frames are counted at 24 a second as the published ones are.

    The target is the set of labels inside the clip's span in training, and of the entire video otherwise.
    """

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        data_dir, num_classes = cfg.DATA.PATH_TO_DATA_DIR, cfg.MODEL.NUM_CLASSES
        path = os.path.join(data_dir, "train.csv" if split == "train" else "val.csv")
        official = os.path.join(data_dir, f"Charades_v1_{'train' if split == 'train' else 'test'}.csv")
        if os.path.isfile(path):
            frames = FrameList(path, num_classes)
            media: Medium = listed_media(frames, cfg.DATA.PATH_PREFIX, np.arange(len(frames)))
            targets = frames.labels
        elif os.path.isfile(official):
            media, targets = _read_official(official, cfg.DATA.PATH_PREFIX or data_dir, num_classes)
        else:
            raise wrong_folder(f"neither {os.path.abspath(path)} nor {os.path.basename(official)} exists", data_dir)
        return Listing(media, targets, FrameSpan(), fit_crop=True)

    @classmethod
    def list_files(cls, paths: Sequence[str]) -> Listing:
        return Listing(_extracted(paths), NoLabels(len(paths)), FrameSpan(), fit_crop=True)


def _extracted(paths: Sequence[str]) -> VideoFiles:
    """Return video files, in the form of the frames that were extracted from them for the published lists."""
    return VideoFiles(paths, bgr=True, count=CountAtRate(EXTRACTED_FPS))


def _read_official(path: str, folder: str, num_classes: int) -> tuple[VideoFiles, ClassSets]:
    """Read the columns `id` and `actions` ("c092 11.90 21.20;c147 0.00 12.60", in seconds)."""
    names, actions = [], []
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    if not {"id", "actions"} <= set(reader.fieldnames or ()):
        raise UserError(f"{path}, line 1: the header has no columns id and actions: {reader.fieldnames}")
    for row in reader:
        names.append(row["id"])
        actions.append(_actions(row["actions"] or "", num_classes, f"{path}, line {reader.line_num}"))
    if not names:
        raise UserError(f"{path} lists no videos")
    flat = np.asarray([action for video in actions for action in video], np.float64).reshape(-1, 3)
    offsets = np.append(0, np.cumsum([len(video) for video in actions]))
    begin, end = flat[:, 1] * EXTRACTED_FPS, flat[:, 2] * EXTRACTED_FPS
    files = find_videos(folder)
    paths = [files.get(name, os.path.join(folder, f"{name}.mp4")) for name in names]
    return _extracted(paths), ClassSets(offsets, flat[:, 0], num_classes, begin, end)


def _actions(text: str, num_classes: int, where: str) -> list[tuple[int, float, float]]:
    """Return (class, start_sec, end_sec) of each action."""
    found = []
    for action in filter(None, text.split(";")):
        match = re.fullmatch(ACTION, action.strip())
        if match is None:
            raise UserError(f"{where}: an action is like 'c092 11.90 21.20', not {action!r}")
        number, begin, end = match.groups()
        check_range(int(number), num_classes, where)
        found.append((int(number), float(begin), float(end)))
    return found
