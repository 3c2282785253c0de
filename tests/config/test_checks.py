"""Every check refuses what it is for, with key, value and mend, and lets the rest through."""

import pytest

from slowfast.config import checks, cross_checks
from slowfast.config.checks import ABOVE, CHOICES, LIMITS, NO_EFFECT, check_cfg, no_effect_reason
from slowfast.config.defaults import get_cfg
from slowfast.config.node import flatten
from slowfast.errors import UserError

STAGES_OF_TWO = [[1, 1]] * 4
SLOWFAST = {
    "RESNET.NUM_BLOCK_TEMP_KERNEL": [[3, 3], [4, 4], [6, 6], [3, 3]],
    "RESNET.SPATIAL_STRIDES": [[1, 1], [2, 2], [2, 2], [2, 2]],
    "RESNET.SPATIAL_DILATIONS": STAGES_OF_TWO,
    "NONLOCAL.LOCATION": [[[], []]] * 4,
    "NONLOCAL.GROUP": STAGES_OF_TWO,
    "DATA.NUM_FRAMES": 32,
    "SLOWFAST.ALPHA": 4,
}
RESNET = {"MODEL.ARCH": "i3d", "MODEL.MODEL_NAME": "ResNet", "DATA.INPUT_CHANNEL_NUM": [3]}
STEPS = {"SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.STEPS": [0, 94, 154]}
MULTI_LABEL = {"DATA.MULTI_LABEL": True, "MODEL.LOSS_FUNC": "bce_logit", "MODEL.HEAD_ACT": "sigmoid"}
LONG = {**STEPS, "MULTIGRID.LONG_CYCLE": True}


def cfg_with(*parts):
    cfg = get_cfg()
    for part in parts:
        for key, value in part.items():
            cfg.merge_from_list([key, value])
    return cfg


GOOD = {
    "two pathways": (SLOWFAST,),
    "one pathway leaves the pools of two": (RESNET,),
    "steps": (RESNET, STEPS),
    "the last step is the end": (RESNET, STEPS, {"SOLVER.MAX_EPOCH": 154}),
    "a short trial of a long recipe": (RESNET, STEPS, {"SOLVER.MAX_EPOCH": 1}),
    "more rates than steps": (RESNET, STEPS, {"SOLVER.LRS": [1, 0.1, 0.01, 0.001]}),
    "sets of labels": (SLOWFAST, MULTI_LABEL),
    "a long cycle": (SLOWFAST, LONG),
    "a long cycle under a cosine": (SLOWFAST, {"MULTIGRID.LONG_CYCLE": True}),
    "a short cycle of one size": (SLOWFAST, {"MULTIGRID.SHORT_CYCLE": True, "MULTIGRID.SHORT_CYCLE_FACTORS": []}),
    "state of the published code": (SLOWFAST, {"MULTIGRID.DEFAULT_B": 64, "MULTIGRID.DEFAULT_T": 32}),
    "any published decoder": (SLOWFAST, {"DATA.DECODING_BACKEND": "pyav"}),
    "a model of the user's own": ({"MODEL.MODEL_NAME": "Mine", "MODEL.ARCH": "mine", "DATA.INPUT_CHANNEL_NUM": [3]},),
}

# check -> (settings, what the message says)
BAD = {
    "check_model_name": [
        ((RESNET, {"MODEL.MODEL_NAME": "X3D"}), "MODEL.MODEL_NAME: 'X3D' is not part.*SlowFast, ResNet"),
        ((RESNET, {"MODEL.ARCH": "slowfast"}), "MODEL.ARCH: 'slowfast' does not go with .*'ResNet'; .*i3d"),
        ((SLOWFAST, {"MODEL.ARCH": "i3d"}), "MODEL.ARCH: 'i3d' does not go with .*'SlowFast'; .*slowfast"),
        ((RESNET, {"MODEL.ARCH": "c3d"}), "MODEL.ARCH: 'c3d'"),
    ],
    "check_input_channels": [
        ((RESNET, {"DATA.INPUT_CHANNEL_NUM": [3, 3]}), r"DATA.INPUT_CHANNEL_NUM: \[3, 3\] .*1 pathway.*; give \[3\]"),
        ((SLOWFAST, {"DATA.INPUT_CHANNEL_NUM": [3]}), r"DATA.INPUT_CHANNEL_NUM: \[3\] .*2 pathway.*; give \[3, 3\]"),
    ],
    "check_colours": [
        ((RESNET, {"DATA.MEAN": [0.4]}), r"DATA.MEAN: \[0.4\] has 1 entries; give one for each"),
        ((RESNET, {"DATA.STD": [0.2, 0.2]}), r"DATA.STD: \[0.2, 0.2\] has 2 entries"),
    ],
    "check_stage_lists": [
        ((RESNET, {"RESNET.SPATIAL_STRIDES": [[1], [2], [2]]}), "RESNET.SPATIAL_STRIDES: .* has 3 entries; give 4"),
        ((SLOWFAST, {"RESNET.SPATIAL_STRIDES": [[1], [2], [2], [2]]}), "RESNET.SPATIAL_STRIDES: .*2 pathway"),
        ((RESNET, {"RESNET.SPATIAL_DILATIONS": [1, 1, 1, 1]}), "RESNET.SPATIAL_DILATIONS: .* has 1 for a stage"),
        ((RESNET, {"RESNET.NUM_BLOCK_TEMP_KERNEL": [[3, 3]] * 4}), "RESNET.NUM_BLOCK_TEMP_KERNEL: .*1 pathway"),
        ((SLOWFAST, {"NONLOCAL.LOCATION": [[[]]] * 4}), "NONLOCAL.LOCATION: .*2 pathway"),
        ((SLOWFAST, {"NONLOCAL.GROUP": [[1]] * 4}), "NONLOCAL.GROUP: .*2 pathway"),
        ((SLOWFAST, {"NONLOCAL.POOL": [[[1, 2, 2]]] * 4}), "NONLOCAL.POOL: .*2 pathway"),
        ((RESNET, {"NONLOCAL.POOL": []}), r"NONLOCAL.POOL: \[\] has 0 entries"),
    ],
    "check_fast_width": [
        ((SLOWFAST, {"SLOWFAST.BETA_INV": 7}), "SLOWFAST.BETA_INV: 7 does not divide RESNET.WIDTH_PER_GROUP 64"),
    ],
    "check_labels_and_loss": [
        (
            (SLOWFAST, {"DATA.MULTI_LABEL": True}),
            "LOSS_FUNC: 'cross_entropy' .*MULTI_LABEL; give 'bce_logit'",
        ),
        ((SLOWFAST, {"MODEL.LOSS_FUNC": "bce_logit"}), "MODEL.LOSS_FUNC: 'bce_logit' .*MULTI_LABEL True"),
    ],
    "check_loss_of_logits": [((SLOWFAST, MULTI_LABEL, {"MODEL.LOSS_FUNC": "bce"}), "MODEL.LOSS_FUNC: 'bce' .*logits")],
    "check_head_and_loss": [
        ((SLOWFAST, MULTI_LABEL, {"MODEL.HEAD_ACT": "softmax"}), "MODEL.HEAD_ACT: 'softmax' .*; give 'sigmoid'"),
    ],
    "check_steps": [
        ((RESNET, STEPS, {"SOLVER.STEPS": []}), r"SOLVER.STEPS: \[\] is empty"),
        ((RESNET, STEPS, {"SOLVER.STEPS": [5, 10]}), r"SOLVER.STEPS: .* does not start at 0; give \[0, 5, 10\]"),
        ((RESNET, STEPS, {"SOLVER.STEPS": [0, 20, 10]}), r"SOLVER.STEPS: .* is not sorted.*; give \[0, 10, 20\]"),
        ((RESNET, STEPS, {"SOLVER.STEPS": [0, 20, 20]}), "SOLVER.STEPS: .* repeats"),
        ((SLOWFAST, {"MULTIGRID.LONG_CYCLE": True, "SOLVER.STEPS": [3]}), "SOLVER.STEPS: .* does not start at 0"),
    ],
    "check_rates": [((RESNET, STEPS, {"SOLVER.LRS": [1, 0.1]}), "SOLVER.LRS: .* has 2 rates for the 3 SOLVER.STEPS")],
    "check_long_cycle_shapes": [
        ((SLOWFAST, {"MULTIGRID.LONG_CYCLE_FACTORS": []}), "MULTIGRID.LONG_CYCLE_FACTORS: .* has no shape"),
        ((SLOWFAST, {"MULTIGRID.LONG_CYCLE_FACTORS": [[0.5]]}), "MULTIGRID.LONG_CYCLE_FACTORS: .* give .time, space"),
        ((SLOWFAST, {"MULTIGRID.LONG_CYCLE_FACTORS": [[2, 1]]}), "MULTIGRID.LONG_CYCLE_FACTORS: .* at most 1"),
    ],
    "check_long_cycle_end": [
        ((SLOWFAST, LONG, {"SOLVER.MAX_EPOCH": 100}), "SOLVER.STEPS: .* does not end below SOLVER.MAX_EPOCH 100"),
        ((SLOWFAST, LONG, {"SOLVER.MAX_EPOCH": 154}), "SOLVER.STEPS: .* does not end below SOLVER.MAX_EPOCH"),
    ],
    "check_short_cycle": [
        ((SLOWFAST, {"MULTIGRID.SHORT_CYCLE_FACTORS": [0, 1]}), "MULTIGRID.SHORT_CYCLE_FACTORS: .* is out of range"),
    ],
    "check_clipping": [
        (
            (RESNET, {"SOLVER.CLIP_GRAD_VAL": 1, "SOLVER.CLIP_GRAD_L2NORM": 2}),
            "SOLVER.CLIP_GRAD_VAL: 1.0 excludes SOLVER.CLIP_GRAD_L2NORM 2.0",
        ),
    ],
    "check_nesterov": [((RESNET, {"SOLVER.MOMENTUM": 0}), "SOLVER.NESTEROV: True needs SOLVER.MOMENTUM")],
    "check_betas": [((RESNET, {"SOLVER.BETAS": [0.9, 1]}), r"SOLVER.BETAS: \[0.9, 1\] is out of range")],
}


@pytest.mark.parametrize("parts", GOOD.values(), ids=GOOD)
def test_what_can_work_is_let_through(parts):
    assert check_cfg(cfg_with(*parts)) is None


@pytest.mark.parametrize(("parts", "message"), [case for cases in BAD.values() for case in cases])
def test_what_cannot_work_is_refused_with_key_value_and_mend(parts, message):
    with pytest.raises(UserError, match=message):
        check_cfg(cfg_with(*parts))


def test_every_cross_check_has_a_case_that_fails():
    assert {check.__name__ for check in cross_checks.CHECKS} == set(BAD)


@pytest.mark.parametrize("name", BAD)
def test_each_case_is_caught_by_the_check_it_is_for(name):
    for parts, message in BAD[name]:
        with pytest.raises(UserError, match=message):
            getattr(cross_checks, name)(cfg_with(*parts))


@pytest.mark.parametrize("key", CHOICES)
def test_an_unknown_choice_is_refused_with_the_known_ones(key):
    wrong = 7 if isinstance(CHOICES[key][0], int) else "nothing_known"
    with pytest.raises(UserError, match=f"{key}: {wrong!r} is not known, give one of {CHOICES[key][0]}"):
        check_cfg(cfg_with(SLOWFAST, {key: wrong}))


@pytest.mark.parametrize("key", [*LIMITS, *ABOVE])
def test_a_number_out_of_its_limits_is_refused(key):
    low = LIMITS[key][0] - 1 if key in LIMITS else ABOVE[key]
    value = [low] if isinstance(dict(flatten(get_cfg()))[key], list) else low
    with pytest.raises(UserError, match=f"{key}: .* is out of range"):
        check_cfg(cfg_with(SLOWFAST, {key: value}))


@pytest.mark.parametrize("key", [key for key, limits in LIMITS.items() if limits[1] is not None])
def test_a_number_above_its_highest_is_refused(key):
    with pytest.raises(UserError, match=f"{key}: 2.0 is out of range, give 0 to 1"):
        check_cfg(cfg_with(SLOWFAST, {key: 2}))


@pytest.mark.parametrize("key", [key for key, _ in flatten(get_cfg()) if no_effect_reason(key)])
def test_a_key_without_effect_is_refused_away_from_its_default(key):
    default = dict(flatten(get_cfg()))[key]
    other = {bool: not default, str: "other", list: [7]}.get(type(default), 77)
    with pytest.raises(UserError, match=f"{key}: .* has no effect here .*leave the key out"):
        check_cfg(cfg_with(SLOWFAST, {key: other}))


def test_the_table_of_keys_without_effect_names_known_keys():
    known = [key for key, _ in flatten(get_cfg())]
    assert all(any(key == name or key.startswith(f"{name}.") for key in known) for name in NO_EFFECT)
    assert set(known) >= checks.STATE_KEYS | checks.ACCEPTED_KEYS
