"""Something-Something V2 and Charades by their published recipes: from lists to results, at a small size."""

import csv
import pickle

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from slowfast.config.load import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.datasets.pathways import PackPathways
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from tests.datasets.data import frame_rows, write_frame_list, write_frames, write_ssv2_json
from tests.engine.tiny import ROOT, json_stats
from tests.videos import write_video

FRAMES = 20
TRAIN = [f"V{i:02}" for i in range(12)]
VAL = TRAIN[:5]
TEMPLATES = ["Pushing [something]", "Pulling [something]", "Lifting [something] up"]
RECIPES = {"ssv2": "SSv2/SLOWFAST_16x8_R50", "charades": "Charades/SLOWFAST_16x8_R50"}
SMALL = {
    "NUM_GPUS": 0,
    "LOG_MODEL_INFO": False,
    "LOG_PERIOD": 1,
    "DATA.NUM_FRAMES": 8,
    "DATA.TRAIN_JITTER_SCALES": [34, 40],
    "DATA.TRAIN_CROP_SIZE": 32,
    "DATA.TEST_CROP_SIZE": 32,
    "DATA_LOADER.NUM_WORKERS": 0,
    "RESNET.WIDTH_PER_GROUP": 8,
    "BN.NUM_BATCHES_PRECISE": 1,
    "SOLVER.BASE_LR": 0.001,
    "SOLVER.STEPS": [0, 1],
    "SOLVER.MAX_EPOCH": 2,
    "TRAIN.BATCH_SIZE": 4,
    "TRAIN.CHECKPOINT_FILE_PATH": "",
    "TEST.BATCH_SIZE": 4,
    "TEST.SAVE_RESULTS_PATH": "results.pkl",
}
MULTIGRID = {
    "DATA.TRAIN_JITTER_SCALES": [68, 80],
    "DATA.TRAIN_CROP_SIZE": 64,
    "MULTIGRID.LONG_CYCLE_FACTORS": [[0.5, 0.5**0.5], [1, 1]],
    "MULTIGRID.EPOCH_FACTOR": 1.0,
    "TRAIN.BATCH_SIZE": 1,
}


def labels_of(number):
    """Of each frame: none at first, then up to two actions; no video has class 4."""
    return [""] * 5 + [str(number % 4)] * 10 + [f"{number % 4},3"] * 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Lists of both data sets over the same videos, as images and as files."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("videos", "frames", "ssv2", "ssv2_json", "charades", "charades_csv"):
        (root / folder).mkdir()
    for video in TRAIN:
        write_video(root / "videos" / f"{video}.mp4", FRAMES)
    names = {video: write_frames(root / "frames", video, FRAMES) for video in TRAIN}
    for split, json_name, official, videos in (("train", "train", "train", TRAIN), ("val", "validation", "test", VAL)):
        for folder in ("ssv2", "ssv2_json"):
            write_ssv2_json(root / folder, json_name, {v: TEMPLATES[i % 3] for i, v in enumerate(videos)})
        plain = [row for i, video in enumerate(videos) for row in frame_rows(video, i, names[video])]
        write_frame_list(root / "ssv2" / f"{split}.csv", plain)
        labeled = [row for i, v in enumerate(videos) for row in frame_rows(v, i, names[v], labels_of(i))]
        write_frame_list(root / "charades" / f"{split}.csv", labeled)
        with open(root / "charades_csv" / f"Charades_v1_{official}.csv", "w", newline="") as file:
            rows = ((v, 'A "person", at home', f"c{i % 4:03} 0.20 0.60;c003 0.30 1.00") for i, v in enumerate(videos))
            csv.writer(file).writerows([("id", "script", "actions"), *rows])
    return root


def recipe(data, lists, frames, output, **changes):
    name = lists.split("_")[0]
    cycles = changes.pop("multigrid", False)
    options = SMALL | (MULTIGRID if cycles else {})
    options |= {"OUTPUT_DIR": str(output), "MODEL.NUM_CLASSES": 3 if name == "ssv2" else 5}
    options |= {"DATA.PATH_TO_DATA_DIR": str(data / lists), "DATA.PATH_PREFIX": str(data / frames)}
    options |= {key.replace("__", "."): value for key, value in changes.items()}
    path = ROOT / "configs" / f"{RECIPES[name]}{'_multigrid' if cycles else ''}.yaml"
    return load_cfg(path, [word for pair in options.items() for word in pair])


@pytest.mark.parametrize(
    ("lists", "frames", "multigrid", "views", "crops"),
    [
        ("ssv2", "frames", True, 1, 1),
        ("ssv2_json", "videos", False, 2, 3),
        ("charades", "frames", False, 10, 3),
        ("charades", "videos", True, 1, 1),
        ("charades_csv", "videos", False, 1, 3),
    ],
)
def test_a_published_recipe_trains_validates_and_tests(data, tmp_path, lists, frames, multigrid, views, crops):
    changes = {"TEST__NUM_ENSEMBLE_VIEWS": views, "TEST__NUM_SPATIAL_CROPS": crops}
    cfg = recipe(data, lists, frames, tmp_path, multigrid=multigrid, **changes)
    train(cfg)
    figures = run_test(cfg)
    lines = json_stats(tmp_path, None)
    shapes = {tuple(line["batch"]) for line in lines if line.get("_type") == "train_iter"}
    assert (len(shapes) > 1) == multigrid
    assert (lines[-1]["videos"], lines[-1]["views"], lines[-1]["crops"]) == (len(VAL), views, crops)
    with open(tmp_path / "results.pkl", "rb") as file:
        scores, labels = pickle.load(file)
    if lists.startswith("ssv2"):
        assert labels.tolist() == [0, 1, 2, 0, 1]
        return
    assert labels.sum(1).tolist() == [2, 2, 2, 1, 2]  # the fourth video has only action 3
    assert figures["map"] == pytest.approx(average_precision_score(labels[:, :4], scores[:, :4], average="macro"))


def test_a_config_for_another_kind_of_labels_is_refused_before_training(data, tmp_path):
    single = {"DATA__MULTI_LABEL": False, "MODEL__LOSS_FUNC": "cross_entropy", "MODEL__HEAD_ACT": "softmax"}
    with pytest.raises(ValueError, match="DATA.MULTI_LABEL is False.*set it True, with MODEL.LOSS_FUNC bce_logit"):
        train(recipe(data, "charades", "frames", tmp_path, **single))
    sets = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"}
    with pytest.raises(ValueError, match="DATA.MULTI_LABEL is True.*set it False, with MODEL.LOSS_FUNC cross_entropy"):
        train(recipe(data, "ssv2", "frames", tmp_path, **sets))


@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize(("lists", "frames"), [("ssv2", "frames"), ("ssv2_json", "videos"), ("charades", "videos")])
def test_the_network_sees_blue_first_unless_the_config_reverses_the_channels(data, tmp_path, lists, frames, reverse):
    cfg = recipe(data, lists, frames, tmp_path, DATA__REVERSE_INPUT_CHANNEL=reverse)
    clip = build_dataset(cfg.TEST.DATASET, cfg, "test")[0]["clip"]
    for pathway in PackPathways.from_cfg(cfg)(clip):
        first, _, last = pathway.mean((0, 2, 3, 4)).tolist()
        assert (first > last) == reverse  # red is above blue in the videos of the tests


def test_images_and_video_files_give_the_network_the_same(data, tmp_path):
    samples = []
    for frames in ("frames", "videos"):
        cfg = recipe(data, "charades", frames, tmp_path, TEST__NUM_ENSEMBLE_VIEWS=2)
        samples.append(build_dataset("charades", cfg, "test")[1])
    difference = np.abs(samples[0]["clip"].numpy().astype(int) - samples[1]["clip"].numpy())
    assert difference.mean() < 6  # of compression
    assert samples[0]["label"].tolist() == samples[1]["label"].tolist() == [0, 1, 0, 1, 0]
