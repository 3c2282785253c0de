"""Failures: one clear message, a status that is not 0, and nothing lost."""

import logging
import multiprocessing
import os
import signal
import subprocess
import weakref
from pathlib import Path

import pytest

from slowfast.commands.run import main as run_net
from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.engine.launch import run
from slowfast.errors import UserError
from slowfast.utils.distributed import barrier, get_rank
from slowfast.utils.launch import RankError, launch
from slowfast.utils.parser import fail_cleanly
from slowfast.utils.world import World
from tests.engine.tiny import SYNTHETIC, json_stats, tiny_cfg
from tests.videos import truncate, write_sound_only, write_video

ROOT = Path(__file__).parents[1]


def test_a_missing_second_config_is_reported_before_the_first_one_trains(tmp_path, capsys):
    first = tmp_path / "first.yaml"
    first.write_text(tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC).dump())
    with pytest.raises(SystemExit) as end:
        run_net(["--cfg", str(first), str(tmp_path / "second.yaml")])
    assert end.value.code == 2
    assert "second.yaml does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_the_test_list_is_reported_before_the_training(tmp_path):
    (tmp_path / "test.csv").write_text("")
    cfg = tiny_cfg(tmp_path, tmp_path / "out", TRAIN__DATASET="synthetic", TEST__ENABLE=True)
    with pytest.raises(ValueError, match="test.csv lists no videos"):
        run(cfg)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TEST__BATCH_SIZE": 3, "NUM_GPUS": 2}, "TEST.BATCH_SIZE: 3 is not divisible by NUM_GPUS 2"),
        ({"DATA__TEST_CROP_SIZE": 8}, "8 frames x 8 px"),
        ({"TRAIN__BATCH_SIZE": 13}, "only 12 training videos"),
    ],
)
def test_a_mistake_of_any_config_is_reported_before_the_first_one_trains(changes, message, tmp_path):
    first = tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC)
    second = tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC, **{"TEST__ENABLE": True} | changes)
    with pytest.raises(UserError, match=message):
        run(first, second)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_mistake_in_a_list_of_the_training_is_reported_before_it_starts(split, lists, tmp_path):
    (tmp_path / f"{split}.csv").write_text("")
    with pytest.raises(UserError, match=f"{split}.csv lists no videos"):
        run(tiny_cfg(tmp_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_written_is_reported_with_its_key(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ValueError, match="OUTPUT_DIR is '.*out', where nothing can be written"):
        run(tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC))


def test_an_output_folder_that_cannot_be_written_is_reported_before_headers_are_cached_in_it(lists, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="OUTPUT_DIR is '.*out', where nothing can be written .File exists.: use ano"):
        run(tiny_cfg(tmp_path, tmp_path / "out"))


def test_a_config_that_neither_trains_nor_tests_logs_a_warning(tmp_path, capsys):
    run(tiny_cfg(tmp_path, tmp_path / "out", **SYNTHETIC, TRAIN__ENABLE=False))
    assert "nothing to run: set TRAIN.ENABLE or TEST.ENABLE to True" in capsys.readouterr().out


def test_objects_of_a_failed_run_are_released_before_the_program_ends():
    class Loader:
        """Replaces a loader, whose workers complain if they outlive the program."""

    held = []

    def fail():
        loader = Loader()
        held.append(weakref.ref(loader))
        raise UserError("a mistake")

    with pytest.raises(SystemExit) as end, fail_cleanly():
        fail()
    assert end.value.code == 2
    assert held[0]() is None


def test_workers_continue_after_a_sigterm_so_that_the_state_can_be_saved(tmp_path):
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, DATA_LOADER__NUM_WORKERS=1, TRAIN__BATCH_SIZE=1)
    batches = iter(construct_loader(cfg, "val", build_dataset("synthetic", cfg, "val")))
    next(batches)
    subprocess.run(
        ["kill", "-TERM", str(multiprocessing.active_children()[0].pid)], check=True
    )  # from a process that is not its parent
    assert len(list(batches)) == 6


def test_a_class_without_videos_logs_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("slowfast"), "propagate", True)
    for name in ("jump", "run"):
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / "run" / "1.mp4").touch()
    dataset = build_dataset("folder", tiny_cfg(tmp_path, tmp_path), "train")
    assert dataset.labels.tolist() == [1]
    assert "train has no video files for jump" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_a_training_resumes_from_the_checkpoint_before_a_damaged_one(content, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    cfg = tiny_cfg(tmp_path, tmp_path, **SYNTHETIC, SOLVER__MAX_EPOCH=3, TRAIN__EVAL_PERIOD=10)
    run(cfg)
    (checkpoints / "checkpoint_epoch_00003.pyth").write_bytes(content)
    run(cfg)
    text = (tmp_path / "stdout.log").read_text()
    assert "checkpoint_epoch_00003.pyth is not a readable" in text
    assert "checkpoint_epoch_00002.pyth, the checkpoint before, is used" in text
    assert [line["iteration"] for line in json_stats(tmp_path)][-4:] == [
        6,
        7,
        8,
        9,
    ]  # the repeated ones replace those of the damaged file
    assert (checkpoints / "checkpoint_epoch_00003.pyth").stat().st_size > 1000


def end_by_signal():
    if get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    barrier()


def test_a_killed_process_is_reported_rather_than_the_errors_of_the_others():
    with pytest.raises(RankError, match="rank 1 was ended by SIGKILL"):
        launch(end_by_signal, (), World(2))


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """Files that are not videos, and the reason reported for each."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("the description of a video\n" * 99)
    truncate(write_video(folder / "cut.mp4"), 0.6)
    write_sound_only(folder / "sound.mp4")
    reasons = {"empty": "0 bytes", "text": "not a video file", "cut": "cut off", "sound": "audio only"}
    return {folder / f"{name}.mp4": reason for name, reason in (reasons | {"missing": "no such file"}).items()}


@pytest.fixture
def lists(tmp_path):
    """Lists over four videos, one of them of one frame, and a function that adds lines to one."""
    videos = [write_video(tmp_path / f"{i}.mp4", num_frames=1 if i == 0 else 12) for i in range(4)]
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text("".join(f"{path} {i % 3}\n" for i, path in enumerate(videos)))

    def add(split, paths):
        with open(tmp_path / f"{split}.csv", "a") as file:
            file.writelines(f"{path} 1\n" for path in paths)

    return add


def test_training_skips_every_kind_of_bad_file_and_lists_it_once_an_epoch(bad_files, lists, tmp_path):
    lists("train", bad_files)
    changes = {"SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "TRAIN__BATCH_SIZE": 3, "DATA__MAX_BAD_FRACTION": 1.0}
    run(tiny_cfg(tmp_path, tmp_path / "out", **changes))
    listed = (tmp_path / "out" / "bad_videos.csv").read_text()
    for path, reason in bad_files.items():
        (line, *_) = (line for line in listed.splitlines() if line.startswith(f"{path},"))
        assert reason in line


def test_too_many_bad_files_end_the_training_with_an_error_that_names_the_list(bad_files, lists, tmp_path):
    lists("train", bad_files)
    with pytest.raises(ValueError, match="more than DATA.MAX_BAD_FRACTION 0.5 allows: see .*bad_videos.csv"):
        run(tiny_cfg(tmp_path, tmp_path / "out", TRAIN__BATCH_SIZE=3, DATA__MAX_BAD_FRACTION=0.5))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_bad_file_is_left_out_of_an_evaluation_and_listed_unless_it_shall_end_it(split, bad_files, lists, tmp_path):
    lists(split, bad_files)
    changes = {"SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "TRAIN__EVAL_PERIOD": 1}
    changes |= {"TEST__ENABLE": split == "test", "TRAIN__ENABLE": split == "val", "TEST__RANDOM_WEIGHTS": True}
    with pytest.raises(UserError, match="TEST.SKIP_BAD_VIDEOS is False: .*empty.mp4: the file is empty "):
        run(tiny_cfg(tmp_path, tmp_path / "out", **changes, TEST__SKIP_BAD_VIDEOS=False))
    run(tiny_cfg(tmp_path, tmp_path / "again", **changes))
    listed = (tmp_path / "again" / "bad_videos.csv").read_text().splitlines()
    assert len(listed) == 1 + len(bad_files)


def test_names_with_blanks_and_unicode_letters_and_relative_folders_work(tmp_path, monkeypatch):
    folder = tmp_path / "my dätä 視頻"
    for split in ("train", "val"):
        for name in ("höch springen", "走"):
            (folder / split / name).mkdir(parents=True)
            for i in range(2):
                write_video(folder / split / name / f"vidéo {i}.mp4", num_frames=12)
    config = folder / "a config.yaml"
    changes = {"TRAIN__EVAL_PERIOD": 1, "SOLVER__MAX_EPOCH": 1, "SOLVER__STEPS": [0], "TRAIN__BATCH_SIZE": 2}
    config.write_text(tiny_cfg("my dätä 視頻", "the output", **changes).dump(allow_unicode=True), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run_net(["--cfg", str(config), "TEST.ENABLE", "True"])
    log = (tmp_path / "the output" / "stdout.log").read_text(encoding="utf-8")
    assert "tested 4 videos (0 failed)" in log
    assert "\r" not in log
