"""What the shell offers after a part of a command line."""

import os
import subprocess
import sys

import pytest


def offered(line: str, folder) -> set[str]:
    """The words that come next in a line, as bash asks for them."""
    answer = folder / "words.txt"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    asked |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    subprocess.run([sys.executable, "-m", "slowfast"], env=os.environ | asked, cwd=folder, check=True)
    return {word.strip() for word in answer.read_text().splitlines()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("slowfast tr", {"train"}),
        ("slowfast plan --num-v", {"--num-videos"}),
        ("slowfast benchmark mo", {"model"}),
        ("slowfast train --cfg SSv2/S", {"SSv2/SLOWFAST_16x8_R50", "SSv2/SLOWFAST_16x8_R50_multigrid"}),
        ("slowfast train --cfg mi", {"mine.yaml"}),
        ("slowfast train --cfg mine.yaml TRAIN.BATCH", {"TRAIN.BATCH_SIZE"}),
        ("slowfast plan --num-videos 9 --cfg Demo/2", {"Demo/2D_1x1_R26_W16"}),
        ("slowfast recipes --show Demo/2", {"Demo/2D_1x1_R26_W16"}),
    ],
)
def test_commands_options_recipes_files_and_keys_are_completed(line, words, tmp_path):
    (tmp_path / "mine.yaml").touch()
    assert offered(line, tmp_path) == words
