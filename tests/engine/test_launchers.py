"""Runs under torchrun and srun, and requests to stop that a launcher has to enforce."""

import os
import signal
import socket
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist

from slowfast.engine.launch import run
from slowfast.utils import supervisor
from slowfast.utils.distributed import barrier, get_rank
from slowfast.utils.launch import RankError, launch
from slowfast.utils.world import World
from tests.engine.tiny import command, finish, losses, start, tiny_cfg

SHORT = {"SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "TRAIN__EVAL_PERIOD": 1}


@pytest.fixture(scope="module")
def two_processes(videos, tmp_path_factory):
    """The losses of two processes that the program starts itself."""
    output = tmp_path_factory.mktemp("two")
    run(tiny_cfg(videos, output, NUM_GPUS=2, **SHORT))
    return losses(output)


def torchrun(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options]


def test_torchrun_starts_one_run_with_the_losses_of_as_many_own_processes(videos, two_processes, tmp_path):
    words = command(videos, tmp_path, **SHORT, TEST__ENABLE=True)[1:]
    code, text = finish(start([*torchrun("--standalone", "--nproc_per_node", "2"), *words]))
    assert code == 0, text
    assert text.count("training is done: 3 iterations") == text.count("tested 6 videos") == 1
    assert losses(tmp_path) == two_processes


def test_the_tasks_of_srun_are_one_run(videos, two_processes, tmp_path, monkeypatch):
    words = command(videos, tmp_path, **SHORT)
    for name, value in {"SLURM_NTASKS": "2", "SLURM_NODELIST": "localhost", "SLURM_JOB_ID": str(os.getpid())}.items():
        monkeypatch.setenv(name, value)
    tasks = []
    for rank in "01":
        monkeypatch.setenv("SLURM_PROCID", rank)
        monkeypatch.setenv("SLURM_LOCALID", rank)
        tasks.append(start(words))
    results = [finish(task) for task in tasks]
    assert [code for code, _ in results] == [0, 0], results
    assert losses(tmp_path) == two_processes


DIE_ONCE = """
import os, signal, sys
from slowfast.config.load import load_cfg
from slowfast.engine.launch import run
from slowfast.engine.learner import Learner

steps, step = [], Learner.step
victims = {"rank": [os.getpid()], "machine": [os.getppid(), os.getpid()], "nobody": []}[sys.argv[2]]

def step_or_die(*args):
    steps.append(1)
    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and len(steps) == 3:
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
    return step(*args)

Learner.step = step_or_die
run(load_cfg(sys.argv[1]))
"""


def die_once(videos: Path, folder: Path) -> list[str]:
    """The words of a run that saves after each iteration, and ends a victim, the next word, in its third iteration."""
    (folder / "die_once.py").write_text(DIE_ONCE)
    config = command(videos, folder / "out", **SHORT, TRAIN__CHECKPOINT_MINUTES=1e-6)[-1]
    return [str(folder / "die_once.py"), config]


def test_torchrun_restarts_a_run_whose_rank_was_killed_from_its_last_checkpoint(videos, two_processes, tmp_path):
    words = torchrun("--standalone", "--nproc_per_node", "2", "--max-restarts", "1")
    code, text = finish(start([*words, *die_once(videos, tmp_path), "rank"]))
    assert code == 0, text
    assert "resuming from" in text
    assert losses(tmp_path / "out") == two_processes


def test_a_machine_that_vanishes_under_torchrun_is_replaced(videos, two_processes, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    script = die_once(videos, tmp_path)

    def start_agent(is_host: int, victim: str):
        settings = f"is_host={is_host},keep_alive_interval=1,keep_alive_max_attempt=6"
        meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-conf", settings]
        return start([*torchrun("--nnodes", "2", "--max-restarts", "1", *meeting), *script, victim])

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    survivor, lost = start_agent(1, "nobody"), start_agent(0, "machine")
    assert finish(lost)[0] == -signal.SIGKILL
    replacement = start_agent(0, "nobody")
    results = [finish(survivor), finish(replacement)]
    assert [code for code, _ in results] == [0, 0], results
    assert "resuming from" in results[0][1]
    assert losses(tmp_path / "out") == two_processes


def wait_for_ever(folder: Path):
    """Rank 0 waits in a collective, as a rank does whose peer is stuck."""
    (folder / str(get_rank())).write_text(str(os.getpid()))
    if get_rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    barrier()


def ask(folder: Path, *numbers: signal.Signals):
    """Send signals to this process when both ranks are there."""

    def send():
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.05)
        for number in numbers:
            time.sleep(0.5)
            os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


@pytest.mark.parametrize(
    ("numbers", "grace", "code"),
    [([signal.SIGINT, signal.SIGINT], 120.0, 130), ([signal.SIGTERM], 1.0, 75)],
)
def test_a_stuck_run_ends_after_a_second_request_or_some_time(numbers, grace, code, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(supervisor, "GRACE_SEC", grace)
    ask(tmp_path, *numbers)
    with pytest.raises(SystemExit) as end:
        launch(wait_for_ever, (tmp_path,), World(2))
    assert end.value.code == code
    text = capfd.readouterr().err
    assert "asking 2 processes to save and stop" in text
    assert "ending them" in text


def wait_for_a_stopped_rank():
    barrier()
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=1), dist.group.WORLD)  # once all have started
    if get_rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    barrier()


def test_a_rank_that_hangs_is_named_and_ended():
    with pytest.raises(RankError, match="rank 0 waited for rank 1, which did not answer within DIST_TIMEOUT_MIN"):
        launch(wait_for_a_stopped_rank, (), World(2))


def abort():
    if get_rank() == 1:
        os.kill(os.getpid(), signal.SIGABRT)
    barrier()


def test_another_signal_than_sigkill_is_not_taken_for_a_lack_of_memory():
    with pytest.raises(RankError, match="rank 1 was ended by SIGABRT. Earlier") as error:
        launch(abort, (), World(2))
    assert "Traceback" not in str(error.value)


def lose_a_rank_and_be_asked_to_stop():
    barrier()
    if get_rank() == 1:
        os._exit(1)
    try:
        barrier()
    except RuntimeError:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        raise


def test_a_request_to_stop_does_not_suppress_the_report_of_an_error():
    with pytest.raises(RankError, match="rank 0 lost the connection to another rank"):
        launch(lose_a_rank_and_be_asked_to_stop, (), World(2))
