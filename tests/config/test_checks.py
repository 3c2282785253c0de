"""Every check refuses what it is for, with key, value and fix, and lets the rest through."""

import pytest

from slowfast.config import checks
from slowfast.config.checks import IGNORED, NEEDED, NO_EFFECT, check_cfg, reason_for
from slowfast.config.defaults import get_cfg
from slowfast.config.limits import ABOVE, CHOICES, HIGHEST, LIMITS
from slowfast.config.node import LIST_EXAMPLES, TEXT_LIST_KEYS, flatten
from slowfast.errors import UserError

RESNET = {"MODEL.ARCH": "i3d", "MODEL.MODEL_NAME": "ResNet", "DATA.INPUT_CHANNEL_NUM": [3]}


def cfg_with(*parts):
    cfg = get_cfg()
    for part in parts:
        for key, value in part.items():
            cfg.merge_from_list([key, value])
    return cfg


def takes_a_list(key):
    return key in LIST_EXAMPLES or isinstance(dict(flatten(get_cfg()))[key], list)


GOOD = {
    "the defaults": ({},),
    "one pathway": (RESNET,),
    "state of the published code": ({"MULTIGRID.DEFAULT_B": 64, "MULTIGRID.DEFAULT_T": 32},),
    "any published decoder": ({"DATA.DECODING_BACKEND": "pyav"},),
    "a model of the user's own": ({"MODEL.MODEL_NAME": "Mine", "MODEL.ARCH": "mine", "DATA.INPUT_CHANNEL_NUM": [3]},),
}


@pytest.mark.parametrize("parts", GOOD.values(), ids=GOOD)
def test_valid_combinations_are_accepted(parts):
    assert check_cfg(cfg_with(*parts)) is None


@pytest.mark.parametrize("key", CHOICES)
def test_an_unknown_choice_is_refused_with_the_known_ones(key):
    wrong = 7 if isinstance(CHOICES[key][0], int) else "nothing_known"
    with pytest.raises(UserError, match=f"{key}: {wrong!r} is not known; choose one of {CHOICES[key][0]}"):
        check_cfg(cfg_with({key: wrong}))


@pytest.mark.parametrize("key", [*LIMITS, *ABOVE])
def test_a_number_out_of_its_limits_is_refused(key):
    low = ABOVE[key] if key in ABOVE else LIMITS[key][0] - 1
    value = [low] if takes_a_list(key) else low
    with pytest.raises(UserError, match=f"{key}: .* is out of range"):
        check_cfg(cfg_with({key: value}))


@pytest.mark.parametrize("key", [key for key, (_, high) in LIMITS.items() if high <= HIGHEST])
def test_a_number_above_its_highest_is_refused(key):
    low, high = LIMITS[key]
    above = high * 2 if not isinstance(high, float) else 10**30
    span = f"{low} or more" if high == HIGHEST else f"{low} to {high}"
    with pytest.raises(UserError, match=f"{key}: .* is out of range; give {span}"):
        check_cfg(cfg_with({key: [above] if takes_a_list(key) else above}))


def another_value(key):
    default = dict(flatten(get_cfg()))[key]
    if isinstance(default, list):
        return ["other"] if key in TEXT_LIST_KEYS else [[7]] if key == "DATA.TRAIN_PCA_EIGVEC" else [7]
    return {bool: not default, str: "other", float: 77.0}.get(type(default), 77)


def keys_in(reasons):
    return [key for key, _ in flatten(get_cfg()) if reason_for(key, reasons)]


@pytest.mark.parametrize("key", keys_in(NO_EFFECT))
def test_a_key_without_effect_is_refused_away_from_its_default(key):
    with pytest.raises(UserError, match=f"{key}: .* has no effect here .*leave the key out"):
        check_cfg(cfg_with({key: another_value(key)}))


@pytest.mark.parametrize("key", keys_in(IGNORED))
def test_a_key_that_changes_no_result_gives_a_warning(key, caplog):
    check_cfg(cfg_with({key: another_value(key)}))
    assert [f"{key}: {another_value(key)!r} has no effect here" in text for text in caplog.messages] == [True]


@pytest.mark.parametrize("key", NEEDED)
def test_a_key_that_needs_another_gives_a_warning_without_it(key, caplog):
    condition, needed = NEEDED[key]
    value = {"MULTIGRID.SHORT_CYCLE_FACTORS": [0.6], "MULTIGRID.LONG_CYCLE_FACTORS": [[1, 1]], "SOLVER.BETAS": [0, 0]}
    value |= {"SOLVER.DAMPENING": 0.5, "MODEL.DROPCONNECT_RATE": 0.5, "MULTIGRID.LR_SCALING": "sqrt"}
    value |= dict.fromkeys([name for name in NEEDED if name.startswith("MIXUP.")], 0.6)
    value |= {"AUG.INTERPOLATION": "random", "AUG.RE_PROB": 0.5, "AUG.RE_MODE": "rand", "AUG.COLOR_JITTER": 0.5}
    value |= {"MVIT.POOL_KV_STRIDE": [[0, 1, 8, 8]]}
    changes = {key: value.get(key, another_value(key))}
    without = {
        True: False,
        None: [1, 8, 8],
        "sub_batchnorm": "batchnorm",
        "sync_batchnorm": "batchnorm",
        "adam": "sgd",
        "sgd": "adam",
    }
    check_cfg(cfg_with(changes, {condition: without.get(needed[0], "basic_transform")}))
    assert [f"{key}: {changes[key]!r} has no effect with {condition}" in text for text in caplog.messages] == [True]
    caplog.clear()
    check_cfg(cfg_with(changes, met(key)))
    assert not caplog.messages


def met(key):
    """Values with which a key has an effect. What it needs may need another key itself."""
    if key not in NEEDED:
        return {}
    condition, needed = NEEDED[key]
    return {condition: needed[0]} | met(condition)


def test_the_defaults_give_no_warning(caplog):
    check_cfg(get_cfg())
    assert not caplog.messages


def test_the_tables_of_keys_without_effect_name_known_keys():
    known = [key for key, _ in flatten(get_cfg())]
    assert all(any(key == name or key.startswith(f"{name}.") for key in known) for name in [*NO_EFFECT, *IGNORED])
    assert set(known) >= checks.STATE_KEYS | checks.ACCEPTED_KEYS | {key for key, _ in checks.MISSING_FEATURES}
