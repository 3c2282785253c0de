"""The base class of the data sets: locate a video, sample frames and crops, decode, transform.

Legend: V views of a video, T frames, H x W pixels, C channels.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from slowfast.config.node import CfgNode
from slowfast.datasets.augment.clips import Augmentation
from slowfast.datasets.draws import rng_for
from slowfast.datasets.files import one_line
from slowfast.datasets.grid import SamplingGrid
from slowfast.datasets.interfaces import FrameChooser, Frames, Medium, Targets
from slowfast.datasets.lists.class_names import names_of_numbers
from slowfast.datasets.media import VideoFiles, use_index, use_store
from slowfast.datasets.spatial import Crop, Window, resized_size, window_of
from slowfast.datasets.targets import NoLabels, check_labels, check_multi_label, warn_of_unused_classes
from slowfast.datasets.temporal import TimedSpan
from slowfast.datasets.video import DEFAULT_LIMITS, Limits, VideoError
from slowfast.errors import UserError, check_call
from slowfast.multigrid.sampler import ClipIndex

MAX_ATTEMPTS = 50  # videos to try for one training clip
REPLACEMENT = 0xBAD  # makes the draw of a replacement independent of the draws of clips


@dataclass(frozen=True)
class Listing:
    """The content of a list of videos.

    Attributes:
        media: the frames of each video.
        targets: the labels of each video.
        time: the rule that chooses frames; None: by time, with the config's keys (see temporal.TimedSpan).
        fit_crop: with one spatial crop in testing, resize to the crop rather than to the short side of training.
        class_names: the name of each class by its number; None where the list has numbers only. These have the names
            of the file of class names, if there is one (see `class_names.find_class_names`).
    """

    media: Medium
    targets: Targets
    time: FrameChooser | None = None
    fit_crop: bool = False
    class_names: list[str] | None = None


class Views(NamedTuple):
    """The part of a video that a sample shows: every crop of every row of frames."""

    frames: np.ndarray  # (clips, T)
    crops: Sequence[Crop]  # of one short side
    erased: np.ndarray | None = None  # of each clip, see `augment.erasing.Erasing.draw`

    @property
    def window(self) -> Window:
        """The part of the resized frames that holds all crops."""
        return window_of(self.crops)


class VideoDataset(torch.utils.data.Dataset):
    """Clips of the videos of a list.

    Nothing in it changes after it is built, so worker processes can hold copies.

    dataset[index] is a dict:
        clip    uint8 tensor, T x H x W x C; for the split "test" V x T x H x W x C, with all views of the video
        label   the class (int64), or a 0/1 vector of classes (float32)
        video   number of the video that the clip shows
        bad     "path<TAB>error", one line for each video that could not be decoded; empty if there was none
        erased  in training with random erasing: boxes of the clip, K x 5 (see `augment.erasing.erase`)

    With `augmentation.num_clips` n > 1, `clip` and `erased` have an axis more in training, of n clips of the video.

    The index is a ClipIndex (video, epoch, frames, crop), or the number of a video, for a clip of the default grid.
    "train" draws a clip by (seed, epoch, video); a video that cannot be decoded is replaced by another, also drawn.
    "val" is the center of the video in time and space; "test" covers it with views. In these two, a video that cannot
    be decoded is an error, or with `skip_bad` a clip of zeros and a text in `bad`.

    A subclass reads its lists in `parse(cfg, split)`.
    """

    def __init__(
        self,
        listing: Listing,
        split: str,
        grid: SamplingGrid,
        seed: int = 0,
        skip_bad: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        augmentation: Augmentation | None = None,
    ) -> None:
        grid.check(split)
        self.media, self.targets = listing.media, listing.targets
        self.time = listing.time or TimedSpan()
        self.class_names = listing.class_names
        self.split = split
        self.grid = grid
        self.seed = seed
        self.skip_bad = skip_bad
        self.limits = limits
        self.augmentation = augmentation or Augmentation()

    @classmethod
    def from_cfg(cls, cfg: CfgNode, split: str) -> "VideoDataset":
        check_call(cls.parse, "a classmethod parse(cls, cfg, split)", cfg, split)
        listing = cls.parse(cfg, split)
        if not isinstance(listing, Listing):
            raise UserError(
                f"{cls.__name__}.parse returns a {type(listing).__name__}: return a Listing(media, targets)"
            )
        check_labels(listing.targets, len(listing.media), cfg.MODEL.NUM_CLASSES)
        check_multi_label(listing.targets, cfg.DATA.MULTI_LABEL)
        if split == "train":
            warn_of_unused_classes(listing.targets, cfg.MODEL.NUM_CLASSES)
        names = listing.class_names or names_of_numbers(
            cfg.DATA.PATH_TO_DATA_DIR, cfg.TENSORBOARD.CLASS_NAMES_PATH, cfg.MODEL.NUM_CLASSES
        )
        return cls.of_listing(cfg, split, replace(listing, class_names=names))

    @classmethod
    def of_files(cls, cfg: CfgNode, paths: Sequence[str]) -> "VideoDataset":
        """Return the views of any video files, which are sampled as in a test of this data set."""
        return cls.of_listing(cfg, "test", cls.list_files(paths))

    @classmethod
    def of_listing(cls, cfg: CfgNode, split: str, listing: Listing) -> "VideoDataset":
        """Return the clips of a listing."""
        time = listing.time or TimedSpan.from_cfg(cfg)
        grid = SamplingGrid.from_cfg(cfg, listing.fit_crop)
        limits = Limits(cfg.DATA.MAX_DECODE_SEC, cfg.DATA.MAX_PIXELS)
        media = use_store(use_index(listing.media, cfg.DATA.PATH_TO_DATA_DIR), cfg.DATA.PREPARED_DIR)
        augmentation = Augmentation.from_cfg(cfg) if split == "train" else None
        listing = replace(listing, media=media, time=time)
        return cls(listing, split, grid, cfg.RNG_SEED, cfg.TEST.SKIP_BAD_VIDEOS, limits, augmentation)

    @classmethod
    def parse(cls, cfg: CfgNode, split: str) -> Listing:
        raise UserError(f"{cls.__name__} has no parse(cfg, split), which reads the lists of a data set: define it")

    @classmethod
    def list_files(cls, paths: Sequence[str]) -> Listing:
        """Return a listing of video files without labels, with the rules of this data set for frames and crops."""
        return Listing(VideoFiles(paths), NoLabels(len(paths)))

    def __len__(self) -> int:
        return len(self.media)

    @property
    def num_videos(self) -> int:
        return len(self)

    @property
    def labels(self) -> np.ndarray:
        """The labels of all videos: (N,) class numbers, or (N, classes) of 0 and 1."""
        return self.targets.all()

    def path_of(self, video: int) -> str:
        return self.media.path_of(video)

    def __getitem__(self, index: "int | ClipIndex") -> dict:
        wanted = self._clip_index(index)
        bad: list[str] = []
        for attempt in range(MAX_ATTEMPTS if self.split == "train" else 1):
            now = wanted._replace(video=self._replacement(wanted, attempt)) if attempt else wanted
            try:
                return self._load(now, attempt, "\n".join(bad))
            except VideoError as error:
                bad.append(f"{one_line(self.path_of(now.video))}\t{one_line(str(error))}")
        return self._give_up(wanted, bad)

    def _load(self, index: ClipIndex, attempt: int, bad: str) -> dict:
        with self.locate(index.video) as source:
            views = self.sample(source, index, attempt)
            frames = self.decode(source, views)
        clip = self.transform(frames, views)
        sample = {"clip": clip, "label": self._label(index.video, views), "video": index.video, "bad": bad}
        return sample if views.erased is None else {**sample, "erased": self._of_clips(list(views.erased))}

    def locate(self, video: int) -> AbstractContextManager[Frames]:
        """Open a video."""
        return self.media.open(video, self.limits)

    def sample(self, source: Frames, index: ClipIndex, attempt: int = 0) -> Views:
        """Choose frames and crops."""
        grid = self.grid
        if self.split == "train":
            numbers = self.seed, index.epoch, index.video, attempt
            rng, augmentation = rng_for(*numbers), self.augmentation
            frames = self.time.draw(rng, source, index.frames, grid.strides(index.frames))[None]
            size, shape = source.size(frames[0, 0]), (index.frames, index.crop)
            crops = augmentation.draw_crops(rng, numbers, grid, size, shape)
            return Views(frames, crops, augmentation.draw_boxes(numbers, index.crop))
        if self.split == "val":
            frames = self.time.middle(source, grid.frames, grid.stride)[None]
            return Views(frames, [grid.center_crop(source.size(frames[0, 0]))])
        count = grid.num_clips
        clips = [self.time.view(source, grid.frames, grid.stride, i, count) for i in range(count)]
        return Views(np.stack(clips), grid.view_crops(source.size(clips[0][0])))

    def decode(self, source: Frames, views: Views) -> np.ndarray:
        """Read the frames of all views in one pass over the video: uint8 (clips, T, H, W, C), the resized window."""
        height, width = source.size(views.frames[0, 0])
        size = resized_size(height, width, views.crops[0].short_side)
        pictures = source.read(views.frames.ravel(), size, views.window)
        return pictures.reshape(*views.frames.shape, *pictures.shape[1:])  # (clips * T, H, W, C) -> (clips, T, ...)

    def transform(self, frames: np.ndarray, views: Views) -> torch.Tensor:
        """Cut the crops: (clips, T, H, W, C) -> (clips * crops, T, H, W, C), or one clip without the first axis."""
        return self._of_clips([crop.cut(clip, views.window) for clip in frames for crop in views.crops])

    def _of_clips(self, values: Sequence[np.ndarray]) -> torch.Tensor:
        """Return what belongs to each clip of a video, or to its only one without the first axis."""
        has_several = self.split == "test" or self.augmentation.num_clips > 1
        return torch.from_numpy(np.stack(values) if has_several else np.ascontiguousarray(values[0]))

    def _clip_index(self, index: "int | ClipIndex") -> ClipIndex:
        if isinstance(index, ClipIndex):
            return index
        return ClipIndex(range(len(self))[int(index)], 0, self.grid.frames, self.grid.crop)

    def _label(self, video: int, views: Views) -> torch.Tensor:
        """The label of the clip's span in training, of the entire video otherwise."""
        span = (views.frames.min(), views.frames.max()) if self.split == "train" else ()
        return torch.as_tensor(self.targets.of(video, *span))

    def _replacement(self, index: ClipIndex, attempt: int) -> int:
        rng = np.random.default_rng([self.seed, index.epoch, index.video, attempt, REPLACEMENT])
        return int(rng.integers(len(self)))

    def _give_up(self, index: ClipIndex, bad: list[str]) -> dict:
        last = bad[-1].replace("\t", ": ")
        if self.split == "train":
            raise UserError(
                f"{len(bad)} videos drawn one after the other cannot be read; the last is {last}. Check "
                "DATA.PATH_PREFIX, and the files with `slowfast check`"
            )
        if not self.skip_bad:
            raise UserError(
                f"{last}. Repair the file or remove it from the list; with TEST.SKIP_BAD_VIDEOS True such videos are "
                "left out and counted"
            )
        clip = torch.zeros(self.grid.shape(self.split), dtype=torch.uint8)
        label = torch.as_tensor(self.targets.of(index.video))
        return {"clip": clip, "label": label, "video": index.video, "bad": bad[0]}
