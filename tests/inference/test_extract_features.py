"""The command that writes the features of many videos."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from slowfast.commands.extract_features import main
from tests.videos import truncate, write_video

ROOT = Path(__file__).parents[2]


@pytest.fixture
def listed(videos, tmp_path):
    """A list of six rows: one video twice, and one that cannot be read."""
    truncate(write_video(tmp_path / "bad.mp4"))
    names = [
        videos / "0.mp4",
        videos / "1.mp4",
        tmp_path / "bad.mp4",
        videos / "0.mp4",
        videos / "2.mp4",
        videos / "3.mp4",
    ]
    (tmp_path / "list.csv").write_text("".join(f"{name} 0\n" for name in names))
    return tmp_path / "list.csv"


@pytest.fixture
def extract(run, tmp_path, capsys):
    def call(listed, *words):
        try:
            status = main([str(run), str(listed), str(tmp_path / "out"), *map(str, words)])
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return call


def test_the_rows_are_those_of_the_list(extract, listed, model, tmp_path):
    status, printed = extract(listed, "--workers", 2)
    assert status == 1
    assert "5 of 6 videos are in" in printed
    features = np.load(tmp_path / "out/features.npy", mmap_mode="r")
    paths = (tmp_path / "out/paths.txt").read_text().splitlines()
    assert paths == [line.split()[0] for line in listed.read_text().splitlines()]
    assert (features.shape, features.dtype) == ((6, model.net.head.projection.in_features), np.float32)
    for path, row in zip(paths, features, strict=True):
        expected = torch.full((features.shape[1],), torch.nan) if "bad" in path else model.features(path)
        torch.testing.assert_close(torch.tensor(row), expected, equal_nan=True)
    with open(tmp_path / "out/errors.csv", newline="") as file:
        header, (path, error) = csv.reader(file)
    assert header == ["path", "error"]
    assert path == str(tmp_path / "bad.mp4")
    assert "cut off" in error


def test_a_video_that_was_repaired_is_done_by_the_same_command(extract, listed, tmp_path):
    assert extract(listed)[0] == 1
    before = np.load(tmp_path / "out/features.npy")
    write_video(tmp_path / "bad.mp4")
    status, printed = extract(listed)
    after = np.load(tmp_path / "out/features.npy")
    assert status == 0
    assert "6 videos, of which 5 are done already" in printed
    assert not np.isnan(after).any()
    assert np.array_equal(np.delete(after, 2, 0), np.delete(before, 2, 0))
    assert (tmp_path / "out/errors.csv").read_text().split() == ["path,error"]
    assert "6 videos, of which 6 are done already" in extract(listed)[1]


KILLED = """
import os, signal, sys
from slowfast.inference.feature_store import FeatureStore
put, count = FeatureStore.put, 0
def counted(*args):
    global count
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    put(*args)
FeatureStore.put = counted
from slowfast.commands.extract_features import main
main(sys.argv[1:])
"""


def test_a_killed_command_is_continued(extract, listed, run, model, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [str(run), str(listed), str(tmp_path / "out")]
    assert subprocess.run([sys.executable, "-c", KILLED, *words], env=environment).returncode == -signal.SIGKILL
    assert not (tmp_path / "out/features.npy").exists()
    status, printed = extract(listed)
    assert status == 1
    assert "6 videos, of which 3 are done already" in printed
    resumed = np.load(tmp_path / "out/features.npy")
    for path, row in zip((tmp_path / "out/paths.txt").read_text().splitlines(), resumed, strict=True):
        expected = torch.full((resumed.shape[1],), torch.nan) if "bad" in path else model.features(path)
        torch.testing.assert_close(torch.tensor(row), expected, equal_nan=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"features.npy", "paths.txt", "errors.csv"}
    assert not list((tmp_path / "out").glob("*.partial"))


@pytest.mark.parametrize("change", ["list", "preprocessing", "checkpoint"])
def test_features_of_another_source_are_not_continued(change, extract, listed, run, tmp_path):
    assert extract(listed)[0] == 1
    if change == "list":
        listed.write_text(listed.read_text() + f"{tmp_path}/bad.mp4 0\n")
    if change == "checkpoint":
        path = run / "checkpoints/checkpoint_epoch_00001.pyth"
        os.utime(path, (1, path.stat().st_mtime + 1))
    status, printed = extract(listed, *(["--crops", 1] if change == "preprocessing" else []))
    assert status == 2
    assert f"has features of another {change}: use another folder" in printed


def test_a_folder_of_videos_is_a_list(extract, listed, tmp_path):
    (tmp_path / "clips").mkdir()
    truncate(write_video(tmp_path / "clips/bad.mp4"))
    status, printed = extract(tmp_path / "clips")
    assert (status, "no video can be read" in printed) == (1, True)
    write_video(tmp_path / "clips/bad.mp4")
    assert extract(tmp_path / "clips")[0] == 0
    assert np.load(tmp_path / "out/features.npy").shape[0] == 1
