"""The tool that finds a learning rate and the largest batch: its rules, its output, and what it refuses."""

import numpy as np
import pytest
import torch

from slowfast.benchmark import largest_batch
from slowfast.benchmark.largest_batch import Memory, find_fits, largest, parts_that_fit
from slowfast.benchmark.lr_range import Sweep, phases_to_sweep, rates_between, smoothed, suggested_rate, sweep
from slowfast.commands.tune import main
from slowfast.engine.learner import Learner
from slowfast.engine.memory import OutOfMemory
from slowfast.engine.schedule import build_schedule
from slowfast.multigrid import Shape
from slowfast.optim.lr_policy import rate_factor
from tests.engine.test_learner import tiny
from tests.engine.tiny import BOTH_CYCLES, tiny_cfg, write_dataset

CPU = torch.device("cpu")


def curve(rates, lowest, noise=0.0):
    """A loss that falls toward `lowest` and rises beyond it."""
    distance = np.log10(np.array(rates) / lowest)
    loss = np.where(distance < 0, 2.5 - 1.5 / (1 + np.exp(-3 * (distance + 1))), 1.1 + 3 * distance.clip(0) ** 2)
    losses = loss + noise * np.random.default_rng(0).normal(size=len(rates))
    return Sweep(rates, losses.tolist(), smoothed(losses, len(rates) // 10).tolist())


@pytest.mark.parametrize("noise", [0, 0.1])
@pytest.mark.parametrize("lowest", [0.01, 0.3])
def test_the_suggested_rate_is_that_of_the_steepest_descent_below_the_lowest_loss(lowest, noise):
    rate = suggested_rate(curve(rates_between(1e-5, 10, 120), lowest, noise))
    assert lowest / 40 < rate <= lowest / 5


def test_a_loss_that_does_not_fall_gives_no_rate():
    rates = rates_between(1e-4, 1, 40)
    assert suggested_rate(Sweep(rates, [2.4] * 40, [2.4] * 40)) is None
    rising = np.linspace(2, 5, 40).tolist()
    assert suggested_rate(Sweep(rates, rising, rising)) is None


def test_smoothing_neither_lags_nor_moves_the_mean():
    assert smoothed([1.0] * 20, 3).tolist() == pytest.approx([1.0] * 20)
    peak = smoothed([0.0] * 10 + [1.0] + [0.0] * 10, 3)
    assert peak.argmax() == 10
    assert peak.sum() == pytest.approx(1)


def test_a_sweep_ends_where_the_loss_diverges_and_restores_the_learner_and_the_random_numbers():
    learner = tiny()
    batch = {"clip": torch.randint(256, (4, 2, 3, 3, 3)).byte(), "label": torch.tensor([0, 1, 0, 1])}
    learner.step(batch, 0.1)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    momenta = [state["momentum_buffer"].clone() for state in learner.optimizer.state.values()]
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    found = sweep(learner, [batch] * 80, rates_between(1e-3, 1e6, 80))
    assert torch.equal(torch.rand(3), expected)
    assert 10 < len(found.rates) == len(found.losses) == len(found.smooth) < 80
    assert all(torch.equal(before[name], value) for name, value in learner.model.state_dict().items())
    after = [state["momentum_buffer"] for state in learner.optimizer.state.values()]
    assert all(map(torch.equal, momenta, after))


def test_the_coarsest_shape_is_swept_too_and_counts_by_its_own_rate(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **BOTH_CYCLES)
    phases = phases_to_sweep(build_schedule(cfg))
    assert [(phase.shapes[0].frames, phase.shapes[0].crop, rate_factor(cfg, phase)) for phase in phases] == [
        (8, 64, 1),
        (4, 45, 4),
    ]
    assert len(phases_to_sweep(build_schedule(tiny_cfg(tmp_path, tmp_path)))) == 1


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 9, 50])
def test_the_largest_number_is_found_by_doubling_and_bisection(limit):
    tried = []
    assert largest(lambda n: tried.append(n) or n <= limit, 40) == min(limit, 40)
    assert len(tried) <= 12


def learner_of(cfg):
    return Learner.from_cfg(cfg, CPU)


def test_on_a_cpu_the_peak_is_measured_and_what_will_not_fit_is_not_tried(tmp_path, monkeypatch):
    cfg = tiny_cfg(tmp_path, tmp_path)
    clips = []
    monkeypatch.setattr(largest_batch, "clear_memory", lambda device: None)
    monkeypatch.setattr(largest_batch, "peak_gib", lambda device: 1 + 0.1 * (clips[-1] if clips else 0))
    learner = learner_of(cfg)
    learner.step = lambda batch, lr: clips.append(len(batch["label"]))
    memory = Memory(cfg, learner, Shape(4, 8, 32), limit_gib=2.25)
    assert largest(memory.fits, 1000) == 12
    assert max(clips) == 12


def test_an_error_of_memory_does_not_fit(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path)
    learner = learner_of(cfg)

    def step(batch, lr):
        if len(batch["label"]) > 5:
            raise OutOfMemory("out of memory")

    learner.step = step
    memory = Memory(cfg, learner, Shape(4, 8, 32), limit_gib=1000)
    assert largest(memory.fits, 1000) == 5


def test_every_shape_is_measured_and_gives_the_batch_of_the_config(tmp_path, monkeypatch):
    cfg = tiny_cfg(tmp_path, tmp_path, **BOTH_CYCLES | {"TRAIN__BATCH_SIZE": 4})
    learner, volumes = learner_of(cfg), []
    monkeypatch.setattr(largest_batch, "clear_memory", lambda device: None)
    monkeypatch.setattr(largest_batch, "peak_gib", lambda device: 1e-5 * volumes[-1] if volumes else 0)
    learner.step = lambda batch, lr: volumes.append(batch["clip"].numel() // 3)  # pixels
    fits = find_fits(cfg, learner, build_schedule(cfg), limit_gib=2.0, max_batch=32)
    assert {fit.shape for fit in fits} == set(build_schedule(cfg).shapes)
    by_grid = {(fit.shape.frames, fit.shape.crop): fit for fit in fits}
    assert by_grid[8, 64].most == by_grid[8, 64].batch == 200_000 // (8 * 64**2)
    assert by_grid[4, 45].most == 200_000 // (4 * 45**2)
    assert parts_that_fit(cfg, fits) == 1
    small = find_fits(cfg, learner, build_schedule(cfg), limit_gib=0.9, max_batch=32)
    assert parts_that_fit(cfg, small) == 2


def test_the_tool_prints_tables_and_lines_to_paste_and_draws_a_figure(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    videos = write_dataset(tmp_path / "data")
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg(videos, tmp_path / "out", TRAIN__CHECKPOINT_PERIOD=0).dump())
    words = ["--cfg", str(config), "--iterations", "40", "--lowest", "0.0003", "--highest", "1", "--max-batch", "8"]
    main([*words, "--plot", str(tmp_path / "t.png"), "TRAIN.BATCH_SIZE", "6"])
    text = capsys.readouterr().out
    assert "| 6 x 8 x 32 |" in text
    assert "for the batch of the config:\n    SOLVER.BASE_LR 0.0" in text
    assert "    TRAIN.BATCH_SIZE 8 SOLVER.BASE_LR 0.0" in text
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_the_batch_needs_no_videos_and_a_memory_without_room_is_an_error(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg(tmp_path / "none", tmp_path).dump())
    with pytest.raises(SystemExit) as end:
        main(["--cfg", str(config), "--only", "batch", "--memory-gb", "0.001"])
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert "too much" in captured.out
    assert "error: no batch fits: lower DATA.NUM_FRAMES" in captured.err


def test_too_few_iterations_are_refused(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg(tmp_path, tmp_path).dump())
    with pytest.raises(SystemExit):
        main(["--cfg", str(config), "--only", "lr", "--iterations", "3"])
    assert "--iterations: 3 is too few" in capsys.readouterr().err


def test_a_sweep_leaves_the_average_of_the_weights_alone():
    learner = tiny(ema_decay=0.9)
    average = learner.average
    batch = {"clip": torch.zeros(4, 2, 3, 3, 3, dtype=torch.uint8), "label": torch.tensor([0, 1, 0, 1])}
    sweep(learner, [batch] * 10, rates_between(1e-4, 1e-3, 10))
    assert learner.average is average
    assert average.updates == 0
