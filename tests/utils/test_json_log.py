"""The records of a run survive a program that is killed: none is repeated, and none is lost to a torn line."""

import json

from slowfast.utils.json_log import JSON_LOG, append_record, read_json_log, rewind_json_log

RECORDS = [
    {"_type": "train_iter", "position": 0.0, "iteration": 1},
    {"_type": "train_iter", "position": 0.333333, "iteration": 2},
    {"_type": "train_epoch", "position": 1, "iteration": 3},
    {"_type": "val_epoch", "position": 1, "iteration": 3},
    {"split": "test_final", "top1_acc": "50.00"},
    {"_type": "train_iter", "position": 1.0, "iteration": 4},
    {"_type": "train_epoch", "position": 2, "iteration": 6},
]


def write(folder, torn=b""):
    for record in RECORDS:
        append_record(folder, json.dumps(record))
    with open(folder / JSON_LOG, "ab") as file:
        file.write(torn)


def test_a_resumed_training_removes_the_records_that_it_repeats(tmp_path):
    write(tmp_path)
    rewind_json_log(tmp_path, 1.0, evaluation_due=False)
    assert read_json_log(tmp_path) == RECORDS[:5]
    assert [path.name for path in tmp_path.iterdir()] == [JSON_LOG]


def test_an_evaluation_that_is_repeated_is_removed_too(tmp_path):
    write(tmp_path)
    rewind_json_log(tmp_path, 1.0, evaluation_due=True)
    assert read_json_log(tmp_path) == [*RECORDS[:3], RECORDS[4]]


def test_a_position_between_decimals_keeps_the_iteration_before_it(tmp_path):
    write(tmp_path)
    rewind_json_log(tmp_path, 2 / 3, evaluation_due=False)
    assert read_json_log(tmp_path) == [RECORDS[0], RECORDS[1], RECORDS[4]]
    rewind_json_log(tmp_path, 1 / 3, evaluation_due=False)
    assert read_json_log(tmp_path) == [RECORDS[0], RECORDS[4]]


def test_a_torn_line_does_not_swallow_the_next_record(tmp_path):
    write(tmp_path, torn=b'{"_type": "train_iter", "posi')
    append_record(tmp_path, json.dumps({"split": "next"}))
    assert read_json_log(tmp_path) == [*RECORDS, {"split": "next"}]


def test_resuming_removes_torn_lines(tmp_path):
    write(tmp_path, torn='{"name": "ä'.encode()[:-1])
    rewind_json_log(tmp_path, 2.0, evaluation_due=False)
    assert list(map(json.loads, (tmp_path / JSON_LOG).read_text().splitlines())) == RECORDS


def test_a_log_without_anything_to_remove_is_not_written_again(tmp_path):
    write(tmp_path)
    before = (tmp_path / JSON_LOG).stat()
    rewind_json_log(tmp_path, 2.0, evaluation_due=False)
    after = (tmp_path / JSON_LOG).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    rewind_json_log(tmp_path / "missing", 2.0, evaluation_due=False)
