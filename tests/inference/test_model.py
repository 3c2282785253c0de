import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import slowfast
from slowfast.config.node import CfgNode
from slowfast.datasets.build import build_dataset
from slowfast.datasets.video import VideoError
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.errors import UserError
from slowfast.inference import Label, VideoModel
from slowfast.models import MODEL_REGISTRY
from slowfast.utils.result_files import PER_CLASS, read_table
from tests.datasets.data import small_cfg, write_ssv2_json
from tests.engine.tiny import tiny_cfg, write_dataset
from tests.inference.conftest import CHANGES, NAMES, cfg_of, results_of
from tests.videos import truncate, write_video

ROOT = Path(__file__).parents[2]


def test_the_scores_of_a_video_are_those_of_the_test(model, run, videos):
    scores, _ = results_of(run)
    for number, expected in enumerate(scores):
        prediction = model.predict(videos / f"{number}.mp4")
        torch.testing.assert_close(prediction.scores, expected)
        torch.testing.assert_close(prediction.confidences, expected / 6)  # of 2 clips x 3 crops
        assert prediction.view_scores.shape == (6, 3)


def test_views_are_combined_as_the_config_says(run, videos, tmp_path):
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    run_test(cfg_of(videos, tmp_path, DATA__ENSEMBLE_METHOD="max"))
    model = slowfast.load(run, opts=["DATA.ENSEMBLE_METHOD", "max"])
    prediction = model.predict(videos / "1.mp4")
    torch.testing.assert_close(prediction.scores, results_of(tmp_path)[0][1])
    assert torch.equal(prediction.scores, prediction.confidences)


def test_a_prediction_is_a_list_of_names_and_confidences_that_prints(model, videos):
    prediction = model.predict(videos / "0.mp4")
    name, confidence = prediction[0]
    assert name == NAMES[prediction.scores.argmax()]
    assert isinstance(prediction[0], Label)
    assert [label.name for label in prediction] == [NAMES[k] for k in prediction.scores.argsort(descending=True)]
    assert sum(label.confidence for label in prediction) == pytest.approx(1)
    assert prediction.top(2) == prediction[:2]
    assert str(prediction).splitlines()[0] == f"{confidence:6.3f}  {name}"
    assert repr(prediction).startswith(f"Prediction({name} {confidence:.3f}, ")


def test_fewer_views_are_a_choice(model, videos):
    video = videos / "0.mp4"
    assert model.predict(video, views=1, crops=1).view_scores.shape == (1, 3)
    assert model.predict(video, crops=1).view_scores.shape == (2, 3)
    with pytest.raises(UserError, match=r"TEST.NUM_SPATIAL_CROPS: 2"):
        model.predict(video, crops=2)


def test_a_model_takes_clips_too(model, videos):
    clips = model.dataset([str(videos / "0.mp4")])[0]["clip"]
    assert clips.shape == (6, 8, 32, 32, 3)
    torch.testing.assert_close(model(clips), model.predict(videos / "0.mp4").view_scores)


def test_features_are_the_input_of_the_last_layer(model, videos):
    video = videos / "0.mp4"
    features = model.features(video, views=1, crops=1)
    assert features.shape == (model.net.head.projection.in_features,)
    scores = model.net.head.projection(features).softmax(0)
    torch.testing.assert_close(scores, model.predict(video, views=1, crops=1).scores)
    views = model.clip_features(model.dataset([str(video)])[0]["clip"])
    torch.testing.assert_close(model.features(video), views.mean(0))


def test_a_model_without_a_last_layer_of_the_classes_has_no_features(model, videos):
    class Own(nn.Module):
        def forward(self, pathways):
            return pathways[0].mean((2, 3, 4))

    own = VideoModel(Own(), model.cfg, NAMES, torch.device("cpu"))
    assert own.predict(videos / "0.mp4").scores.shape == (3,)
    with pytest.raises(UserError, match="MODEL.MODEL_NAME: SlowFast has no linear layer `head` or `projection`"):
        own.features(videos / "0.mp4")


@pytest.mark.parametrize(
    "place", ["", "checkpoints", "checkpoints/checkpoint_epoch_00001.pyth", "checkpoints/best.pyth"]
)
def test_the_path_is_that_of_a_run_or_a_checkpoint(place, run, videos, model):
    if place.endswith("best.pyth"):
        (run / place).unlink(missing_ok=True)
        os.link(run / "checkpoints/checkpoint_epoch_00001.pyth", run / place)
    other = slowfast.load(run / place)
    assert other.class_names == NAMES
    assert torch.equal(other.predict(videos / "0.mp4").scores, model.predict(videos / "0.mp4").scores)


def test_it_works_in_any_folder_and_the_import_is_light(run, videos, tmp_path, model):
    code = (
        "import sys, slowfast; assert 'torch' not in sys.modules\n"
        f"model = slowfast.load({os.path.relpath(run, tmp_path)!r})\n"
        f"print(model.predict({os.path.relpath(videos / '0.mp4', tmp_path)!r}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip("\n") == str(model.predict(videos / "0.mp4"))
    assert done.stderr == ""


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        slowfast.lod  # noqa: B018


def weights_only(run, path):
    saved = torch.load(run / "checkpoints/checkpoint_epoch_00001.pyth", weights_only=True)
    torch.save({"model_state": saved["model_state"]}, path)
    return path


def test_weights_alone_need_a_config_and_may_have_names(run, videos, tmp_path, model):
    weights = weights_only(run, tmp_path / "weights.pyth")
    with pytest.raises(UserError, match=r"weights.pyth holds no config: give .* --cfg"):
        slowfast.load(weights)
    for cfg in (run / "config.yaml", cfg_of(videos, run)):
        other = slowfast.load(weights, cfg)
        assert other.class_names == ["class 0", "class 1", "class 2"]
        assert torch.equal(other.predict(videos / "0.mp4").scores, model.predict(videos / "0.mp4").scores)
    assert slowfast.load(weights, model.cfg, class_names=videos / "class_names.txt").class_names == NAMES
    assert slowfast.load(weights, model.cfg, class_names=["a", "b"]).class_names == ["a", "b", "class 2"]
    with pytest.raises(UserError, match="there are 4 class names for a model of 3 classes"):
        slowfast.load(weights, model.cfg, class_names=list("abcd"))


def test_paths_of_the_machine_of_the_training_do_not_matter(run, tmp_path, model, videos):
    saved = torch.load(run / "checkpoints/checkpoint_epoch_00001.pyth", weights_only=True)
    cfg = CfgNode.load_cfg(saved["cfg"])
    cfg.OUTPUT_DIR, cfg.DATA.PATH_PREFIX = "/nowhere/$MISSING", "${ABSENT}/videos"
    cfg.NUM_GPUS, cfg.TEST.BATCH_SIZE = 8, 64
    (tmp_path / "a $folder").mkdir()
    torch.save(saved | {"cfg": cfg.dump()}, tmp_path / "a $folder/weights.pyth")
    other = slowfast.load(tmp_path / "a $folder/weights.pyth")
    assert other.cfg.TEST.BATCH_SIZE == 8
    torch.testing.assert_close(other.predict(videos / "0.mp4").scores, model.predict(videos / "0.mp4").scores)


def test_what_counts_in_training_only_does_not_hinder_the_use_of_a_checkpoint(run, tmp_path, model, videos):
    saved = torch.load(run / "checkpoints/checkpoint_epoch_00001.pyth", weights_only=True)
    cfg = CfgNode.load_cfg(saved["cfg"])
    cfg.AUG.ENABLE, cfg.SOLVER.LAYER_DECAY, cfg.TRAIN.DATASET = True, 0.75, "imagenet"
    cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE, cfg.MODEL.ACT_CHECKPOINT = [0.75, 1.33], True
    cfg.DATA.NEW_KEY_OF_ANOTHER_VERSION = 3
    torch.save(saved | {"cfg": cfg.dump()}, tmp_path / "weights.pyth")
    other = slowfast.load(tmp_path / "weights.pyth")
    torch.testing.assert_close(other.predict(videos / "0.mp4").scores, model.predict(videos / "0.mp4").scores)


def test_numbered_classes_have_the_names_of_the_file_beside_the_lists(tmp_path):
    data, output = write_dataset(tmp_path), tmp_path / "run"
    (data / "class_names.txt").write_text("red\ngreen\nblue\n")
    cfg = tiny_cfg(data, output, TEST__ENABLE=True, **CHANGES)
    train(cfg)
    run_test(cfg)
    assert [row["name"] for row in read_table(output / PER_CLASS)] == ["red", "green", "blue"]
    assert slowfast.load(output).class_names == ["red", "green", "blue"]


MISTAKES = {
    "the checkpoint .*nothing.pyth does not exist": lambda run: slowfast.load(run / "nothing.pyth"),
    "is not the folder of a run that has saved a checkpoint": lambda run: slowfast.load(run.parent / "empty0"),
    "trained in another model.*RESNET.DEPTH": lambda run: slowfast.load(run, opts=["RESNET.DEPTH", 50]),
    "unknown key TEST.VIEWS": lambda run: slowfast.load(run, opts=["TEST.VIEWS", 50]),
}


@pytest.mark.parametrize(("message", "load"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_named(message, load, run):
    (run.parent / "empty0").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=message):
        load(run)


def test_a_video_that_cannot_be_read_is_named_with_the_reason(model, videos, tmp_path):
    for path, reason in ((tmp_path / "no.mp4", "no such file"), (truncate(write_video(tmp_path / "a.mp4")), "cut off")):
        for use in (model.predict, model.features, lambda video: list(model.windows(video, 1))):
            with pytest.raises(VideoError, match=f"{path}: .*{reason}"):
                use(path)


def ssv2(folder):
    write_ssv2_json(folder, "validation", {"7": "Pulling something"})
    return write_video(folder / "7.webm", 30, codec="libvpx")


def charades(folder):
    (folder / "Charades_v1_test.csv").write_text("id,actions\n7,c001 0.1 0.5\n")
    return write_video(folder / "7.mp4", 30)


def kinetics(folder):
    (folder / "test.csv").write_text(f"{folder}/7.mp4 1\n")
    return write_video(folder / "7.mp4", 30)


@pytest.mark.parametrize("write", [kinetics, ssv2, charades])
@pytest.mark.parametrize("crops", [1, 3])
def test_views_are_those_of_the_tests_data_set(write, crops, model, tmp_path):
    labels = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit"} if write is charades else {}
    cfg = small_cfg(tmp_path, TEST__DATASET=write.__name__, TEST__NUM_SPATIAL_CROPS=crops, **labels)
    path = write(tmp_path)
    expected = build_dataset(write.__name__, cfg, "test")[0]["clip"]
    own = VideoModel(model.net, cfg, NAMES, torch.device("cpu"))
    assert torch.equal(own.dataset([str(path)])[0]["clip"], expected)


def test_a_data_set_of_another_kind_is_reported_and_read_as_kinetics(model, videos, caplog, monkeypatch):
    cfg = cfg_of(videos, videos, TEST__DATASET="synthetic")
    monkeypatch.setattr(logging.getLogger("slowfast"), "propagate", True)
    own = VideoModel(model.net, cfg, NAMES, torch.device("cpu"))
    torch.testing.assert_close(own.predict(videos / "0.mp4").scores, model.predict(videos / "0.mp4").scores)
    assert "TEST.DATASET: 'synthetic' is not a VideoDataset" in caplog.text


def test_a_model_of_the_user_is_loaded(run, videos, tmp_path, model):
    class Mine(nn.Module):
        def __init__(self, cfg):
            super().__init__()
            self.head = nn.Linear(3, cfg.MODEL.NUM_CLASSES)

        def forward(self, pathways):
            return self.head(pathways[0].mean((2, 3, 4)))

    MODEL_REGISTRY._obj_map["Mine"] = Mine
    try:
        cfg = cfg_of(videos, tmp_path, MODEL__MODEL_NAME="Mine")
        torch.save({"model_state": Mine(cfg).state_dict(), "cfg": cfg.dump(), "epoch": 0}, tmp_path / "mine.pyth")
        mine = slowfast.load(tmp_path / "mine.pyth")
        assert mine.features(videos / "0.mp4").shape == (3,)
        assert len(mine.predict(videos / "0.mp4")) == 3
    finally:
        del MODEL_REGISTRY._obj_map["Mine"]
