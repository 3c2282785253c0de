"""Random numbers for one sample.

Every choice takes exactly one number from the generator, so that one choice never shifts those after it.
"""

import numpy as np


def rng_for(seed: int, epoch: int, video: int, view: int = 0, *more: int) -> np.random.Generator:
    """Return the generator of one sample: a function of these numbers and nothing else.

    `more`: of one of several clips, and of a kind of choice.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, video, view, *more])))


def draw_integer(rng: np.random.Generator, lowest: int, highest: int) -> int:
    """Draw uniformly from lowest..highest. Unlike `rng.integers`, this also takes a number where both are equal."""
    return lowest + int(rng.random() * (highest - lowest + 1))
