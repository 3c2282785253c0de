import logging

from slowfast.utils.logging import log_json_stats, read_json_stats, setup_logging


def test_json_lines_go_to_both_files_and_a_pipe(tmp_path, capsys):
    setup_logging(tmp_path)
    log_json_stats({"_type": "train_iter", "loss": 0.1 + 0.2}, tmp_path)
    log_json_stats({"_type": "val_epoch", "loss": float("nan")}, tmp_path)
    assert capsys.readouterr().out.count("json_stats: {") == 2
    assert (tmp_path / "stdout.log").read_text().count("json_stats: {") == 2
    assert read_json_stats(tmp_path, "train_iter") == [{"_type": "train_iter", "loss": 0.1 + 0.2}]
    assert read_json_stats(tmp_path)[1]["loss"] is None


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
