#!/usr/bin/env python3
"""CPU time of augmenting a clip of 16 frames of 256 x 340 px: each operation of RandAugment, and policies of recipes.

augment.py [--repeats N]

The figures are of one thread. Those of operations and of the crop are medians over the repeats, at level 7 of the
increasing set; those of policies are means over clips, each of which has its own operations.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import cv2
import numpy as np
import PIL

from slowfast.datasets.augment.boxes import RelativeCrop
from slowfast.datasets.augment.operations import OPERATIONS, Applied, apply_operations
from slowfast.datasets.augment.policy import RandAugment
from slowfast.datasets.spatial import Window

FRAMES, HEIGHT, WIDTH, CROP = 16, 256, 340, 224
POLICIES = ("rand-m7-n4-mstd0.5-inc1", "rand-m9-mstd0.5-inc1")
CLIPS = 200  # of a policy, as its operations are drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    cv2.setNumThreads(0)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (FRAMES, 8, 10, 3), np.uint8)
    clip = np.stack([cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for frame in small])
    print(f"Pillow {PIL.__version__}, OpenCV {cv2.__version__}; ms per clip")
    for name, operation in OPERATIONS.items():
        applied = Applied(name, (operation.increasing or operation.argument)(0.7))
        print(f"{name:26} {timed(partial(apply_operations, clip, [applied]), repeats):6.1f}")
    for text in POLICIES:
        policy = RandAugment.from_text(text)
        drawn = [policy.draw(np.random.default_rng(number), FRAMES) for number in range(CLIPS)]
        times = [timed(partial(apply_operations, clip, operations), 1) for operations in drawn]
        print(f"{text:26} {np.mean(times):6.1f}")
    boxes = RelativeCrop((0.08, 1.0), (0.75, 1.3333)).draw(rng, (HEIGHT, WIDTH), CROP, False)
    print(f"{'relative crop':26} {timed(partial(boxes.cut, clip, Window(0, 0, HEIGHT, WIDTH)), repeats):6.1f}")


def timed(function: Callable[[], object], repeats: int) -> float:
    """Return the median CPU time of a call, in ms."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1000 * median(times)


if __name__ == "__main__":
    main()
