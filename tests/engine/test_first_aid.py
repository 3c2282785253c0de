"""First aid: the messages name cures that fit, as commands that the tools take."""

import importlib
import logging
import re
import shlex
import time

import pytest
import torch

from slowfast.commands import COMMANDS, benchmark
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.engine.chance import EVALUATIONS, EvaluationGuard
from slowfast.engine.first_aid import at_chance, command, unusual_batch_norm, waiting_cures, waiting_for_data
from slowfast.engine.schedule import build_schedule
from slowfast.engine.scores import Scores, VideoScore
from slowfast.engine.train_net import train
from slowfast.utils.config_file import write_config
from slowfast.utils.machine import allowed_cores
from slowfast.utils.parser import load_config, parse_args
from slowfast.utils.training_meters import accuracy
from tests.engine.tiny import BOTH_CYCLES, Synthetic, tiny_cfg

RECIPE = {"DATA__TRAIN_JITTER_SCALES": [34, 60], "DATA_LOADER__NUM_WORKERS": 2}


def cfg_of(folder, **changes):
    return tiny_cfg(folder, folder / "my run", **(RECIPE | changes))


def commands_of(message):
    lines = [line.strip() for line in message.splitlines() if "--cfg" in line]
    return [shlex.split(command) for line in lines for command in line.split(" && ")]


def config_of(words):
    """The config that a command line asks for, read by the parser of its command."""
    assert words[0] == "slowfast"
    name = words[1]
    if name == "benchmark":
        args = benchmark.parse(words[2:])
    else:
        args = parse_args(words[2:], importlib.import_module(COMMANDS[name][0]).make_parser())
    args.cfg_files = getattr(args, "cfg_files", None) or [args.cfg]
    return load_config(args)


def test_cures_of_waiting_are_commands_that_change_one_thing_each(tmp_path):
    cfg = cfg_of(tmp_path)
    write_config(cfg)
    message = waiting_for_data(cfg, 0.6)
    assert message.startswith("60 % of the time is spent waiting for data. The cheapest cures first:\n  1. ")
    for words in commands_of(message):
        config_of(words)
    workers, prepared, smaller, *_ = waiting_cures(cfg, cores=16)
    assert config_of(shlex.split(workers.command)).DATA_LOADER.NUM_WORKERS == 16
    assert f"{tmp_path}/prepared" == config_of(commands_of(prepared.command)[1]).DATA.PREPARED_DIR
    assert config_of(shlex.split(smaller.command)).DATA.TRAIN_JITTER_SCALES == [32, 37]


@pytest.mark.parametrize(
    ("typed", "run", "clips"),
    [
        ("slowfast train", "slowfast train", "slowfast show-clips"),
        ("slowfast run", "slowfast run", "slowfast show-clips"),
        ("slowfast tune", "slowfast run", "slowfast show-clips"),
        ("/any/where/tools/train_net.py", "python tools/train_net.py", "python tools/show_clips.py"),
        ("/any/where/tools/run_net.py", "python tools/run_net.py", "python tools/show_clips.py"),
        ("/my/own/script.py", "slowfast run", "slowfast show-clips"),
    ],
)
def test_commands_have_the_form_that_the_run_was_started_in(typed, run, clips, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", [typed])
    cfg = cfg_of(tmp_path)
    assert command(cfg, "run").startswith(f"{run} --cfg '{tmp_path}")
    assert command(cfg, "show-clips").startswith(f"{clips} --cfg")


def test_cures_that_are_taken_already_are_left_out(tmp_path):
    cfg = cfg_of(tmp_path, DATA__PREPARED_DIR="store", DATA__TRAIN_JITTER_SCALES=[32, 36])
    write_config(cfg)
    (last,) = waiting_cures(cfg, cores=2)
    assert "slowfast benchmark" in last.command
    config_of(shlex.split(last.command))


class Slow(Synthetic):
    """Clips that take long to load."""

    def __getitem__(self, index):
        time.sleep(0.05)
        return super().__getitem__(index)


if "Slow" not in DATASET_REGISTRY:
    DATASET_REGISTRY.register(Slow)


def test_a_training_that_waits_for_data_warns_once(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, TRAIN__DATASET="slow", TRAIN__EVAL_PERIOD=0, SOLVER__MAX_EPOCH=3)
    train(cfg)
    log = (tmp_path / "stdout.log").read_text()
    assert log.count("of the time is spent waiting for data") == 1
    assert f"--cfg {tmp_path}/config.yaml DATA.PREPARED_DIR" in log


def results(top1_right, videos=60, classes=3):
    """The results of an evaluation with `top1_right` right videos."""
    labels = torch.arange(videos) % classes
    predicted = torch.where(torch.arange(videos) < top1_right, labels, (labels + 1) % classes)
    scores = torch.nn.functional.one_hot(predicted, classes).float()
    rows = [VideoScore(i, score, label) for i, (score, label) in enumerate(zip(scores, labels, strict=True))]
    return Scores(rows), accuracy(scores, labels)


def warnings_of(caplog, *evaluations):
    logging.getLogger("slowfast").propagate = True
    guard = EvaluationGuard(lambda number, result: f"{number} evaluations at chance: {result}")
    with caplog.at_level(logging.WARNING, logger="slowfast"):
        for scores, accuracies in evaluations:
            guard.watch(scores, accuracies)
    return [record.getMessage() for record in caplog.records]


def test_evaluations_at_chance_warn_once_when_there_are_several_in_a_row(caplog):
    (message,) = warnings_of(caplog, *[results(20)] * (EVALUATIONS + 3))
    assert message == f"{EVALUATIONS} evaluations at chance: top1_acc 33.3 %, and guessing has 33.3 %"


@pytest.mark.parametrize(
    "evaluations",
    [
        [results(20)] * (EVALUATIONS - 1),
        [results(20), results(20), results(40), results(20), results(20)],
        [results(30)] * EVALUATIONS,  # half of the videos are right, which is more than luck
        [results(5, videos=15)] * EVALUATIONS,  # too few videos to judge
        [results(60, classes=1)] * EVALUATIONS,  # one class: guessing is always right
    ],
)
def test_other_evaluations_have_no_warning(evaluations, caplog):
    assert not warnings_of(caplog, *evaluations)


def test_sets_of_labels_are_compared_with_the_share_of_positives(caplog):
    labels = (torch.arange(60)[:, None] % 3 == torch.arange(3)).float()
    noise = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
    for scores, warns in ((noise, True), (labels + noise, False)):
        rows = [VideoScore(i, scores[i], labels[i]) for i in range(60)]
        caplog.clear()
        assert bool(warnings_of(caplog, *[(Scores(rows), accuracy(scores, labels))] * EVALUATIONS)) == warns


def test_the_causes_of_chance_are_commands(tmp_path):
    cfg = cfg_of(tmp_path)
    write_config(cfg)
    message = at_chance(cfg, 3, "top1_acc 33.3 %, and guessing has 33.3 %")
    clips, labels, rate = map(config_of, commands_of(message))
    assert clips == labels == cfg
    assert pytest.approx(0.1 * cfg.SOLVER.BASE_LR) == rate.SOLVER.BASE_LR
    assert f"{cfg.OUTPUT_DIR}_low_lr" == rate.OUTPUT_DIR


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"TRAIN__BATCH_SIZE": 4}, None),
        ({"TRAIN__BATCH_SIZE": 2}, "over 2 clip.* raise TRAIN.BATCH_SIZE to 4 and SOLVER.BASE_LR"),
        ({"TRAIN__BATCH_SIZE": 8, "SOLVER__ACCUMULATE": 4}, "over 2 clip"),
        ({"TRAIN__BATCH_SIZE": 8, "NUM_GPUS": 8}, "over 1 clip.* BN.NORM_TYPE sync_batchnorm"),
        (
            BOTH_CYCLES | {"TRAIN__BATCH_SIZE": 31, "MULTIGRID__BN_BASE_SIZE": 4},
            "over 1 clip.* divides well by .* TRAIN.BATCH_SIZE 32",
        ),
        (BOTH_CYCLES | {"TRAIN__BATCH_SIZE": 8, "MULTIGRID__BN_BASE_SIZE": 8}, None),
    ],
)
def test_unusual_groups_of_batch_norm_are_reported_with_what_to_set(changes, expected, tmp_path):
    cfg = cfg_of(tmp_path, **changes)
    text = " ".join(unusual_batch_norm(cfg, build_schedule(cfg)))
    assert re.search(expected, text) if expected else not text


def test_the_cores_of_a_control_group_count(tmp_path, monkeypatch):
    monkeypatch.setattr("slowfast.utils.machine.CGROUP", tmp_path)
    free = allowed_cores()
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert allowed_cores() == free
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert allowed_cores() == 1
