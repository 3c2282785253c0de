"""From a config to its schedule."""

import json

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.optim.lr_policy import learning_rate, policy_rate
from slowfast.utils.world import World
from slowfast.visualization.plan import describe_plan, plan_table
from slowfast.visualization.plan_figure import plot_plan

KINETICS = {
    "DATA.NUM_FRAMES": 32,
    "DATA.SAMPLING_RATE": 2,
    "SLOWFAST.ALPHA": 4,
    "NONLOCAL.LOCATION": [[[], []]] * 4,
    "NONLOCAL.GROUP": [[1, 1]] * 4,
    "TRAIN.BATCH_SIZE": 64,
    "NUM_GPUS": 8,
    "SOLVER.LR_POLICY": "steps_with_relative_lrs",
    "SOLVER.STEPS": [0, 94, 154, 196],
    "SOLVER.LRS": [1, 0.1, 0.01, 0.001],
    "SOLVER.MAX_EPOCH": 239,
    "SOLVER.WARMUP_EPOCHS": 34.0,
    "MULTIGRID.LONG_CYCLE": True,
    "MULTIGRID.SHORT_CYCLE": True,
}
COSINE = {"SOLVER.LR_POLICY": "cosine", "SOLVER.STEPS": [], "SOLVER.LRS": [], "SOLVER.MAX_EPOCH": 100}
OFF = {"MULTIGRID.LONG_CYCLE": False, "MULTIGRID.SHORT_CYCLE": False}


def config(**changes):
    cfg = get_cfg()
    for key, value in {**KINETICS, **{k.replace("__", "."): v for k, v in changes.items()}}.items():
        cfg.merge_from_list([key, value])
    cfg.freeze()
    return cfg


def with_keys(values):
    return config(**{key.replace(".", "__"): value for key, value in values.items()})


def describe(cfg, num_videos=240_000):
    schedule, baseline = build_schedule(cfg), build_baseline(cfg)
    rate = policy_rate(cfg, schedule)
    return describe_plan(schedule, baseline, rate, num_videos, World.from_cfg(cfg).size)


def test_the_plan_of_the_kinetics_recipe_has_the_papers_saving():
    plan = describe(config(MULTIGRID__ALIGN_TO_EPOCHS=True))
    assert plan["baseline"] == {"epochs": 239, "iterations": 896_250}
    assert plan["multigrid"]["epochs"] == 358
    assert plan["iteration_saving"] == pytest.approx(3.42, abs=0.005)
    first = plan["phases"][0]
    assert (first["batch_size"], first["frames"], first["crop"]) == (512, 8, 158)
    assert first["short_cycle"] == [{"batch_size": b, "crop": c} for b, c in [(512, 158), (512, 158), (1024, 112)]]
    assert sum(row["iterations"] for row in plan["phases"]) == plan["multigrid"]["iterations"]


def test_the_plan_of_128_devices_of_4_clips_synchronizes_in_pairs():
    plan = describe(config(TRAIN__BATCH_SIZE=512, SOLVER__BASE_LR=0.8, NUM_GPUS=128))
    last, first = plan["phases"][-1], plan["phases"][0]
    assert (last["batch_size"], last["bn_groups"], last["bn_sync_ranks"]) == (512, 1, 2)
    assert (first["batch_size"], first["bn_groups"], first["bn_sync_ranks"]) == (4096, 4, 1)
    assert first["lr"] == pytest.approx(8 * 0.8)


def test_machines_multiply_the_batch():
    plan = describe(config(NUM_SHARDS=4))
    assert plan["phases"][-1]["batch_size"] == 4 * 64


def test_without_cycles_the_schedule_is_the_recipe():
    phases = build_schedule(with_keys(OFF)).phases
    assert [p.end_epoch for p in phases] == [94, 154, 196, 239]
    assert {(p.lr_factor, p.bn_groups, p.bn_sync_ranks) for p in phases} == {(1.0, 1, 1)}


def test_rates_come_from_gamma_where_none_are_given():
    phases = build_schedule(with_keys({**OFF, "SOLVER.LRS": [], "SOLVER.GAMMA": 0.5})).phases
    assert [p.step_rate for p in phases] == [1, 0.5, 0.25, 0.125]


def test_steps_beyond_the_last_epoch_never_begin():
    assert [p.end_epoch for p in build_schedule(with_keys({**OFF, "SOLVER.MAX_EPOCH": 100})).phases] == [94, 100]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"BN.NORM_TYPE": "sub_batchnorm", "BN.NUM_SPLITS": 4}, (4, 1)),
        ({"BN.NORM_TYPE": "sync_batchnorm", "BN.NUM_SYNC_DEVICES": 4}, (1, 4)),
        ({"BN.NORM_TYPE": "sync_batchnorm", "BN.GLOBAL_SYNC": True, "NUM_SHARDS": 2}, (1, 16)),
        ({"BN.NORM_TYPE": "sync_batchnorm", "BN.NUM_SYNC_DEVICES": 4, "NUM_GPUS": 1}, (1, 1)),
        ({"BN.NORM_TYPE": "sync_batchnorm", "BN.NUM_SYNC_DEVICES": 4, "NUM_GPUS": 2}, (1, 2)),
    ],
)
def test_the_norm_type_holds_without_multigrid(values, expected):
    phase = build_schedule(with_keys({**OFF, **values})).phases[0]
    assert (phase.bn_groups, phase.bn_sync_ranks) == expected


def test_the_schedule_decides_about_the_norm_with_multigrid():
    cfg = config(BN__NORM_TYPE="sync_batchnorm", BN__NUM_SYNC_DEVICES=4)
    assert {p.bn_sync_ranks for p in build_schedule(cfg).phases} == {1}


def test_cosine_has_three_long_cycles_and_a_fine_tuning_phase_of_18_percent():
    cfg = with_keys(COSINE)
    schedule = build_schedule(cfg)
    assert [round(p.lr_factor) for p in schedule.phases] == [8, 4, 2, 1] * 3 + [1, 1]
    stages = [p for p in schedule.phases if p.stage == 0]
    assert [p.step_rate for p in schedule.phases] == [1.0] * 14
    share = sum(p.end_epoch - p.start_epoch for p in stages) / schedule.total_epochs
    scale = 0.82 / 3 + 0  # a cycle of the baseline's epochs, over their sum after the sharing
    fine_tune = 0.18 / (23 / 4) * (7 / 3)
    assert share == pytest.approx(scale / (0.82 + fine_tune))


def test_cosine_times_the_long_cycles_factor_is_the_rate():
    cfg = with_keys({**COSINE, "SOLVER.WARMUP_EPOCHS": 0.0})
    schedule = build_schedule(cfg)
    rate = learning_rate(cfg, schedule)
    assert rate(0.0) == pytest.approx(8 * cfg.SOLVER.BASE_LR)
    assert rate(schedule.total_epochs / 2) == pytest.approx(
        schedule.phase_at(schedule.total_epochs / 2).lr_factor * cfg.SOLVER.BASE_LR / 2
    )


def test_the_plan_has_the_rate_of_the_training_where_the_cosine_begins_after_the_warm_up():
    cfg = with_keys({**COSINE, "SOLVER.WARMUP_EPOCHS": 20.0, "SOLVER.COSINE_AFTER_WARMUP": True})
    rows, rate = describe(cfg)["phases"], learning_rate(cfg, build_schedule(cfg))
    assert rows[0]["lr"] == pytest.approx(8 * cfg.SOLVER.BASE_LR)
    for row in rows[1:]:
        assert row["lr"] == pytest.approx(rate(row["start_epoch"]))


def test_cosine_takes_its_cycles_from_steps_where_given():
    phases = build_schedule(with_keys({**COSINE, "SOLVER.STEPS": [0, 40, 80]})).phases
    assert [p.stage for p in phases] == [0] * 4 + [1] * 4 + [2] * 2


@pytest.mark.parametrize("policy", ["cosine", "steps_with_relative_lrs"])
def test_the_single_design_works_with_both_policies(policy):
    cfg = config(MULTIGRID__LONG_CYCLE_DESIGN="single", SOLVER__LR_POLICY=policy)
    phases = build_schedule(cfg).phases
    assert sorted({round(p.lr_factor) for p in phases}) == [1, 2, 4, 8]
    assert len(phases) == (4 if policy == "cosine" else 7)


def test_the_short_cycle_alone_has_grouped_batch_norm():
    phase = build_schedule(config(MULTIGRID__LONG_CYCLE=False, TRAIN__BATCH_SIZE=256)).phases[0]
    assert (phase.shapes[0].batch_size, phase.bn_groups, phase.lr_factor) == (32, 4, 1.0)


EMPTY = [[[], []]] * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"DATA.NUM_FRAMES": 8}, r"2 frames x 158 px: 2 frames are not a multiple of SLOWFAST.ALPHA 4"),
        ({"DATA.TRAIN_CROP_SIZE": 60}, r"8 frames x 30 px: crops under 32 px"),
        ({"TRAIN.BATCH_SIZE": 60}, r"TRAIN.BATCH_SIZE: 60 is not divisible by NUM_GPUS 8; use 56 or 64"),
        ({"SOLVER.STEPS": [0]}, r"MULTIGRID.FINE_TUNE"),
        ({"MULTIGRID.LONG_CYCLE_DESIGN": "zigzag"}, r"LONG_CYCLE_DESIGN: 'zigzag' is not known; .* multi, single"),
        ({"MULTIGRID.LONG_CYCLE_FACTORS": []}, r"MULTIGRID.LONG_CYCLE_FACTORS: \[\] has no shape"),
        ({"MULTIGRID.LONG_CYCLE_FACTORS": [[0.5]]}, r"MULTIGRID.LONG_CYCLE_FACTORS: \[0.5\] must be \[time, space\]"),
        (
            {"MULTIGRID.LONG_CYCLE_FACTORS": [0.5, 1]},
            r"LONG_CYCLE_FACTORS: \[0.5, 1\] does not fit; give a list nested as",
        ),
        ({"MULTIGRID.LONG_CYCLE_FACTORS": [[2, 1]]}, r"MULTIGRID.LONG_CYCLE_FACTORS: \[2, 1\] .* at most 1"),
        ({"MULTIGRID.SHORT_CYCLE_FACTORS": [0, 1]}, r"MULTIGRID.SHORT_CYCLE_FACTORS: 0 must be above 0"),
        ({"SOLVER.MAX_EPOCH": 100}, r"SOLVER.STEPS: \[0, 94, 154, 196\] must .* stay below SOLVER.MAX_EPOCH 100"),
        ({"SOLVER.MAX_EPOCH": 196}, r"SOLVER.STEPS: \[0, 94, 154, 196\] must .* stay below SOLVER.MAX_EPOCH 196"),
        ({**COSINE, "SOLVER.STEPS": [0, 94, 154]}, r"SOLVER.STEPS: .* stay below SOLVER.MAX_EPOCH 100"),
        ({**COSINE, "SOLVER.STEPS": [3]}, r"SOLVER.STEPS: \[3\] must start at 0"),
        ({**OFF, "SOLVER.STEPS": []}, r"SOLVER.STEPS: \[\] must start at 0"),
        ({**OFF, "SOLVER.STEPS": [5, 10]}, r"SOLVER.STEPS: \[5, 10\] must start at 0"),
        ({**OFF, "SOLVER.STEPS": [0, 20, 10]}, r"SOLVER.STEPS: \[0, 20, 10\] must start at 0, rise"),
        ({**OFF, "SOLVER.STEPS": [0, 20, 20]}, r"SOLVER.STEPS: \[0, 20, 20\] must start at 0, rise"),
        ({**OFF, "SOLVER.STEPS": [0, 500, 20]}, r"SOLVER.STEPS: \[0, 500, 20\] must start at 0, rise"),
        ({**OFF, "SOLVER.LRS": [1, 0.1]}, r"SOLVER.LRS: \[1, 0.1\] must have 4 values, .* SOLVER.STEPS \[0, 94"),
        (
            {"NONLOCAL.LOCATION": [[[], []], [[1], []], *EMPTY], "NONLOCAL.GROUP": [[1, 1], [4, 1], [1, 1], [1, 1]]},
            r"8 frames x 158 px: NONLOCAL.GROUP 4 does not divide the 2 frames .* res3",
        ),
        (
            {**OFF, "BN.NORM_TYPE": "sync_batchnorm", "BN.NUM_SYNC_DEVICES": 3},
            r"BN.NUM_SYNC_DEVICES: 3 does not divide",
        ),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused_with_the_shape_or_key(values, message):
    with pytest.raises(ValueError, match=message):
        build_schedule(with_keys(values))


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ({**OFF, "SOLVER.MAX_EPOCH": 196}, [94, 154, 196]),
        ({**OFF, "SOLVER.MAX_EPOCH": 1}, [1]),
        ({**OFF, "SOLVER.STEPS": [0, 94]}, [94, 239]),
        ({"MULTIGRID.LONG_CYCLE": False, "MULTIGRID.SHORT_CYCLE_FACTORS": []}, [141, 231, 294, 358]),
        ({**OFF, "MULTIGRID.LONG_CYCLE_FACTORS": [[2, 1]]}, [94, 154, 196, 239]),
    ],
    ids=["the last step is the end", "a short trial", "more rates than steps", "a short cycle of one size", "unused"],
)
def test_a_config_that_can_be_trained_has_its_stages(values, ends):
    assert [phase.end_epoch for phase in build_schedule(with_keys(values)).phases] == ends


def test_a_warm_up_below_0_is_ignored():
    assert build_schedule(with_keys({**OFF, "SOLVER.WARMUP_EPOCHS": -1.0})).warmup_epochs == 0


def test_one_frame_is_too_few_for_a_model_that_halves_time():
    values = {"MODEL.ARCH": "i3d", "MODEL.MODEL_NAME": "ResNet", "DATA.INPUT_CHANNEL_NUM": [3], "DATA.NUM_FRAMES": 4}
    with pytest.raises(ValueError, match="i3d needs more frames"):
        build_schedule(with_keys(values))


def test_the_table_and_the_plot_show_every_phase(tmp_path):
    plan = describe(config())
    lines = plan_table(plan, 8).splitlines()
    assert len([line for line in lines if "x158" in line or "x224" in line]) == len(plan["phases"])
    assert "3.42 x fewer iterations" in lines[-1]
    assert json.loads(json.dumps(plan)) == plan
    plot_plan(plan, learning_rate(config(), build_schedule(config())), str(tmp_path / "plan.png"))
    assert (tmp_path / "plan.png").stat().st_size > 10_000


@pytest.mark.parametrize(("devices", "times"), [(1, 1), (2, 0)])
def test_statistics_over_fewer_clips_than_configured_are_logged_once(devices, times, caplog):
    with caplog.at_level("INFO"):
        build_schedule(config(TRAIN__BATCH_SIZE=4 * devices, NUM_GPUS=devices))
    assert caplog.text.count("statistics over 4 clips, not MULTIGRID.BN_BASE_SIZE 8") == times


def test_a_stage_without_epochs_gives_a_warning(caplog):
    changes = {"SOLVER__STEPS": [0, 7, 9], "SOLVER__LRS": [1, 0.1, 0.01], "SOLVER__MAX_EPOCH": 10}
    build_schedule(config(MULTIGRID__LONG_CYCLE=False, MULTIGRID__EPOCH_FACTOR=0.25, **changes))
    assert "stage 3 of 3 is left without epochs" in caplog.text


def test_the_baseline_of_a_multigrid_recipe_accepts_every_norm_type():
    changes = {"BN__NORM_TYPE": "sync_batchnorm", "BN__NUM_SYNC_DEVICES": 4, "TRAIN__BATCH_SIZE": 12, "NUM_GPUS": 6}
    assert build_baseline(config(**changes)).phases[0].bn_sync_ranks == 1


def test_a_schedule_with_enough_updates_has_no_warning():
    assert describe(config())["warnings"] == []


def test_a_schedule_and_a_warm_up_with_few_updates_are_warned_of_with_their_numbers():
    plan = describe(config(TRAIN__BATCH_SIZE=8, NUM_GPUS=1, SOLVER__WARMUP_EPOCHS=9.0), 100)
    short, warmup = plan["warnings"]
    assert f"the training has {plan['multigrid']['iterations']} iterations, fewer than about 1,000" in short
    assert "SOLVER.MAX_EPOCH" in short
    assert f"the warm-up to 8 times the base rate has {plan['warmup_iterations']} iterations" in warmup
    assert "SOLVER.WARMUP_EPOCHS" in warmup
    assert plan_table(plan).splitlines()[-2:] == [f"warning         {text}" for text in plan["warnings"]]


def test_the_advice_names_only_what_the_schedule_has():
    cosine = {"SOLVER.LR_POLICY": "cosine", "SOLVER.STEPS": [], "SOLVER.LRS": []}
    multigrid, cycles, steps, cosine = (
        describe(
            with_keys({"TRAIN.BATCH_SIZE": 8, "NUM_GPUS": 1} | changes), 20 if OFF.items() <= changes.items() else 100
        )["warnings"][0]
        for changes in ({}, cosine, OFF, OFF | cosine)
    )
    assert "raise SOLVER.MAX_EPOCH with SOLVER.STEPS, lower" in multigrid
    assert "raise SOLVER.MAX_EPOCH, lower" in cycles
    assert "LONG_CYCLE_FACTORS" in multigrid
    assert "raise SOLVER.MAX_EPOCH with SOLVER.STEPS or lower" in steps
    assert "raise SOLVER.MAX_EPOCH or lower" in cosine
    assert "LONG_CYCLE_FACTORS" not in steps + cosine


@pytest.mark.parametrize(
    ("changes", "warns"),
    [
        ({}, True),  # multigrid starts at a raised rate
        (OFF, False),  # a plain recipe may start at its base rate
        (OFF | {"SOLVER.WARMUP_EPOCHS": 0.005}, True),
    ],
)
def test_a_warm_up_is_needed_where_there_is_one_or_the_rate_is_raised(changes, warns):
    plan = describe(with_keys({"SOLVER.WARMUP_EPOCHS": 0.0} | changes))
    assert [text for text in plan["warnings"] if "warm-up" in text] == plan["warnings"]
    assert bool(plan["warnings"]) == warns


def test_the_iterations_of_a_warm_up_are_those_that_begin_in_it():
    plan = describe(with_keys(OFF | {"SOLVER.WARMUP_EPOCHS": 2.0}), 640)
    assert plan["warmup_iterations"] == 20
