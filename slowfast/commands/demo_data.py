"""Write a small data set of motions, as H.264 files in the Kinetics layout: %(prog)s OUT.

Twelve classes of motion (eight directions, two spins, two zooms) over random textures and shapes. The objects of a
video live on a torus (what leaves on one side comes in on the other) and every motion keeps their position, angle and
size uniformly distributed, so every single frame has exactly the same distribution in all classes: only the order
of the frames shows the class. Everything else (texture, color, shape, number, speed, length, frame rate, size, camera
shake, bit rate) is drawn independently of the class. Left and right are classes: train with `DATA.RANDOM_FLIP False`.

The same arguments give the same pixels. A finished data set is kept and reused; an incomplete or different one is
replaced.
"""

import argparse
import csv
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np

from slowfast.errors import UserError
from slowfast.utils.logging import is_progress_due, with_bar
from slowfast.utils.parser import fail_cleanly

MARKER = "demo_data.json"
VERSION = 2  # raise it when the pixels change, so that old data sets are made again
SPLITS = ("train", "val", "test")

# Object sizes as fractions of the frame's short side; frame sizes as (short side, aspect), always even.
MIN_SIZE, MAX_SIZE = 0.35, 0.9
SHORT_SIDES = (112, 120, 128)
ASPECTS = (1.0, 4 / 3, 3 / 2)
FRAME_RATES = (15, 20, 24, 25, 30)
FRAME_COUNTS = (60, 150)
SPRITE_PX = 64


class Motion(NamedTuple):
    """The directions of motion of a class, as signs; `states` draws the speed.

    Four frames are enough to recognize each motion, as for most of Kinetics, so a model can learn from the coarse
    clips of multigrid training.
    """

    slide_x: int = 0  # to the left or right
    slide_y: int = 0  # up or down
    spin: int = 0  # counter-clockwise or clockwise, on the spot
    zoom: int = 0  # shrinks or grows, and starts again


MOTIONS = {
    "moving left": Motion(slide_x=-1),
    "moving right": Motion(slide_x=1),
    "moving up": Motion(slide_y=-1),
    "moving down": Motion(slide_y=1),
    "moving up left": Motion(slide_x=-1, slide_y=-1),
    "moving up right": Motion(slide_x=1, slide_y=-1),
    "moving down left": Motion(slide_x=-1, slide_y=1),
    "moving down right": Motion(slide_x=1, slide_y=1),
    "spinning clockwise": Motion(spin=1),
    "spinning counter-clockwise": Motion(spin=-1),
    "growing": Motion(zoom=1),
    "shrinking": Motion(zoom=-1),
}


class States(NamedTuple):
    """One object at every frame: arrays over time."""

    x: np.ndarray  # in short sides, wrapped around the frame by `paint`
    y: np.ndarray
    angle_rad: np.ndarray
    size: np.ndarray  # diameter in short sides


class Sprite(NamedTuple):
    """A textured shape on SPRITE_PX x SPRITE_PX pixels."""

    colors: np.ndarray  # RGB, uint8
    mask: np.ndarray  # 255 inside, 0 outside


class Look(NamedTuple):
    """The properties of a video that do not depend on its class."""

    height: int
    width: int
    fps: int
    num_frames: int
    bytes_per_frame: int
    background: np.ndarray  # H+2m x W+2m x 3 uint8, m pixels of margin for the camera's shake
    shake_px: np.ndarray  # num_frames x 2 (x, y), integer pixels
    sprites: list[Sprite]


DrawLook = Callable[[np.random.Generator], Look]


def states(motion: Motion, rng: np.random.Generator, times_sec: np.ndarray, extent: tuple) -> States:
    """Draw the path of one object through the frame.

    All motions draw the same numbers, and keep the distribution in every frame uniform.
    """
    start_x, start_y = rng.uniform(0, 1, 2) * extent
    start_angle_rad, start_zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1)
    distance = rng.uniform(0.5, 0.85) * times_sec  # in short sides
    straight = max(np.hypot(motion.slide_x, motion.slide_y), 1)  # no faster along a diagonal
    zoom = (start_zoom + 0.7 * motion.zoom * distance) % 1
    return States(
        x=start_x + motion.slide_x / straight * distance,
        y=start_y + motion.slide_y / straight * distance,
        angle_rad=start_angle_rad + motion.spin * np.pi * distance,
        size=MIN_SIZE * (MAX_SIZE / MIN_SIZE) ** zoom,
    )


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Cloudy noise of three octaves in [0, 1], height x width."""
    total = np.zeros((height, width), np.float32)
    for octave, cells in enumerate((4, 9, 19)):
        grid = rng.random((cells, cells), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return (total - total.min()) / (total.max() - total.min())


def waves(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Stripes, checks or rings of random period and direction, bent by noise, in [0, 1], height x width."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 32
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.3, 1.2)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kind = rng.integers(3)
    bend = noise(rng, height, width)
    wave = (np.sin, lambda p: np.sin(p) * np.sin(v * 2 * np.pi / period), lambda p: np.sin(np.hypot(p, v * 6)))[kind]
    return (wave(u * 2 * np.pi / period + 2 * bend) + 1) / 2


def texture(rng: np.random.Generator, height: int, width: int, bright: bool) -> np.ndarray:
    """A random pattern between two random colors, bright or dark, height x width x 3 float32 in [0, 255]."""
    pattern = (noise, waves)[rng.integers(2)](rng, height, width)[..., None]
    low, high = (130, 250) if bright else (5, 125)
    first, second = rng.uniform(low, high, (2, 3))
    return (first + (second - first) * pattern).astype(np.float32)


def draw_sprite(rng: np.random.Generator, bright: bool) -> Sprite:
    """An irregular polygon filled with a texture."""
    corners = int(rng.integers(3, 8))
    angles = np.sort(rng.uniform(0, 2 * np.pi / corners, corners) + np.arange(corners) * 2 * np.pi / corners)
    radii = rng.uniform(0.55, 1.0, corners) * (SPRITE_PX / 2 - 2)
    radii[rng.integers(corners)] = SPRITE_PX / 2 - 2  # one corner is far out, so that the angle is visible
    points = SPRITE_PX / 2 + np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    mask = np.zeros((SPRITE_PX, SPRITE_PX), np.uint8)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 255)
    return Sprite(texture(rng, SPRITE_PX, SPRITE_PX, bright).astype(np.uint8), mask)


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the properties that do not depend on the class."""
    short, aspect = int(rng.choice(SHORT_SIDES)), float(rng.choice(ASPECTS))
    long = round(short * aspect / 2) * 2
    height, width = (short, long) if rng.random() < 0.6 else (long, short)
    num_frames, fps = int(rng.integers(FRAME_COUNTS[0], FRAME_COUNTS[1] + 1)), int(rng.choice(FRAME_RATES))
    margin = round(short * 0.03)
    seconds = np.arange(num_frames)[:, None] / fps
    shake = np.sin(2 * np.pi * (rng.uniform(0.1, 0.5, 2) * seconds + rng.random(2))) * rng.uniform(0, margin - 1, 2)
    bright = bool(rng.random() < 0.5)
    return Look(
        height=height,
        width=width,
        fps=fps,
        num_frames=num_frames,
        bytes_per_frame=int(rng.integers(700, 1400)),
        background=texture(rng, height + 2 * margin, width + 2 * margin, bright).round().astype(np.uint8),
        shake_px=shake.round().astype(int),
        sprites=[draw_sprite(rng, not bright) for _ in range(rng.integers(3, 6))],
    )


def paint(frame: np.ndarray, sprite: Sprite, center: tuple, diameter_px: float, angle_rad: float) -> None:
    """Put a sprite into the frame (H x W x 3 uint8, in place); parts beyond a border appear on the opposite side."""
    height, width = frame.shape[:2]
    radius = int(np.ceil(diameter_px / 2)) + 1
    corner = np.floor(np.array(center) - radius).astype(int)  # of the patch, in integer pixels
    scale, turn = diameter_px / SPRITE_PX, angle_rad
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = np.array(center) - corner - linear @ np.full(2, SPRITE_PX / 2)
    matrix = np.column_stack([linear, offset])
    size = (2 * radius + 1, 2 * radius + 1)
    patch = cv2.warpAffine(sprite.colors, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(sprite.mask, matrix, size, flags=cv2.INTER_NEAREST)
    for rows, part_y in wrapped(corner[1], len(patch), height):
        for columns, part_x in wrapped(corner[0], len(patch), width):
            cv2.copyTo(patch[part_y, part_x], mask[part_y, part_x], frame[rows, columns])


def wrapped(start: int, length: int, period: int):
    """Cut [start, start + length) at the multiples of `period`: pairs of slices, in the period and in the length."""
    done = 0
    while done < length:
        inside = (start + done) % period
        count = min(length - done, period - inside)
        yield slice(inside, inside + count), slice(done, done + count)
        done += count


def render(motion: Motion, seed: tuple, draw: DrawLook = draw_look):
    """Yield the look of one video, then its frames, H x W x 3 uint8 RGB. The look does not depend on the motion."""
    look = draw(np.random.default_rng([*seed, 0]))
    yield look
    short = min(look.height, look.width)
    extent = (look.width / short, look.height / short)
    times_sec = np.arange(look.num_frames) / look.fps
    objects = [
        states(motion, np.random.default_rng([*seed, 1 + i]), times_sec, extent) for i in range(len(look.sprites))
    ]
    margin = (look.background.shape[0] - look.height) // 2
    for i, (shake_x, shake_y) in enumerate(look.shake_px):
        top, left = margin - shake_y, margin - shake_x
        frame = look.background[top : top + look.height, left : left + look.width].copy()
        for sprite, state in zip(look.sprites, objects, strict=True):
            center = (state.x[i] * short + shake_x, state.y[i] * short + shake_y)
            paint(frame, sprite, center, state.size[i] * short, state.angle_rad[i])
        yield frame


def encoder_options(look: Look) -> dict[str, str]:
    """Options for H.264 at a constant bit rate, so that the size of a file does not depend on the motion."""
    rate = str(8 * look.bytes_per_frame * look.fps)
    constant = {
        "b": rate,
        "minrate": rate,
        "maxrate": rate,
        "bufsize": str(int(rate) // 2),
        "x264-params": "nal-hrd=cbr",
    }
    return {"preset": "ultrafast", "tune": "fastdecode", "g": "12", **constant}


def write_video(path: str, motion: Motion, seed: tuple, draw: DrawLook = draw_look) -> None:
    """Render one video and encode it on one thread, so that the bytes repeat."""
    frames = render(motion, seed, draw)
    look = next(frames)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(look.fps), options=encoder_options(look))
        stream.width, stream.height, stream.pix_fmt = look.width, look.height, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())


def plan_split(split: str, per_class: int, seed: int) -> list:
    """Rows (path, label, seed of the video) of one split. Order and names do not depend on the class."""
    labels = np.repeat(np.arange(len(MOTIONS)), per_class)
    np.random.default_rng([seed, SPLITS.index(split)]).shuffle(labels)
    return [
        (f"videos/{split}/{i:05d}.mp4", int(label), (seed, SPLITS.index(split), i)) for i, label in enumerate(labels)
    ]


def write_row(task: tuple) -> None:
    """Write one video of the plan, in a worker process."""
    cv2.setNumThreads(1)
    root, (path, label, seed), draw = task
    write_video(os.path.join(root, path), list(MOTIONS.values())[label], seed, draw)


def write_lists(root: str, plan: dict) -> None:
    for split, rows in plan.items():
        with open(os.path.join(root, f"{split}.csv"), "w", newline="") as f:
            csv.writer(f, delimiter=" ", lineterminator="\n").writerows(row[:2] for row in rows)
    with open(os.path.join(root, "classnames.json"), "w") as f:
        json.dump({name: label for label, name in enumerate(MOTIONS)}, f, indent=1)


def is_complete(out: str, arguments: dict) -> bool:
    """Return whether OUT is exactly this data set. Raises UserError if OUT has files other than demo data."""
    marker = os.path.join(out, MARKER)
    if os.path.exists(marker):
        with open(marker) as f:
            return json.load(f) == arguments
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise UserError(
            f"OUT {out}: it exists and is not a demo data set (without {MARKER}); name a new or empty folder"
        )
    return False


def make(out: str, per_class: dict, seed: int = 0, workers: int = 1, draw: DrawLook = draw_look) -> bool:
    """Make the data set at OUT unless it exists, and return whether it was made.

    Args:
        per_class: videos per class, for each of SPLITS.
        draw: draws what does not depend on the class; a function of a module, so that worker processes find it.
    """
    arguments = {"version": VERSION, "seed": seed, "per_class": per_class}
    if draw is not draw_look:
        arguments["look"] = draw.__name__
    if is_complete(out, arguments):
        return False
    part = out.rstrip(os.sep) + ".part"  # written here, then renamed: OUT is never incomplete
    shutil.rmtree(part, ignore_errors=True)
    plan = {split: plan_split(split, per_class[split], seed) for split in SPLITS}
    for split in SPLITS:
        os.makedirs(os.path.join(part, "videos", split))
    tasks = [(part, row, draw) for rows in plan.values() for row in rows]
    if workers > 1:
        with multiprocessing.Pool(workers) as pool:
            show_progress(pool.imap_unordered(write_row, tasks, chunksize=4), len(tasks))
    else:
        show_progress(map(write_row, tasks), len(tasks))
    write_lists(part, plan)
    with open(os.path.join(part, MARKER), "w") as f:
        json.dump(arguments, f)
    shutil.rmtree(out, ignore_errors=True)
    os.rename(part, out)
    return True


def show_progress(results, total: int) -> None:
    """Iterate over the results, with a progress bar on a terminal and lines elsewhere."""
    start = time.perf_counter()
    for done, _ in enumerate(with_bar(results, total, "video"), 1):
        if is_progress_due(done, total):
            print(f"{done} of {total} videos, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


@fail_cleanly()
def main(argv: list[str] | None = None) -> None:
    args = make_parser().parse_args(argv)
    per_class = {"train": args.train_per_class, "val": args.val_per_class, "test": args.test_per_class}
    start = time.perf_counter()
    made = make(args.out, per_class, args.seed, args.workers)
    total = sum(per_class.values()) * len(MOTIONS)
    done = f"made in {time.perf_counter() - start:.0f} s" if made else "exists already, kept"
    print(f"{args.out}: {total} videos of {len(MOTIONS)} motions, {done}")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", help="folder to write (new, empty, or an earlier demo data set)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-per-class", type=int, default=60, help="videos per class for training (60)")
    parser.add_argument("--val-per-class", type=int, default=10, help="videos per class for validation (10)")
    parser.add_argument("--test-per-class", type=int, default=20, help="videos per class for the test (20)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    return parser
