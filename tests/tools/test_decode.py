"""The comparison with other readers: all read the same frames, and the floor decodes what is needed."""

from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks import corpus, decode, readers
from tests.datasets.test_known_videos import settled
from tests.videos import read_numbers, write_video

X264 = {"g": "12", "bf": "3", "x264-params": "threads=1:open-gop=0"}


def test_a_table_of_clips_and_one_of_loaders_are_printed(tmp_path, capsys):
    path = settled(write_video(tmp_path / "v.mp4", 30, options=X264))
    decode.main([str(path), "--clips", "1", "--batches", "1", "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert "opencv" in lines[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [row[0] for row in rows] == ["file", "---:", "v", "v"] * 2
    assert rows[0][2:6] == ["here_ms", "first/here", "known/here", "cv2/here"]
    assert rows[0][-1] == "floor/here"
    assert rows[4][2:4] == ["here", "here/cv2"]
    assert all(float(row[-1]) > 0 for row in (rows[2], rows[3], rows[6], rows[7]))


@pytest.mark.parametrize("name", readers.peers())
def test_every_reader_returns_the_frames_that_were_asked_for(name, tmp_path):
    path, wanted = str(write_video(tmp_path / "v.mp4", 30, options=X264)), np.array([3, 7, 8, 20])
    assert read_numbers(readers.peers()[name](path, wanted)) == wanted.tolist()


def test_the_packets_that_a_clip_needs_give_its_frames_and_are_not_all(tmp_path):
    path = str(write_video(tmp_path / "v.mp4", 30, options=X264))
    stream, wanted = readers.demuxed(path), [14, 17, 22]
    packets = readers.needed(stream, {stream.times[index] for index in wanted})
    assert len(packets) < 22 - 12 + 1  # from the key frame on, without some that nothing depends on
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = stream.extradata
    frames = [frame for data in [*packets, None] for frame in decoder.decode(data and av.Packet(data))]
    numbers = read_numbers([frame.to_ndarray(format="rgb24") for frame in frames])
    assert set(wanted) <= set(numbers)


def test_the_corpus_is_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "SECONDS", 1)
    monkeypatch.setattr(corpus, "KINDS", tuple(kind._replace(width=68, height=52) for kind in corpus.KINDS))
    paths = corpus.encode(str(tmp_path))
    assert [len(readers.demuxed(path).times) for path in paths] == [30] * 4
    assert sum(packet.is_key for packet in readers.demuxed(paths[0]).packets) == 1  # GOP 250
    assert sum(packet.is_key for packet in readers.demuxed(paths[2]).packets) == 2  # GOP 16
    before = [Path(path).read_bytes() for path in paths]
    monkeypatch.setattr(corpus, "moving_texture", lambda *size: [])
    assert [Path(path).read_bytes() for path in corpus.encode(str(tmp_path))] == before
