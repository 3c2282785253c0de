"""The data set of photographs: every look is a demo look with other pixels."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / "projects" / "small_data"))

import make_data

from slowfast.commands import demo_data as demo


def test_backgrounds_and_patches_are_parts_of_photographs_and_all_else_is_the_demos(monkeypatch):
    photos = (np.full((300, 400, 3), 7, np.uint8), np.full((200, 150, 3), 9, np.uint8))
    monkeypatch.setattr(make_data, "photographs", lambda: photos)
    for seed in range(8):
        look = make_data.photo_look(np.random.default_rng(seed))
        plain = demo.draw_look(np.random.default_rng(seed))
        assert look[:4] == plain[:4]
        assert look.background.shape == plain.background.shape
        for sprite, other in zip(look.sprites, plain.sprites, strict=True):
            assert sprite.colors.shape == other.colors.shape
            assert np.array_equal(sprite.mask, other.mask)
            assert set(np.unique(sprite.colors)) <= {7, 9}


def test_a_data_set_is_made_with_a_look_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(make_data, "photographs", lambda: (np.full((300, 400, 3), 7, np.uint8),))
    out, per_class = str(tmp_path / "data"), {"train": 1, "val": 0, "test": 0}
    assert demo.make(out, per_class, draw=make_data.photo_look)
    assert not demo.make(out, per_class, draw=make_data.photo_look)
    assert not demo.is_complete(out, {"version": demo.VERSION, "seed": 0, "per_class": per_class})
