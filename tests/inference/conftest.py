"""A trained model of three classes, with names in three scripts, and its test."""

import logging
import pickle

import pytest
import torch

import slowfast
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.utils.logging import quiet
from tests.engine.tiny import tiny_cfg, write_dataset

NAMES = ["red thing", "grüne Sache", "青い物"]
CHANGES = {"SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "SOLVER__LRS": [1], "TEST__SAVE_RESULTS_PATH": "results.pkl"}
CHANGES |= {"RESNET__WIDTH_PER_GROUP": 4}  # a file of few megabytes, which many tests load


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """Lists over 12 tiny videos, with a file of class names."""
    folder = write_dataset(tmp_path_factory.mktemp("videos"))
    (folder / "class_names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    for path in folder.glob("*.csv"):
        rows = [line.rsplit(" ", 1) for line in path.read_text().splitlines()]
        path.write_text("".join(f'{video},"{NAMES[int(label)]}"\n' for video, label in rows), encoding="utf-8")
    return folder


def cfg_of(videos, output, **changes):
    """The config of the run; `changes` as in `tiny_cfg`."""
    return tiny_cfg(videos, output, DATA__PATH_LABEL_SEPARATOR=",", TEST__ENABLE=True, **(CHANGES | changes))


@pytest.fixture(scope="session")
def run(videos, tmp_path_factory):
    """The folder of a run that has trained and tested."""
    output = tmp_path_factory.mktemp("run")
    package, threads = logging.getLogger("slowfast"), torch.get_num_threads()
    torch.set_num_threads(1)
    train(cfg_of(videos, output))
    run_test(cfg_of(videos, output))
    torch.set_num_threads(threads)
    package.handlers.clear()  # commands that use a model have no log
    return output


@pytest.fixture(scope="session")
def model(run):
    with quiet():
        return slowfast.load(run)


def results_of(output):
    """The scores and the labels that a test has saved."""
    with open(output / "results.pkl", "rb") as file:
        return pickle.load(file)
