import io
import logging
import os
import sys

from slowfast.utils.logging import log_json_stats, quiet, setup_logging, wrapped
from tests.engine.tiny import json_stats


def test_json_lines_go_to_both_files_and_a_pipe(tmp_path, capsys):
    setup_logging(tmp_path)
    log_json_stats({"_type": "train_iter", "loss": 0.1 + 0.2}, tmp_path)
    log_json_stats({"_type": "val_epoch", "loss": float("nan")}, tmp_path)
    assert capsys.readouterr().out.count("json_stats: {") == 2
    assert (tmp_path / "stdout.log").read_text().count("json_stats: {") == 2
    assert json_stats(tmp_path, "train_iter") == [{"_type": "train_iter", "loss": 0.1 + 0.2}]
    assert json_stats(tmp_path, None)[1]["loss"] is None


def test_debug_messages_go_to_the_file_only(tmp_path, capsys):
    setup_logging(tmp_path)
    logging.getLogger("slowfast.x").debug("details")
    assert "details" not in capsys.readouterr().out
    assert "details" in (tmp_path / "stdout.log").read_text()


def test_setting_up_twice_logs_each_message_once(tmp_path, capsys):
    setup_logging(tmp_path)
    setup_logging(tmp_path)
    logging.getLogger("slowfast.x").info("hello")
    assert capsys.readouterr().out.count("hello") == 1


def test_messages_from_before_there_is_a_folder_are_in_its_file_once(tmp_path, capsys):
    setup_logging()
    logging.getLogger("slowfast.x").warning("of the config")
    setup_logging()
    for _ in range(2):
        setup_logging(tmp_path)
        logging.getLogger("slowfast.x").info("of the run")
    assert [line.split("] ")[-1] for line in (tmp_path / "stdout.log").read_text().splitlines()] == [
        *("of the config", "of the run", "of the run")
    ]
    assert capsys.readouterr().out.count("of the config") == 1


def test_a_check_logs_errors_only(tmp_path, capsys):
    setup_logging(tmp_path)
    logger = logging.getLogger("slowfast.x")
    with quiet():
        logger.warning("during the check")
    logger.warning("afterwards")
    assert "during the check" not in (tmp_path / "stdout.log").read_text()
    assert "afterwards" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_on_a_terminal_fit_100_columns_and_paths_stay_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    setup_logging(tmp_path)
    path = "/data/" + "long-folder/" * 12 + "video.mp4"
    message = "classes: " + ", ".join(f"{i} class of number {i}" for i in range(40)) + f" see {path} now"
    logging.getLogger("slowfast.x").info(message)
    lines = sys.stdout.getvalue().splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 100 or line.strip() == path for line in lines)
    assert " ".join(map(str.strip, lines)).endswith(message)
    assert (tmp_path / "stdout.log").read_text().count("\n") == 1  # files have one line for each message


def test_tables_keep_their_lines_on_a_terminal():
    table = "name      value\n  a       1\n" + "\n".join(f"  {'b' * 60} {'c' * i}" for i in (5, 60))
    lines = wrapped(table, Terminal()).split("\n")
    assert lines[:3] == table.split("\n")[:3]
    assert lines[3:] == ["  " + "b" * 60, " " * 6 + "c" * 60]


def test_text_that_is_not_for_a_terminal_stays_as_it_is():
    assert wrapped("word " * 99, io.StringIO()) == "word " * 99


def test_a_name_that_is_not_utf_8_can_be_logged(tmp_path, capsys):
    setup_logging(tmp_path)
    logging.getLogger("slowfast.x").info("file %s", os.fsdecode(b"caf\xe9.mp4"))
    assert "file caf\\udce9.mp4" in capsys.readouterr().out
    assert "file caf\\udce9.mp4" in (tmp_path / "stdout.log").read_text()
