"""The times in a log: the parts of a step, and the seconds of a training over its resumes."""

import pytest
import torch

from slowfast.engine.step_time import StepTimes, moment, seconds_between
from slowfast.engine.train_net import train
from slowfast.utils.json_log import append_record, logged_seconds
from slowfast.utils.machine import environment
from tests.engine.tiny import SYNTHETIC, json_stats, tiny_cfg


def test_the_time_of_each_part_is_the_mean_over_steps_without_warm_ups():
    times = StepTimes()
    times.add((0.0, 100.0, 200.0, 300.0), is_warm_up=True)
    times.add((0.0, 1.0, 3.0, 3.5))
    times.add((10.0, 13.0, 17.0, 17.5))
    assert times.lap() == {"dt_transfer": 2.0, "dt_forward_backward": 3.0, "dt_optimizer": 0.5}
    assert times.lap() == {}
    times.add((0.0, 1.0, 2.0, 3.0), is_warm_up=True)
    assert times.lap() == {"dt_transfer": 1.0, "dt_forward_backward": 1.0, "dt_optimizer": 1.0}
    times.add((0.0, 1.0, 2.0, 3.0))
    times.clear()
    assert times.lap() == {}


def test_on_cuda_moments_are_events_of_the_device(monkeypatch):
    class Event:
        clock = 0

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            Event.clock += 250
            self.at = Event.clock

        def elapsed_time(self, end):
            return end.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    start, end = moment(torch.device("cuda")), moment(torch.device("cuda"))
    assert seconds_between(start, end) == 0.25


def test_a_new_training_logs_where_it_runs_the_parts_of_its_time_and_its_own_seconds(tmp_path):
    append_record(tmp_path, '{"_type": "train_iter", "iteration": 3, "seconds": 1000.0}')  # of an earlier one
    changes = {"SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "SOLVER__LRS": [1], "TRAIN__AUTO_RESUME": False}
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes))
    _, *lines = json_stats(tmp_path)
    assert all(line[f"dt_{part}"] > 0 for line in lines for part in ("transfer", "forward_backward", "optimizer"))
    assert all(line["dt_forward_backward"] < line["dt"] for line in lines)
    assert all(line["seconds"] < 500 for line in lines)
    (start,) = json_stats(tmp_path, "start")
    size = {"videos": 12, "processes": 1, "iterations": 3, "clips": 12}
    assert start.items() >= (size | {"torch": torch.__version__}).items()


def test_seconds_continue_where_a_resumed_training_had_come_to(tmp_path):
    half = {"SOLVER__STEPS": [0], "SOLVER__LRS": [1]}
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **half, SOLVER__MAX_EPOCH=1))
    append_record(tmp_path, '{"_type": "train_iter", "position": 0.9, "iteration": 3, "seconds": 1000.0}')
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **half, SOLVER__MAX_EPOCH=2))
    resumed = [line for line in json_stats(tmp_path) if line["iteration"] > 3]
    assert len(resumed) == 3
    assert all(1000 < line["seconds"] < 1500 for line in resumed)
    assert logged_seconds(tmp_path) == json_stats(tmp_path, "val_epoch")[-1]["seconds"]


@pytest.mark.parametrize("git", [True, False])
def test_the_commit_is_known_in_a_checkout_only(git, tmp_path, monkeypatch):
    if not git:
        monkeypatch.setattr("slowfast.utils.machine.ROOT", tmp_path)
    found = environment()
    assert {"machine", "system", "python", "torch", "av", "slowfast"} <= set(found)
    if not git:
        assert "commit" not in found
    assert len(found.get("commit", 40 * "0").rstrip("+")) == 40
