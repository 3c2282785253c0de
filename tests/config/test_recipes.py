"""The YAML files under configs/: each loads, with the published values."""

import json
import pathlib

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.config.load import load_cfg
from slowfast.config.node import flatten

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
GOLDEN = pathlib.Path(__file__).parent / "golden"
DEFAULTS = json.loads((GOLDEN / "defaults.json").read_text())
RECIPES = json.loads((GOLDEN / "recipes.json").read_text())
PAPER = sorted(path.stem for path in (CONFIGS / "multigrid_paper").glob("*.yaml") if "_multigrid" not in path.stem)
NUM_VIDEOS = {"kinetics": 240_000, "ssv2": 169_000, "charades": 7_985}
NEW_KEYS = {
    "DATA.CLASS_BALANCED": False,
    "DATA.MAX_BAD_FRACTION": 0.1,
    "DATA.MAX_DECODE_SEC": 60.0,
    "DATA.MAX_PIXELS": 8192 * 4320,
    "DATA.PREPARED_DIR": "",
    "DATA_LOADER.TIMEOUT_SEC": 1800.0,
    "DIST_TIMEOUT_MIN": 40.0,
    "TEST.SKIP_BAD_VIDEOS": True,
    "TRAIN.CHECKPOINT_KEEP": 0,
    "TRAIN.CHECKPOINT_MINUTES": 0.0,
    "TEST.RANDOM_WEIGHTS": False,
    "MODEL.FREEZE": [],
    "MODEL.GLOBAL_POOL": False,
    "MODEL.LABEL_SMOOTHING": 0.0,
    "SOLVER.ACCUMULATE": 1,
    "SOLVER.EMA_DECAY": 0.0,
    "TRAIN.EARLY_STOP": 0,
    "MULTIGRID.COST": "pixels",
    "MULTIGRID.LR_SCALING": "linear",
    "MULTIGRID.FINE_TUNE": True,
    "MULTIGRID.ALIGN_TO_EPOCHS": False,
    "MULTIGRID.LONG_CYCLE_DESIGN": "multi",
    "MULTIGRID.NUM_LONG_CYCLES": 3,
}
OLD_KEYS = {
    "BN.MOMENTUM": 0.1,
    "BN.EPSILON": 1e-5,
    "BN.FREEZE": False,
    "AVA": None,
    "CONTRASTIVE": None,
    "PREFETCH": None,
    "DEMO.ENABLE": False,
    "MASK.ENABLE": False,
    "VIS_MASK.ENABLE": False,
    "DATA.SSL_COLOR_JITTER": False,
    "DATA.SSL_COLOR_BRI_CON_SAT": [0.4, 0.4, 0.4],
    "DATA.SSL_COLOR_HUE": 0.1,
    "DATA.SSL_MOCOV2_AUG": False,
    "DATA.SSL_BLUR_SIGMA_MIN": [0.0, 0.1],
    "DATA.SSL_BLUR_SIGMA_MAX": [0.0, 2.0],
    "DATA.IN22K_TRAINVAL": False,
    "DATA.IN22k_VAL_IN1K": "",
    "DATA.IN_VAL_CROP_RATIO": 0.875,
}
TREE = {**DEFAULTS, **NEW_KEYS, **OLD_KEYS}


def flat(cfg):
    return dict(flatten(cfg))


def paper(name):
    return load_cfg(CONFIGS / "multigrid_paper" / f"{name}.yaml")


def iterations(cfg, epochs):
    return round(epochs * NUM_VIDEOS[cfg.TRAIN.DATASET] / (cfg.TRAIN.BATCH_SIZE * cfg.NUM_SHARDS), 2)


def test_the_tree_is_the_published_one_with_new_and_old_keys():
    assert flat(get_cfg()) == TREE


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_recipe_loads_without_data_or_a_gpu(path):
    assert load_cfg(path).is_frozen()


@pytest.mark.parametrize("name", RECIPES)
def test_a_published_recipe_has_the_published_values(name):
    assert flat(load_cfg(CONFIGS / name)) == {
        **TREE,
        **RECIPES[name],
        "OUTPUT_DIR": f"./runs/{pathlib.Path(name).stem}",
    }


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_of_the_paper_and_its_multigrid_twin_differ_in_the_cycles_only(name):
    baseline, multigrid = flat(paper(name)), flat(paper(f"{name}_multigrid"))
    changed = {key for key in baseline if baseline[key] != multigrid[key]}
    assert changed == {"MULTIGRID.LONG_CYCLE", "MULTIGRID.SHORT_CYCLE", "OUTPUT_DIR"}


@pytest.mark.parametrize(("name", "keys"), [("X3D_M", {"BN_BASE_SIZE"}), ("MVITv2_S_16x4", set())])
def test_a_multigrid_recipe_of_a_modern_model_differs_in_the_cycles_only(name, keys):
    baseline, multigrid = (flat(load_cfg(CONFIGS / f"Kinetics/{name}{ending}.yaml")) for ending in ("", "_multigrid"))
    changed = {key for key in baseline if baseline[key] != multigrid[key]}
    assert changed == {*(f"MULTIGRID.{key}" for key in {"LONG_CYCLE", "SHORT_CYCLE"} | keys), "OUTPUT_DIR"}


def test_the_multigrid_recipe_of_x3d_keeps_the_clips_per_statistic():
    baseline, multigrid = (load_cfg(CONFIGS / f"Kinetics/X3D_M{name}.yaml") for name in ("", "_multigrid"))
    assert multigrid.MULTIGRID.BN_BASE_SIZE == baseline.TRAIN.BATCH_SIZE / baseline.NUM_GPUS


@pytest.mark.parametrize(
    ("name", "batch", "rate", "total", "steps"),
    [
        ("SLOWFAST_32x2_R50", 512, 0.8, 112_000, [44_000, 72_000, 92_000]),
        ("SLOWFAST_16x4_R50", 512, 0.8, 112_000, [44_000, 72_000, 92_000]),
        ("SLOWFAST_64x1_R50", 512, 0.8, 112_000, [44_000, 72_000, 92_000]),
        ("SLOWFAST_32x2_R50_320px", 512, 0.8, 112_000, [44_000, 72_000, 92_000]),
        ("SLOWFAST_32x2_R101", 512, 0.8, 112_000, [44_000, 72_000, 92_000]),
        ("SLOWFAST_32x2_R50_IN1K", 512, 0.8, 112_000, [44_000, 72_000, 92_000]),
        ("I3D_16x4_R50", 256, 0.04, 100_000, [37_500, 75_000]),
        ("I3D_NLN_16x4_R50", 256, 0.04, 100_000, [37_500, 75_000]),
        ("I3D_8x8_R50_1GPU", 8, 0.00125, 1_200_000, [600_000, 1_000_000]),
        ("SSV2_SLOWFAST_64_R50", 16, 0.03, 230_000, [150_000, 190_000]),
        ("CHARADES_SLOWFAST_64x2_R50", 16, 0.0375, 28_000, [20_000, 24_000]),
    ],
)
def test_the_epochs_of_the_papers_recipes_are_the_papers_iterations(name, batch, rate, total, steps):
    cfg = paper(name)
    assert (batch, rate) == (cfg.TRAIN.BATCH_SIZE * cfg.NUM_SHARDS, cfg.SOLVER.BASE_LR)
    assert iterations(cfg, cfg.SOLVER.MAX_EPOCH) == pytest.approx(total, abs=0.02)
    assert [iterations(cfg, step) for step in cfg.SOLVER.STEPS] == pytest.approx([0, *steps], abs=0.02)


def test_the_papers_clips_span_the_same_time_at_any_number_of_frames():
    spans = {
        paper(name).DATA.NUM_FRAMES * paper(name).DATA.SAMPLING_RATE for name in PAPER if name.startswith("SLOWFAST")
    }
    assert spans == {64}


def test_the_papers_large_crop_is_tested_at_a_short_side_of_352():
    data = paper("SLOWFAST_32x2_R50_320px").DATA
    assert (data.TRAIN_CROP_SIZE, data.TEST_CROP_SIZE, data.TRAIN_JITTER_SCALES[0]) == (320, 320, 352)
