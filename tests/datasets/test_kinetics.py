import json

import pytest

from slowfast.datasets.build import build_dataset
from tests.datasets.data import small_cfg, write_list


def kinetics(folder, lines, split="train", **overrides):
    write_list(folder / f"{split}.csv", lines)
    return build_dataset("kinetics", small_cfg(folder, **overrides), split)


def test_names_of_data_sets_ignore_case_and_unknown_ones_are_listed(kinetics_dir):
    cfg = small_cfg(kinetics_dir)
    assert len(build_dataset("KINETICS", cfg, "val")) == 6
    with pytest.raises(ValueError, match="'kinetix' is not a data set: use one of charades, folder, hmdb51.*ssv2"):
        build_dataset("kinetix", cfg, "val")
    with pytest.raises(ValueError, match="use train, val or test"):
        build_dataset("kinetics", cfg, "training")


def test_a_list_gives_paths_and_labels(tmp_path):
    data = kinetics(tmp_path, ["a.mp4 0", "", "b/c.mp4  2"], DATA__PATH_PREFIX="/videos")
    assert [data.path_of(video) for video in range(data.num_videos)] == ["/videos/a.mp4", "/videos/b/c.mp4"]
    assert data.labels.tolist() == [0, 2]


def test_rows_are_skipped_and_another_separator_allows_blanks(tmp_path):
    lines = ["path,label", "my video.mp4,1", "other one.mp4, 2"]
    data = kinetics(tmp_path, lines, DATA__SKIP_ROWS=1, DATA__PATH_LABEL_SEPARATOR=",")
    assert [data.path_of(video) for video in range(2)] == ["my video.mp4", "other one.mp4"]
    assert data.labels.tolist() == [1, 2]


def test_without_a_prefix_paths_start_beside_the_list_when_only_there_is_a_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert kinetics(tmp_path, ["a.mp4 0"]).path_of(0) == str(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.mp4 0", "b.mp4"], "train.csv, line 2: expected 'path label' with ' '"),
        (["a.mp4 0", "", "b c.mp4 1"], "train.csv, line 3: expected .*configure"),
        (["a.mp4 0", "b.mp4 x"], "train.csv, line 2: label 'x' is not a number"),
        (["a.mp4 0", "b.mp4 3"], "line 2: label 3 is out of range: MODEL.NUM_CLASSES is 3.*at least 4"),
        (["a.mp4 -1", "b.mp4 1"], "line 1: label -1 is out of range"),
        ([], "train.csv lists no videos"),
        (["a.mp4 cat", "b.mp4 dog", "c.mp4 1"], "line 3: '1' is not the name of a class of"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        kinetics(tmp_path, lines)


def test_a_missing_list_says_where_it_was_looked_for(tmp_path):
    message = f"{tmp_path}/test.csv does not exist: DATA.PATH_TO_DATA_DIR is .*hold test.csv"
    with pytest.raises(ValueError, match=message):
        build_dataset("kinetics", small_cfg(tmp_path), "test")


def test_class_names_are_numbered_in_the_order_of_the_alphabet_from_the_train_list(tmp_path):
    write_list(tmp_path / "train.csv", ["a.mp4,dog", "b.mp4,cat", "c.mp4,riding a bike"])
    cfg = small_cfg(tmp_path, DATA__PATH_LABEL_SEPARATOR=",")
    assert build_dataset("kinetics", cfg, "train").labels.tolist() == [1, 0, 2]
    write_list(tmp_path / "val.csv", ["d.mp4,riding a bike", "e.mp4,dog"])
    assert build_dataset("kinetics", cfg, "val").labels.tolist() == [2, 1]
    write_list(tmp_path / "val.csv", ["d.mp4,dogg"])
    with pytest.raises(ValueError, match="val.csv, line 1: 'dogg' is not the name of a class: did you mean 'dog'"):
        build_dataset("kinetics", cfg, "val")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("kinetics_classids.json", json.dumps({'"cat"': 2, "dog": 0})),
        ("class_names.json", json.dumps(["dog", "emu", "cat"])),
        ("class_names.json", json.dumps({"0": "dog", "2": "cat"})),
        ("classes.txt", "dog\nemu\ncat\n"),
    ],
)
def test_a_file_of_class_names_beside_the_list_numbers_them(tmp_path, file, content):
    (tmp_path / file).write_text(content)
    assert kinetics(tmp_path, ["a.mp4 cat", "b.mp4 dog"], "val").labels.tolist() == [2, 0]


def test_labels_may_be_sets(tmp_path):
    data = kinetics(tmp_path, ["a.mp4 0,2", 'b.mp4 "1"'], DATA__MULTI_LABEL=True)
    assert data.labels.tolist() == [[1, 0, 1], [0, 1, 0]]
    with pytest.raises(ValueError, match="line 1: expected 'path 3,17'"):
        kinetics(tmp_path, ["a.mp4 x"], DATA__MULTI_LABEL=True)
    with pytest.raises(ValueError, match="line 1: label 7 is out of range"):
        kinetics(tmp_path, ["a.mp4 1,7"], DATA__MULTI_LABEL=True)
