from dataclasses import replace

import cv2
import numpy as np
import pytest

from slowfast.datasets.draws import rng_for
from slowfast.datasets.spatial import (
    SpatialChoice,
    Window,
    apply_crop_flip,
    center_crop,
    draw_crop,
    resize_part,
    resized_size,
    short_side_at,
    three_crops,
    window_of,
)


def generators(count=2000):
    return [rng_for(0, 0, number) for number in range(count)]


@pytest.mark.parametrize(
    ("height", "width", "short", "expected"),
    [(240, 320, 120, (120, 160)), (320, 240, 121, (161, 121)), (100, 100, 64, (64, 64)), (49, 65, 49, (49, 65))],
)
def test_resizing_keeps_the_aspect_and_floors_the_long_side(height, width, short, expected):
    assert resized_size(height, width, short) == expected


def test_random_crops_reach_every_border_and_are_flipped_half_of_the_time():
    choices = [draw_crop(rng, 40, 60, 20, 16) for rng in generators()]
    assert {c.y for c in choices} == {0, 1, 2, 3, 4}
    assert {c.x for c in choices} == set(range(15))
    assert {(c.short_side, c.crop) for c in choices} == {(20, 16)}
    assert 0.45 < np.mean([c.flip for c in choices]) < 0.55


def test_without_flips_the_crop_stays_the_same():
    with_flip = next(c for c in (draw_crop(rng_for(0, 0, n), 40, 60, 20, 16, True) for n in range(20)) if c.flip)
    without = {draw_crop(rng_for(0, 0, n), 40, 60, 20, 16, False) for n in range(20)}
    assert not any(c.flip for c in without)
    assert SpatialChoice(20, 16, with_flip.y, with_flip.x) in without


def test_short_sides_are_drawn_from_all_integers_of_the_range():
    assert {short_side_at(rng.random(), (20, 30)) for rng in generators()} == set(range(20, 31))


def test_inverse_uniform_short_sides_have_a_uniform_reciprocal():
    drawn = [short_side_at(rng.random(), (256, 320), inverse_uniform=True) for rng in generators()]
    mean = np.mean([1 / short_side for short_side in drawn])
    assert abs(mean - (1 / 256 + 1 / 320) / 2) < 1e-5
    assert min(drawn) >= 256
    assert max(drawn) <= 320


@pytest.mark.parametrize(
    ("height", "width", "places"),
    [(40, 61, [(0, 0), (0, 11), (0, 21)]), (61, 40, [(0, 0), (11, 0), (21, 0)])],
)
def test_three_crops_cover_the_long_side(height, width, places):
    crops = three_crops(height, width, 40, 40)
    assert [(c.y, c.x) for c in crops] == places
    assert all(c.short_side == c.crop == 40 and not c.flip for c in crops)
    assert crops[1] == center_crop(height, width, 40, 40)


def test_the_offset_of_the_center_crop_is_rounded_up():
    assert center_crop(50, 70, 45, 40) == SpatialChoice(45, 40, 3, 12)


def test_a_crop_is_cut_and_then_mirrored():
    frames = np.arange(2 * 6 * 8 * 3, dtype=np.uint8).reshape(2, 6, 8, 3)
    choice = SpatialChoice(6, 4, 1, 3, flip=True)
    clip = apply_crop_flip(frames, choice)
    assert (clip == frames[:, 1:5, 3:7][:, :, ::-1]).all()
    unmirrored = apply_crop_flip(frames, replace(choice, flip=False))
    assert (unmirrored == frames[:, 1:5, 3:7]).all()
    assert unmirrored.base is not None  # a view, no copy


def test_a_crop_of_a_window_is_that_of_the_frames():
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    crops = [SpatialChoice(20, 8, 5, 12), SpatialChoice(20, 8, 7, 3, flip=True), SpatialChoice(20, 8, 6, 18)]
    window = window_of(crops)
    assert window == Window(5, 3, 10, 23)
    cut = frames[:, 5:15, 3:26]
    for crop in crops:
        assert (apply_crop_flip(cut, crop, window) == apply_crop_flip(frames, crop)).all()


def test_a_part_of_a_resized_picture_has_the_pixels_of_resizing_all_of_it():
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width, short_side = rng.integers(16, 200, 3).tolist()
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        tall, wide = resized_size(height, width, short_side)
        crop = int(rng.integers(1, short_side + 1))
        window = Window(int(rng.integers(tall - crop + 1)), int(rng.integers(wide - crop + 1)), crop, crop)
        expected = cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_LINEAR)
        expected = expected[window.y : window.y + crop, window.x : window.x + crop]
        assert np.array_equal(resize_part(picture, (tall, wide), window), expected)
