import pickle

import numpy as np
import pytest

from slowfast.datasets.lists import frame_list
from slowfast.datasets.lists.frame_list import FrameList
from tests.datasets.data import HEADER, frame_rows, write_frame_list, write_list


def names(video, count):
    return [f"{video}/{video}_{frame + 1:06d}.jpg" for frame in range(count)]


def a_list(tmp_path):
    rows = frame_rows("A", 0, names("A", 5), ["", "3", "3,17", "3,17", "17"])
    rows += frame_rows("BB", 1, names("BB", 3)) + frame_rows("C", 2, names("C", 4), ["1"] * 4)
    return write_frame_list(tmp_path / "train.csv", rows)


def classes(vector):
    return np.flatnonzero(vector).tolist()


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 25])
def test_videos_frames_and_labels_are_found_with_any_block_size(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(frame_list, "BLOCK_BYTES", block_bytes)
    frames = FrameList(str(a_list(tmp_path)), 20)
    assert list(frames.names) == ["A", "BB", "C"]
    assert frames.num_frames.tolist() == [5, 3, 4]
    assert frames.image_paths(0, [4, 0, 0]) == ["A/A_000005.jpg", "A/A_000001.jpg", "A/A_000001.jpg"]
    assert frames.image_paths(2, [1]) == ["C/C_000002.jpg"]
    assert [classes(frames.labels.of(video)) for video in range(3)] == [[3, 17], [], [1]]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0, 0, []), (0, 1, [3]), (1, 1, [3]), (1, 2, [3, 17]), (4, 4, [17]), (0, 4, [3, 17])],
)
def test_the_labels_of_a_span_are_those_of_its_frames(tmp_path, first, last, expected):
    frames = FrameList(str(a_list(tmp_path)), 20)
    assert classes(frames.labels.of(0, first, last)) == expected


@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 25])
def test_rows_of_a_video_need_not_be_adjacent(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(frame_list, "BLOCK_BYTES", block_bytes)
    a = frame_rows("A", 0, names("A", 4), ["0", "0", "5", "6"])
    b = frame_rows("B", 1, names("B", 3), ["1", "", "2"])
    mixed = [b[0], a[0], a[1], b[1], a[2], b[2], a[3]]
    frames = FrameList(str(write_frame_list(tmp_path / "train.csv", mixed)), 20)
    assert list(frames.names) == ["B", "A"]
    assert frames.image_paths(1, range(4)) == names("A", 4)
    assert frames.image_paths(0, range(3)) == names("B", 3)
    assert classes(frames.labels.of(1, 1, 2)) == [0, 5]
    assert classes(frames.labels.of(0, 0, 1)) == [1]
    assert classes(frames.labels.of(0, 2, 2)) == [2]


def test_windows_line_ends_blank_lines_and_a_missing_last_newline_are_fine(tmp_path):
    rows = frame_rows("A", 0, names("A", 2), ["1", "2"])
    path = tmp_path / "train.csv"
    path.write_bytes("\r\n".join([HEADER, rows[0], "", rows[1]]).encode())
    frames = FrameList(str(path), 3)
    assert frames.image_paths(0, [0, 1]) == names("A", 2)
    assert classes(frames.labels.of(0, 1, 1)) == [2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('A 0 1 a b.jpg ""', "line 3: expected the 5 columns"),
        ("A 0 1 a.jpg", "line 3: expected the 5 columns"),
        ('A 0 1 a.jpg "x"', "line 3: labels are numbers"),
        ('A 0 1 a.jpg "1,20"', "line 3: label 20 is out of range.*MODEL.NUM_CLASSES is 20.*at least 21"),
        ('A 0 1 a.jpg "-1"', "line 3: label -1 is out of range"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, row, message):
    path = write_frame_list(tmp_path / "train.csv", ['A 0 0 a.jpg ""', row, 'A 0 2 a.jpg ""'])
    with pytest.raises(ValueError, match=message):
        FrameList(str(path), 20)


@pytest.mark.parametrize(("lines", "message"), [([], "line 1"), (["a b c"], "line 1"), ([HEADER], "no frames")])
def test_a_list_without_header_or_rows_is_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        FrameList(str(write_list(tmp_path / "train.csv", lines)), 20)


def test_a_list_can_be_sent_to_another_process(tmp_path):
    frames = pickle.loads(pickle.dumps(FrameList(str(a_list(tmp_path)), 20)))
    assert frames.image_paths(1, [2]) == ["BB/BB_000003.jpg"]


def test_a_list_keeps_a_few_numbers_per_video_instead_of_its_text(tmp_path):
    rows = [row for video in range(50) for row in frame_rows(f"v{video}", video, names(f"v{video}", 200))]
    path = write_frame_list(tmp_path / "train.csv", rows)
    assert len(pickle.dumps(FrameList(str(path), 20))) < path.stat().st_size / 20
