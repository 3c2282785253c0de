"""The warning of shapes of clips on which a training learns nothing."""

import logging
from math import log

import pytest
import torch

from slowfast.engine.chance import ChanceGuard, chance_loss, shapes_at_chance
from slowfast.engine.launch import run
from slowfast.engine.learner import Step
from slowfast.multigrid import Phase, Schedule, Shape
from tests.engine.tiny import SYNTHETIC, tiny_cfg

COARSE, FINE = Shape(8, 4, 32), Shape(4, 8, 64)
SCHEDULE = Schedule(
    (
        Phase((COARSE, FINE), stage=0, start_epoch=0, end_epoch=2.5),
        Phase((FINE,), stage=1, start_epoch=2.5, end_epoch=4),
    )
)
CLASSES = 4


def watched(loss_of, caplog, skipped: int = 0, labels=None, multi_label: bool = False, right: int = 0) -> list[str]:
    """The warnings of a guard that sees all iterations but the first `skipped`. `loss_of` takes shape and epoch.

    `right`: how many clips of each batch have their highest score at their label.
    """
    legs = SCHEDULE.plan(240)
    guard = ChanceGuard(legs, multi_label)
    steps = [(leg, i) for leg in legs for i in range(leg.iterations)]
    for leg, i in steps[skipped:]:
        clips = leg.shape(i).batch_size
        of_batch = torch.arange(clips) % CLASSES if labels is None else labels[torch.arange(clips) % len(labels)]
        loss = torch.tensor(loss_of(leg.shape(i), leg.position(i)))
        scores = torch.zeros(clips, CLASSES)
        if right:
            scores[torch.arange(clips), (of_batch + (torch.arange(clips) >= right)) % CLASSES] = 1
        guard.watch(leg, i, Step(loss, scores, of_batch, 0.1))
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_chance_is_the_loss_of_knowing_only_how_frequent_the_classes_are():
    assert chance_loss([1 / 400] * 400) == pytest.approx(log(400))
    assert chance_loss([0.9, 0.1, 0.0]) == pytest.approx(-0.9 * log(0.9) - 0.1 * log(0.1))
    assert chance_loss([0.5, 0.5, 1.0], multi_label=True) == pytest.approx(2 / 3 * log(2))


def test_a_shape_is_at_chance_where_its_mean_loss_is_and_enough_clips_were_seen():
    losses = {COARSE: 1.40, FINE: 1.30}
    assert shapes_at_chance(losses, {COARSE: 500, FINE: 500}, log(4)) == {COARSE: 1.40}
    assert shapes_at_chance(losses, {COARSE: 50, FINE: 500}, log(4)) == {}


def test_a_shape_at_chance_through_a_phase_is_named_with_its_loss_and_the_cures(caplog):
    warnings = watched(lambda shape, epoch: 1.42 if shape == COARSE else 1.1, caplog)
    assert len(warnings) == 1
    assert "from epoch 0.00 to 2.50" in warnings[0]
    assert "chance, 1.39, for clips of 4 x 32 px (loss 1.42)" in warnings[0]
    assert "8 x 64" not in warnings[0]
    for cure in ("SOLVER.BASE_LR", "SOLVER.WARMUP_EPOCHS", "MULTIGRID.LONG_CYCLE_FACTORS"):
        assert cure in warnings[0]


def test_every_phase_at_chance_has_one_warning_for_all_its_shapes(caplog):
    warnings = watched(lambda shape, epoch: 1.5, caplog)
    assert ["from epoch 0.00" in warnings[0], "from epoch 2.50" in warnings[1]] == [True, True]
    assert "4 x 32 px (loss 1.5), 8 x 64 px (loss 1.5)" in warnings[0]
    assert len(warnings) == 2


def test_a_loss_that_falls_below_chance_late_in_a_phase_has_no_warning(caplog):
    assert watched(lambda shape, epoch: 3.0 if epoch < 1 else 1.0, caplog) == []


def test_a_phase_that_was_seen_only_in_part_is_not_judged(caplog):
    warnings = watched(lambda shape, epoch: 1.5, caplog, skipped=1)
    assert len(warnings) == 1
    assert "from epoch 2.50 to 4.00" in warnings[0]


def test_classes_of_unequal_frequency_lower_chance(caplog):
    labels = torch.tensor([0, 0, 0, 1])
    assert len(watched(lambda shape, epoch: 0.57, caplog, labels=labels)) == 2  # entropy of 3/4 and 1/4: 0.562
    caplog.clear()
    assert watched(lambda shape, epoch: 0.5, caplog, labels=labels) == []


def test_sets_of_labels_have_a_chance_of_their_own(caplog):
    labels = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0]])  # mean of the entropies: log(2) / 4
    assert len(watched(lambda shape, epoch: 0.18, caplog, labels=labels, multi_label=True)) == 2
    caplog.clear()
    assert watched(lambda shape, epoch: 0.16, caplog, labels=labels, multi_label=True) == []


@pytest.mark.parametrize(("rate", "warns"), [(1e-9, True), (0.01, False)])
def test_a_training_that_learns_nothing_warns_and_one_that_learns_does_not(rate, warns, tmp_path):
    plan = {"SOLVER__MAX_EPOCH": 24, "SOLVER__STEPS": [0], "SOLVER__LRS": [1], "TRAIN__CHECKPOINT_PERIOD": 100}
    run(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, **plan, SOLVER__BASE_LR=rate))
    assert ("the training loss did not fall below chance" in (tmp_path / "stdout.log").read_text()) == warns


def test_a_training_with_few_updates_warns_with_their_numbers(tmp_path):
    run(tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, SOLVER__WARMUP_EPOCHS=1.0))
    log_text = (tmp_path / "stdout.log").read_text()
    assert log_text.count("the training has 9 iterations, fewer than about 1,000") == 1
    assert log_text.count("the warm-up has 3 iterations, fewer than about 100") == 1


def test_a_loss_at_chance_with_an_accuracy_above_it_has_no_warning(caplog):
    assert watched(lambda shape, epoch: 1.5, caplog, right=4) == []  # 4 of 8 and of 4 clips; chance is 1 of 4
    warnings = watched(lambda shape, epoch: 1.5, caplog, right=1)
    assert len(warnings) == 2
