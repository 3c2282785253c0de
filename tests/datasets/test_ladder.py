"""The levels of a store: the short sides that a training draws, and the sizes that serve them."""

from pathlib import Path

import pytest

from slowfast.config.load import load_cfg
from slowfast.datasets.grid import SamplingGrid
from slowfast.datasets.ladder import choose_levels, crop_shares, level_shares, levels_of, short_side_shares
from slowfast.multigrid import build_schedule

KINETICS = Path(__file__).parents[2] / "configs/Kinetics"


def shares_of(name):
    cfg = load_cfg(KINETICS / name)
    return short_side_shares(build_schedule(cfg), SamplingGrid.from_cfg(cfg))


def test_the_crops_of_the_kinetics_recipe_have_their_shares_of_the_clips():
    shares = crop_shares(build_schedule(load_cfg(KINETICS / "SLOWFAST_8x8_R50_stepwise_multigrid.yaml")))
    assert shares == pytest.approx({112: 0.526, 158: 0.422, 224: 0.051}, abs=0.002)


def test_short_sides_are_drawn_from_the_range_of_each_crop():
    shares = shares_of("SLOWFAST_8x8_R50_stepwise_multigrid.yaml")
    assert (min(shares), max(shares)) == (128, 320)
    assert list(shares) == sorted(shares)
    assert sum(shares.values()) == pytest.approx(1)
    below_181 = sum(share for side, share in shares.items() if side < 181)  # crops of 112 px alone draw these
    assert below_181 == pytest.approx(0.526 * (181 - 128) / (320 - 128), abs=0.005)


def test_a_multigrid_training_has_three_levels_and_a_baseline_one():
    assert choose_levels(shares_of("SLOWFAST_8x8_R50_stepwise.yaml")) == [320]
    levels = choose_levels(shares_of("SLOWFAST_8x8_R50_stepwise_multigrid.yaml"))
    assert len(levels) in (2, 3)
    assert levels[-1] == 320


@pytest.mark.parametrize(
    ("shares", "levels"),
    [
        ({100: 1.0}, [100]),
        ({99: 1.0}, [100]),
        ({100: 0.5, 200: 0.5}, [100, 200]),
        ({190: 0.5, 200: 0.5}, [200]),
        ({50: 0.25, 100: 0.25, 150: 0.25, 200: 0.25}, [100, 150, 200]),
        ({100: 0.01, 200: 0.99}, [200]),
    ],
)
def test_levels_are_those_that_decode_the_fewest_pixels(shares, levels):
    assert choose_levels(shares) == levels


def test_a_level_serves_the_short_sides_up_to_it():
    assert level_shares({31: 0.25, 40: 0.25, 41: 0.5}, [40, 48]) == {40: 0.5, 48: 0.5}


@pytest.mark.parametrize(
    ("own", "levels"), [(720, [40, 60, 80]), (80, [40, 60, 80]), (61, [40, 60, 62]), (39, [40]), (1, [2])]
)
def test_a_video_is_never_enlarged_but_to_an_even_size(own, levels):
    assert levels_of([40, 60, 80], own) == levels
