"""Class-balanced sampling: the videos of an epoch with weights inverse to the frequency of their class."""

from collections import Counter
from itertools import chain

import numpy as np

from slowfast.multigrid import Recipe, Shape, ShortCycleBatchSampler, baseline_schedule

CLASSES = np.array([0] * 60 + [1] * 25 + [2] * 10 + [4] * 5)  # class 3 has no video


def clips(rank=0, world=1, seed=3, epochs=4):
    legs = baseline_schedule(Recipe(Shape(4, 8, 32), 1, epochs)).plan(len(CLASSES), world)
    sampler = ShortCycleBatchSampler(legs, len(CLASSES), seed, rank, world, CLASSES)
    assert len(sampler) == len(list(sampler)) == epochs * len(CLASSES) // (4 * world)
    return list(sampler)


def test_every_class_has_the_same_number_of_clips_in_an_epoch_and_every_video_its_share():
    counts = Counter(clip.video for clip in chain(*clips(epochs=1)))
    by_class = [sum(n for video, n in counts.items() if CLASSES[video] == k) for k in (0, 1, 2, 4)]
    assert by_class == [25, 25, 25, 25]
    for k, share in ((0, 25 / 60), (1, 1), (2, 2.5), (4, 5)):
        of_class = [counts[video] for video in np.flatnonzero(k == CLASSES)]
        assert set(of_class) <= {int(np.floor(share)), int(np.ceil(share))}


def test_over_the_epochs_no_video_is_left_out():
    assert {clip.video for clip in chain(*clips(epochs=20))} == set(range(len(CLASSES)))


def test_a_video_that_comes_twice_in_an_epoch_gives_different_clips():
    drawn = list(chain(*clips()))
    assert len(set(drawn)) == len(drawn)


def test_the_order_is_a_function_of_the_seed_and_the_epoch_and_differs_between_them():
    assert clips() == clips()
    assert clips(seed=4) != clips()
    first, second = clips()[:25], clips()[25:50]
    assert [c.video for c in chain(*first)] != [c.video for c in chain(*second)]


def test_two_ranks_share_the_batches_of_one():
    alone, ranks = clips(), zip(clips(rank=0, world=2), clips(rank=1, world=2), strict=True)
    assert [set(chain(*pair)) for pair in zip(alone[::2], alone[1::2], strict=True)] == [set(a + b) for a, b in ranks]
