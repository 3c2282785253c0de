"""What TensorBoard shows, as its own reader finds it in the event files."""

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from slowfast.engine.board import Board
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.errors import UserError
from slowfast.visualization.tensorboard import TensorBoard
from tests.engine.tiny import BOTH_CYCLES, SYNTHETIC, Synthetic, json_stats, tiny_cfg

ON = SYNTHETIC | {"TENSORBOARD__ENABLE": True}
FIGURES = {
    "TENSORBOARD__CONFUSION_MATRIX__ENABLE": True,
    "TENSORBOARD__HISTOGRAM__ENABLE": True,
    "TENSORBOARD__MODEL_VIS__ENABLE": True,
    "TENSORBOARD__MODEL_VIS__MODEL_WEIGHTS": True,
}
SCALARS = {
    *("train/loss", "train/top1_acc", "train/top5_acc", "train/lr", "train/epoch"),
    *("batch/clips", "batch/frames", "batch/crop_px", "speed/clips_per_sec", "speed/data_wait", "speed/dt"),
    *("memory/ram_gib", "train_epoch/loss", "val/top1_acc", "val/top5_acc"),
}


def events_of(folder):
    events = EventAccumulator(str(folder / "runs"), {"images": 0, "histograms": 0, "scalars": 0, "tensors": 0})
    return events.Reload()


def picture(events, tag, k=-1):
    return cv2.imdecode(np.frombuffer(events.Images(tag)[k].encoded_image_string, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture(scope="module")
def multigrid(tmp_path_factory):
    """A multigrid training and its test, with everything that TensorBoard can show."""
    folder = tmp_path_factory.mktemp("board")
    cfg = tiny_cfg(folder, folder, **(BOTH_CYCLES | ON | FIGURES | {"TRAIN__EVAL_PERIOD": 4}))
    train(cfg)
    run_test(cfg)
    return folder, events_of(folder)


def test_all_curves_have_the_clips_seen_as_their_axis(multigrid):
    folder, events = multigrid
    assert set(events.Tags()["scalars"]) >= SCALARS
    lines = json_stats(folder)
    for tag, field in (("train/loss", "loss"), ("train/lr", "lr"), ("speed/clips_per_sec", "clips_per_sec")):
        points = [(event.step, event.value) for event in events.Scalars(tag)]
        assert points == [(line["clips"], pytest.approx(line[field], abs=1e-4, rel=1e-4)) for line in lines]
    shapes = [[int(e.value) for e in events.Scalars(f"batch/{name}")] for name in ("clips", "frames", "crop_px")]
    assert [list(shape) for shape in zip(*shapes, strict=True)] == [line["batch"] for line in lines]


def test_evaluations_and_the_test_are_shown_at_their_clips(multigrid):
    folder, events = multigrid
    evaluations = json_stats(folder, "val_epoch")
    assert [event.step for event in events.Scalars("val/top1_acc")] == [line["clips"] for line in evaluations]
    (test,), (line,) = events.Scalars("test/top1_acc"), json_stats(folder, "test_epoch")
    assert (test.step, test.value) == (evaluations[-1]["clips"], pytest.approx(line["top1_acc"]))


def test_the_config_is_shown_as_text(multigrid):
    _, events = multigrid
    (event,) = events.Tensors("config/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    assert "    #   MULTIGRID.SHORT_CYCLE: True" in text
    assert event.step == 0


def test_clips_of_every_shape_are_shown_once(multigrid):
    folder, events = multigrid
    shapes = {(frames, crop) for _, frames, crop in (line["batch"] for line in json_stats(folder))}
    tags = {tag for tag in events.Tags()["images"] if tag.startswith("clips/")}
    assert tags == {f"clips/{frames} frames x {crop} px" for frames, crop in shapes}
    assert all(len(events.Images(tag)) == 1 for tag in tags)


def test_the_confusion_matrix_and_the_predictions_are_shown_for_evaluations_and_the_test(multigrid):
    folder, events = multigrid
    for name in ("confusion", "predictions"):
        assert len(events.Images(f"val/{name}")) == len(json_stats(folder, "val_epoch"))
        assert picture(events, f"test/{name}").std() > 10


def test_weights_and_gradients_are_shown_after_every_epoch(multigrid):
    folder, events = multigrid
    tags = events.Tags()["histograms"]
    assert "weights/head.projection.weight" in tags
    assert {tag.replace("weights/", "gradients/") for tag in tags if tag.startswith("weights/")} <= set(tags)
    steps = [event.step for event in events.Histograms("gradients/head.projection.weight")]
    assert steps == [line["clips"] for line in json_stats(folder, "train_epoch")]


def test_a_resumed_training_hides_what_it_repeats(tmp_path):
    short = tiny_cfg(tmp_path, tmp_path, **ON, SOLVER__MAX_EPOCH=2.5)
    train(short)
    (tmp_path / "checkpoints" / "checkpoint_epoch_00003.pyth").unlink()
    train(tiny_cfg(tmp_path, tmp_path, **ON, SOLVER__MAX_EPOCH=3))
    steps = [event.step for event in events_of(tmp_path).Scalars("train/loss")]
    assert steps == sorted({*steps})
    assert steps[-1] == 36


def test_only_the_layers_of_the_list_are_shown(tmp_path):
    layers = {"TENSORBOARD__MODEL_VIS__LAYER_LIST": ["head/projection"]}
    train(tiny_cfg(tmp_path, tmp_path, **ON, **FIGURES, **layers, SOLVER__MAX_EPOCH=1, SOLVER__STEPS=[0]))
    tags = [tag for tag in events_of(tmp_path).Tags()["histograms"] if tag.startswith("weights/")]
    assert sorted(tags) == ["weights/head.projection.bias", "weights/head.projection.weight"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TENSORBOARD__MODEL_VIS__LAYER_LIST": ["no.layer"]}, "LAYER_LIST: 'no.layer' is not a layer of the model"),
        ({"TENSORBOARD__CONFUSION_MATRIX__SUBSET_PATH": "missing.txt"}, "missing.txt .*CONFUSION_MATRIX.SUBSET_PATH"),
        ({"TENSORBOARD__HISTOGRAM__FIGSIZE": [8]}, "HISTOGRAM.FIGSIZE: .8. must be .width, height."),
    ],
)
def test_mistakes_are_found_before_the_training(changes, message, tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **ON, **FIGURES, **changes)
    with pytest.raises(UserError, match=message):
        Board(cfg, Synthetic.from_cfg(cfg, "train"), torch.nn.Linear(1, 1))


def test_a_subset_names_classes_of_the_data_set(tmp_path):
    (tmp_path / "classes.txt").write_text("walking\nrunning\nresting\n")
    (tmp_path / "subset.txt").write_text("running\nflying\n")
    subset = {"TENSORBOARD__CONFUSION_MATRIX__SUBSET_PATH": str(tmp_path / "subset.txt")}
    cfg = tiny_cfg(tmp_path, tmp_path, **ON, **FIGURES, **subset)
    with pytest.raises(UserError, match="names 'flying', which is not a class"):
        Board(cfg, None)
    (tmp_path / "subset.txt").write_text("running\nresting\n")
    Board(cfg, None)


def test_numbers_that_are_not_finite_do_not_stop_histograms(tmp_path):
    board = TensorBoard(tmp_path / "runs")
    board.add_histograms("weights", {"a": torch.tensor([1.0, torch.nan, torch.inf]), "b": torch.tensor([torch.nan])}, 1)
    (event,) = events_of(tmp_path).Histograms("weights/a")
    assert event.histogram_value.num == 1


def test_without_matplotlib_the_curves_remain(tmp_path, monkeypatch):
    monkeypatch.setattr("slowfast.engine.board.has_matplotlib", lambda: False)
    train(tiny_cfg(tmp_path, tmp_path, **ON, SOLVER__MAX_EPOCH=1, SOLVER__STEPS=[0]))
    tags = events_of(tmp_path).Tags()
    assert "train/loss" in tags["scalars"]
    assert not tags["images"]
