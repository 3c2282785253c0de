import os
import signal

import pytest
import torch
from torch import nn

from slowfast.engine.bad_videos import append_bad_videos
from slowfast.engine.guards import LossGuard, require_finite_weights
from slowfast.engine.precise_bn import fresh_batches, update_statistics
from slowfast.engine.precision import Precision
from slowfast.engine.progress import Progress
from slowfast.engine.training import seed_everything
from slowfast.errors import UserError
from slowfast.multigrid import Phase, Schedule, Shape, SubBatchNorm3d
from slowfast.utils.distributed import get_rank, get_world_size
from slowfast.utils.launch import launch
from slowfast.utils.stop import SAVE, GracefulStop
from slowfast.utils.world import World
from tests.engine.tiny import SYNTHETIC, Synthetic, tiny_cfg


@pytest.fixture
def progress():
    phases = (
        Phase((Shape(4, 8, 32), Shape(8, 8, 16)), stage=0, start_epoch=0, end_epoch=1.5),
        Phase((Shape(2, 8, 32),), stage=1, start_epoch=1.5, end_epoch=2.5),
    )
    return Progress(Schedule(phases).plan(40, 2), world_size=2)


def test_places_count_iterations_epochs_and_clips_without_gaps(progress):
    places = [progress.at(leg, i) for leg in progress.legs for i in range(leg.iterations)]
    assert [place.iteration for place in places] == list(range(progress.total_iterations))
    assert places[-1].clips == progress.total_clips
    clips = [place.clips for place in places]
    assert clips == sorted(clips)
    for epoch, count in progress.iterations_of_epoch.items():
        assert [p.iteration_of_epoch for p in places if p.epoch == epoch] == list(range(count))
    assert progress.total_epochs == 3
    assert [progress.is_last(epoch) for epoch in range(3)] == [False, False, True]


def test_an_evaluation_due_in_an_epoch_without_iterations_comes_after_the_next_epoch_with_some():
    phase = Phase((Shape(12, 8, 32),), stage=0, start_epoch=0, end_epoch=6)
    progress = Progress(Schedule((phase,)).plan(12))
    assert [progress.is_due(epoch, 4) for epoch in range(6)] == [False, False, False, True, False, True]
    legs = [leg for leg in progress.legs if leg.epoch not in (2, 3)]
    assert [Progress(legs).is_due(epoch, 4) for epoch in (0, 1, 4, 5)] == [False, False, True, True]


def test_the_number_of_iterations_before_a_position_is_exact(progress):
    places = [progress.at(leg, i) for leg in progress.legs for i in range(leg.iterations)]
    for place in places:
        assert progress.iterations_until(place.position) == place.iteration
    assert progress.iterations_until(99) == progress.total_iterations


def test_a_loss_is_checked_one_iteration_late():
    guard = LossGuard()
    guard.watch(torch.tensor(1.0), 0)
    guard.watch(torch.tensor(float("nan")), 1)
    with pytest.raises(UserError, match="nan at iteration 2"):
        guard.watch(torch.tensor(1.0), 2)


def test_statistics_that_are_not_finite_are_refused_by_name():
    model = nn.Sequential(SubBatchNorm3d(2))
    require_finite_weights(model, 1)
    model[0].running_var[1] = float("inf")
    with pytest.raises(UserError, match="0.running_var is not finite after iteration 7"):
        require_finite_weights(model, 7)


def ask_to_stop(stop, number):
    with stop:
        assert stop.request() in (0, SAVE)
        os.kill(os.getpid(), number)


CODES = {signal.SIGINT: 130, signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGHUP: 75}


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_the_first_signal_requests_a_stop_and_handlers_are_restored(number, code):
    before, stop = signal.getsignal(number), GracefulStop()
    with pytest.raises(SystemExit) as end:
        ask_to_stop(stop, number)
    assert stop.request() == end.value.code == code
    assert signal.getsignal(number) is before


def test_a_stop_that_is_requested_after_the_last_iteration_ends_the_program():
    with pytest.raises(SystemExit) as end:
        ask_to_stop(GracefulStop(), signal.SIGTERM)
    assert end.value.code == 75


def test_some_minutes_are_a_request_to_save_and_a_stop_goes_before():
    stop = GracefulStop(1e-9)
    assert [stop.request(), stop.request(), GracefulStop(60).request()] == [SAVE, SAVE, 0]
    with pytest.raises(SystemExit):
        ask_to_stop(stop, signal.SIGTERM)
    assert stop.request() == 75


def test_random_numbers_are_a_function_of_the_position_in_training():
    seed_everything(1, 5)
    first = torch.rand(3)
    seed_everything(1, 6)
    assert not torch.equal(first, torch.rand(3))
    seed_everything(1, 5)
    assert torch.equal(first, torch.rand(3))


def test_precise_statistics_are_those_of_all_batches_together():
    torch.manual_seed(0)
    batches = [torch.randn(4, 3, 2, 5, 5) * 2 + k for k in range(3)]
    model = nn.Sequential(SubBatchNorm3d(3)).eval()
    model[0].running_var.fill_(float("inf"))
    update_statistics(model, iter(batches))
    everything = torch.cat(batches)
    torch.testing.assert_close(model[0].running_mean, everything.mean((0, 2, 3, 4)))
    torch.testing.assert_close(model[0].running_var, everything.var((0, 2, 3, 4)), rtol=0.01, atol=0)
    assert model[0].momentum == 0.1
    assert not model.training


def _drifting_batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, 2, 5, 5, generator=generator) + k for k in range(4)]


def _write_statistics(path):
    model = nn.Sequential(SubBatchNorm3d(3))
    update_statistics(model, _drifting_batches()[get_rank() :: get_world_size()])
    torch.save(model.state_dict(), f"{path}.{get_rank()}")


def test_precise_statistics_are_those_of_the_batches_of_all_ranks_together(tmp_path):
    launch(_write_statistics, (tmp_path / "two",), World(2))
    alone = nn.Sequential(SubBatchNorm3d(3))
    update_statistics(alone, _drifting_batches())
    for rank in (0, 1):
        together = torch.load(f"{tmp_path / 'two'}.{rank}")
        for name in ("0.running_mean", "0.running_var"):
            torch.testing.assert_close(together[name], alone.state_dict()[name])


def test_precise_statistics_use_each_clip_at_most_once_and_different_draws_each_epoch(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, BN__NUM_BATCHES_PRECISE=200)
    dataset = Synthetic.from_cfg(cfg, "train")
    first, second = (list(fresh_batches(cfg, dataset, 3, epoch)) for epoch in (0, 1))
    assert len(first) == len(second) == 3  # 12 videos in batches of 4
    assert sorted(v for batch in first for v in batch["video"].tolist()) == list(range(12))
    assert not torch.equal(first[0]["clip"], second[0]["clip"])


def test_bad_videos_are_a_csv_with_one_header(tmp_path):
    append_bad_videos(str(tmp_path), ["a, b.mp4\tcut off"])
    append_bad_videos(str(tmp_path), ["c.mp4\tno video", "d.mp4\tempty"])
    rows = (tmp_path / "bad_videos.csv").read_text().splitlines()
    assert rows == ["path,error", '"a, b.mp4",cut off', "c.mp4,no video", "d.mp4,empty"]


def test_a_bad_video_is_listed_and_logged_once_with_its_first_error(tmp_path, caplog):
    for lines in (["a.mp4\tno header", "b.mp4\tempty", "a.mp4\tno frames"], ["a.mp4\tno frames"]):
        append_bad_videos(str(tmp_path), lines)
    assert (tmp_path / "bad_videos.csv").read_text().splitlines()[1:] == ["a.mp4,no header", "b.mp4,empty"]
    (message,) = caplog.messages
    assert "2 videos could not be decoded" in message
    assert "a.mp4: no header; b.mp4: empty" in message


def test_mixed_precision_stays_off_on_a_cpu_and_a_message_says_so(caplog):
    with caplog.at_level("INFO", "slowfast"):
        precision = Precision(torch.device("cpu"), mixed=True)
    assert "for GPUs: on this CPU, full precision" in caplog.text
    with precision.autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32
    assert not precision.scaler().is_enabled()


@pytest.mark.parametrize(("has_bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_bfloat16_or_else_in_float16_with_a_scaler(has_bf16, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert Precision(torch.device("cuda"), mixed=True).dtype == dtype
