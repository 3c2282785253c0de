"""The comparison of slots with new shared memory."""

from benchmarks import transport
from tests.datasets.test_known_videos import settled
from tests.videos import write_video


def test_every_shape_has_a_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(transport, "FIRST", 1)
    path = settled(write_video(tmp_path / "v.mp4", 30))
    transport.main([str(path), "--shapes", "2x4x32", "4x2x16", "--batches", "3", "--repeats", "1"])
    rows = [line.strip("| ").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row[1].strip() for row in rows] == ["batch", "---:", "2x4x32", "4x2x16"]
    assert all(float(row[-1]) > 0 and float(row[-2]) > 0 for row in rows[2:])
