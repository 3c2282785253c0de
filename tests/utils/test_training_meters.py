import time

import pytest
import torch

from slowfast.utils.training_meters import (
    Pace,
    TimedIterator,
    TopKMeter,
    accuracy,
    accuracy_text,
    clock_text,
    errors_of,
    memory,
)


def test_averages_are_over_clips_not_over_batches():
    meter = TopKMeter()
    scores = torch.eye(3)
    meter.update(scores, torch.tensor([0, 1, 2]), torch.tensor(1.0))
    meter.update(scores[:1], torch.tensor([1]), torch.tensor(5.0))
    assert meter.averages() == pytest.approx({"loss": 2.0, "top1_acc": 75.0, "top5_acc": 100.0})


def test_a_restored_meter_continues_from_its_state():
    whole, first, second = TopKMeter(), TopKMeter(), TopKMeter()
    for meter in (whole, first):
        meter.update(torch.eye(3), torch.tensor([0, 1, 1]), torch.tensor(0.3))
    second.restore(first.state())
    for meter in (whole, second):
        meter.update(torch.eye(3), torch.tensor([2, 1, 0]), torch.tensor(0.7))
    assert second.averages() == whole.averages()


def test_accuracy_is_named_after_the_kind_of_labels():
    assert accuracy(torch.eye(3), torch.tensor([0, 1, 1])) == pytest.approx({"top1_acc": 200 / 3, "top5_acc": 100})
    assert accuracy(torch.eye(2), torch.eye(2)) == {"map": 1.0}


def test_accuracies_are_shown_in_percent_and_published_errors_are_their_complements():
    assert accuracy_text({"loss": 1.0, "top1_acc": 62.5, "top5_acc": 100.0}) == "top1_acc 62.50 %, top5_acc 100.00 %"
    assert accuracy_text({"map": 0.123456}) == "map 12.35 %"
    assert errors_of({"loss": 1.0, "top1_acc": 62.5, "map": 0.1}) == {"top1_err": 37.5}


def test_the_pace_separates_waiting_from_working():
    def slow():
        for number in range(4):
            time.sleep(0.02)
            yield number

    batches = TimedIterator(slow())
    pace = Pace(batches)
    for _ in batches:
        time.sleep(0.01)
        pace.step(clips=8)
    lap = pace.lap()
    assert lap.sec == pytest.approx(lap.sec_data + lap.sec_net)
    assert 0.5 < lap.wait_share < 0.9
    assert lap.clips_per_sec == pytest.approx(8 / lap.sec)
    assert lap.sec_wait_per_clip == pytest.approx(lap.sec_data / 8)
    assert pace.lap() is None


def test_the_pace_leaves_out_warm_ups_unless_there_is_nothing_else():
    pace = Pace(TimedIterator([]))
    time.sleep(0.05)
    assert 0.05 <= pace.step(clips=8, is_warm_up=True) < 0.5
    assert pace.lap().sec >= 0.05
    time.sleep(0.05)
    pace.step(clips=8, is_warm_up=True)
    for _ in range(2):
        pace.step(clips=4)
    lap = pace.lap()
    assert lap.sec < 0.05 / 3
    assert lap.clips_per_sec == pytest.approx(4 / lap.sec)


def test_times_and_memory_are_texts_for_people():
    assert clock_text(59.9) == "0:00:59"
    assert clock_text(90061) == "1 d 1:01:01"
    assert memory(torch.device("cpu"))["ram"].endswith("G")
