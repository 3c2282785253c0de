import json
import unicodedata

import pytest

from slowfast.datasets.build import build_dataset
from slowfast.errors import UserError
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


def test_without_a_prefix_paths_start_beside_the_list_if_files_exist_only_there(tmp_path):
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


@pytest.mark.parametrize("name", ["kinetics", "folder", "ucf101", "hmdb51", "ssv2", "charades"])
def test_a_wrong_folder_is_an_error_that_lists_all_layouts(tmp_path, name):
    (tmp_path / "videos").mkdir()
    with pytest.raises(UserError) as raised:
        build_dataset(name, small_cfg(tmp_path), "test")
    message = str(raised.value)
    assert f"DATA.PATH_TO_DATA_DIR is {str(tmp_path)!r}, which has videos. Set it" in message
    layouts = ["test.csv with lines 'path label'", "train/<class>/*.mp4", "classInd.txt", "<class>_test_split1.txt"]
    for layout in [*layouts, "something-something-v2-labels.json", "Charades_v1_train.csv"]:
        assert layout in message


@pytest.mark.parametrize("ending", ["train", "val/"])
def test_the_folder_of_a_split_is_an_error_that_names_the_folder_above(tmp_path, ending):
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    with pytest.raises(UserError, match=f"Set it to the folder above: '{tmp_path}'"):
        build_dataset("kinetics", small_cfg(f"{tmp_path}/{ending}"), "train")


def test_a_missing_list_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/test.csv does not exist: DATA.PATH_TO_DATA_DIR is .*no files"):
        build_dataset("kinetics", small_cfg(tmp_path), "test")
    with pytest.raises(UserError, match="/nowhere', which is not a folder"):
        build_dataset("kinetics", small_cfg(tmp_path / "nowhere"), "test")


def test_class_names_are_numbered_in_alphabetical_order_from_the_train_list(tmp_path):
    write_list(tmp_path / "train.csv", ["a.mp4,dog", "b.mp4,cat", "c.mp4,riding a bike"])
    cfg = small_cfg(tmp_path, DATA__PATH_LABEL_SEPARATOR=",")
    data = build_dataset("kinetics", cfg, "train")
    assert data.labels.tolist() == [1, 0, 2]
    assert data.class_names == ["cat", "dog", "riding a bike"]
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
    with pytest.raises(ValueError, match="line 1: expected labels like 3,17 .DATA.MULTI_LABEL., not 'x'"):
        kinetics(tmp_path, ["a.mp4 x"], DATA__MULTI_LABEL=True)
    with pytest.raises(ValueError, match="line 1: label 7 is out of range"):
        kinetics(tmp_path, ["a.mp4 1,7"], DATA__MULTI_LABEL=True)


@pytest.mark.parametrize(
    ("lines", "separator", "expected"),
    [
        (["a.mp4 0,2", 'b.mp4 ""', 'c.mp4 "1"'], " ", [[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
        (["a.mp4,0,2", "b.mp4,", 'c.mp4,""'], ",", [[1, 0, 1], [0, 0, 0], [0, 0, 0]]),
        (['"a b.mp4" 0.0,2', "c.mp4 1"], " ", [[1, 0, 1], [0, 1, 0]]),
    ],
)
def test_a_set_of_labels_may_be_empty(tmp_path, lines, separator, expected):
    keys = {"DATA__MULTI_LABEL": True, "DATA__PATH_LABEL_SEPARATOR": separator}
    assert kinetics(tmp_path, lines, **keys).labels.tolist() == expected


def test_a_list_of_sets_for_testing_may_have_paths_alone(tmp_path, video_dir):
    paths = [f"{video_dir}/v{number}.mp4" for number in range(2)]
    data = kinetics(tmp_path, paths, split="test", DATA__MULTI_LABEL=True)
    assert data.labels.tolist() == [-1, -1]
    assert int(data[1]["label"]) == -1
    with pytest.raises(UserError, match="line 2: 'b.mp4' has no label: give every line one, or none"):
        kinetics(tmp_path, ["a.mp4 0,1", "b.mp4", 'c.mp4 ""'], split="test", DATA__MULTI_LABEL=True)
    for split in ("train", "val"):
        with pytest.raises(UserError, match='line 1: .* write path ""; only a list for testing may have paths alone'):
            kinetics(tmp_path, paths, split=split, DATA__MULTI_LABEL=True)


def test_a_path_alone_is_not_an_empty_set(tmp_path):
    with pytest.raises(UserError, match='line 2: .* for a video without labels, write path ""'):
        kinetics(tmp_path, ["a.mp4 1", "b.mp4"], DATA__MULTI_LABEL=True)


def test_numbers_with_a_fraction_of_zero_are_labels(tmp_path):
    lines = [f"{number}.mp4 {number}.0" for number in range(11)]
    data = kinetics(tmp_path, lines, MODEL__NUM_CLASSES=11)
    assert data.labels.tolist() == list(range(11))  # not in alphabetical order: 0, 1, 10, 2, ...
    assert data.class_names is None


@pytest.mark.parametrize("label", ["1", "0,1"])
def test_numbers_have_the_names_of_the_file_of_class_names(tmp_path, label):
    (tmp_path / "classes.txt").write_text("bar\nfoo\nbaz\n")
    changes = {"DATA__MULTI_LABEL": "," in label, "MODEL__NUM_CLASSES": 2}
    assert kinetics(tmp_path, [f"a.mp4 {label}"], **changes).class_names == ["bar", "foo"]
    (tmp_path / "other.json").write_text('{"one": 0, "two": 1}')
    changes["TENSORBOARD__CLASS_NAMES_PATH"] = str(tmp_path / "other.json")
    assert kinetics(tmp_path, [f"a.mp4 {label}"], **changes).class_names == ["one", "two"]


def test_a_fraction_is_not_a_label(tmp_path):
    with pytest.raises(UserError, match="line 2: label '1.5' is not a whole number"):
        kinetics(tmp_path, ["a.mp4 1", "b.mp4 1.5"])


def test_more_classes_in_the_model_than_in_the_training_list_give_a_warning_with_both_numbers(tmp_path, caplog):
    kinetics(tmp_path, ["a.mp4 0", "b.mp4 2"], MODEL__NUM_CLASSES=12)
    assert "MODEL.NUM_CLASSES is 12, and the training videos have 2 classes" in caplog.text
    caplog.clear()
    kinetics(tmp_path, ["a.mp4 0"], "val", MODEL__NUM_CLASSES=12)
    kinetics(tmp_path, ["a.mp4 0", "b.mp4 2", "c.mp4 1"])
    kinetics(tmp_path, ["a.mp4 0,1", "b.mp4 2"], DATA__MULTI_LABEL=True)
    assert not caplog.text


def test_names_of_classes_are_the_same_in_any_unicode_form(tmp_path):
    composed, decomposed = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
    write_list(tmp_path / "train.csv", [f"a.mp4 {composed}", "b.mp4 bar"])
    data = kinetics(tmp_path, [f"c.mp4 {decomposed}", "d.mp4 bar"], "val")
    assert data.labels.tolist() == [1, 0]
    assert data.class_names == ["bar", composed]


@pytest.mark.parametrize("content", ['{"a": }', '{"a": "b", "c": 1}', "3", '{"a": 1.5}', "[1, 2]"])
def test_a_file_of_class_names_that_cannot_be_understood_is_named(tmp_path, content):
    (tmp_path / "classes.json").write_text(content)
    with pytest.raises(UserError, match="the file of class names .*classes.json"):
        kinetics(tmp_path, ["a.mp4 a"])


def test_a_list_for_testing_may_have_paths_alone(tmp_path, video_dir):
    paths = [f"{video_dir}/v{number}.mp4" for number in range(3)]
    data = kinetics(tmp_path, paths, split="test")
    assert data.labels.tolist() == [-1, -1, -1]
    assert int(data[1]["label"]) == -1
    assert data.path_of(2) == paths[2]
    with pytest.raises(UserError, match="val.csv, line 1: .*only a list for testing may have paths alone"):
        kinetics(tmp_path, paths, split="val")


def test_a_header_over_paths_alone_is_not_a_video(tmp_path):
    with pytest.raises(UserError, match=r"line 1: \('path', ''\) is a header: set DATA.SKIP_ROWS to 1"):
        kinetics(tmp_path, ["path", "a.mp4", "b.mp4"], split="test")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.mp4 1", "b.mp4 2", "c.mp4"], "line 3: 'c.mp4' has no label"),
        (["a.mp4", "b.mp4 2", "c.mp4"], "line 2: 'b.mp4' has a label, and most lines have none"),
    ],
)
def test_labels_in_some_lines_only_are_an_error(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        kinetics(tmp_path, lines, split="test")
