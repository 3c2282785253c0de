"""Runs from the command line, with one process and several, that are stopped or fail."""

import os
import resource
import signal
import time
from itertools import accumulate

import pytest

from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.multigrid import build_schedule, phase_iterations
from slowfast.utils.training_checkpoint import read_checkpoint
from tests.engine.tiny import BOTH_CYCLES, command, finish, json_stats, losses, start, tiny_cfg


def stop_after(iteration: int, output, words: list[str], how: signal.Signals):
    """Start a run and send a signal to all its processes after an iteration; return the exit code and the text."""
    process = start(words)
    log = output / "json_stats.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and f'"iteration": {iteration},' in log.read_text()):
        running = process.poll() is None and time.monotonic() < deadline
        assert running, finish(process, 0)
        time.sleep(0.01)
    os.killpg(process.pid, how)
    return finish(process)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_resumes_with_the_same_losses(how, videos, tmp_path):
    complete, broken = tmp_path / "complete", tmp_path / "broken"
    changes = BOTH_CYCLES | {"DATA_LOADER__NUM_WORKERS": 1}
    code, text = stop_after(8, broken, command(videos, broken, **changes), how)
    interrupted = broken / "checkpoints" / "interrupted.pyth"
    if how == signal.SIGINT:
        assert code == 130
        assert "resumes from here" in text
        assert "Traceback" not in text
        assert interrupted.exists()
    else:
        assert code == -signal.SIGKILL
    train(tiny_cfg(videos, broken, **changes))
    train(tiny_cfg(videos, complete, **changes))
    assert losses(broken) == losses(complete)
    assert json_stats(broken, "train_epoch")[-1]["loss"] == json_stats(complete, "train_epoch")[-1]["loss"]


def test_a_run_killed_in_every_phase_resumes_with_the_same_losses(videos, tmp_path):
    complete, broken = tmp_path / "complete", tmp_path / "broken"
    train(tiny_cfg(videos, complete, **BOTH_CYCLES))
    legs = build_schedule(tiny_cfg(videos, complete, **BOTH_CYCLES)).plan(12)
    ends = accumulate(phase_iterations(legs).values())  # the last run trains the last phase
    for end in [*ends][:-1]:
        code, text = stop_after(end, broken, command(videos, broken, **BOTH_CYCLES), signal.SIGKILL)
        assert code == -signal.SIGKILL, text
    train(tiny_cfg(videos, broken, **BOTH_CYCLES))
    assert losses(broken) == losses(complete)


def test_two_processes_train_and_test_as_one_run(videos, tmp_path):
    code, text = finish(start(command(videos, tmp_path, NUM_GPUS=2, SOLVER__MAX_EPOCH=3, TEST__ENABLE=True)))
    assert code == 0, text
    assert text.count("2 CPU processes use gloo") == 1
    assert text.count("training is done: 9 iterations") == 1
    assert sorted(losses(tmp_path)) == list(range(1, 10))
    final = next(line for line in (tmp_path / "json_stats.log").read_text().splitlines() if "test_final" in line)
    alone = run_test(tiny_cfg(videos, tmp_path))
    assert f'"top1_acc": "{alone["top1_acc"]:.2f}"' in final
    assert '"videos": 6' in final


def test_two_processes_stop_at_the_same_iteration(videos, tmp_path):
    words = command(videos, tmp_path, **BOTH_CYCLES | {"NUM_GPUS": 2, "DATA_LOADER__NUM_WORKERS": 1})
    code, text = stop_after(4, tmp_path, words, signal.SIGINT)
    assert code == 130, text
    assert "Traceback" not in text
    saved = read_checkpoint(tmp_path / "checkpoints" / "interrupted.pyth")
    assert saved["iteration"] == max(losses(tmp_path))


def test_four_processes_resume_with_the_same_losses_to_the_last_bit(videos, tmp_path):
    """The sum of two numbers does not depend on their order, so two processes would not show it."""
    changes = BOTH_CYCLES | {
        "NUM_GPUS": 4,
        "TRAIN__BATCH_SIZE": 4,
        "MULTIGRID__LONG_CYCLE_FACTORS": [[0.5, 1], [1, 1]],
    }
    complete, broken = tmp_path / "complete", tmp_path / "broken"
    middle = "checkpoints/checkpoint_epoch_00004.pyth"
    for output in (complete, broken):
        if output == broken:
            (broken / middle).parent.mkdir(parents=True)
            (broken / middle).write_bytes((complete / middle).read_bytes())
        code, text = finish(start(command(videos, output, **changes)))
        assert code == 0, text
    done = read_checkpoint(broken / middle)["iteration"]
    assert losses(broken) == {i: loss for i, loss in losses(complete).items() if i > done}


def test_the_error_of_a_rank_is_reported_once_and_ends_all(videos, tmp_path):
    code, text = finish(start(command(videos, tmp_path, NUM_GPUS=2, SOLVER__BASE_LR=1e30)))
    assert code != 0
    assert text.count("error: the loss is nan at iteration 2") == 1
    assert "Traceback" not in text
    assert not (tmp_path / "checkpoints").exists()


def test_a_full_disk_is_reported_and_leaves_the_old_checkpoint_intact(videos, tmp_path):
    train(tiny_cfg(videos, tmp_path, SOLVER__MAX_EPOCH=2, SOLVER__STEPS=[0, 1]))
    last = tmp_path / "checkpoints" / "checkpoint_epoch_00002.pyth"
    before = last.read_bytes()

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    code, text = finish(start(command(videos, tmp_path, SOLVER__MAX_EPOCH=3), preexec_fn=small_files_only))
    assert code != 0
    assert "error:" in text
    assert "checkpoints saved before are intact" in text
    assert "Traceback" not in text
    assert last.read_bytes() == before
    assert [path.name for path in last.parent.iterdir() if path.suffix != ".pyth"] == []


def test_configs_run_one_after_the_other_and_overrides_need_no_opts(videos, tmp_path):
    first, second = command(videos, tmp_path / "1"), command(videos, tmp_path / "2")
    words = [*first, second[-1], "SOLVER.MAX_EPOCH", "3", "LOG_PERIOD", "3", "TRAIN.BATCH_SIZE", "6"]
    code, text = finish(start(words))
    assert code == 0, text
    for output in (tmp_path / "1", tmp_path / "2"):
        assert [line["iteration"] for line in json_stats(output)] == [1, 3, 6]
