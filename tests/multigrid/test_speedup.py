"""The tool that times every shape of a recipe, on a tiny model."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from projects.multigrid import speedup
from slowfast.config.load import load_cfg
from slowfast.engine.schedule import build_schedule
from slowfast.multigrid import Multigrid, Recipe, Shape, multigrid_schedule
from slowfast.utils.parser import load_config

TINY = {
    "DATA.NUM_FRAMES": 8,
    "DATA.TRAIN_CROP_SIZE": 64,
    "RESNET.DEPTH": 18,
    "RESNET.TRANS_FUNC": "basic_transform",
    "RESNET.WIDTH_PER_GROUP": 8,
    "RESNET.NUM_BLOCK_TEMP_KERNEL": "[[2,2],[2,2],[2,2],[2,2]]",
    "MODEL.NUM_CLASSES": 4,
    "SLOWFAST.ALPHA": 2,
    "TRAIN.BATCH_SIZE": 1,
    "NUM_GPUS": 1,
    "NUM_SHARDS": 1,
}


def test_iterations_are_those_of_the_plan():
    recipe = Recipe(Shape(8, 8, 64), 2, 6, (0, 2, 4), (1, 0.1, 0.01))
    schedule = multigrid_schedule(recipe, Multigrid())
    counts = speedup.count_iterations(schedule, 1000, 1)
    expected = Counter()
    for leg in schedule.plan(1000, 1):
        expected.update(speedup.Batch(leg.shape(i), leg.phase.bn_groups) for i in range(leg.iterations))
    assert counts == expected


def test_the_hours_add_up_from_the_times_of_the_shapes(tmp_path, capsys):
    recipe = str(speedup.CONFIGS / "SLOWFAST_32x2_R50_multigrid.yaml")
    options = ["--num-videos", "1000", "--iterations", "1", "--warmup", "0", "--device", "cpu"]
    file, overrides = tmp_path / "numbers.json", [str(word) for pair in TINY.items() for word in pair]
    (result,) = speedup.main(["--cfg", recipe, *options, "--json", str(file), *overrides]).values()
    for side in ("baseline", "multigrid"):
        seconds = sum(row[side] * row["seconds"] for row in result["batches"])
        assert result[side]["hours"] == pytest.approx(seconds / 3600)
        assert result[side]["iterations"] == sum(row[side] for row in result["batches"])
    assert result["speedup"] == pytest.approx(result["baseline"]["hours"] / result["multigrid"]["hours"])
    assert json.loads(file.read_text())["recipes"] == {"SLOWFAST_32x2_R50_multigrid": result}
    assert f"faster {result['speedup']:.2f} x" in capsys.readouterr().out


def test_the_settings_of_the_papers_first_table_have_the_iterations_of_the_default():
    iterations = []
    for _, config, _, overrides, num_videos in [s for s in speedup.PAPER if s.config == speedup.R50]:
        cfg = load_cfg(speedup.CONFIGS / config, list(overrides))
        iterations.append(speedup.count_iterations(build_schedule(cfg), num_videos, cfg.NUM_GPUS).total())
    assert len(iterations) == 6
    assert iterations[1:] == pytest.approx(5 * iterations[:1], rel=0.005)


def test_more_devices_share_the_batch_of_the_recipe():
    args = speedup.parse(["--paper", "--num-devices", "16"])
    cfg = load_config(args, args.cfg_files[1])
    first = next(iter(build_schedule(cfg).plan(speedup.KINETICS_VIDEOS, 16)))
    assert first.shape(0) == Shape(8 * cfg.TRAIN.BATCH_SIZE // 16, 8, 158)


def test_a_shape_that_does_not_fit_is_named_and_leaves_the_hours_unknown():
    small, large = (speedup.Batch(Shape(size, 8, 64), 1) for size in (4, 32))
    side = speedup.totals(Counter({small: 10, large: 5}), {small: speedup.Timing(0.5, None), large: None})
    assert side == {"iterations": 15, "hours": None, "out_of_memory": ["32 x 8 x 64"]}
    assert "32 x 8 x 64" in speedup.hours_text(side)


def test_a_batch_that_does_not_fit_is_timed_in_parts_that_do(monkeypatch):
    bench = object.__new__(speedup.Bench)
    fits = lambda batch: speedup.Timing(0.5, 1.0) if batch.shape.batch_size <= 8 else None  # noqa: E731
    monkeypatch.setattr(bench, "_time", fits, raising=False)
    batch = speedup.Batch(Shape(32, 8, 64), 4)
    assert bench.time(batch, may_split=False) is None
    assert bench.time(batch, may_split=True) == speedup.Timing(2.0, 1.0, parts=4)


@pytest.mark.parametrize("fails", ["clips", "step"])
def test_a_batch_is_split_where_its_clips_or_its_step_run_out_of_memory(fails, monkeypatch):
    cfg = load_cfg(speedup.CONFIGS / speedup.R50, [word for pair in TINY.items() for word in map(str, pair)])
    bench, full = speedup.Bench(cfg, torch.device("cpu"), iterations=1, warmup=0), Shape(4, 8, 64)
    make, forward = speedup.random_batch, bench.learner.model.forward

    def random_batch(cfg, shape, device):
        if fails == "clips" and shape.batch_size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return make(cfg, shape, device)

    def of_model(clips):
        if fails == "step" and len(clips[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(clips)

    monkeypatch.setattr(speedup, "random_batch", random_batch)
    monkeypatch.setattr(bench.learner.model, "forward", of_model)
    assert bench.time(speedup.Batch(full, 1), may_split=False) is None
    assert bench.time(speedup.Batch(full, 1), may_split=True).parts == 2


def test_the_papers_recipes_stand_next_to_its_numbers():
    args = speedup.parse(["--paper", "--reduced"])
    assert {setting.config for setting in speedup.settings(args)} == {Path(path).name for path in args.cfg_files}
    side = {"iterations": 10, "hours": 2.0, "out_of_memory": []}
    result = {"baseline": side, "multigrid": side | {"hours": 0.5}, "iteration_saving": 3.4, "speedup": 4.0}
    table = speedup.paper_table({"I3D R50": result}, "a machine")
    assert "| I3D R50 | 2.00 h | 0.50 h | 3.40 x | 4.00 x | 3.9 x |" in table
