"""The benchmark of a config: the rows of each part, its JSON, and its command line."""

import json

import pytest

from slowfast.benchmark.batches import batches_of, shares_of_clips
from slowfast.commands import benchmark
from slowfast.engine.schedule import build_schedule
from slowfast.multigrid import ShortCycleBatchSampler, build_plan
from tests.engine.tiny import BOTH_CYCLES, command, tiny_cfg, write_dataset

FEW = ["--repeats", "2", "--clips", "3", "--iterations", "2", "--device", "cpu"]
FIGURES = {
    "data": {"share_percent", "read_clips_per_s", "read_cpu_ms", "loader_clips_per_s", "loader_cpu_ms"},
    "model": {"bn_groups", "forward_backward_ms", "cpu_ms", "clips_per_s", "peak_gib", "gflops", "parameters"},
    "train": {"bn_groups", "step_ms", "clips_per_s", "data_wait_percent"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), train=32)


def written(data, folder, **changes):
    """The path of a tiny config."""
    return command(data, folder, **changes)[-1]


def run(*words):
    benchmark.main([str(word) for word in words])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("part", FIGURES)
def test_every_shape_of_the_schedule_has_a_row_of_positive_figures(part, workers, data, tmp_path, capsys):
    path = written(data, tmp_path, **BOTH_CYCLES, DATA_LOADER__NUM_WORKERS=workers)
    run(part, "--cfg", path, *FEW, "--json", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    rows = report["results"][path]
    cfg = tiny_cfg(data, tmp_path, **BOTH_CYCLES)
    batches = [(b.shape.batch_size, b.shape.frames, b.shape.crop, b.bn_groups) for b in batches_of(cfg)]
    expected = batches if "bn_groups" in FIGURES[part] else list(dict.fromkeys(batch[:3] for batch in batches))
    identity = ("clips", "frames", "px", "bn_groups")[: len(expected[0])]
    assert [tuple(row[name] for name in identity) for row in rows] == expected
    assert all(set(row) == {"clips", "frames", "px"} | FIGURES[part] for row in rows)
    waits = {"data_wait_percent"}
    assert all(value > 0 or name in waits and value >= 0 for row in rows for name, value in row.items())
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows)
    assert {"machine", "cores", "load", "av", "ffmpeg", "opencv"} <= set(report["environment"])


def test_the_share_of_a_shape_is_that_of_the_batches_of_the_training(data, tmp_path):
    cfg = tiny_cfg(data, tmp_path, **BOTH_CYCLES)
    sampler = ShortCycleBatchSampler(build_plan(build_schedule(cfg), 32), 32)
    clips = [(clip.frames, clip.crop) for batch in sampler for clip in batch]
    shares = shares_of_clips(cfg, 32)
    assert sum(shares.values()) == pytest.approx(100)
    for shape, share in shares.items():
        same = {other for other in shares if (other.frames, other.crop) == (shape.frames, shape.crop)}
        if same == {shape}:
            assert share == pytest.approx(100 * clips.count((shape.frames, shape.crop)) / len(clips))


def test_a_test_has_one_row_with_the_views_of_a_batch(data, tmp_path):
    path = written(data, tmp_path, TEST__BATCH_SIZE=12)
    run("test", "--cfg", path, *FEW, "--json", tmp_path / "figures.json")
    (row,) = json.loads((tmp_path / "figures.json").read_text())["results"][path]
    assert (row["clips"], row["frames"], row["px"]) == (12, 8, 32)  # 2 videos x 2 clips x 3 crops
    assert row["views_per_s"] > 0


def test_the_part_may_stand_anywhere_and_be_the_value_of_a_key_or_an_option():
    overrides = ["DATA.PATH_TO_DATA_DIR", "train"]
    for words in (
        ["data", "--cfg", "a.yaml", "b.yaml", "--json", "test", *overrides],
        ["--cfg", "a.yaml", "b.yaml", "data", "--json", "test", *overrides],
        ["--cfg", "a.yaml", "b.yaml", "--json", "test", *overrides, "data"],
        ["--allow-unknown-keys", "data", *overrides, "--json", "test", "--cfg", "a.yaml", "b.yaml"],
    ):
        args = benchmark.parse(words)
        assert (args.part, args.cfg_files, args.json, args.opts) == ("data", ["a.yaml", "b.yaml"], "test", overrides)


@pytest.mark.parametrize("words", [[], ["speed"], ["data", "--repeats", "0"]])
def test_a_command_line_without_a_part_or_measurements_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse([*words, "--cfg", "a.yaml"])
    assert "usage" in capsys.readouterr().err
