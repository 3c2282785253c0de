"""Every YAML file under configs/ trains: at its full schedule on paper, and for one step at a small size."""

import math
from collections import Counter

import pytest
import torch

from slowfast.config.load import load_cfg
from slowfast.datasets.build import DATASET_REGISTRY
from slowfast.engine.schedule import build_schedule
from slowfast.engine.training import Training
from tests.engine.tiny import CLASSES, ROOT, Synthetic

CONFIGS = ROOT / "configs"
RECIPES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml"))
NUM_VIDEOS = {"kinetics": 240_000, "ssv2": 168_913, "charades": 7_985}


class ManySynthetic(Synthetic):
    """Enough clips for the largest batch of a long cycle."""

    def __init__(self, *args):
        super().__init__(*args)
        self.length = 64


if "ManySynthetic" not in DATASET_REGISTRY:
    DATASET_REGISTRY.register(ManySynthetic)


def small(name, output):
    options = {
        "NUM_GPUS": 0,
        "NUM_SHARDS": 1,
        "OUTPUT_DIR": str(output),
        "LOG_MODEL_INFO": False,
        "TRAIN.DATASET": "ManySynthetic",
        "TRAIN.BATCH_SIZE": 1 if "multigrid" in name and "MVIT" not in name else 2,  # MViTs mix two clips
        "TRAIN.CHECKPOINT_FILE_PATH": "",
        "DATA.TRAIN_CROP_SIZE": 64 if "multigrid" in name else 32,
        "AUG.NUM_SAMPLE": 1,  # as many as the data set gives
        "DATA_LOADER.NUM_WORKERS": 0,
        "MODEL.NUM_CLASSES": CLASSES,
        "RESNET.WIDTH_PER_GROUP": 8,
        "MVIT.EMBED_DIM": 16,
    }
    return load_cfg(CONFIGS / name, [word for pair in options.items() for word in pair])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_schedule_that_gives_each_shape_its_iterations(name):
    cfg = load_cfg(CONFIGS / name)
    schedule = build_schedule(cfg)
    videos = NUM_VIDEOS.get(cfg.TRAIN.DATASET.lower(), 240_000)
    legs = schedule.plan(videos, max(cfg.NUM_GPUS, 1) * cfg.NUM_SHARDS)
    iterations = Counter()
    for leg in legs:
        iterations[leg.phase] += leg.iterations
    assert set(iterations) == set(schedule.phases)
    assert min(iterations.values()) > 100


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_a_step_at_a_small_size(name, tmp_path):
    training = Training.from_cfg(small(name, tmp_path), torch.device("cpu"), world_size=1)
    legs = training.progress.legs
    training.learner.start_phase(legs[0].phase.bn_groups)
    step = training.learner.step(next(iter(training.batches(legs))), lr=1e-3)
    assert math.isfinite(step.loss.item())
    assert step.scores.shape[1] == CLASSES
