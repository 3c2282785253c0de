import logging

from slowfast.utils.logging import log_json_stats, quiet, setup_logging
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


def test_a_check_logs_errors_only(tmp_path, capsys):
    setup_logging(tmp_path)
    logger = logging.getLogger("slowfast.x")
    with quiet():
        logger.warning("during the check")
    logger.warning("afterwards")
    assert "during the check" not in (tmp_path / "stdout.log").read_text()
    assert "afterwards" in capsys.readouterr().out
