"""One training on any number of processes."""

from pathlib import Path

import pytest
import torch

from slowfast.engine.launch import run
from slowfast.utils.training_checkpoint import last_checkpoint, read_checkpoint
from tests.engine.tiny import BOTH_CYCLES, CLASSES, json_stats, losses, tiny_cfg

CHANGES = BOTH_CYCLES | {
    "BN__USE_PRECISE_STATS": True,
    "BN__NUM_BATCHES_PRECISE": 2,
    "MODEL__DROPOUT_RATE": 0.0,
    "TRAIN__BATCH_SIZE": 4,
    "MULTIGRID__LONG_CYCLE_FACTORS": [[0.5, 1], [1, 1]],
    "MULTIGRID__BN_BASE_SIZE": 4,
    "TRAIN__EVAL_PERIOD": 5,
    "SOLVER__BASE_LR": 1e-4,  # a higher rate amplifies differences of rounding
    "TEST__ENABLE": True,
}


def statistics(output: Path) -> list[torch.Tensor]:
    """The running statistics in the last checkpoint of a training."""
    state = read_checkpoint(last_checkpoint(output))["model_state"]
    return [tensor for name, tensor in state.items() if "running_" in name]


def test_two_processes_train_evaluate_and_test_as_one_with_the_same_global_batch(videos, tmp_path):
    for processes in (0, 2):
        run(tiny_cfg(videos, tmp_path / str(processes), **CHANGES, NUM_GPUS=processes))
    one, two = tmp_path / "0", tmp_path / "2"
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    for one_tensor, two_tensor in zip(*map(statistics, (one, two)), strict=True):
        torch.testing.assert_close(two_tensor, one_tensor, rtol=1e-3, atol=1e-4)
    for kind in ("val_epoch", "test_epoch"):
        accuracies = [[record["top1_acc"] for record in json_stats(folder, kind)] for folder in (one, two)]
        assert accuracies[0] == pytest.approx(accuracies[1])


def test_another_number_of_processes_continues_with_the_same_losses_and_logs_the_change(videos, tmp_path):
    run(tiny_cfg(videos, tmp_path, **CHANGES, NUM_GPUS=2))
    complete = losses(tmp_path)
    last = max((tmp_path / "checkpoints").glob("checkpoint_epoch_*.pyth"))
    last.unlink()
    run(tiny_cfg(videos, tmp_path, **CHANGES))
    assert losses(tmp_path) == pytest.approx(complete, rel=1e-4)
    text = (tmp_path / "stdout.log").read_text()
    assert "2 process(es), 10 iterations, 56 clips; now 12 videos, 1 process(es), 10" in text
    assert "nothing is scaled" in text


def test_processes_with_uneven_shares_of_the_videos_test_sets_of_labels_as_one(videos, tmp_path):
    lines = [f'{videos}/{i}.mp4 "{i % CLASSES},{(i + 1) % CLASSES}"\n' for i in range(5)]
    (tmp_path / "test.csv").write_text("".join(lines))
    changes = {"MODEL__LOSS_FUNC": "bce_logit", "MODEL__HEAD_ACT": "sigmoid", "DATA__ENSEMBLE_METHOD": "max"}
    changes |= {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__RANDOM_WEIGHTS": True, "TEST__BATCH_SIZE": 12}
    maps = []
    for processes in (0, 2):
        output = tmp_path / str(processes)
        run(tiny_cfg(tmp_path, output, **changes, DATA__MULTI_LABEL=True, NUM_GPUS=processes))
        (record,) = json_stats(output, "test_epoch")
        assert record["videos"] == 5
        maps.append(record["map"])
    assert maps[1] == pytest.approx(maps[0])
