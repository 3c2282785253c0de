"""Trainings on augmented clips, several of each video."""

import shutil

import pytest
import torch
from torch import nn

from slowfast.config.load import load_cfg
from slowfast.engine.dry_run import dry_run
from slowfast.engine.learner import Learner
from slowfast.engine.train_net import train
from slowfast.utils.training_checkpoint import last_checkpoint
from tests.engine.tiny import BOTH_CYCLES, json_stats, losses, tiny_cfg, tiny_options

AUGMENTED = {
    "AUG__ENABLE": True,
    "AUG__NUM_SAMPLE": 2,
    "AUG__AA_TYPE": "rand-m7-n2-mstd0.5-inc1",
    "AUG__RE_PROB": 0.5,
    "DATA__TRAIN_JITTER_SCALES_RELATIVE": [0.3, 1.0],
    "DATA__TRAIN_JITTER_ASPECT_RELATIVE": [0.75, 1.3333],
    "LOG_PERIOD": 1,
}
CYCLES = AUGMENTED | BOTH_CYCLES


def test_both_cycles_train_with_any_number_of_workers_and_resume_alike(videos, tmp_path):
    whole, again = tmp_path / "whole", tmp_path / "again"
    train(tiny_cfg(videos, whole, **CYCLES))
    shutil.copytree(whole, again)
    last_checkpoint(again).unlink()
    train(tiny_cfg(videos, again, **CYCLES, DATA_LOADER__NUM_WORKERS=2))
    assert losses(again) == losses(whole)
    assert len(set(losses(whole))) > 5


def test_the_log_counts_the_clips_of_a_batch_and_the_plan_its_videos(videos, tmp_path):
    curves = {}
    for count in (1, 2):
        output = tmp_path / str(count)
        train(tiny_cfg(videos, output, **(AUGMENTED | {"AUG__NUM_SAMPLE": count, "TRAIN__EVAL_PERIOD": 0})))
        curves[count] = json_stats(output)
    one, two = curves[1], curves[2]
    assert [line["lr"] for line in two] == [line["lr"] for line in one]
    assert [line["clips"] for line in two] == [2 * line["clips"] for line in one]
    for of_one, of_two in zip(one, two, strict=True):
        clips, *shape = of_one["batch"]
        assert of_two["batch"] == [2 * clips, *shape]


def test_a_dry_run_counts_the_clips_of_a_batch_in_parts(videos, tmp_path, capsys):
    dry_run(tiny_cfg(videos, tmp_path, **AUGMENTED, TRAIN__EVAL_PERIOD=0, SOLVER__ACCUMULATE=2))
    printed = capsys.readouterr().out
    assert "8 clips x 8 frames x 32 px" in printed
    assert "72 clips" in printed
    assert "batch norm computes statistics over" not in printed  # of 4 clips


def test_parts_of_a_batch_take_their_boxes_along():
    seen = []

    def pack(clips, erased=None):
        seen.append((clips.flatten().tolist(), None if erased is None else erased.flatten().tolist()))
        return clips.float()

    model = nn.Linear(1, 3)
    learner = Learner(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1), pack, parts=2)
    batch = {"clip": torch.arange(4, dtype=torch.uint8)[:, None], "label": torch.zeros(4, dtype=torch.int64)}
    learner.backward(batch)
    learner.backward(batch | {"erased": 10 * torch.arange(4)[:, None]})
    assert seen == [([0, 2], None), ([1, 3], None), ([0, 2], [0, 20]), ([1, 3], [10, 30])]


@pytest.mark.parametrize("name", ["plan", "prepare"])
def test_the_commands_know_the_clips_and_sizes_of_augmentation(videos, tmp_path, capsys, name):
    from slowfast.commands import plan, prepare

    config = tmp_path / "config.yaml"
    config.write_text(load_cfg(None, tiny_options(videos, tmp_path / "run", **AUGMENTED)).dump())
    command = {"plan": plan, "prepare": prepare}[name]
    command.main(["--cfg", str(config), *([str(tmp_path / "out"), "--workers", "1"] if name == "prepare" else [])])
    printed = capsys.readouterr().out
    assert {"plan": "Each video of a batch gives 2 clips", "prepare": "34 px"}[name] in printed
