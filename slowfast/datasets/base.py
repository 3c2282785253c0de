"""The data set: where to look, which part, decode, transform.

Legend: V views of a video, T frames, H x W pixels, C channels.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from slowfast.datasets.grid import SamplingGrid
from slowfast.datasets.sampling import SpatialChoice, rng_for
from slowfast.datasets.temporal import TimedSpan
from slowfast.datasets.transform import apply_crop_flip, resized_size
from slowfast.datasets.video import VideoError
from slowfast.errors import UserError
from slowfast.multigrid.sampler import ClipIndex

MAX_ATTEMPTS = 50  # videos to try for one training clip
REPLACEMENT = 0xBAD  # keeps the draw of another video apart from the draws of clips


@dataclass(frozen=True)
class Listing:
    """What a list says.

    Attributes:
        media: the frames of each video (see media.py).
        targets: the labels of each video (see targets.py).
        time: how frames are chosen (see temporal.py); None: by time, as the config says.
        fit_crop: with one spatial crop in testing, resize to the crop rather than to the training's short side.
    """

    media: object
    targets: object
    time: object = None
    fit_crop: bool = False


class Views(NamedTuple):
    """The part of a video to show: every crop of every row of frames."""

    frames: np.ndarray  # (clips, T)
    crops: list[SpatialChoice]  # of one short side


class VideoDataset(torch.utils.data.Dataset):
    """Clips of the videos of a list. Nothing in it changes after it is built, so worker processes can hold copies.

    dataset[index] is a dict:
        clip    uint8 tensor, T x H x W x C; for the split "test" V x T x H x W x C, with all views of the video
        label   the class (int64), or a 0/1 vector of classes (float32)
        video   number of the video that the clip shows
        bad     "path<TAB>error", one line for each video that could not be decoded; empty when all is well

    The index is a ClipIndex (video, epoch, frames, crop), or the number of a video: then the grid is the default one.
    "train" draws a clip by (seed, epoch, video); a video that cannot be decoded is replaced by another, drawn too.
    "val" is the centre of the video in time and space; "test" covers it with views. There, a video that cannot be
    decoded is an error, or with `skip_bad` a clip of zeros and a text in `bad`.

    A subclass says in `parse(cfg, split)` how to read its lists.
    """

    def __init__(self, listing: Listing, split: str, grid: SamplingGrid, seed: int = 0, skip_bad: bool = False):
        self.media, self.targets, self.time = listing.media, listing.targets, listing.time
        self.fit_crop = listing.fit_crop
        self.split = split
        self.grid = grid
        self.seed = seed
        self.skip_bad = skip_bad

    @classmethod
    def from_cfg(cls, cfg, split: str) -> "VideoDataset":
        listing = cls.parse(cfg, split)
        time = listing.time or TimedSpan(cfg.DATA.TARGET_FPS, cfg.DATA.USE_OFFSET_SAMPLING)
        grid = SamplingGrid.from_cfg(cfg)
        return cls(replace(listing, time=time), split, grid, cfg.RNG_SEED, cfg.TEST.SKIP_BAD_VIDEOS)

    @classmethod
    def parse(cls, cfg, split: str) -> Listing:
        raise TypeError(f"{cls.__name__} does not say how to read its lists: give it a `parse(cfg, split)`")

    def __len__(self) -> int:
        return len(self.media)

    @property
    def num_videos(self) -> int:
        return len(self)

    @property
    def labels(self) -> np.ndarray:
        """Of all videos: (N,) class numbers, or (N, classes) of 0 and 1."""
        return self.targets.all()

    def path_of(self, video: int) -> str:
        return self.media.path_of(video)

    def __getitem__(self, index: "int | ClipIndex") -> dict:
        wanted, bad = self._clip_index(index), []
        for attempt in range(MAX_ATTEMPTS if self.split == "train" else 1):
            now = wanted._replace(video=self._replacement(wanted, attempt)) if attempt else wanted
            try:
                return self._load(now, attempt, "\n".join(bad))
            except VideoError as error:
                bad.append(f"{self.path_of(now.video)}\t{error}")
        return self._give_up(wanted, bad)

    def _load(self, index: ClipIndex, attempt: int, bad: str) -> dict:
        with self.locate(index.video) as source:
            views = self.sample(source, index, attempt)
            frames = self.decode(source, views)
        clip = self.transform(frames, views)
        return {"clip": clip, "label": self._label(index.video, views), "video": index.video, "bad": bad}

    def locate(self, video: int) -> AbstractContextManager:
        """The frames of a video (see media.py), open."""
        return self.media.open(video)

    def sample(self, source, index: ClipIndex, attempt: int = 0) -> Views:
        """Choose frames and crops."""
        grid = self.grid
        if self.split == "train":
            rng = rng_for(self.seed, index.epoch, index.video, attempt)
            frames = self.time.draw(rng, source, index.frames, grid.strides(index.frames))[None]
            return Views(frames, [grid.draw_crop(rng, source.size(frames[0, 0]), index.crop)])
        if self.split == "val":
            frames = self.time.middle(source, grid.frames, grid.stride)[None]
            return Views(frames, [grid.centre_crop(source.size(frames[0, 0]))])
        count = grid.num_clips
        clips = [self.time.view(source, grid.frames, grid.stride, i, count) for i in range(count)]
        return Views(np.stack(clips), grid.test_crops(source.size(clips[0][0]), self.fit_crop))

    def decode(self, source, views: Views) -> np.ndarray:
        """The frames of all views, in one pass over the video: uint8 (clips, T, H, W, C), whole, at the size chosen."""
        height, width = source.size(views.frames[0, 0])
        size = resized_size(height, width, views.crops[0].short_side)
        pictures = source.read(views.frames.ravel(), size)
        return pictures.reshape(*views.frames.shape, *pictures.shape[1:])  # (clips * T, H, W, C) -> (clips, T, ...)

    def transform(self, frames: np.ndarray, views: Views) -> torch.Tensor:
        """Crop and flip: (clips, T, H, W, C) -> (clips * crops, T, H, W, C), or one clip without the first axis."""
        clips = [apply_crop_flip(clip, crop) for clip in frames for crop in views.crops]  # not copied yet
        whole = np.stack(clips) if self.split == "test" else np.ascontiguousarray(clips[0])
        return torch.from_numpy(whole)

    def _clip_index(self, index: "int | ClipIndex") -> ClipIndex:
        if isinstance(index, ClipIndex):
            return index
        return ClipIndex(range(len(self))[int(index)], 0, self.grid.frames, self.grid.crop)

    def _label(self, video: int, views: Views) -> torch.Tensor:
        """Of the clip's span in training, of the whole video otherwise."""
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
                "DATA.PATH_PREFIX, and the files with tools/check_videos.py"
            )
        if not self.skip_bad:
            raise UserError(
                f"{last}. Mend the file or take it off the list; TEST.SKIP_BAD_VIDEOS True leaves such videos out and "
                "counts them"
            )
        clip = torch.zeros(self.grid.shape(self.split), dtype=torch.uint8)
        label = torch.as_tensor(self.targets.of(index.video))
        return {"clip": clip, "label": label, "video": index.video, "bad": bad[0]}
