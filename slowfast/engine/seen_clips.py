"""The clips of a batch as the network receives them, with texts that describe them.

Legend: N videos, V views, T frames, H x W pixels, C channels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from slowfast.config.node import CfgNode
from slowfast.datasets.base import VideoDataset, Views
from slowfast.datasets.files import one_line
from slowfast.datasets.lists.class_names import names_of_numbers
from slowfast.datasets.pathways import COLORS, Clips, PackPathways, flatten_views, slow_positions
from slowfast.datasets.spatial import Crop
from slowfast.errors import UserError
from slowfast.multigrid.sampler import ClipIndex
from slowfast.utils.label_order import class_names_of
from slowfast.visualization.clips import Pathway, SeenClip

PATHWAYS = {1: ("clip",), 2: ("slow", "fast")}
RGB = "RGB"


def channel_order(dataset: Any) -> str:
    """Return the order of the color channels of the decoded frames. Other kinds of data sets give RGB."""
    return getattr(getattr(dataset, "media", None), "channels", RGB)


def network_order(dataset: Any, pack: PackPathways) -> str:
    """Return the order in which the color channels reach the network."""
    return channel_order(dataset)[:: -1 if pack.reverse_channels else 1]


def shown_names(cfg: CfgNode, dataset: Any) -> list[str]:
    """Return the names of the classes: those that the data set knows, else those of the file of class names."""
    known = class_names_of(dataset)
    files = cfg.DATA.PATH_TO_DATA_DIR, cfg.TENSORBOARD.CLASS_NAMES_PATH
    return known or names_of_numbers(*files, cfg.MODEL.NUM_CLASSES) or []


def seen_clips(
    batch: Mapping[str, Any],
    dataset: Any,
    split: str,
    pack: PackPathways,
    names: Sequence[str] = (),
    indices: Sequence[ClipIndex | int] | None = None,
) -> list[SeenClip]:
    """Return all clips of a batch, every view of a test video. `names` are those of the classes, if known.

    `indices`: those that the batch was loaded by. With them, frames have their numbers; this opens the videos again.
    """
    clips, views = batch["clip"], 1
    if split == "test":
        clips, views = flatten_views(clips)
    packed = pack(clips, batch.get("erased"))
    inputs = [_pictures(pack, pathway, clips, channel_order(dataset)) for pathway in packed]
    repeats = len(batch["video"]) // len(indices) if indices else 1  # clips of a training video, which follow it
    seen = []
    for n, video in enumerate(int(video) for video in batch["video"]):
        chosen = _chosen(dataset, indices[n // repeats], video, batch["bad"][n]) if indices is not None else None
        texts = _heading(batch["label"][n], names), [_source(dataset, split, video, batch["bad"][n])]
        for view in range(views):
            pathways = [pictures[n * views + view] for pictures in inputs]
            number, of = (n % repeats, repeats) if repeats > 1 else (view, views)
            seen.append(_seen_clip(texts, pathways, pack.alpha, chosen, number, of))
    return seen


def _pictures(pack: PackPathways, pathway: Tensor, clips: Clips, order: str) -> np.ndarray:
    """Return a pathway as uint8 RGB pictures, N x T x H x W x 3."""
    if pathway.shape[1] != COLORS:
        raise UserError(f"clips of {pathway.shape[1]} channels cannot be shown, only those of {COLORS} colors")
    is_packed = isinstance(clips, Tensor) and not clips.is_floating_point()
    pictures = pack.pictures(pathway, pack.reverse_channels and is_packed).numpy()
    return pictures if order == RGB else pictures[..., ::-1]


def _chosen(dataset: Any, index: ClipIndex | int, video: int, bad: str) -> Views | None:
    """Return the frames and crops of the sample of `index`; None if the data set does not give them.

    In training the sample may show another video, in place of one or several that are `bad`.
    """
    if not isinstance(dataset, VideoDataset) or (bad and dataset.split != "train"):
        return None
    grid = dataset.grid
    index = index if isinstance(index, ClipIndex) else ClipIndex(index, 0, grid.frames, grid.crop)
    with dataset.locate(video) as source:
        return dataset.sample(source, index._replace(video=video), attempt=len(bad.splitlines()))


def _heading(label: Tensor, names: Sequence[str]) -> str:
    """Return the names of the classes of a label, or their numbers."""
    numbers = label.nonzero().flatten().tolist() if label.ndim else [int(label)]
    known = [number for number in numbers if number >= 0]
    return ", ".join(names[k] if k < len(names) and names[k] else f"class {k}" for k in known) or "no label"


def _source(dataset: Any, split: str, video: int, bad: str) -> str:
    """Return the end of the path of a video, and the reason if it could not be decoded."""
    path = dataset.path_of(video) if hasattr(dataset, "path_of") else f"video {video}"
    name = one_line("/".join(Path(path).parts[-2:]))
    if not bad:
        return name
    failed = bad.splitlines()[-1].replace("\t", ": ")
    return f"{name} in place of {failed}" if split == "train" else f"cannot be decoded: {failed}"


def _seen_clip(
    texts: tuple[str, list[str]],
    pictures: Sequence[np.ndarray],
    alpha: int | None,
    chosen: Views | None,
    view: int,
    views: int,
) -> SeenClip:
    """Return view number `view` of the `views` of a video."""
    length = max(map(len, pictures))
    names = PATHWAYS.get(len(pictures), [f"input {k + 1}" for k in range(len(pictures))])
    heading, details = texts
    place = [f"view {view + 1} of {views}"] if views > 1 else []
    if chosen is not None:
        clip, crop = divmod(view, len(chosen.crops))
        frames = chosen.frames[clip]
        place.append(_frames_text(frames, chosen.crops[crop]))
    pathways = []
    for name, shown in zip(names, pictures, strict=True):
        positions = _positions(len(shown), length, alpha)
        numbers = None if chosen is None else [int(frames[position]) for position in positions]
        pathways.append(Pathway(name, shown, positions, numbers))
    return SeenClip(heading, [*details, *"; ".join(place).splitlines()], pathways)


def _positions(count: int, length: int, alpha: int | None) -> list[int]:
    """Return the positions of a pathway's frames in a clip of `length` frames."""
    if alpha is not None and count == length // alpha:
        return slow_positions(length, alpha)
    return [i * (length - 1) // max(count - 1, 1) for i in range(count)]


def _frames_text(frames: np.ndarray, crop: Crop) -> str:
    step = (int(frames[-1]) - int(frames[0])) / max(len(frames) - 1, 1)
    text = f"frames {frames[0]} to {frames[-1]}" + (f", {step:.3g} apart" if len(frames) > 1 else "")
    return f"{text}; {crop}"
