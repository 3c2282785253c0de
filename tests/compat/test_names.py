"""Functions at the published places, one by one."""

import inspect
import json

import pytest
import torch
from torch import nn

from slowfast.compat import meters
from slowfast.datasets.utils import pack_pathway_output, tensor_normalize
from slowfast.utils import checkpoint, logging, misc
from slowfast.utils.meters import TestMeter
from slowfast.utils.metrics import topk_accuracies, topk_errors, topks_correct
from tests.models.tiny import tiny_cfg


@pytest.mark.parametrize(("method", "hits"), [("sum", ["50.00", "100.00"]), ("max", ["100.00", "100.00"])])
def test_scores_of_clips_are_combined_by_video(method, hits):
    meter = TestMeter(2, 3, 3, 1, ensemble_method=method)
    preds = torch.tensor([[0.8, 0.2, 0], [0.3, 0.7, 0], [0.3, 0.7, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]])
    labels = torch.tensor([0, 0, 0, 2, 2, 2])
    meter.update_stats(preds, labels, torch.arange(6))
    figures = meter.finalize_metrics(ks=(1, 2))
    assert [figures["top1_acc"], figures["top2_acc"]] == hits


def test_a_meter_of_several_labels_gives_the_mean_average_precision():
    meter = TestMeter(2, 1, 2, 1, multi_label=True)
    meter.update_stats(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.eye(2), torch.tensor([0, 1]))
    assert float(meter.finalize_metrics()["map"]) == 1.0


def test_a_video_that_misses_clips_is_warned_of(caplog):
    meter = TestMeter(1, 2, 2, 1)
    meter.update_stats(torch.tensor([[0.9, 0.1]]), torch.tensor([0]), torch.tensor([0]))
    with caplog.at_level("WARNING", "slowfast"):
        meter.finalize_metrics((1,))
    assert "1 videos do not have 2 clips" in caplog.text


def test_an_ensemble_that_is_not_known_and_meters_of_ava_are_refused():
    with pytest.raises(NotImplementedError, match="use sum or max"):
        TestMeter(1, 1, 1, 1, ensemble_method="mean")
    with pytest.raises(ImportError, match="AVAMeter: AVA .* not part of this project"):
        from slowfast.utils.meters import AVAMeter  # noqa: F401
    assert not hasattr(meters, "OtherMeter")


def test_hits_errors_and_accuracies_are_lists_of_tensors():
    preds, labels = torch.eye(4)[:, [0, 1, 2, 3]], torch.tensor([0, 1, 2, 0])
    assert [count.item() for count in topks_correct(preds, labels, (1, 4))] == [3, 4]
    assert [value.item() for value in topk_accuracies(preds, labels, (1, 4))] == [75, 100]
    assert [value.item() for value in topk_errors(preds, labels, (1, 4))] == [25, 0]


def test_epochs_of_evaluation_and_checkpoints_are_every_period_and_the_last():
    cfg = tiny_cfg(SOLVER__MAX_EPOCH=7, TRAIN__EVAL_PERIOD=3, TRAIN__CHECKPOINT_PERIOD=2)
    assert [e for e in range(7) if misc.is_eval_epoch(cfg, e, None)] == [2, 5, 6]
    assert [e for e in range(7) if checkpoint.is_checkpoint_epoch(cfg, e)] == [1, 3, 5, 6]
    with pytest.raises(NotImplementedError, match="slowfast.engine.progress.Progress"):
        misc.is_eval_epoch(cfg, 0, [[0, [8, 8, 64], 3]])


def test_nan_losses_are_an_error():
    misc.check_nan_losses(torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="the loss is NaN"):
        misc.check_nan_losses(torch.tensor(float("nan")))


def test_parameters_and_memory_are_counted():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm3d(4))
    assert misc.params_count(model) == 17
    assert misc.params_count(model, ignore_bn=True) == 9
    used, total = misc.cpu_mem_usage()
    assert 0 < used < total
    assert misc.gpu_mem_usage() >= 0


def test_class_names_have_parents_and_subsets(tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps({"run": 2, "walk": 0, "sit": 1}))
    (tmp_path / "parents.json").write_text(json.dumps({"moving": ["run", "walk"]}))
    (tmp_path / "subset.txt").write_text("sit\nrun\n")
    found = misc.get_class_names(*(str(tmp_path / name) for name in ("ids.json", "parents.json", "subset.txt")))
    assert found == (["walk", "sit", "run"], {"moving": [2, 0]}, [1, 2])
    assert misc.get_class_names(str(tmp_path / "ids.json")) == (["walk", "sit", "run"], None, None)


@pytest.mark.parametrize("reverse", [True, False])
def test_a_clip_is_split_into_pathways(reverse):
    clip = torch.randn(3, 8, 5, 6)
    slow, fast = pack_pathway_output(tiny_cfg(DATA__REVERSE_INPUT_CHANNEL=reverse), clip)
    assert torch.equal(fast, clip.flip(0) if reverse else clip)
    assert torch.equal(slow, fast[:, [0, 7]])
    (only,) = pack_pathway_output(tiny_cfg("slow"), clip)
    assert torch.equal(only, clip)


def test_frames_are_normalized_by_channel():
    frames = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    result = tensor_normalize(frames, [0.5, 0.2, 0.0], [0.5, 0.1, 2.0])
    assert result.flatten().tolist() == pytest.approx([-1.0, 0.0, 0.5], abs=1e-6)
    assert tensor_normalize(torch.ones(1, 3), 0.0, 1.0, lambda x: 2 * x).tolist() == [[2.0, 2.0, 2.0]]


def test_loggers_are_those_of_the_package():
    assert logging.get_logger("tools.mine").name == "slowfast.tools.mine"
    assert logging.get_logger("slowfast.models").name == "slowfast.models"


def test_checkpoints_are_loaded_with_the_published_arguments():
    names = list(inspect.signature(checkpoint.load_checkpoint).parameters)
    assert names[:9] == [
        "path_to_checkpoint",
        "model",
        "data_parallel",
        "optimizer",
        "scaler",
        "inflation",
        "convert_from_caffe2",
        "epoch_reset",
        "clear_name_pattern",
    ]


def test_the_folder_of_checkpoints_is_created(tmp_path):
    assert checkpoint.make_checkpoint_dir(str(tmp_path)) == str(tmp_path / "checkpoints")
    assert (tmp_path / "checkpoints").is_dir()
    assert checkpoint.get_last_checkpoint(str(tmp_path)) is None
