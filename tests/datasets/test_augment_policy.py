from collections import Counter

import numpy as np
import pytest

from slowfast.datasets.augment.operations import OPERATIONS
from slowfast.datasets.augment.policy import NAMES, ColorJitter, RandAugment
from slowfast.datasets.draws import rng_for
from slowfast.errors import UserError


def draws(policy, count=1500, frames=2):
    return [policy.draw(rng_for(0, 0, number), frames) for number in range(count)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RandAugment(number=0)),
        ("rand", RandAugment(10, 2)),
        ("rand-m7-n4-mstd0.5-inc1", RandAugment(7, 4, 0.5, True)),
        ("rand-inc0-n3", RandAugment(10, 3, 0, True)),  # as published: any number is on
        ("rand-w0-mstd1", RandAugment(10, 2, 1.0, weighted=True)),
    ],
)
def test_a_text_names_a_policy(text, expected):
    assert RandAugment.from_text(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augmix-m3", "AUG.AA_TYPE: 'augmix-m3' is not known; give one like rand-m7-n4-mstd0.5-inc1.*'' for none"),
        ("rand-m7-x2", "'rand-m7-x2' has a part 'x2' that is not known; give one like"),
        ("rand-m7.5", "part 'm7.5' that"),
        ("rand-mstd", "part 'mstd' that"),
        ("rand-inc", "part 'inc' that"),
        ("rand-w1", "part 'w1' that"),
        ("rand--n2", "part '' that"),
        ("rand-m9-n2-m8", "'rand-m9-n2-m8' has m9 and m8; keep one of them"),
        ("rand-n0", "asks for 0 operations; give n1 to n1000, or '' for none"),
        ("rand-w0-n14", "asks for 14 operations; give n1 to n13"),
    ],
)
def test_a_text_of_another_form_is_an_error_with_the_fix(text, message):
    with pytest.raises(UserError, match=message):
        RandAugment.from_text(text)


def test_operations_are_uniform_with_replacement_and_half_of_them_are_skipped():
    drawn = draws(RandAugment(number=4))
    names = Counter(operation.name for clip in drawn for operation in clip)
    assert set(names) == set(NAMES)
    assert max(names.values()) < 1.4 * min(names.values())
    assert sum(names.values()) == pytest.approx(2 * len(drawn), rel=0.05)
    assert any(len({operation.name for operation in clip}) < len(clip) for clip in drawn)


def test_the_weighted_choice_is_without_replacement_and_has_the_weights():
    drawn = draws(RandAugment(number=2, weighted=True))
    assert all(len({operation.name for operation in clip}) == len(clip) for clip in drawn)
    firsts = Counter(clip[0].name for clip in drawn if len(clip) == 2)
    assert not {"Invert", "Posterize"} & {operation.name for clip in drawn for operation in clip}
    for name in ("Rotate", "ShearX", "TranslateXRel"):
        assert firsts[name] / firsts.total() == pytest.approx(OPERATIONS[name].weight, rel=0.3)


def angles(policy):
    return np.array([op.argument for clip in draws(policy) for op in clip if op.name == "Rotate"])


def test_levels_are_spread_and_clipped_and_half_are_negative():
    fixed = angles(RandAugment(7, 4))
    assert set(np.round(fixed, 9)) == {-21, 21}
    assert 0.4 < (fixed < 0).mean() < 0.6
    spread = np.abs(angles(RandAugment(7, 4, 0.5))) / 3
    assert spread.mean() == pytest.approx(7, abs=0.1)
    assert spread.std() == pytest.approx(0.5, rel=0.15)
    wide = np.abs(angles(RandAugment(9, 4, 5.0))) / 3
    assert (wide.max(), wide.min()) == (10, 0)


def test_random_interpolation_is_drawn_for_each_frame_and_changes_nothing_else():
    fixed, random = RandAugment(7, 4), RandAugment(7, 4, interpolation="random")
    for one, other in zip(draws(fixed, 20, 50), draws(random, 20, 50), strict=True):
        assert [op[:2] for op in one] == [op[:2] for op in other]
        assert all(set(op.filters) == {"bilinear", "bicubic"} and len(op.filters) == 50 for op in other)


def test_color_jitter_draws_three_factors_in_a_random_order():
    drawn = draws(ColorJitter(0.4), 300)
    assert {frozenset(op.name for op in clip) for clip in drawn} == {frozenset(("Brightness", "Contrast", "Color"))}
    assert len({tuple(op.name for op in clip) for clip in drawn}) == 6
    factors = np.array([op.argument for clip in drawn for op in clip])
    assert factors.min() == pytest.approx(0.6, abs=0.01)
    assert factors.max() == pytest.approx(1.4, abs=0.01)


def test_a_draw_stays_the_same_in_all_versions():
    policy = RandAugment.from_text("rand-m7-n4-mstd0.5-inc1")
    recorded = [(op.name, round(op.argument, 4)) for clip in draws(policy, 3) for op in clip]
    assert recorded == GOLDEN


GOLDEN = [
    ("Brightness", 1.6911),
    ("Posterize", 2),
    ("AutoContrast", 0.0),
    ("Contrast", 0.2992),
    ("Brightness", 1.5936),
    ("SolarizeAdd", 76),
    ("Sharpness", 1.6345),
    ("TranslateXRel", 0.3246),
]
