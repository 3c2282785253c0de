"""Something-Something V2: labels and splits in JSON files, frames as images or in video files."""

import json
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from slowfast.config.node import CfgNode
from slowfast.datasets.base import Listing, VideoDataset
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.datasets.files import find_videos
from slowfast.datasets.frame_media import listed_media
from slowfast.datasets.interfaces import Medium
from slowfast.datasets.layouts import require
from slowfast.datasets.lists.class_names import in_order
from slowfast.datasets.lists.frame_list import FrameList
from slowfast.datasets.lists.text import read_text
from slowfast.datasets.media import VideoFiles
from slowfast.datasets.targets import ClassNumbers, NoLabels, check_range
from slowfast.datasets.temporal import Segments
from slowfast.errors import UserError

logger = logging.getLogger(__name__)

JSON_NAMES = {"train": "train", "val": "validation", "test": "validation"}


@DATASET_REGISTRY.register()
class Ssv2(VideoDataset):
    """something-something-v2-{labels,train,validation}.json in DATA.PATH_TO_DATA_DIR.

    Frames: images (or video files, see `frame_media.listed_media`) of the frame lists {train,val}.csv, matched by id;
    without such a list the video files DATA.PATH_PREFIX/<id>.webm (or .mp4, ...). Videos without frames are left out.
    """

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        if split == "train" and cfg.DATA.RANDOM_FLIP:
            logger.warning(
                "DATA.RANDOM_FLIP is True: flipping turns left into right, which some classes of Something-Something "
                "distinguish; the recipes set it False"
            )
        data_dir, num_classes = cfg.DATA.PATH_TO_DATA_DIR, cfg.MODEL.NUM_CLASSES
        ids, numbers, classes = _read_annotations(data_dir, split, num_classes)
        path = os.path.join(data_dir, "train.csv" if split == "train" else "val.csv")
        if os.path.isfile(path):
            media, found = _listed(FrameList(path, num_classes), ids, cfg.DATA.PATH_PREFIX)
        else:
            media, found = _video_files(cfg.DATA.PATH_PREFIX or data_dir, ids, path)
        targets = ClassNumbers(numbers[found])
        return Listing(media, targets, Segments(), fit_crop=True, class_names=in_order(classes))

    @classmethod
    def list_files(cls, paths: Sequence[str]) -> Listing:
        return Listing(VideoFiles(paths, bgr=True), NoLabels(len(paths)), Segments(), fit_crop=True)


def _listed(frames: FrameList, ids: list[str], prefix: str) -> tuple[Medium, np.ndarray]:
    """Return the frames of the videos that a frame list has, and the indices of these videos in `ids`."""
    places = {name: place for place, name in enumerate(frames.names)}
    found = _found(ids, places, f"frames in {frames.path}")
    return listed_media(frames, prefix, [places[ids[i]] for i in found]), found


def _video_files(folder: str, ids: list[str], missing_list: str) -> tuple[Medium, np.ndarray]:
    """Return the files of the videos that a folder has, and the indices of these videos in `ids`."""
    videos = find_videos(folder)
    if not videos:
        raise UserError(
            f"neither the frame list {os.path.abspath(missing_list)} nor video files in {folder!r} were found: "
            "set DATA.PATH_TO_DATA_DIR to the folder of the lists, or DATA.PATH_PREFIX to that of the videos"
        )
    found = _found(ids, videos, f"a video file in {folder}")
    return VideoFiles([videos[ids[i]] for i in found], bgr=True), found


def _found(ids: list[str], having: dict, what: str) -> np.ndarray:
    """Return the indices of the ids that have something: a key of `having`."""
    found = np.asarray([i for i, name in enumerate(ids) if name in having], np.int64)
    if not len(found):
        raise UserError(f"none of the {len(ids)} ids has {what}: they are from another data set or split")
    if len(found) < len(ids):
        logger.warning("%d of %d videos are left out: they do not have %s", len(ids) - len(found), len(ids), what)
    return found


def _read_annotations(data_dir: str, split: str, num_classes: int) -> tuple[list[str], np.ndarray, dict[str, int]]:
    """Return the ids and class numbers of a split, and the number of each template."""
    labels_path = _json_path(data_dir, "labels")
    path = _json_path(data_dir, JSON_NAMES[split])
    classes = _class_numbers(labels_path)
    ids, numbers = [], []
    for place, item in enumerate(_load(path, list)):
        if not isinstance(item, dict) or not {"id", "template"} <= set(item):
            raise UserError(f"{path}, entry {place}: no id and template: {item!r}")
        template = re.sub(r"[\[\]]", "", item["template"])
        where = f"{path}, id {item['id']}"
        if template not in classes:
            raise UserError(f"{where}: the template {template!r} is not in {labels_path}")
        check_range(classes[template], num_classes, where)
        ids.append(str(item["id"]))
        numbers.append(classes[template])
    if not ids:
        raise UserError(f"{path} lists no videos")
    return ids, np.asarray(numbers, np.int64), classes


def _class_numbers(path: str) -> dict[str, int]:
    """Return the number of each template."""
    classes = _load(path, dict)
    for template, number in classes.items():
        if not str(number).isdecimal():
            raise UserError(f"{path}: the template {template!r} has the number {number!r}, which is not a whole number")
    return {template: int(number) for template, number in classes.items()}


def _json_path(data_dir: str, name: str) -> str:
    return require(os.path.join(data_dir, f"something-something-v2-{name}.json"), data_dir)


def _load(path: str, kind: type) -> Any:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON: {error.msg}") from error
    if not isinstance(content, kind):
        raise UserError(f"{path}: expected a JSON {kind.__name__}, not a {type(content).__name__}")
    return content
