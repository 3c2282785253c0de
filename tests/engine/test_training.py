import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from slowfast.engine.evaluation import score_videos
from slowfast.engine.launch import run
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.errors import UserError
from slowfast.utils.training_checkpoint import last_checkpoint, read_checkpoint
from tests.engine.tiny import BOTH_CYCLES, SYNTHETIC, json_stats, losses, tiny_cfg
from tests.videos import truncate, write_video

GOLDEN = Path(__file__).parent / "golden_curves.json"


@pytest.mark.parametrize("name", ["baseline", "multigrid"])
def test_the_first_losses_are_the_recorded_ones(name, tmp_path):
    changes = {"baseline": {"SOLVER__MAX_EPOCH": 7, "SOLVER__STEPS": [0, 4], "SOLVER__BASE_LR": 0.002}}
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes.get(name, BOTH_CYCLES)))
    curve = [line["loss"] for line in json_stats(tmp_path)][:20]
    recorded = json.loads(GOLDEN.read_text())[name]
    assert curve == pytest.approx(recorded, rel=0.02)  # another CPU adds up in another order


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_curve_is_the_same_with_any_number_of_workers(videos, tmp_path):
    curves = []
    for workers in (0, 1, 3):
        output = tmp_path / str(workers)
        train(tiny_cfg(videos, output, DATA_LOADER__NUM_WORKERS=workers, SOLVER__MAX_EPOCH=2, SOLVER__STEPS=[0, 1]))
        curves.append(losses(output))
    assert len(curves[0]) == 6
    assert curves[0] == curves[1] == curves[2]


@pytest.mark.parametrize("changes", [{}, BOTH_CYCLES], ids=["baseline", "multigrid"])
def test_resuming_from_any_checkpoint_repeats_the_curve_to_the_last_bit(changes, tmp_path):
    whole = tmp_path / "whole"
    train(tiny_cfg(tmp_path, whole, **SYNTHETIC, **changes))
    for checkpoint in sorted((whole / "checkpoints").glob("checkpoint_epoch_*")):
        again = tmp_path / checkpoint.stem
        (again / "checkpoints").mkdir(parents=True)
        shutil.copy(checkpoint, again / "checkpoints")
        train(tiny_cfg(tmp_path, again, **SYNTHETIC, **changes))
        final = sorted((again / "checkpoints").iterdir())[-1].name
        first, second = (read_checkpoint(o / "checkpoints" / final)["model_state"] for o in (whole, again))
        assert all(torch.equal(first[name], second[name]) for name in first)
        if checkpoint.name != final:
            curve, curve_again = losses(whole), losses(again)
            assert curve_again
            assert all(curve[iteration] == loss for iteration, loss in curve_again.items())


def test_a_cosine_with_precise_statistics_and_clipped_gradients_trains(tmp_path):
    changes = {"SOLVER__LR_POLICY": "cosine", "SOLVER__STEPS": [], "SOLVER__LRS": [], "SOLVER__CLIP_GRAD_L2NORM": 1.0}
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes, BN__USE_PRECISE_STATS=True, TRAIN__EVAL_PERIOD=1))
    rates = [line["lr"] for line in json_stats(tmp_path)]
    assert rates == sorted(rates, reverse=True)
    assert [line["epoch"] for line in json_stats(tmp_path, "val_epoch")] == ["1/3", "2/3", "3/3"]


def test_periods_are_kept_and_the_last_epoch_is_always_saved_and_evaluated(tmp_path):
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, SOLVER__MAX_EPOCH=3, TRAIN__CHECKPOINT_PERIOD=2))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best.pyth", "checkpoint_epoch_00002.pyth", "checkpoint_epoch_00003.pyth"]
    assert [line["epoch"] for line in json_stats(tmp_path, "val_epoch")] == ["3/3"]
    assert [line["epoch"] for line in json_stats(tmp_path, "train_epoch")] == ["1/3", "2/3", "3/3"]


def test_the_best_accuracy_outlives_a_restart(tmp_path):
    changes = SYNTHETIC | {"TRAIN__EVAL_PERIOD": 1, "SOLVER__MAX_EPOCH": 3}
    train(tiny_cfg(tmp_path, tmp_path, **changes))
    best = max(line["top1_acc"] for line in json_stats(tmp_path, "val_epoch"))
    train(tiny_cfg(tmp_path, tmp_path, **changes | {"SOLVER__MAX_EPOCH": 4}))
    last = json_stats(tmp_path, "val_epoch")[-1]
    assert last["best_top1_acc"] == max(best, last["top1_acc"])
    assert last["epoch"] == "4/4"


@pytest.mark.parametrize("checkpoint_period", [1, 3, 0])
def test_an_interrupted_evaluation_loses_no_epoch_and_is_repeated(checkpoint_period, tmp_path, monkeypatch):
    changes = SYNTHETIC | {"TRAIN__EVAL_PERIOD": 2, "TRAIN__CHECKPOINT_PERIOD": checkpoint_period}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(tiny_cfg(tmp_path, whole, **changes))
    with monkeypatch.context() as cut:
        cut.setattr("slowfast.engine.train_net.score_videos", raise_keyboard_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_cfg(tmp_path, broken, **changes))
    assert json_stats(broken)[-1]["epoch"] == "2/3"
    train(tiny_cfg(tmp_path, broken, **changes))
    train(tiny_cfg(tmp_path, broken, **changes))  # and only once
    first, second = (
        [(line["epoch"], line["top1_acc"]) for line in json_stats(output, "val_epoch")] for output in (whole, broken)
    )
    assert first == second
    iterations = [line["iteration"] for line in json_stats(broken)]
    assert iterations == list(range(1, 10))  # none was repeated


def test_without_evaluations_no_validation_list_is_read(videos, tmp_path):
    data = copy_with_bad_videos(videos, tmp_path / "data", 0)
    (data / "val.csv").unlink()
    train(tiny_cfg(data, tmp_path, TRAIN__EVAL_PERIOD=0, TRAIN__CHECKPOINT_PERIOD=0))
    assert not json_stats(tmp_path, "val_epoch")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint_epoch_00003.pyth"]


def test_a_bad_validation_video_is_left_out_and_counted(videos, tmp_path):
    data = copy_with_bad_videos(videos, tmp_path / "data", 0)
    bad = write_video(data / "bad.mp4", num_frames=12)
    truncate(bad, 0.05)
    for split in ("val", "test"):
        listed = (data / f"{split}.csv").read_text()
        (data / f"{split}.csv").write_text(f"{bad} 0\n{listed}")
    train(tiny_cfg(videos, tmp_path / "clean", TRAIN__EVAL_PERIOD=1))
    train(tiny_cfg(data, tmp_path / "out", TRAIN__EVAL_PERIOD=1))
    clean, lines = (json_stats(tmp_path / name, "val_epoch") for name in ("clean", "out"))
    assert [line["bad_videos"] for line in lines] == [1, 1, 1]
    assert [line["top1_acc"] for line in lines] == [line["top1_acc"] for line in clean]
    assert "bad.mp4" in (tmp_path / "out" / "bad_videos.csv").read_text()


def test_a_validation_without_a_readable_video_fails_after_the_checkpoint(videos, tmp_path):
    data = copy_with_bad_videos(videos, tmp_path / "data", 0)
    path = write_video(data / "bad.mp4", num_frames=12)
    head, rest = path.read_bytes().split(b"mdat", 1)
    end = rest.index(b"moov") - 4
    path.write_bytes(head + b"mdat" + bytes(end) + rest[end:])
    (data / "val.csv").write_text(f"{path} 0\n")
    with pytest.raises(UserError, match="no video to evaluate"):
        train(tiny_cfg(data, tmp_path / "out", TRAIN__EVAL_PERIOD=1))
    assert (tmp_path / "out" / "checkpoints" / "checkpoint_epoch_00001.pyth").exists()


def test_the_first_iteration_is_logged_whatever_the_period(tmp_path):
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, LOG_PERIOD=7))
    assert [line["iteration"] for line in json_stats(tmp_path)] == [1, 7]


def test_accuracies_have_one_name_and_one_type_in_training_validation_and_test(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC)
    train(cfg)
    run_test(cfg)
    for kind in ("train_iter", "train_epoch", "val_epoch", "test_epoch"):
        line = json_stats(tmp_path, kind)[-1]
        assert isinstance(line["top1_acc"], float)
        assert isinstance(line["top5_acc"], float)
        assert line.get("top1_err", 100 - line["top1_acc"]) == pytest.approx(100 - line["top1_acc"])  # as published


def test_a_stop_during_the_last_evaluation_ends_the_program_before_the_next_config(tmp_path, monkeypatch):
    def stopped(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return score_videos(*args)

    monkeypatch.setattr("slowfast.engine.train_net.score_videos", stopped)
    first = tiny_cfg(tmp_path, tmp_path / "1", **SYNTHETIC, TEST__ENABLE=True)
    second = tiny_cfg(tmp_path, tmp_path / "2", **SYNTHETIC)
    with pytest.raises(SystemExit) as end:
        run(first, second)
    assert end.value.code == 75  # a scheduler may start the job again
    assert json_stats(tmp_path / "1", "val_epoch")[-1]["epoch"] == "3/3"  # the evaluation is complete
    assert not json_stats(tmp_path / "1", "test_epoch")
    assert not (tmp_path / "2" / "json_stats.log").exists()


def raise_keyboard_interrupt(*args):
    raise KeyboardInterrupt


def test_a_finished_training_has_nothing_left_to_do(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, SOLVER__MAX_EPOCH=2, SOLVER__STEPS=[0, 1])
    train(cfg)
    count = len(json_stats(tmp_path))
    train(cfg)
    assert len(json_stats(tmp_path)) == count


def test_a_shorter_config_takes_nothing_from_the_records_of_a_finished_training(tmp_path):
    changes = {"SOLVER__STEPS": [0], "SOLVER__LRS": [1]} | SYNTHETIC
    train(tiny_cfg(tmp_path, tmp_path, **changes, SOLVER__MAX_EPOCH=2))
    before = (tmp_path / "json_stats.log").read_bytes()
    train(tiny_cfg(tmp_path, tmp_path, **changes, SOLVER__MAX_EPOCH=1))
    assert (tmp_path / "json_stats.log").read_bytes() == before


def test_a_finished_training_with_a_changed_config_says_that_the_change_has_no_effect(tmp_path):
    changes = SYNTHETIC | {"SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "SOLVER__LRS": [1]}
    train(tiny_cfg(tmp_path, tmp_path, **changes))
    train(tiny_cfg(tmp_path, tmp_path, **changes, LOG_PERIOD=2))
    text = (tmp_path / "stdout.log").read_text()
    assert "nothing is left to train: all 3 iterations are done. To start anew" in text
    train(tiny_cfg(tmp_path, tmp_path, **changes | {"SOLVER__BASE_LR": 0.5}))
    text = (tmp_path / "stdout.log").read_text()
    assert "are done, and the changes of the config have no effect. To start anew" in text
    assert text.count("SOLVER.BASE_LR: 0.01 in the checkpoint, 0.5 here") == 1
    assert "choose another OUTPUT_DIR or set TRAIN.AUTO_RESUME False" in text
    assert sorted(path.name for path in tmp_path.glob("config*.yaml")) == [
        "config.yaml",
        "config_1.yaml",
        "config_2.yaml",
    ]


@pytest.mark.parametrize("period", [1, 4])
def test_the_best_checkpoint_is_that_of_the_first_best_evaluation(period, tmp_path, monkeypatch):
    accuracies = iter([30.0, 50.0, 50.0, 40.0])
    monkeypatch.setattr("slowfast.engine.scores.accuracy", lambda *args: {"top1_acc": next(accuracies)})
    changes = {"TRAIN__EVAL_PERIOD": 1, "TRAIN__CHECKPOINT_PERIOD": period, "SOLVER__MAX_EPOCH": 4}
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes))
    best = read_checkpoint(tmp_path / "checkpoints" / "best.pyth")
    assert best["epoch"] == 1
    assert best["best"] == {"top1_acc": 50.0, "epoch": 2}
    assert last_checkpoint(tmp_path).name == "checkpoint_epoch_00004.pyth"
    if period == 1:
        same = read_checkpoint(tmp_path / "checkpoints" / "checkpoint_epoch_00002.pyth")["model_state"]
        assert all(torch.equal(best["model_state"][name], value) for name, value in same.items())


def test_another_plan_continues_at_the_same_position(tmp_path):
    changes = SYNTHETIC | {"SOLVER__MAX_EPOCH": 2, "SOLVER__STEPS": [0, 1]}
    train(tiny_cfg(tmp_path, tmp_path, **changes))
    train(tiny_cfg(tmp_path, tmp_path, **changes | {"SOLVER__MAX_EPOCH": 3, "TRAIN__BATCH_SIZE": 6}))
    assert json_stats(tmp_path)[6]["position"] == 2.0
    assert json_stats(tmp_path)[-1]["epoch"] == "3/3"


def test_sets_of_labels_are_measured_by_their_average_precision(tmp_path):
    changes = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"}
    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes, SOLVER__MAX_EPOCH=3))
    assert 0 <= json_stats(tmp_path, "val_epoch")[0]["map"] <= 1
    assert "top1_err" not in json_stats(tmp_path)[0]


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_iteration(tmp_path):
    with pytest.raises(UserError, match="the loss is (nan|inf) at iteration 2:"):
        train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, SOLVER__BASE_LR=1e30))
    assert not (tmp_path / "checkpoints").exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    changes = {"SOLVER__BASE_LR": 1e40, "TRAIN__BATCH_SIZE": 12}  # one iteration an epoch: its own loss is still finite
    with pytest.raises(UserError, match="not finite after iteration 1"):
        train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **changes))
    assert not (tmp_path / "checkpoints").exists()


def copy_with_bad_videos(videos: Path, folder: Path, count: int) -> Path:
    shutil.copytree(videos, folder)
    for split in ("train", "val", "test"):
        text = (folder / f"{split}.csv").read_text()
        (folder / f"{split}.csv").write_text(text.replace(str(videos), str(folder)))
    for number in range(count):
        truncate(folder / f"{11 - number}.mp4", 0.05)  # not one of the validation's
    return folder


def test_a_bad_video_is_replaced_counted_and_listed(videos, tmp_path):
    data = copy_with_bad_videos(videos, tmp_path / "data", 1)
    train(tiny_cfg(data, tmp_path, SOLVER__MAX_EPOCH=3, DATA__MAX_BAD_FRACTION=0.5))
    assert [line["bad_videos"] for line in json_stats(tmp_path, "train_epoch")] == [1, 1, 1]
    rows = (tmp_path / "bad_videos.csv").read_text().splitlines()
    assert rows[0] == "path,error"
    assert rows[1].startswith(f"{data / '11.mp4'},")


def test_too_many_bad_videos_are_an_error_that_names_the_list(videos, tmp_path):
    data = copy_with_bad_videos(videos, tmp_path / "data", 4)
    with pytest.raises(ValueError, match="DATA.MAX_BAD_FRACTION 0.1 allows: see .*bad_videos.csv"):
        train(tiny_cfg(data, tmp_path))
    assert len((tmp_path / "bad_videos.csv").read_text().splitlines()) >= 5


def test_a_folder_for_tensorboard_that_cannot_be_written_is_reported_with_its_key(tmp_path):
    (tmp_path / "curves").write_text("a file")
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TENSORBOARD__ENABLE=True, TENSORBOARD__LOG_DIR="curves")
    with pytest.raises(UserError, match="TENSORBOARD.LOG_DIR: in '.*curves' nothing can be written .*another folder"):
        train(cfg)


def test_tensorboard_counts_clips(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, TENSORBOARD__ENABLE=True, SOLVER__MAX_EPOCH=3))
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [4 * i for i in range(1, 10)]
