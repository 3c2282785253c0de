"""Videos and pictures that show what a model has seen.

Legend: T frames, H x W pixels.
"""

import logging
from bisect import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from slowfast.datasets.video import Limits, open_video
from slowfast.inference.drawing import draw_heat, draw_labels, drawable, side_by_side
from slowfast.inference.gradcam import ClassMap, class_maps
from slowfast.inference.model import VideoModel, errors_name_video
from slowfast.inference.prediction import Label
from slowfast.inference.reports import Row
from slowfast.utils.suffixes import IMAGE_SUFFIXES
from slowfast.visualization.media_files import write_mp4, write_picture

logger = logging.getLogger(__name__)

SHEET_FRAMES, SHEET_PX = 8, 240  # pictures in a row of a sheet, and the width of one


def limits_of(model: VideoModel) -> Limits:
    """Return the limits for reading one video."""
    return Limits(model.cfg.DATA.MAX_DECODE_SEC, model.cfg.DATA.MAX_PIXELS)


def annotate(model: VideoModel, path: str, rows: Sequence[Row], top: int, out: str) -> None:
    """Write a video with classes at the top of every frame: those of the part whose center is nearest to it.

    It has the size and the rate of the video, and no sound.
    """
    numbers = {name: number for number, name in enumerate(model.class_names)}
    texts = [
        [Label(drawable(name, numbers[name]), value) for name, value in row.prediction.top(top)]
        for row in rows
        if row.prediction is not None
    ]
    centers = [sum(row.span or ()) / 2 for row in rows]
    borders = [(one + other) / 2 for one, other in zip(centers, centers[1:], strict=False)]
    with errors_name_video(path), open_video(path, limits_of(model)) as video:
        pictures = (
            draw_labels(picture, texts[bisect(borders, number / video.fps)])
            for number, picture in enumerate(video.pictures())
        )
        write_mp4(Path(out), pictures, video.fps)


def render_gradcam(model: VideoModel, path: str, label: int, out: str) -> None:
    """Write where a class is seen: on all frames as a video, or on some of the clip with its largest logit."""
    maps = list(class_maps(model, path, label))
    if not any(one.maps.any() for one in maps):
        logger.warning("nothing in %s counts for %s: the pictures stay as they are", path, model.class_names[label])
    if out.lower().endswith(IMAGE_SUFFIXES):
        best = max(maps, key=lambda one: one.logit)
        write_picture(Path(out), _sheet(path, best, limits_of(model)))
        return
    highest = max(float(one.maps.max()) for one in maps) or 1.0
    with errors_name_video(path), open_video(path, limits_of(model)) as video:
        heats = _heat_of_frames(maps, video.num_frames)
        pictures = (draw_heat(*pair) for pair in zip(video.pictures(), (h / highest for h in heats), strict=True))
        write_mp4(Path(out), pictures, video.fps)


def _heat_of_frames(maps: Sequence[ClassMap], num_frames: int) -> Iterator[np.ndarray]:
    """Yield the map of every frame of a video: that of the nearest frame which the model has seen in its part."""
    ends = [one.last for one in maps[:-1]]
    for number in range(num_frames):
        part = maps[bisect(ends, number - 1)]  # the first one that has not ended before
        yield part.maps[np.abs(part.frames - number).argmin()]


def _sheet(path: str, part: ClassMap, limits: Limits) -> np.ndarray:
    """Return some frames of a clip above the same frames under their maps."""
    chosen = np.linspace(0, len(part.frames) - 1, min(SHEET_FRAMES, len(part.frames))).round().astype(int)
    with errors_name_video(path), open_video(path, limits) as video:
        width, height = SHEET_PX, round(SHEET_PX * video.height / video.width)
        originals = video.read(part.frames[chosen].tolist())
    small = [cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) for picture in originals]
    highest = float(part.maps.max()) or 1.0
    heats = [draw_heat(picture, part.maps[place] / highest) for picture, place in zip(small, chosen, strict=True)]
    return side_by_side([*small, *heats], len(chosen))
