"""The doctor: its report on this machine, and on machines that lack something."""

import shutil
from collections import namedtuple

import pytest
import torch

from slowfast.commands import doctor
from slowfast.engine import findings, machine_checks, trials
from slowfast.engine.findings import OK, PROBLEM, WARNING
from tests.engine.tiny import BOTH_CYCLES, tiny_cfg, write_dataset

ALWAYS = ("versions", "devices", "decoder", "cores", "memory", "shared memory", "open files", "writing", "decoding")
Usage = namedtuple("Usage", "total used free")


def report(capsys, *words):
    status = doctor.main(list(words))
    text = capsys.readouterr().out
    assert text.splitlines()[-1].startswith(f"{text.count(chr(10) + 'problem ')} problem")
    return status, text


def subjects(text):
    return [line[9:24].strip() for line in text.splitlines()[:-1] if line[:8].strip()]


def config_file(folder, **changes):
    path = folder / "config.yaml"
    path.write_text(tiny_cfg(folder, folder / "out", **changes).dump())
    return str(path)


def test_the_report_of_this_machine_has_no_problem(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, text = report(capsys)
    assert status == 0, text
    assert subjects(text) == [*ALWAYS, "training"]
    assert not list(tmp_path.iterdir())


def test_a_config_is_built_and_its_clips_are_trained_on_and_no_path_is_printed(capsys, tmp_path):
    write_dataset(tmp_path)
    path = config_file(tmp_path, **BOTH_CYCLES, DATA_LOADER__NUM_WORKERS=1)
    status, text = report(capsys, "--cfg", path, "SOLVER.BASE_LR", "0.1")
    assert status == 0, text
    assert subjects(text) == ["versions", "config", *ALWAYS[1:7], "reading data", *ALWAYS[7:], "training", "its batch"]
    assert "2 clips of 8 frames x 32 px" in text or "2 clips of 4 frames x 45 px" in text
    assert str(tmp_path) not in text
    assert not (tmp_path / "out").exists()


def test_a_config_that_cannot_be_built_is_a_problem_and_the_other_checks_continue(capsys, tmp_path):
    status, text = report(capsys, "--cfg", config_file(tmp_path))
    assert status == 1
    assert "problem  config          DATA.PATH_TO_DATA_DIR/train.csv does not exist" in text
    assert subjects(text)[-1] == "training"
    assert str(tmp_path) not in text
    assert report(capsys, "--cfg", str(tmp_path / "missing.yaml"))[0] == 1


def test_a_video_that_cannot_be_read_is_a_warning(capsys, tmp_path):
    write_dataset(tmp_path)
    bad = [path for path in tmp_path.glob("*.mp4") if path.stem != "0"]
    for path in bad:
        path.write_bytes(b"")
    status, text = report(capsys, "--cfg", config_file(tmp_path))
    assert status == 0
    assert "warning  its batch" in text
    assert "slowfast check" in text


def test_pairs_without_a_config_are_refused(capsys):
    with pytest.raises(SystemExit) as end:
        doctor.main(["NUM_GPUS", "0"])
    assert end.value.code == 2


def test_a_missing_package_is_reported_before_anything_needs_it(capsys, monkeypatch):
    monkeypatch.setitem(findings.REQUIRED, "no_such_module", "no-such-package")
    status, text = report(capsys)
    assert status == 1
    assert subjects(text) == ["versions", "no-such-package"]
    assert "fix: pip install no-such-package" in text


def test_little_shared_memory_is_a_warning(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 << 20, 0, 64 << 20))
    found = machine_checks.shared_memory()
    assert (found.level, "--shm-size" in found.fix) == (WARNING, True)


def test_batches_that_do_not_fit_into_the_memory_are_a_problem():
    assert machine_checks.memory(needed=1).level != PROBLEM
    found = machine_checks.memory(needed=1 << 50)
    assert (found.level, "NUM_WORKERS" in found.fix) == (PROBLEM, True)


def test_limits_are_compared_with_the_workers_of_a_config(monkeypatch, tmp_path):
    monkeypatch.setattr("resource.getrlimit", lambda kind: (256, 256))
    assert machine_checks.open_files().level == WARNING
    assert machine_checks.open_files(workers=8).level == WARNING
    assert machine_checks.open_files(workers=64).level == PROBLEM
    monkeypatch.setattr("slowfast.utils.machine.CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000")
    assert machine_checks.cores(1, 1).level == OK
    found = machine_checks.cores(1, 4)
    assert (found.level, "NUM_WORKERS 1" in found.fix) == (WARNING, True)


def test_fewer_gpus_than_a_config_asks_for_are_a_problem(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine_checks.devices().level == machine_checks.devices(0).level == OK
    assert machine_checks.devices(8).level == WARNING
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (10 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "a GPU")
    assert machine_checks.devices(2).text.startswith("a GPU (80 GiB, 10 free), a GPU")
    assert (machine_checks.devices(8).level, machine_checks.devices(8).fix) == (PROBLEM, "set NUM_GPUS 2")


def test_a_codec_that_is_missing_is_reported(monkeypatch):
    monkeypatch.setitem(machine_checks.DECODERS, "VP9", (("no such codec",), "WebM files"))
    assert machine_checks.decoder().level == WARNING
    monkeypatch.setitem(machine_checks.DECODERS, "H.264", (("no such codec",), "most videos"))
    assert machine_checks.decoder().level == PROBLEM


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path, monkeypatch):
    def refuse(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = machine_checks.writing(tmp_path / "not" / "there", "OUTPUT_DIR")
    assert (found.level, found.text) == (PROBLEM, "OUTPUT_DIR: Read-only file system")


def test_wrong_frames_and_errors_of_a_trial_are_problems(monkeypatch, capsys):
    write = trials.write_mp4
    monkeypatch.setattr(trials, "write_mp4", lambda path, pictures, fps: write(path, [p // 2 for p in pictures], fps))
    assert trials.decode().level == PROBLEM
    monkeypatch.setattr(trials, "write_mp4", lambda path, pictures, fps: path.write_bytes(b"no video"))
    status, text = report(capsys)
    assert status == 1
    assert "problem  decoding" in text
