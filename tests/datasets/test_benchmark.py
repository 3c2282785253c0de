import runpy
from pathlib import Path

from tests.videos import write_video

TOOL = Path(__file__).parents[2] / "tools" / "benchmark.py"


def test_the_benchmark_prints_a_table_and_the_machine(tmp_path, capsys):
    path = write_video(tmp_path / "v.mp4", 30)
    runpy.run_path(str(TOOL))["main"](["decode", str(path), "--clips", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert "OpenCV" in lines[0]
    assert [line.split("|")[1].strip() for line in lines[-3:]] == ["v.mp4"] * 3


def test_the_benchmark_encodes_its_own_textures(tmp_path):
    tool = runpy.run_path(str(TOOL))
    pictures = list(tool["moving_texture"](34, 26, 3))
    assert [picture.shape for picture in pictures] == [(26, 34, 3)] * 3
    assert (pictures[0] != pictures[2]).any()
