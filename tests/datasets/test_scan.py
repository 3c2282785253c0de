import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast.commands import check
from slowfast.datasets.scan import scan, videos_of_config, videos_of_list
from tests.datasets.data import frame_rows, small_cfg, write_frame_list, write_frames
from tests.videos import truncate, write_video

ROOT = Path(__file__).parents[2]


@pytest.fixture
def videos(tmp_path):
    """Three good files and a bad one, with their list."""
    names = ["a.mp4", "b.mkv", "c d.mp4", "bad.mp4"]
    for name in names:
        write_video(tmp_path / name, 5)
    truncate(tmp_path / "bad.mp4")
    lists = "".join(f"{name},{number}\n" for number, name in enumerate(names))
    (tmp_path / "list.csv").write_text(lists)
    return tmp_path


def paths_of(videos):
    return [videos.path_of(place) for place in range(len(videos))]


TOOL = ROOT / "tools" / "check_videos.py"


@pytest.fixture
def main(videos, monkeypatch):
    monkeypatch.chdir(videos)
    return check.main


def test_a_list_gives_each_path_once_under_its_prefix(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("a.mp4 1\n\nb/c.mp4 2\na.mp4 3\nd.mp4\n")
    assert paths_of(videos_of_list(str(path), prefix="p")) == ["p/a.mp4", "p/b/c.mp4", "p/d.mp4"]


def test_paths_of_a_list_start_from_its_folder_as_in_training(videos, tmp_path, monkeypatch):
    (videos / "beside.csv").write_text("a.mp4 1\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert paths_of(videos_of_list(str(videos / "beside.csv"))) == [str(videos / "a.mp4")]


def test_a_folder_gives_its_video_files(videos):
    assert len(videos_of_list(str(videos))) == 4


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="has no video files"):
        videos_of_list(str(tmp_path))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_scan_gives_every_file_in_order_with_its_error(videos, workers):
    (videos / "more.csv").write_text("".join(f"{name},0\n" for name in ("bad.mp4", "a.mp4", "missing.mp4")))
    wanted = videos_of_list(str(videos / "more.csv"), ",", str(videos))
    found = list(scan(wanted, workers))
    assert [path for path, _ in found] == paths_of(wanted)
    errors = {os.path.basename(path): error for path, error in found if error}
    assert set(errors) == {"bad.mp4", "missing.mp4"}
    assert "moov" in errors["bad.mp4"]


def test_the_data_sets_of_a_config_give_their_files(videos):
    (videos / "train.csv").write_text("".join(f"{videos / name} 0\n" for name in ("a.mp4", "b.mkv")))
    (videos / "val.csv").write_text(f"{videos / 'a.mp4'} 0\n{videos / 'bad.mp4'} 1\n")
    wanted = videos_of_config(small_cfg(videos, TRAIN__DATASET="kinetics"), ["train", "val"])
    assert [os.path.basename(path) for path in paths_of(wanted)] == ["a.mp4", "b.mkv", "bad.mp4"]


@pytest.mark.parametrize("workers", [1, 2])
def test_lists_of_images_are_checked_too(tmp_path, workers):
    names = {video: write_frames(tmp_path, video, 3) for video in "abc"}
    write_frame_list(tmp_path / "train.csv", [*frame_rows("a", 0, names["a"]), *frame_rows("b", 1, names["b"])])
    write_frame_list(tmp_path / "val.csv", frame_rows("c", 0, names["c"]))
    (tmp_path / names["b"][2]).write_text("not an image")
    (tmp_path / names["c"][1]).unlink()
    keys = {"TRAIN__DATASET": "charades", "TEST__DATASET": "charades", "DATA__PATH_PREFIX": str(tmp_path)}
    cfg = small_cfg(tmp_path, DATA__MULTI_LABEL=True, **keys)
    found = list(scan(videos_of_config(cfg, ["train", "val", "test"]), workers))
    assert [path.removeprefix(f"{tmp_path}/") for path, _ in found] == ["a", "b", "c"]
    assert [error.removeprefix(f"image {tmp_path}/") for _, error in found] == [
        "",
        f"{names['b'][2]} cannot be read",
        f"{names['c'][1]} does not exist",
    ]


def test_the_tool_reports_bad_files_and_fails(main, videos, capsys):
    assert main(["list.csv", "--separator", ",", "--prefix", str(videos), "--workers", "1"]) == 1
    assert "3 of 4 videos are fine" in capsys.readouterr().out
    rows = (videos / "bad_videos.csv").read_text().splitlines()
    assert rows[0] == "path,error"
    assert rows[1].startswith(f"{videos / 'bad.mp4'},")


def test_the_tool_succeeds_with_good_files(main, videos):
    (videos / "good.csv").write_text('a.mp4 1\n"c d.mp4" 2\n')
    assert main(["good.csv", "--workers", "1", "--output", "out.csv"]) == 0
    assert (videos / "out.csv").read_text().splitlines() == ["path,error"]


def test_the_tool_names_a_missing_list(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(TOOL), "nothing.csv"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert "nothing.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_with_a_newline_or_bytes_that_are_not_utf8_is_one_line_of_the_report(main, videos, capsys):
    names = ["two\nlines.mp4", "a\ttab.mp4", os.fsdecode(b"caf\xe9.mp4")]
    (videos / "odd").mkdir()
    for name in names:
        (videos / "odd" / name).touch()
    assert main(["odd", "--workers", "1"]) == 1
    assert "0 of 3 videos are fine" in capsys.readouterr().out
    rows = (videos / "bad_videos.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["path", r"odd/a\ttab.mp4", r"odd/caf\xe9.mp4", r"odd/two\nlines.mp4"]


def test_header_lines_are_skipped_as_in_training(main, videos, capsys):
    (videos / "good.csv").write_text("path label\na.mp4 1\n")
    with pytest.raises(SystemExit) as end:
        main(["good.csv", "--workers", "1"])
    assert end.value.code == 2
    assert re.search("good.csv, line 1: .* is a header: set DATA.SKIP_ROWS to 1", capsys.readouterr().err)
    assert main(["good.csv", "--workers", "1", "--skip-rows", "1"]) == 0
