"""One run in an OUTPUT_DIR at a time."""

import subprocess
import sys

import pytest

from slowfast.engine.train_net import train
from slowfast.errors import UserError
from slowfast.utils.launch import launch
from slowfast.utils.run_lock import run_lock
from slowfast.utils.world import World
from tests.engine.tiny import SYNTHETIC, tiny_cfg

HOLD = """
import sys
from slowfast.utils.run_lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_while_the_first_lives_and_a_crash_leaves_no_lock(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"in use by another run \\(process {first.pid} on "), run_lock(tmp_path):
            pass
        first.kill()
    with run_lock(tmp_path):
        pass


def train_synthetic(cfg):
    train(cfg)  # from this module, whose import registers the data set in every process


@pytest.mark.parametrize("gpus", [0, 2])
def test_a_training_in_a_folder_in_use_ends_at_once_and_writes_nothing(gpus, tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, NUM_GPUS=gpus)
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="in use by another run"):
            launch(train_synthetic, (cfg,), World(max(gpus, 1)))
        other.kill()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
