#!/usr/bin/env python3
"""Write a small data set of patches that move over photographs: `make_data.py OUT`. Needs scikit-image, scikit-learn.

The twelve motions, sizes and lengths are those of the demo (tools/make_demo_data.py), and a single frame does not show
the class here either. The backgrounds are parts of seven photographs that the two packages contain, and so are
the textures of the moving patches, which are therefore no brighter or darker than what they cover.
"""

import argparse
import functools
import os
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from slowfast.commands import demo_data as demo

PER_CLASS = {"train": 50, "val": 10, "test": 20}
MAGNIFICATION = (0.35, 1.0)  # pixels of the data set per pixel of a photograph


@functools.cache
def photographs() -> tuple[np.ndarray, ...]:
    """The photographs, H x W x 3 uint8 RGB. Nothing is downloaded."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    made = (data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0])
    return (*made, *load_sample_images().images)


def cut(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A random part of a random photograph, at a random magnification, as height x width x 3 uint8."""
    photo = photographs()[rng.integers(len(photographs()))]
    scale = rng.uniform(*MAGNIFICATION)
    scale = max(scale, height / photo.shape[0], width / photo.shape[1])
    rows, columns = int(height / scale), int(width / scale)
    top = rng.integers(photo.shape[0] - rows + 1)
    left = rng.integers(photo.shape[1] - columns + 1)
    part = photo[top : top + rows, left : left + columns]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)


def photo_look(rng: np.random.Generator) -> demo.Look:
    """Draw a look of the demo, with parts of photographs for its background and its sprites."""
    look = demo.draw_look(rng)
    return look._replace(
        bytes_per_frame=2 * look.bytes_per_frame,  # photographs need more bits
        background=cut(rng, *look.background.shape[:2]),
        sprites=[s._replace(colors=cut(rng, demo.SPRITE_PX, demo.SPRITE_PX)) for s in look.sprites],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", help="folder to write: new, empty, or an earlier data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (one per core)")
    args = parser.parse_args()
    made = demo.make(args.out, PER_CLASS, args.seed, args.workers, photo_look)
    total = sum(PER_CLASS.values()) * len(demo.MOTIONS)
    print(f"{args.out}: {total} videos of {len(demo.MOTIONS)} motions, {'made' if made else 'exists already, kept'}")


if __name__ == "__main__":
    main()
