"""One run in an OUTPUT_DIR at a time."""

import subprocess
import sys

import pytest

from slowfast.errors import UserError
from slowfast.utils.run_lock import run_lock

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
