import csv
import pickle
import shutil

import pytest
import torch

from slowfast.datasets.build import build_dataset
from slowfast.engine.evaluation import predict_views, predictor
from slowfast.engine.launch import run
from slowfast.engine.precision import Precision
from slowfast.engine.test_net import ENSEMBLES, run_test
from slowfast.engine.train_net import train
from slowfast.errors import UserError
from slowfast.models import build_model
from slowfast.utils.training_checkpoint import load_checkpoint
from tests.engine.test_training import copy_with_bad_videos
from tests.engine.tiny import SYNTHETIC, json_stats, moving_stripes, tiny_cfg
from tests.videos import truncate, write_video


@pytest.fixture(scope="module")
def trained(videos, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    train(tiny_cfg(videos, output, SOLVER__MAX_EPOCH=2, SOLVER__STEPS=[0, 1]))
    return output / "checkpoints" / "checkpoint_epoch_00002.pyth"


def results_of(output):
    with open(output / "results.pkl", "rb") as file:
        return pickle.load(file)


@pytest.mark.parametrize("method", ["sum", "max"])
def test_the_score_of_a_video_combines_those_of_its_views(method, videos, trained, tmp_path):
    changes = {"TEST__CHECKPOINT_FILE_PATH": str(trained), "TEST__SAVE_RESULTS_PATH": "results.pkl"}
    cfg = tiny_cfg(videos, tmp_path, **changes, DATA__ENSEMBLE_METHOD=method)
    figures = run_test(cfg)
    scores, labels = results_of(tmp_path)

    model = build_model(cfg).eval()
    load_checkpoint(trained, model)
    pack = Precision(torch.device("cpu"), False).pack(cfg)
    dataset = build_dataset("kinetics", cfg, "test")
    for video in range(len(dataset)):
        with torch.no_grad():
            views = torch.stack([model(pack(clip[None]))[0] for clip in dataset[video]["clip"]])
        combined = views.sum(0) if method == "sum" else views.max(0).values
        assert len(views) == 6
        torch.testing.assert_close(scores[video], combined, rtol=1e-4, atol=1e-5)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert figures["top1_acc"] == pytest.approx(100 * (scores.argmax(1) == labels).float().mean().item())


def test_no_forward_pass_is_larger_than_the_batch_size(tmp_path):
    sizes = []

    def model(inputs):
        sizes.append(len(inputs[0]))
        return inputs[0].flatten(1)[:, :3]

    precision = Precision(torch.device("cpu"), False)
    predict = predictor(model, precision, lambda clips: [clips.float()], max_clips=4)
    clips = torch.randint(0, 255, (3, 6, 2, 4, 4, 3), dtype=torch.uint8)  # (N, V, T, H, W, C)
    scores = predict_views(predict, clips)
    assert sizes == [4, 4, 4, 4, 2]
    assert torch.equal(scores, clips.flatten(2)[..., :3].float())
    assert torch.equal(ENSEMBLES["max"](scores, dim=1), scores.max(1).values)


def test_the_result_is_logged_with_its_protocol(videos, trained, tmp_path):
    run_test(tiny_cfg(videos, tmp_path, TEST__CHECKPOINT_FILE_PATH=str(trained)))
    line = json_stats(tmp_path, None)[-1]
    assert line["split"] == "test_final"
    assert line["top1_acc"] == f"{float(line['top1_acc']):.2f}"
    assert line["top5_acc"] == "100.00"
    assert (line["views"], line["crops"], line["videos"], line["failed"]) == (2, 3, 6, 0)
    assert (line["frames"], line["stride"], line["crop_px"], line["short_side"]) == (8, 2, 32, 32)
    assert "2 clips x 3 crops of 32 px, 8 frames x stride 2, short side 32 px" in (tmp_path / "stdout.log").read_text()


def test_a_model_without_a_checkpoint_is_tested_only_if_asked_for_with_a_warning(tmp_path):
    for start in (run, run_test):
        with pytest.raises(UserError, match=r"no weights to test.*TEST\.RANDOM_WEIGHTS True"):
            start(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TRAIN__ENABLE=False, TEST__ENABLE=True))
    run_test(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TEST__RANDOM_WEIGHTS=True))
    assert "random initialization" in (tmp_path / "stdout.log").read_text()


def test_a_folder_of_some_classes_is_tested_under_the_labels_of_the_training(tmp_path):
    for number, name in enumerate(["climb", "dive", "jump"]):
        for split in ("train", "val"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for i in range(2):
                write_video(tmp_path / "data" / split / name / f"{i}.mp4", frames=moving_stripes(number + 3 * i))
    changes = {"TEST__SAVE_RESULTS_PATH": "results.pkl", "SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0]}
    train(tiny_cfg(tmp_path / "data", tmp_path / "out", **changes | {"SOLVER__LRS": [1]}))
    run_test(tiny_cfg(tmp_path / "data", tmp_path / "out", **changes, SOLVER__LRS=[1]))
    every_class, _ = results_of(tmp_path / "out")
    shutil.copytree(tmp_path / "data" / "val", tmp_path / "some" / "test")
    shutil.rmtree(tmp_path / "some" / "test" / "climb")
    run_test(tiny_cfg(tmp_path / "some", tmp_path / "out", **changes, SOLVER__LRS=[1]))
    scores, labels = results_of(tmp_path / "out")
    assert labels.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(scores, every_class[2:, [1, 2, 0]])  # dive, jump, and climb after them
    with open(tmp_path / "out" / "results.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            named = {row[column]: row[f"{column}_name"] for column in ("prediction", "top2", "top3")}
            assert named == {"0": "dive", "1": "jump", "2": "climb"}


def test_sets_of_labels_are_tested_by_average_precision(tmp_path):
    changes = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"}
    changes["TEST__RANDOM_WEIGHTS"] = True
    figures = run_test(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes))
    assert json_stats(tmp_path, None)[-1]["map"] == pytest.approx(figures["map"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_video_is_left_out_of_a_test_and_counted_unless_it_shall_end_it(workers, videos, trained, tmp_path):
    data = copy_with_bad_videos(videos, tmp_path / "data", 0)
    truncate(data / "4.mp4", 0.05)
    changes = {"TEST__CHECKPOINT_FILE_PATH": str(trained), "DATA_LOADER__NUM_WORKERS": workers}
    with pytest.raises(ValueError, match="4.mp4"):
        run_test(tiny_cfg(data, tmp_path / "out", **changes, TEST__SKIP_BAD_VIDEOS=False))
    run_test(tiny_cfg(data, tmp_path / "out", **changes))
    line = json_stats(tmp_path / "out", None)[-1]
    assert (line["videos"], line["failed"]) == (5, 1)
    assert "4.mp4" in (tmp_path / "out" / "bad_videos.csv").read_text()


def test_a_test_crop_that_the_model_does_not_take_names_the_keys_of_the_test(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, DATA__TEST_CROP_SIZE=16)
    with pytest.raises(UserError, match=r"crops under 32 px .* Change DATA.NUM_FRAMES or DATA.TEST_CROP_SIZE$"):
        run_test(cfg)
