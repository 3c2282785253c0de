"""What the user sees where the machine lacks something: one line, and no traceback."""

import os
import signal
import subprocess
import sys
from multiprocessing import active_children
from pathlib import Path

import pytest

from slowfast.datasets.loader import construct_loader
from slowfast.errors import UserError
from tests.datasets.data import small_cfg

ROOT = Path(__file__).parents[2]
SCRIPT = """
import multiprocessing, os, resource, signal, sys
from slowfast.datasets.loader import construct_loader
from slowfast.utils.parser import fail_cleanly
from tests.datasets.data import small_cfg
workers, folder, limit_sec = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])

def load():
    cfg = small_cfg(folder, DATA_LOADER__NUM_WORKERS=workers, DATA_LOADER__TIMEOUT_SEC=limit_sec)
    for batch in construct_loader(cfg, "train", batch_sampler=[[0, 1], [2, 3]] * 20):
        yield batch

def kill_a_worker(number):
    for _ in load():
        os.kill(multiprocessing.active_children()[0].pid, number)

def stop_a_worker():
    for _ in load():
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGSTOP)

def wait_in_workers():
    from slowfast.datasets.base import VideoDataset
    VideoDataset.__getitem__ = lambda *_: signal.pause()
    list(load())

def open_few_files(limit):
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + limit, used + limit))
    assert not [bad for batch in load() for bad in batch["bad"] if bad]

def raise_in_a_worker(text):
    from slowfast.datasets.base import VideoDataset
    def fail(*_):
        raise RuntimeError(text)
    VideoDataset.__getitem__ = fail
    list(load())

with fail_cleanly():
    {}
"""


def lines_of(call: str, workers: int, folder, limit_sec: float = 60) -> list[str]:
    """Return the lines that a script prints which loads with so many workers and makes this call."""
    script = SCRIPT.replace("{}", call)
    words = [sys.executable, "-c", script, str(workers), str(folder), str(limit_sec)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    return [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if line.strip("\0 ") and "ERROR: Unexpected" not in line
    ]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_killed_worker_is_reported_in_one_line(kinetics_dir, name):
    (line,) = lines_of(f"kill_a_worker(signal.{name})", 2, kinetics_dir)
    assert line.strip("\0 ").startswith("error: loading failed (")
    assert "where memory is short" in line
    assert "lower DATA_LOADER.NUM_WORKERS" in line


def test_the_death_of_a_worker_is_reported_with_the_next_batch_and_disturbs_nothing_before(kinetics_dir):
    cfg = small_cfg(kinetics_dir, DATA_LOADER__NUM_WORKERS=1)
    before, others = signal.getsignal(signal.SIGCHLD), active_children()
    batches = iter(construct_loader(cfg, "train", batch_sampler=[[0, 1]] * 9))
    next(batches)
    (worker,) = set(active_children()) - set(others)
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert signal.getsignal(signal.SIGCHLD) is before
    with pytest.raises(UserError, match="loading failed .* killed by signal: Killed"):
        next(batches)


@pytest.mark.parametrize("call", ["wait_in_workers()", "stop_a_worker()"])
def test_workers_that_hang_are_ended_and_reported_in_one_line(call, kinetics_dir):
    (line,) = lines_of(call, 2, kinetics_dir, limit_sec=3)
    assert line.startswith("error: loading failed (DataLoader timed out after 3 s")
    assert "DATA_LOADER.TIMEOUT_SEC" in line


@pytest.mark.parametrize(("limit", "workers"), [(0, 0), (2, 1), (40, 8)])
def test_too_few_files_are_reported_in_one_line_and_no_video_is_called_bad(kinetics_dir, limit, workers):
    (line,) = lines_of(f"open_few_files({limit})", workers, kinetics_dir)
    assert "Too many open files" in line
    if limit:
        assert "`ulimit -n 65536`, or lower DATA_LOADER.NUM_WORKERS" in line


@pytest.mark.parametrize(
    "text",
    [
        "unable to allocate shared memory(shm) for file </torch_1_2_0>: No space left on device (28)",
        "unable to open shared memory object </torch_1_2_0> in read-write mode: No space left on device (28)",
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
        "shared memory. Please try to raise your shared memory limit.",
    ],
)
def test_little_shared_memory_is_reported_in_one_line(kinetics_dir, text):
    (line,) = lines_of(f"raise_in_a_worker({text!r})", 1, kinetics_dir)
    assert "`--shm-size=8g` or `--ipc=host`" in line


def test_another_error_in_a_worker_keeps_its_traceback(kinetics_dir):
    lines = lines_of("raise_in_a_worker('a mistake of ours')", 1, kinetics_dir)
    assert "RuntimeError: a mistake of ours" in lines
    assert len(lines) > 5
