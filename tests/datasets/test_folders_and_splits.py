import logging
import os
import unicodedata

import pytest

from slowfast.datasets.build import build_dataset
from tests.datasets.data import small_cfg, write_list
from tests.videos import write_video


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def paths(data, root):
    return [data.path_of(video).removeprefix(f"{root}/") for video in range(len(data))]


@pytest.mark.parametrize("name", ["folder", "kinetics"])
def test_a_folder_for_each_class_needs_no_list(tmp_path, name):
    touch(tmp_path, "train/dog/1.mp4", "train/cat/2.avi", "train/cat/in/3.WEBM", "train/cat/notes.txt", "train/x.mp4")
    touch(tmp_path, "val/dog/4.mkv", "train/.hidden/5.mp4")
    data = build_dataset(name, small_cfg(tmp_path), "train")
    assert paths(data, tmp_path) == ["train/cat/2.avi", "train/cat/in/3.WEBM", "train/dog/1.mp4"]
    assert data.labels.tolist() == [0, 0, 1]
    assert build_dataset(name, small_cfg(tmp_path), "val").labels.tolist() == [1]


@pytest.mark.parametrize("name", ["folder", "kinetics"])
def test_testing_folders_takes_val_where_there_is_no_test(tmp_path, name):
    touch(tmp_path, "train/a/1.mp4", "val/a/2.mp4")
    assert paths(build_dataset(name, small_cfg(tmp_path), "test"), tmp_path) == ["val/a/2.mp4"]


def test_folders_named_by_numbers_are_classes_in_the_order_of_the_numbers(tmp_path, caplog):
    touch(tmp_path, *(f"train/{name}/1.mp4" for name in ("10", "9", "007", "dog", "360", "cat")))
    with caplog.at_level(logging.INFO):
        data = build_dataset("folder", small_cfg(tmp_path, MODEL__NUM_CLASSES=6), "train")
    assert data.class_names == ["007", "9", "10", "360", "cat", "dog"]
    assert paths(data, tmp_path)[data.labels.tolist().index(3)] == "train/360/1.mp4"
    assert "numbers by value, then names alphabetically: 0 007, 1 9, 2 10, 3 360, 4 cat, 5 dog" in caplog.text


def test_the_classes_of_a_training_and_its_validation_are_logged_once(tmp_path, caplog):
    touch(tmp_path, "train/dog/1.mp4", "train/cat/2.mp4", "val/dog/3.mp4")
    with caplog.at_level(logging.INFO):
        for split in ("train", "val"):
            build_dataset("folder", small_cfg(tmp_path), split)
    assert caplog.text.count(": 0 cat, 1 dog") == 1


def test_classes_numbered_without_a_train_folder_give_a_warning(tmp_path, caplog):
    touch(tmp_path, "test/b/1.mp4", "test/a/1.mp4")
    assert build_dataset("folder", small_cfg(tmp_path), "test").class_names == ["a", "b"]
    assert "train does not exist: make sure that" in caplog.text


def test_hidden_files_and_folders_are_never_videos(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/a/._1.mp4", "train/a/.ipynb_checkpoints/1.mp4", "train/.git/2.mp4")
    assert paths(build_dataset("folder", small_cfg(tmp_path), "train"), tmp_path) == ["train/a/1.mp4"]


def test_every_folder_is_listed_once_even_if_links_lead_to_it(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/a/deep/2.mp4", "train/b/3.mp4", "elsewhere/4.mp4")
    (tmp_path / "train/a/again").symlink_to(".")
    (tmp_path / "train/a/up").symlink_to("..")
    (tmp_path / "train/a/a_link").symlink_to("deep")
    (tmp_path / "train/b/linked").symlink_to(tmp_path / "elsewhere")
    found = paths(build_dataset("folder", small_cfg(tmp_path), "train"), tmp_path)
    assert found == ["train/a/1.mp4", "train/a/deep/2.mp4", "train/b/3.mp4", "train/b/linked/4.mp4"]


def test_names_of_folders_are_the_same_in_any_unicode_form(tmp_path):
    touch(tmp_path, "train/bar/1.mp4", f"train/{unicodedata.normalize('NFC', 'café')}/1.mp4")
    touch(tmp_path, f"val/{unicodedata.normalize('NFD', 'café')}/1.mp4")
    assert build_dataset("folder", small_cfg(tmp_path), "val").labels.tolist() == [1]


def test_names_that_are_not_utf8_are_read_and_reported(tmp_path):
    touch(tmp_path, os.fsdecode(b"train/caf\xe9/1\t\xff.mp4"), "train/bar/2.mp4")
    write_video(tmp_path / "train/bar/2.mp4", 9)
    data = build_dataset("folder", small_cfg(tmp_path), "train")
    assert os.fsencode(data.path_of(1)).endswith(b"caf\xe9/1\t\xff.mp4")
    path, _, error = data[1]["bad"].splitlines()[0].partition("\t")
    assert path == rf"{tmp_path}/train/caf\xe9/1\t\xff.mp4"
    assert "empty" in error


@pytest.mark.parametrize("beside", ["train.csv", "val.csv"])
def test_a_missing_test_list_beside_other_lists_is_an_error_even_if_there_are_folders(tmp_path, beside):
    touch(tmp_path, beside, "val/1.mp4")
    with pytest.raises(ValueError, match="test.csv does not exist"):
        build_dataset("kinetics", small_cfg(tmp_path), "test")


def test_folders_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="train does not exist: DATA.PATH_TO_DATA_DIR"):
        build_dataset("folder", small_cfg(tmp_path), "train")
    touch(tmp_path, "train/a/notes.txt", "val/b/1.mp4")
    with pytest.raises(ValueError, match="has no video files in folders of classes"):
        build_dataset("folder", small_cfg(tmp_path), "train")
    with pytest.raises(ValueError, match="val/b: 'b' is not the name of a class"):
        build_dataset("folder", small_cfg(tmp_path), "val")


def test_more_classes_than_the_model_has_are_refused(tmp_path):
    touch(tmp_path, *(f"train/{name}/1.mp4" for name in "abcd"))
    with pytest.raises(ValueError, match="train/d: label 3 is out of range: MODEL.NUM_CLASSES is 3"):
        build_dataset("folder", small_cfg(tmp_path), "train")


def test_the_split_files_of_ucf101_are_read(tmp_path):
    write_list(tmp_path / "classInd.txt", ["1 Archery", "2 Basketball", "3 Bowling"])
    write_list(tmp_path / "trainlist01.txt", ["Bowling/v_1.avi 3", "Archery/v_2.avi 1"])
    write_list(tmp_path / "testlist01.txt", ["Basketball/v_3.avi"])
    write_list(tmp_path / "testlist02.txt", ["Bowling/v_4.avi"])
    cfg = small_cfg(tmp_path, DATA__PATH_PREFIX="/ucf")
    train = build_dataset("ucf101", cfg, "train")
    assert paths(train, "/ucf") == ["Bowling/v_1.avi", "Archery/v_2.avi"]
    assert train.labels.tolist() == [2, 0]
    assert train.class_names == ["Archery", "Basketball", "Bowling"]
    assert build_dataset("ucf101", cfg, "val").labels.tolist() == [1]
    assert paths(build_dataset("ucf101_2", cfg, "test"), "/ucf") == ["Bowling/v_4.avi"]
    with pytest.raises(ValueError, match="trainlist03.txt does not exist"):
        build_dataset("ucf101_3", cfg, "train")


def test_wrong_lines_of_ucf101_are_named(tmp_path):
    write_list(tmp_path / "trainlist01.txt", ["Bowling/v_1.avi 1", "Bowing/v_1.avi 1"])
    write_list(tmp_path / "classInd.txt", ["Bowling"])
    with pytest.raises(ValueError, match="classInd.txt, line 1: expected '1 ApplyEyeMakeup'"):
        build_dataset("ucf101", small_cfg(tmp_path), "train")
    write_list(tmp_path / "classInd.txt", ["1 Bowling"])
    with pytest.raises(ValueError, match="trainlist01.txt, line 2: 'Bowing' is not .* did you mean 'Bowling'"):
        build_dataset("ucf101", small_cfg(tmp_path), "train")


def test_the_split_files_of_hmdb51_are_read(tmp_path):
    write_list(tmp_path / "wave_test_split1.txt", ["w 1.avi 1", "w2.avi 2", "w3.avi 0"])
    write_list(tmp_path / "brush_hair_test_split1.txt", ["b1.avi 1 "])
    write_list(tmp_path / "wave_test_split2.txt", ["w3.avi 1"])
    cfg = small_cfg(tmp_path, DATA__PATH_PREFIX="/hmdb")
    train = build_dataset("hmdb51", cfg, "train")
    assert paths(train, "/hmdb") == ["brush_hair/b1.avi", "wave/w 1.avi"]
    assert train.class_names == ["brush_hair", "wave"]
    assert train.labels.tolist() == [0, 1]
    assert paths(build_dataset("hmdb51", cfg, "test"), "/hmdb") == ["wave/w2.avi"]
    assert paths(build_dataset("hmdb51_2", cfg, "train"), "/hmdb") == ["wave/w3.avi"]


def test_wrong_files_of_hmdb51_are_named(tmp_path):
    with pytest.raises(ValueError, match="no <class>_test_split1.txt in .*DATA.PATH_TO_DATA_DIR"):
        build_dataset("hmdb51", small_cfg(tmp_path), "train")
    write_list(tmp_path / "wave_test_split1.txt", ["w1.avi 1"])
    with pytest.raises(ValueError, match="has the flag 2"):
        build_dataset("hmdb51", small_cfg(tmp_path), "val")
    write_list(tmp_path / "wave_test_split1.txt", ["w1.avi yes"])
    with pytest.raises(ValueError, match="line 1: expected 'video.avi flag'"):
        build_dataset("hmdb51", small_cfg(tmp_path), "train")


def test_folders_of_archives_and_systems_are_not_classes(tmp_path):
    for name in ("a/1.mp4", "b/1.mp4", "__MACOSX/a/._1.mp4", "__MACOSX/2.mp4", "@eaDir/1.mp4", "b/@eaDir/2.mp4"):
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name).touch()
    data = build_dataset("folder", small_cfg(tmp_path), "train")
    assert data.class_names == ["a", "b"]
    assert paths(data, tmp_path) == ["train/a/1.mp4", "train/b/1.mp4"]
