"""All that a GPU should tell, in sections: limits, results that survive, and commands that exist."""

import json
import os
import shlex
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks.gpu import run, waiting
from benchmarks.gpu.run import DRY, FULL, SECTIONS, Section

EXAMPLES = (
    Section("good", 20, ("{python} -c 'print(\"figures\")'",)),
    Section("failing", 20, ("{python} -c 'raise SystemExit(3)'", "{python} -c 'print(\"still runs\")'")),
    Section("hanging", 1, ("sh -c 'trap \"\" INT; sleep 600 & wait'",)),
    Section("missing", 20, ("a_program_that_is_missing",)),
    Section("last", 20, ("env",)),
)


def summary(folder: Path) -> dict[str, list[str]]:
    return {entry["section"]: entry["statuses"] for entry in json.loads((folder / "summary.json").read_text())}


def test_a_section_that_fails_or_hangs_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "SECTIONS", EXAMPLES)
    monkeypatch.setattr(run, "GRACE_SEC", 0.1)
    assert run.main(["--device", "cpu", "--limit", "20", "--out", str(tmp_path)]) == 1
    statuses = summary(tmp_path)
    assert statuses["good"] == ["status 0"]
    assert statuses["failing"] == ["status 3", "status 0"]
    assert statuses["missing"] == ["cannot start: No such file or directory"]
    assert statuses["hanging"] == ["stopped at its limit with status -9"]
    with tarfile.open(tmp_path / "gpu_logs.tar.gz") as archive:
        logs = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}
    assert set(logs) == {f"{section.name}.log" for section in EXAMPLES}
    assert logs["good.log"].endswith("\nfigures\n")
    assert "still runs" in logs["failing.log"]
    assert "TEST_DEVICE=cpu" in logs["last.log"]
    assert "=== hanging: stopped at its limit" in capsys.readouterr().out


def test_what_is_finished_survives_the_end_of_the_time(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "SECTIONS", EXAMPLES)
    monkeypatch.setattr(run, "GRACE_SEC", 0.1)
    assert run.main(["hanging", "last", "--device", "cpu", "--limit", "1.5", "--out", str(tmp_path)]) == 0
    assert summary(tmp_path) == {"hanging": ["stopped at its limit with status -9"], "last": []}
    assert "=== last: no time left" in capsys.readouterr().out


def test_named_sections_share_the_time_and_those_with_videos_make_them_first(tmp_path, monkeypatch):
    limits = {}
    monkeypatch.setattr(
        run.Run, "section", lambda self, section, scale: limits.update({section.name: section.seconds * scale})
    )
    run.main(["train", "norm_bf16", "--limit", "1000", "--out", str(tmp_path)])
    assert list(limits) == ["videos", "norm_bf16", "train"]
    assert sum(limits.values()) == pytest.approx(1000)
    run.main(["--out", str(tmp_path)])
    assert limits["train"] == 30
    assert set(limits) == {section.name for section in SECTIONS}


@pytest.mark.parametrize("values", [FULL, DRY], ids=["full", "dry"])
def test_the_commands_name_files_that_exist(values):
    words = defaultdict(lambda: "PLACE", values)
    commands = [command.format_map(words) for section in SECTIONS for command in section.commands]
    named = {word for command in commands for word in shlex.split(command) if word.endswith((".py", ".yaml"))}
    named |= set(values["tests"].split())
    assert len(named) > 8
    assert not [name for name in named if not (run.ROOT / name).exists()]


def test_a_section_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit):
        run.main(["speed"])
    assert "unknown sections: speed; choose from smi, videos" in capsys.readouterr().err


def test_a_module_without_wheel_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "MODULES", ("json", "missing_module"))
    monkeypatch.syspath_prepend(os.getcwd())
    with pytest.raises(SystemExit, match="missing: missing_module; collect wheels with benchmarks/gpu/wheels.sh"):
        run.main(["smi", "--wheels", str(tmp_path)])


def test_the_wait_for_data_is_the_share_of_the_time(tmp_path, capsys):
    laps = [(1, 0.5, 10.0), (20, 0.1, 30.0), (40, 0.1, 40.0)]
    records = [
        {"_type": "train_iter", "iteration": i, "dt": i / 10, "data_wait": share, "clips_per_sec": speed, "loss": 2.5}
        for i, share, speed in laps
    ]
    lines = map(json.dumps, [*records, {"_type": "val_epoch", "top1_acc": 40.0}])
    (tmp_path / "json_stats.log").write_text("\n".join(lines) + "\n")
    row = waiting.speed(tmp_path)
    assert (row["iterations"], row["clips_per_s"], row["loss"], row["val_top1_percent"]) == (40, 30.0, 2.5, 40.0)
    assert row["data_wait_percent"] == pytest.approx(100 * (0.05 + 0.2 + 0.4) / 6.1)
    waiting.main([str(tmp_path), str(tmp_path / "none")])
    assert capsys.readouterr().out.splitlines()[-1] == "| none | 0 | – | – | – | – |"
