"""Runs from the command line that start from a file of weights."""

import os
import pickle

import pytest
import torch

from slowfast.commands.run import main as run_net
from tests.engine.tiny import CLASSES, ROOT, json_stats
from tests.utils.test_checkpoint_models import WIDTH, ResNet50


def options(output, **changes):
    keys = {
        "NUM_GPUS": 0,
        "OUTPUT_DIR": output,
        "LOG_MODEL_INFO": False,
        "LOG_PERIOD": 1,
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "DATA_LOADER.NUM_WORKERS": 0,
        "MODEL.NUM_CLASSES": CLASSES,
        "RESNET.WIDTH_PER_GROUP": WIDTH,
        "TRAIN.DATASET": "synthetic",
        "TEST.DATASET": "synthetic",
        "TRAIN.BATCH_SIZE": 6,
        "TEST.ENABLE": False,
        "BN.NORM_TYPE": "batchnorm",
        "BN.USE_PRECISE_STATS": False,
        "SOLVER.STEPS": [0],
        "SOLVER.LRS": [1],
        "SOLVER.MAX_EPOCH": 1,
        "SOLVER.WARMUP_EPOCHS": 0,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [str(word) for pair in keys.items() for word in pair]


@pytest.mark.parametrize(
    ("name", "inflated", "left"),
    [
        ("Kinetics/C2D_8x8_R50_IN1K", 17, 2),
        ("Kinetics/I3D_NLN_8x8_R50_IN1K", 26, 62),
        ("multigrid_paper/SLOWFAST_32x2_R50_IN1K", 24, 295),
    ],
)
def test_a_recipe_pre_trained_on_images_starts_from_a_plain_resnet_50(tmp_path, name, inflated, left):
    content = {"state_dict": ResNet50(WIDTH, classes=10).state_dict(), "epoch": 90}
    torch.save(content, tmp_path / "resnet50.pth")
    initial = {"TRAIN__CHECKPOINT_FILE_PATH": tmp_path / "resnet50.pth", "NUM_SHARDS": 1}
    run_net(["--cfg", str(ROOT / "configs" / f"{name}.yaml"), *options(tmp_path / "out", **initial)])
    text = (tmp_path / "out" / "stdout.log").read_text()
    assert f"{inflated} inflated, " in text
    assert f"{left} left at initialization" in text
    assert "10x256 in the file, 3x" in text
    positions = [line["position"] for line in json_stats(tmp_path / "out")]
    assert positions == [0, 0.5]


class Hostile:
    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return os.system, (f"touch {self.flag}",)


@pytest.mark.parametrize("kind", ["pickle", "torch", "old torch"])
def test_a_hostile_file_ends_the_program_before_anything_of_it_runs(tmp_path, capsys, kind):
    flag, path = tmp_path / "was-run", tmp_path / "weights.pkl"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"blobs": {"conv1_w": Hostile(flag)}}, protocol=2))
    else:
        torch.save({"model_state": Hostile(flag)}, path, _use_new_zipfile_serialization=kind == "torch")
    changes = {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__CHECKPOINT_FILE_PATH": path}
    config = ROOT / "configs" / "Kinetics" / "c2" / "SLOWFAST_8x8_R50.yaml"
    with pytest.raises(SystemExit) as end:
        run_net(["--cfg", str(config), *options(tmp_path / "out", **changes)])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert f"{path} was not loaded: it asks for {os.system.__module__}.system" in error
    assert "Nothing of it was run" in error
    assert "Traceback" not in error
    assert not flag.exists()
