"""The sampling grid: which frames and which part of the picture a clip shows.

Pure functions of plain numbers and a random generator. Every draw takes exactly one number from the generator, so
that a choice never shifts those after it. `source` is anything with `num_frames` and `fps` (frames per second);
strides are (lowest, highest) pairs of integers, both included.
"""

import math
from dataclasses import dataclass

import numpy as np

from slowfast.datasets.transform import resized_size
from slowfast.errors import UserError


def rng_for(seed: int, epoch: int, video: int, view: int = 0) -> np.random.Generator:
    """The generator of one sample: a function of these numbers and nothing else."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, video, view])))


def draw_integer(rng: np.random.Generator, lowest: int, highest: int) -> int:
    """Uniform over lowest..highest; unlike `rng.integers` it draws where there is no choice, too."""
    return lowest + int(rng.random() * (highest - lowest + 1))


# --- time: video files --------------------------------------------------------------------------------------


def span_of(source, frames: int, stride: int, target_fps: float) -> int:
    """How many frames of the source a clip spans; `stride` is counted at `target_fps` (0 or less: as the source's)."""
    steps = stride * (frames - 1)
    return max(1, math.ceil(steps / target_fps * source.fps) if target_fps > 0 else steps)


def train_span(rng, source, frames: int, strides: tuple[int, int], target_fps: float) -> np.ndarray:
    """A random clip: the indices of its frames."""
    span = span_of(source, frames, draw_integer(rng, *strides), target_fps)
    start = rng.random() * max(source.num_frames - span, 0)
    return _equally_spaced(start, span, frames, source.num_frames)


def test_span(
    source, frames: int, stride: int, target_fps: float, i: int, num_clips: int, use_offset: bool
) -> np.ndarray:
    """Clip i of `num_clips` that cover the video. `use_offset`: the first at its start, the last at its end."""
    span = span_of(source, frames, stride, target_fps)
    delta = max(source.num_frames - span, 0)
    if not use_offset:
        start = delta * i / num_clips
    elif num_clips == 1:
        start = delta // 2
    else:
        start = i * (delta // (num_clips - 1))
    return _equally_spaced(start, span, frames, source.num_frames)


def _equally_spaced(start: float, span: int, frames: int, num_frames: int) -> np.ndarray:
    indices = np.floor(np.linspace(start, start + span - 1, frames))
    return np.clip(indices, 0, num_frames - 1).astype(np.int64)


# --- time: frame lists --------------------------------------------------------------------------------------


def frame_list_train_span(rng, num_frames: int, frames: int, strides: tuple[int, int]) -> np.ndarray:
    """A random clip of every stride-th frame; beyond the video's ends its first or last frame is repeated."""
    stride = draw_integer(rng, *strides)
    room = num_frames - ((frames - 1) * stride + 1)
    start = draw_integer(rng, min(room, 0), max(room, 0))
    return _strided(start, stride, frames, num_frames)


def frame_list_test_span(num_frames: int, frames: int, stride: int, i: int, num_clips: int) -> np.ndarray:
    """Clip i of `num_clips`, the first at the video's start, the last at its end; a single one in the middle."""
    room = max(num_frames - ((frames - 1) * stride + 1), 0)
    start = room // 2 if num_clips == 1 else round(room / (num_clips - 1) * i)
    return _strided(start, stride, frames, num_frames)


def _strided(start: int, stride: int, frames: int, num_frames: int) -> np.ndarray:
    return np.clip(start + stride * np.arange(frames), 0, num_frames - 1)


# --- time: segments -----------------------------------------------------------------------------------------


def segments_train(rng, num_frames: int, frames: int) -> np.ndarray:
    """One random frame from each of `frames` equal parts of the video."""
    ends = _segment_ends(num_frames, frames)
    return np.array([draw_integer(rng, *ends[i : i + 2]) for i in range(frames)])


def segments_middle(num_frames: int, frames: int) -> np.ndarray:
    """The middle frame of each of `frames` equal parts of the video."""
    ends = _segment_ends(num_frames, frames)
    return (ends[:-1] + ends[1:]) // 2


def _segment_ends(num_frames: int, frames: int) -> np.ndarray:
    return np.round((num_frames - 1) / frames * np.arange(frames + 1)).astype(np.int64)


# --- space --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpatialChoice:
    """Resize the short side to `short_side`, cut a square of side `crop` at (y, x), mirror it if `flip`. All in px."""

    short_side: int
    crop: int
    y: int
    x: int
    flip: bool = False


def draw_spatial(
    rng,
    height: int,
    width: int,
    scales: tuple[float, float],
    crop: int,
    flip: bool = True,
    inverse_uniform: bool = False,
) -> SpatialChoice:
    """A random short side in `scales`, a random crop, and a flip in half the cases if `flip`.

    `inverse_uniform`: the reciprocal of the short side is uniform, not the short side itself.
    """
    lowest, highest = scales
    drawn = rng.random()
    if inverse_uniform:
        short_side = round(1 / (1 / highest + drawn * (1 / lowest - 1 / highest)))
    else:
        short_side = round(lowest + drawn * (highest - lowest))
    room_y, room_x = _room(height, width, short_side, crop)
    y, x = draw_integer(rng, 0, room_y), draw_integer(rng, 0, room_x)
    return SpatialChoice(short_side, crop, y, x, bool(rng.random() < 0.5) and flip)


def centre_crop(height: int, width: int, short_side: int, crop: int) -> SpatialChoice:
    room_y, room_x = _room(height, width, short_side, crop)
    return SpatialChoice(short_side, crop, math.ceil(room_y / 2), math.ceil(room_x / 2))


def test_crops(height: int, width: int, crop: int, num_crops: int) -> list[SpatialChoice]:
    """One crop: the centre. Three: left, centre, right (in portrait: from the top). The short side becomes `crop`."""
    centre = centre_crop(height, width, crop, crop)
    if num_crops == 1:
        return [centre]
    room_y, room_x = _room(height, width, crop, crop)
    return [SpatialChoice(crop, crop, 0, 0), centre, SpatialChoice(crop, crop, room_y, room_x)]


# pytest would take these for tests where a test file imports them by name.
test_span.__test__ = False
test_crops.__test__ = False


def _room(height: int, width: int, short_side: int, crop: int) -> tuple[int, int]:
    """How far a crop can be moved in the resized picture, down and to the right."""
    tall, wide = resized_size(height, width, short_side)
    if min(tall, wide) < crop:
        raise UserError(
            f"a crop of {crop} px does not fit a picture whose short side is resized to {short_side} px: raise "
            "DATA.TRAIN_JITTER_SCALES or lower the crop size"
        )
    return tall - crop, wide - crop
