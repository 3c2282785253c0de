"""The command that predicts the classes of videos."""

import csv
import json
import shutil
import sys

import cv2
import numpy as np
import pytest

from slowfast.commands.predict import main
from slowfast.datasets.video import open_video
from tests.inference.conftest import NAMES
from tests.videos import truncate, write_video


@pytest.fixture
def predict(run, capsys):
    """Run the command, and return its status and what it printed."""

    def call(*words):
        try:
            status = main([str(run), *map(str, words)])
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_table_has_the_first_classes_of_every_video(predict, model, videos):
    status, table, errors = predict(videos / "0.mp4", videos / "1.mp4", "--top", 2)
    assert (status, errors) == (0, "")
    expected = [
        f"{path if place == 0 else ' ' * len(str(path))}  {confidence:6.3f}  {name}"
        for path in (videos / "0.mp4", videos / "1.mp4")
        for place, (name, confidence) in enumerate(model.predict(path)[:2])
    ]
    assert table.splitlines() == expected


def test_a_bad_video_gets_a_line_and_the_others_are_done(predict, videos, tmp_path):
    bad = truncate(write_video(tmp_path / "bad.mp4"))
    for options in ((), ("--workers", 2)):
        status, table, _ = predict(videos / "0.mp4", bad, tmp_path / "no.mp4", videos / "1.mp4", *options)
        lines = table.splitlines()
        assert status == 1
        assert len(lines) == 8
        assert lines[3].startswith(f"{bad} ")
        assert "error: the MP4 index (moov) is missing" in lines[3]
        assert lines[4].startswith(f"{tmp_path / 'no.mp4'} ")
        assert lines[4].endswith("error: there is no such file")


def test_json_and_csv_have_every_video(predict, model, videos, tmp_path):
    folder = tmp_path / "clips"
    (folder / "deeper").mkdir(parents=True)
    shutil.copy(videos / "0.mp4", folder / "a, b.mp4")
    shutil.copy(videos / "1.mp4", folder / "deeper/é.mp4")
    bad = truncate(write_video(folder / "z.mp4"))
    status, printed, _ = predict(folder, "--json", "-", "--csv", tmp_path / "out.csv", "--top", 2)
    content = json.loads(printed)
    assert status == 1
    assert [video["path"] for video in content] == [f"{folder}/a, b.mp4", f"{folder}/deeper/é.mp4", str(bad)]
    for video in content[:2]:
        labels = [(label["name"], label["confidence"]) for label in video["labels"]]
        expected = model.predict(video["path"])[:2]
        assert labels == [(name, pytest.approx(confidence, abs=1e-5)) for name, confidence in expected]
    assert "cut off" in content[2]["error"]
    header, *rows = rows_of(tmp_path / "out.csv")
    assert header == ["path", "error", "name1", "confidence1", "name2", "confidence2"]
    assert [row[0] for row in rows] == [video["path"] for video in content]
    assert rows[0][2:] == [str(label[key]) for label in content[0]["labels"] for key in ("name", "confidence")]
    assert rows[2][1:] == [content[2]["error"]]


def test_windows_are_rows_of_all_classes(predict, model, tmp_path):
    path = write_video(tmp_path / "long.mp4", 50, fps=25)
    bad = truncate(write_video(tmp_path / "bad.mp4"))
    words = ("--window", 1, "--step", 0.5, "--views", 1, "--csv", tmp_path / "out.csv", "--json", tmp_path / "out.json")
    status, table, _ = predict(path, bad, *words)
    header, *rows = rows_of(tmp_path / "out.csv")
    windows = list(model.windows(path, 1, 0.5, views=1))
    assert status == 1
    assert header == ["path", "start_sec", "end_sec", "error", *NAMES]
    assert [row[:4] for row in rows[:3]] == [
        [str(path), start, end, ""] for start, end in (("0.000", "1.000"), ("0.480", "1.480"), ("1.000", "2.000"))
    ]
    for row, window in zip(rows, windows, strict=False):
        assert [float(value) for value in row[4:]] == pytest.approx(window.prediction.confidences.tolist(), abs=1e-5)
    assert rows[3][:3] == [str(bad), "", ""]
    assert "cut off" in rows[3][3]
    first, second = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [window["start_sec"] for window in first["windows"]] == [0, 0.48, 1]
    assert set(second) == {"path", "error"}
    assert len(table.splitlines()) == 4


def test_a_curve_is_drawn(predict, tmp_path):
    path = write_video(tmp_path / "long.mp4", 50, fps=25)
    for name in ("out.png", "out.svg"):
        assert predict(path, "--window", 0.5, "--views", 1, "--plot", tmp_path / name)[0] == 0
    assert cv2.imread(str(tmp_path / "out.png")).std() > 5
    text = (tmp_path / "out.svg").read_text()
    assert all(f"<!-- {name} -->" in text for name in ("red thing", "grüne Sache", "class 2", "long.mp4"))


def test_an_annotated_video_has_the_classes_of_each_window_on_its_own_frames(predict, tmp_path):
    path = write_video(tmp_path / "long.mp4", 40, size=(322, 240), fps=25, options={"crf": "5"})
    status, _, errors = predict(path, "--window", 0.4, "--step", 0.4, "--views", 1, "--annotate", tmp_path / "out.mp4")
    assert (status, errors) == (0, f"saved {tmp_path / 'out.mp4'}\n")
    with open_video(path) as before, open_video(tmp_path / "out.mp4") as after:
        assert (after.num_frames, after.fps, after.width, after.height) == (40, 25, 322, 240)
        original, drawn = before.read(range(40)).astype(int), after.read(range(40)).astype(int)
    below = np.abs(original - drawn)[:, 45:]
    assert below.mean() < 8
    assert (drawn[:, :39].mean((1, 2, 3)) < 0.8 * original[:, :39].mean((1, 2, 3))).all()


def test_gradcam_writes_a_video_or_a_picture(predict, model, tmp_path):
    path = write_video(tmp_path / "long.mp4", 40, size=(320, 240), fps=25)
    name = model.predict(path)[0].name
    assert predict(path, "--gradcam", name, tmp_path / "out.mp4")[0] == 0
    with open_video(tmp_path / "out.mp4") as video:
        assert (video.num_frames, video.fps, video.width, video.height) == (40, 25, 320, 240)
    assert predict(path, "--gradcam", NAMES.index(name), tmp_path / "out.png")[0] == 0
    sheet = cv2.imread(str(tmp_path / "out.png"))
    assert sheet.shape == (2 * 180, 8 * 240, 3)
    assert np.abs(sheet[:180].astype(int) - sheet[180:]).max() > 50


MISTAKES = {
    "--step is for predictions over time": ["--step", "1"],
    "--plot is for predictions over time": ["--plot", "a.png"],
    "--plot: 'a.txt' must end in .png or .svg or .pdf": ["--window", "1", "--plot", "a.txt"],
    "--annotate is for one video, and 2 were given": ["other.mp4", "--annotate", "a.mp4"],
    "--annotate: 'a.avi' must end in .mp4": ["--annotate", "a.avi"],
    "--annotate: the folder 'none' does not exist": ["--annotate", "none/a.mp4"],
    "--gradcam: 'a.gif' must end in .mp4 or .png": ["--gradcam", "1", "a.gif"],
    "'blue' is not a class of the model": ["--gradcam", "blue", "a.mp4"],
    "--json - and --csv - would print into each other": ["--json", "-", "--csv", "-"],
    "argument --top: 0 is below 1": ["--top", "0"],
    "--json is 'none/a.json', where nothing can be written": ["--json", "none/a.json"],
    "'TEST.BATCH_SIZE' has no value": ["--opts", "TEST.BATCH_SIZE"],
    "step: 0 s is not a time of at least a frame": ["--window", "1", "--step", "0"],
    "window: nan s is not a time of at least a frame": ["--window", "nan"],
    "TEST.NUM_ENSEMBLE_VIEWS: 0": ["--views", "0"],
    "window: 0 s is not a time of at least a frame": ["--window", "0"],
}


@pytest.mark.parametrize(("message", "words"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_ends_the_command_with_a_message(message, words, predict, videos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, errors = predict(videos / "0.mp4", *words)
    assert status == 2
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_a_curve_without_matplotlib_is_a_mistake(predict, videos, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, _, errors = predict(videos / "0.mp4", "--window", 1, "--plot", "a.png")
    assert status == 2
    assert "--plot needs matplotlib: pip install matplotlib (extra 'plot')" in errors
