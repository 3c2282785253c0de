"""Freezing, label smoothing, balanced classes, gradient accumulation, averaged weights and early stopping.

Each is also tried under multigrid, resumed, and on two processes.
"""

import shutil
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.datasets.pathways import each
from slowfast.engine.learner import Learner
from slowfast.engine.position import resume
from slowfast.engine.schedule import build_schedule
from slowfast.engine.test_net import run_test
from slowfast.engine.train_net import train
from slowfast.engine.training import Training, seed_everything
from slowfast.engine.weight_average import WeightAverage
from slowfast.errors import UserError
from slowfast.models.losses import build_loss
from slowfast.utils.training_checkpoint import last_checkpoint, read_checkpoint
from tests.engine.test_learner import BATCH, Normalized, pack, tiny
from tests.engine.tiny import (
    BOTH_CYCLES,
    CLASSES,
    SYNTHETIC,
    Synthetic,
    command,
    finish,
    json_stats,
    losses,
    start,
    tiny_cfg,
)

ALL = {
    "MODEL__FREEZE": ["s1", "s1_fuse"],
    "MODEL__LABEL_SMOOTHING": 0.1,
    "DATA__CLASS_BALANCED": True,
    "SOLVER__ACCUMULATE": 2,
    "SOLVER__EMA_DECAY": 0.9,
    "TRAIN__EARLY_STOP": 50,
    "TRAIN__EVAL_PERIOD": 2,
}
CYCLES = [{}, BOTH_CYCLES]


def weights(path, entry="model_state"):
    return read_checkpoint(path)[entry]


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module", autouse=True)
def _labels():
    """The synthetic data set knows its labels."""
    Synthetic.labels = property(lambda dataset: [video % CLASSES for video in range(len(dataset))])
    yield
    del Synthetic.labels


# --- all together -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles", CYCLES, ids=["baseline", "multigrid"])
def test_with_all_features_a_resumed_training_is_the_same_to_the_last_bit(cycles, tmp_path):
    changes = SYNTHETIC | cycles | ALL
    whole = tmp_path / "whole"
    train(tiny_cfg(tmp_path, whole, **changes))
    first = sorted((whole / "checkpoints").glob("checkpoint_epoch_*"))[0]
    again = tmp_path / "again"
    (again / "checkpoints").mkdir(parents=True)
    shutil.copy(first, again / "checkpoints")
    train(tiny_cfg(tmp_path, again, **changes))
    final = last_checkpoint(whole).name
    for entry in ("model_state", "trained_state"):
        assert same(*(weights(output / "checkpoints" / final, entry) for output in (whole, again)))
    assert losses(again).items() <= losses(whole).items()


def test_with_all_features_two_processes_train_as_one(videos, tmp_path):
    """The groups of batch norm have two clips each, on either number of processes."""
    changes = ALL | {"SOLVER__MAX_EPOCH": 3, "TRAIN__BATCH_SIZE": 8, "MODEL__DROPOUT_RATE": 0.0}
    changes |= {"BN__NORM_TYPE": "sub_batchnorm", "TRAIN__EVAL_PERIOD": 10}
    train(tiny_cfg(videos, tmp_path / "1", **changes, BN__NUM_SPLITS=2))
    code, text = finish(start(command(videos, tmp_path / "2", NUM_GPUS=2, **changes, BN__NUM_SPLITS=1)))
    assert code == 0, text
    assert text.count("class-balanced sampling: each of 3 classes, of 4 to 4 videos, has 4 clips") == 1
    one, two = (train_epochs(tmp_path / name) for name in "12")
    assert one == pytest.approx(two, rel=1e-3)


def train_epochs(output):
    return [line["loss"] for line in json_stats(output, "train_epoch")]


# --- freezing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles", CYCLES, ids=["baseline", "multigrid"])
def test_a_frozen_stage_stays_as_it_was_through_training_and_precise_statistics(cycles, tmp_path):
    changes = SYNTHETIC | cycles | {"MODEL__FREEZE": ["s1", "s2.*"], "BN__USE_PRECISE_STATS": True}
    cfg = tiny_cfg(tmp_path, tmp_path, **changes)
    train(cfg)
    after = weights(last_checkpoint(tmp_path))
    seed_everything(cfg.RNG_SEED)
    before = Training.from_cfg(cfg, torch.device("cpu"), 1).learner.model.state_dict()
    unchanged = {name for name, value in after.items() if torch.equal(value, before[name])}
    stages = {name for name in after if name.startswith(("s1.", "s2."))}
    assert stages <= unchanged
    assert all(name not in unchanged for name in after if name.startswith("s5.") and "num_batches" not in name)


def test_other_frozen_parts_than_in_the_checkpoint_are_reported(tmp_path):
    changes = SYNTHETIC | {"SOLVER__MAX_EPOCH": 3}
    train(tiny_cfg(tmp_path, tmp_path, **changes, MODEL__FREEZE=["s1"]))
    with pytest.raises(UserError, match=r"optimizer's state .* another MODEL.FREEZE"):
        train(tiny_cfg(tmp_path, tmp_path, **changes | {"SOLVER__MAX_EPOCH": 4}))


# --- label smoothing --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cross_entropy", "soft_cross_entropy"])
def test_smoothed_labels_have_the_published_gradient_and_the_plain_value(name, tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, MODEL__LOSS_FUNC=name, MODEL__LABEL_SMOOTHING=0.2)
    scores, labels = torch.randn(5, 3, requires_grad=True), torch.tensor([0, 2, 1, 1, 0])
    loss = build_loss(cfg)(scores, labels)
    assert torch.equal(loss, F.cross_entropy(scores, labels)) or name == "soft_cross_entropy"
    assert loss.item() == pytest.approx(F.cross_entropy(scores, labels).item())
    target = F.one_hot(labels, 3) * 0.8 + 0.2 / 3
    expected = torch.autograd.grad(-(target * scores.log_softmax(1)).sum(1).mean(), scores)[0]
    torch.testing.assert_close(torch.autograd.grad(loss, scores)[0], expected)


def test_label_smoothing_and_balanced_classes_refuse_sets_of_labels(tmp_path):
    sets = {"DATA__MULTI_LABEL": True, "MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid"} | SYNTHETIC
    for change in ({"MODEL__LABEL_SMOOTHING": 0.1}, {"DATA__CLASS_BALANCED": True}):
        key = next(iter(change)).replace("__", ".")
        with pytest.raises(UserError, match=rf"{key}: .*one class each.* DATA.MULTI_LABEL is True"):
            train(tiny_cfg(tmp_path, tmp_path, **sets, **change))


# --- balanced classes -------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles", CYCLES, ids=["baseline", "multigrid"])
def test_balanced_classes_train_on_as_many_clips_of_each(cycles, videos, tmp_path):
    rows = (videos / "train.csv").read_text().splitlines()
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text("\n".join(row for row in rows for _ in range(1 + 4 * row.endswith(" 0"))))
    shutil.copy(videos / "val.csv", data)
    training = Training.from_cfg(tiny_cfg(data, tmp_path, **cycles, DATA__CLASS_BALANCED=True), torch.device("cpu"), 1)
    plain = Training.from_cfg(tiny_cfg(data, tmp_path, **cycles), torch.device("cpu"), 1)
    assert training.plan_key == plain.plan_key
    counts = Counter(
        int(training.train_set.labels[index.video])
        for batch in training.batches(training.progress.legs).batch_sampler
        for index in batch
    )
    assert max(counts.values()) - min(counts.values()) <= 0.2 * max(counts.values())


def test_balanced_classes_need_the_labels_of_the_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(Synthetic, "labels", None)
    with pytest.raises(UserError, match="DATA.CLASS_BALANCED: True needs .* attribute `labels` of Synthetic"):
        train(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, DATA__CLASS_BALANCED=True))


# --- gradient accumulation --------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 3, 4, 9])
def test_a_batch_in_parts_gives_the_update_of_the_whole_batch(parts):
    whole, learner = tiny(), tiny(parts=parts)
    for _ in range(3):
        expected, step = whole.step(BATCH, lr=0.1), learner.step(BATCH, lr=0.1)
        torch.testing.assert_close(step.loss, expected.loss)
        assert sorted(step.labels.tolist()) == sorted(expected.labels.tolist())
        assert step.scores.shape == expected.scores.shape
    torch.testing.assert_close(learner.model.state_dict(), whole.model.state_dict())


def test_parts_with_as_many_groups_of_batch_norm_in_all_give_the_same_update():
    learners = []
    for parts, groups in ((1, 4), (2, 2), (4, 1)):
        torch.manual_seed(0)
        model = Normalized()
        learner = Learner(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1), pack, parts=parts)
        learner.start_phase(groups)
        clips = torch.randint(256, (8, 2, 4, 4, 3), generator=torch.Generator().manual_seed(1)).byte()
        learner.step({"clip": clips, "label": torch.arange(8) % 2}, lr=0.1)
        learners.append(learner)
    for learner in learners[1:]:
        torch.testing.assert_close(dict(learner.model.named_parameters()), dict(learners[0].model.named_parameters()))


def test_the_parts_of_several_pathways_are_those_of_each():
    learner = tiny(parts=2)
    learner.pack, learner.model.forward = list, lambda x: x[0].mean((2, 3, 4))[:, :2] + 0 * learner.model.conv.bias
    clips = [torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 3, 2, 2, 2) for _ in range(2)]
    step = learner.step({"clip": each(torch.clone, clips), "label": torch.tensor([0, 1, 2, 3]) % 2}, lr=0.1)
    assert step.scores[:, 0].tolist() == [0, 2, 1, 3]
    assert step.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("cycles", CYCLES, ids=["baseline", "multigrid"])
def test_the_schedule_counts_parts_of_one_shape_and_groups_of_each_part(cycles, tmp_path):
    changes = SYNTHETIC | cycles | {"TRAIN__BATCH_SIZE": 4}
    plain, parts = (build_schedule(tiny_cfg(tmp_path, tmp_path, **changes, SOLVER__ACCUMULATE=k)) for k in (1, 2))
    assert [leg.iterations for leg in plain.plan(100)] == [leg.iterations for leg in parts.plan(100)]
    for before, after in zip(plain.phases, parts.phases, strict=True):
        assert (before.parts, after.parts) == (1, 2)
        assert (before.shapes, before.lr_factor) == (after.shapes, after.lr_factor)
        assert after.bn_groups == max(before.bn_groups // 2, 1)
        assert all(shape.batch_size % (2 * after.bn_groups) == 0 for shape in after.shapes)


@pytest.mark.parametrize("cycles", CYCLES, ids=["baseline", "multigrid"])
def test_parts_must_divide_the_batch(cycles, tmp_path):
    changes = cycles | {"SOLVER__ACCUMULATE": 3, "TRAIN__BATCH_SIZE": 4}
    with pytest.raises(UserError, match="SOLVER.ACCUMULATE: 3 does not divide the 4 clips .* TRAIN.BATCH_SIZE"):
        build_schedule(tiny_cfg(tmp_path, tmp_path, **changes))


def test_an_error_of_memory_names_the_part_and_accumulation_as_a_cure():
    learner = tiny(parts=2)

    def fail(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    learner.model.forward = fail
    with pytest.raises(UserError, match="a batch of 2 clips .* raise SOLVER.ACCUMULATE"):
        learner.step(BATCH, lr=0.1)


# --- averaged weights -------------------------------------------------------------------------------


def test_the_average_follows_its_formula():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, decay=0.5)
    average.start()
    expected = model[0].weight.detach().clone()
    for n in range(12):
        with torch.no_grad():
            model[0].weight.add_(torch.randn(2, 2))
        average.update()
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
    torch.testing.assert_close(average.averaged[0].weight.detach(), expected)
    model[1].running_mean.fill_(3)
    average.take_buffers()
    assert average.averaged[1].running_mean.tolist() == [3, 3]


def test_without_a_decay_there_is_no_copy():
    average = WeightAverage(model := nn.Linear(1, 1))
    average.update()
    assert average.averaged is model
    assert average.state() == {}


@pytest.mark.parametrize("precise", [False, True], ids=["moving", "precise"])
def test_the_averaged_weights_are_evaluated_saved_and_tested_and_do_not_change_the_training(precise, tmp_path):
    changes = SYNTHETIC | {"TRAIN__EVAL_PERIOD": 1, "SOLVER__BASE_LR": 0.05, "BN__USE_PRECISE_STATS": precise}
    plain, averaged = tmp_path / "plain", tmp_path / "averaged"
    train(tiny_cfg(tmp_path, plain, **changes))
    cfg = tiny_cfg(tmp_path, averaged, **changes, SOLVER__EMA_DECAY=0.8)
    train(cfg)
    assert losses(plain) == losses(averaged)
    of_training = weights(last_checkpoint(averaged), "trained_state")
    for_use = weights(last_checkpoint(averaged))
    parameters = [name for name in for_use if name.endswith("weight") and for_use[name].ndim > 1]
    assert same({name: of_training[name] for name in parameters}, weights(last_checkpoint(plain)))
    assert not same({name: for_use[name] for name in parameters}, of_training)
    tested = run_test(tiny_cfg(tmp_path, averaged, **changes, TEST__NUM_ENSEMBLE_VIEWS=1, TEST__NUM_SPATIAL_CROPS=1))
    training = Training.from_cfg(cfg, torch.device("cpu"), 1)
    resume(training)
    assert same(for_use, training.learner.average.averaged.state_dict())
    assert same(of_training, training.learner.model.state_dict())
    assert tested.keys() == {"top1_acc", "top5_acc"}


def test_another_training_starts_from_the_averaged_weights(tmp_path):
    train(tiny_cfg(tmp_path, tmp_path / "1", **SYNTHETIC, SOLVER__EMA_DECAY=0.8))
    path = last_checkpoint(tmp_path / "1")
    changes = {"TRAIN__CHECKPOINT_FILE_PATH": str(path), "TRAIN__CHECKPOINT_EPOCH_RESET": True}
    fresh, continued = (
        Training.from_cfg(tiny_cfg(tmp_path, tmp_path / name, **SYNTHETIC, **some), torch.device("cpu"), 1)
        for name, some in (("2", changes), ("3", changes | {"TRAIN__CHECKPOINT_EPOCH_RESET": False}))
    )
    for training, entry in ((fresh, "model_state"), (continued, "trained_state")):
        resume(training)
        assert same(weights(path, entry), training.learner.model.state_dict())


# --- early stopping ---------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch):
    """Let the evaluations of the next trainings have these accuracies."""

    def script(*accuracies):
        values = iter(accuracies)
        monkeypatch.setattr("slowfast.engine.scores.accuracy", lambda *args: {"top1_acc": next(values)})

    return script


def early(tmp_path, **changes):
    patience = {"TRAIN__EVAL_PERIOD": 1, "TRAIN__EARLY_STOP": 2, "SOLVER__MAX_EPOCH": 8, "TRAIN__CHECKPOINT_PERIOD": 0}
    return tiny_cfg(tmp_path, tmp_path, **SYNTHETIC | patience | changes)


def test_a_training_stops_after_evaluations_without_a_better_one(tmp_path, scripted):
    scripted(30.0, 50.0, 50.0, 40.0)
    train(early(tmp_path))
    assert [line["epoch"] for line in json_stats(tmp_path, "val_epoch")] == ["1/8", "2/8", "3/8", "4/8"]
    assert [line["lr"] for line in json_stats(tmp_path)] == pytest.approx([0.01] * 6 + [0.001] * 6)
    text = (tmp_path / "stdout.log").read_text()
    assert "stopped early (TRAIN.EARLY_STOP 2): the last 2 evaluations were not better" in text
    train(early(tmp_path))  # a restart stops at once
    assert len(json_stats(tmp_path)) == 12


def test_a_higher_patience_continues_and_an_interruption_loses_no_count(tmp_path, scripted):
    scripted(50.0, 40.0, 40.0, 60.0, 10.0, 10.0, 10.0)
    train(early(tmp_path))
    train(early(tmp_path, TRAIN__EARLY_STOP=3))
    assert [line["epoch"] for line in json_stats(tmp_path, "val_epoch")][-1] == "7/8"


def test_the_test_may_take_the_best_checkpoint_of_the_training(tmp_path, scripted, monkeypatch):
    scripted(30.0, 50.0, 50.0, 40.0)
    cfg = early(tmp_path, TEST__CHECKPOINT_FILE_PATH="best", TEST__ENABLE=True)
    train(cfg)
    loaded = []
    monkeypatch.setattr(
        "slowfast.utils.training_checkpoint.read_checkpoint", lambda path: loaded.append(path) or read_checkpoint(path)
    )
    scripted(0.0)
    run_test(cfg)
    assert loaded == [str(tmp_path / "checkpoints" / "best.pyth")]
    assert read_checkpoint(loaded[0])["epoch"] == 1


def test_early_stopping_needs_evaluations(tmp_path):
    with pytest.raises(UserError, match="TRAIN.EARLY_STOP: 2 counts evaluations, and TRAIN.EVAL_PERIOD 0 has none"):
        train(early(tmp_path, TRAIN__EVAL_PERIOD=0))
