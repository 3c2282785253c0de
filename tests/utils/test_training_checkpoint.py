"""Saving, finding and loading checkpoints."""

import errno
import io
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from slowfast.config.defaults import get_cfg
from slowfast.multigrid.batch_norm import SubBatchNorm3d
from slowfast.optim.build import construct_optimizer
from slowfast.utils import checkpoint_file, checkpoint_folder, training_checkpoint
from slowfast.utils.checkpoint_file import read_checkpoint
from slowfast.utils.checkpoint_folder import INTERRUPTED, keep_as_best, remove_old
from slowfast.utils.training_checkpoint import (
    last_checkpoint,
    load_checkpoint,
    load_for_test,
    load_for_training,
    save_checkpoint,
)


class Tiny(nn.Module):
    """A model with the names of the real ones."""

    def __init__(self, classes=5, width=4):
        super().__init__()
        self.s1 = nn.ModuleDict({"conv": nn.Conv3d(3, width, (3, 1, 1), bias=False), "bn": SubBatchNorm3d(width)})
        self.head = nn.ModuleDict({"projection": nn.Linear(width, classes)})

    def forward(self, x):
        return self.head["projection"](self.s1["bn"](self.s1["conv"](x)).mean((2, 3, 4)))


def make_cfg(output_dir, **keys):
    """A config that can be changed; the keys are those of SOLVER and TRAIN, and TEST_PATH."""
    cfg = get_cfg()
    solver = {"OPTIMIZING_METHOD": keys.pop("OPTIMIZING_METHOD", "sgd")}
    test = {"CHECKPOINT_FILE_PATH": str(keys.pop("TEST_PATH", ""))}
    cfg.merge_from_other_cfg({"OUTPUT_DIR": str(output_dir), "SOLVER": solver, "TRAIN": keys, "TEST": test})
    return cfg


def trained(cfg=None, classes=5, width=4, iterations=3):
    model = Tiny(classes, width)
    optimizer = construct_optimizer(model, cfg or make_cfg(""))
    for _ in range(iterations):
        model(torch.randn(2, 3, 4, 2, 2)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def save(output_dir, model, optimizer, epoch=0, interrupted=False, **extra):
    return save_checkpoint(
        output_dir, model, optimizer, None, epoch, "MODEL: {}", extra, INTERRUPTED if interrupted else ""
    )


def same(model, other):
    other_state = other.state_dict()
    return all(torch.equal(value, other_state[name]) for name, value in model.state_dict().items())


@pytest.fixture(autouse=True)
def _random_state():
    state = torch.get_rng_state()
    torch.manual_seed(7)
    yield
    torch.set_rng_state(state)


# --- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_a_training_continues_from_its_checkpoint_to_the_bit(tmp_path, method):
    cfg = make_cfg(tmp_path, OPTIMIZING_METHOD=method)
    model, optimizer = trained(cfg)
    save(tmp_path, model, optimizer, epoch=4, iteration=77, best={"top1_acc": 0.5})
    copy, its_optimizer = trained(cfg, iterations=0)
    state = load_for_training(cfg, copy, its_optimizer)
    assert (state["epoch"], state["iteration"], state["best"], state["cfg"]) == (4, 77, {"top1_acc": 0.5}, "MODEL: {}")
    assert same(model, copy)
    x = torch.randn(2, 3, 4, 2, 2)
    for one, its in ((model, optimizer), (copy, its_optimizer)):
        its.zero_grad()
        one(x).square().sum().backward()
        its.step()
    assert same(model, copy)


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_a_training_continues_in_another_memory_format(tmp_path, method):
    """Fused optimizers walk through the memory of a parameter and its momenta in step."""
    cfg = make_cfg(tmp_path, OPTIMIZING_METHOD=method)
    model, optimizer = trained(cfg)
    save(tmp_path, model, optimizer)
    copy = Tiny().to(memory_format=torch.channels_last_3d)
    its_optimizer = construct_optimizer(copy, cfg)
    load_for_training(cfg, copy, its_optimizer)
    weight = copy.s1["conv"].weight
    moments = [value for value in its_optimizer.state[weight].values() if value.shape == weight.shape]
    assert moments
    assert all(moment.stride() == weight.stride() != model.s1["conv"].weight.stride() for moment in moments)
    x = torch.randn(2, 3, 4, 2, 2)
    for one, its in ((model, optimizer), (copy, its_optimizer)):
        its.zero_grad()
        one(x).square().sum().backward()
        its.step()
    torch.testing.assert_close(dict(model.state_dict()), dict(copy.state_dict()))


def test_the_file_has_the_published_name_and_keys(tmp_path):
    path = save(tmp_path, *trained(), epoch=11)
    assert path == tmp_path / "checkpoints" / "checkpoint_epoch_00012.pyth"
    assert {"epoch", "model_state", "optimizer_state", "cfg"} <= torch.load(path, weights_only=True).keys()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_state_of_the_scaler_is_kept(tmp_path):
    model, optimizer = trained()
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    scaler.scale(torch.ones(1))
    path = save_checkpoint(tmp_path, model, optimizer, scaler, 0, "", {})
    other = torch.amp.GradScaler("cpu")
    load_checkpoint(path, *trained(), other)
    assert other.get_scale() == 512.0


def test_a_wrapped_model_is_saved_and_loaded_under_the_models_own_names(tmp_path):
    model, optimizer = trained()
    path = save(tmp_path, nn.DataParallel(model), optimizer)
    other = Tiny()
    load_checkpoint(path, nn.DataParallel(other), complete=True)
    assert same(model, other)


def test_the_config_decides_the_weight_decay_of_a_resumed_training(tmp_path):
    path = save(tmp_path, *trained())
    cfg = make_cfg(tmp_path)
    cfg.SOLVER.WEIGHT_DECAY = 0.5
    model, optimizer = trained(cfg, iterations=0)
    load_checkpoint(path, model, optimizer)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.5]
    assert optimizer.param_groups[0]["fused"] is True


# --- which checkpoint -------------------------------------------------------------------------------------------------


def test_without_checkpoints_there_is_no_last_one(tmp_path):
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "notes.pyth").touch()
    assert last_checkpoint(tmp_path) is None


def test_the_last_checkpoint_is_the_one_with_the_highest_epoch(tmp_path):
    for epoch in (8, 99_999, 11):
        save(tmp_path, *trained(iterations=0), epoch=epoch)
    assert last_checkpoint(tmp_path).name == "checkpoint_epoch_100000.pyth"


@pytest.mark.parametrize(
    ("position", "iteration", "expected"),
    [
        (3.5, 35, "interrupted.pyth"),
        (2.5, 25, "checkpoint_epoch_00003.pyth"),
        (3.0, 30, "checkpoint_epoch_00003.pyth"),
        (3.5, 18, "interrupted.pyth"),  # in batches twice as large
    ],
)
def test_a_training_stopped_inside_an_epoch_resumes_where_it_got_furthest(tmp_path, position, iteration, expected):
    save(tmp_path, *trained(iterations=0), epoch=2, iteration=30, position=3.0)
    epoch = int(position) - 1
    save(tmp_path, *trained(iterations=0), epoch=epoch, iteration=iteration, position=position, interrupted=True)
    assert last_checkpoint(tmp_path).name == expected


@pytest.mark.parametrize(("keep", "kept"), [(0, {1, 2, 3, 8}), (1, {3, 8}), (2, {2, 3, 8}), (9, {1, 2, 3, 8})])
def test_old_checkpoints_are_removed_but_neither_the_best_nor_later_ones(tmp_path, keep, kept):
    for number in (8, 1, 2, 3):
        path = save(tmp_path, *trained(iterations=0), epoch=number - 1)
        if number == 1:
            keep_as_best(path)
    remove_old(tmp_path, epoch=2, keep=keep)
    left = {path.name for path in path.parent.iterdir()}
    assert left == {"best.pyth"} | {f"checkpoint_epoch_{number:05d}.pyth" for number in kept}


def test_a_checkpoint_that_the_run_still_needs_is_not_removed(tmp_path):
    for number in (1, 2, 3):
        path = save(tmp_path, *trained(iterations=0), epoch=number - 1)
    needed = os.path.relpath(path.with_name("checkpoint_epoch_00001.pyth"))
    remove_old(tmp_path, epoch=2, keep=1, needed=["", needed])
    assert {path.name[-6] for path in path.parent.iterdir()} == {"1", "3"}


def test_a_training_stopped_in_its_first_epoch_resumes_too(tmp_path):
    save(tmp_path, *trained(iterations=0), epoch=-1, iteration=3, interrupted=True)
    state = load_for_training(make_cfg(tmp_path), *trained(iterations=0))
    assert (state["epoch"], state["iteration"]) == (-1, 3)


def test_auto_resume_comes_before_the_initial_checkpoint_and_can_be_switched_off(tmp_path):
    first, _ = trained()
    initial = tmp_path / "initial.pyth"
    torch.save({"model_state": first.state_dict()}, initial)
    resumed, optimizer = trained()
    save(tmp_path, resumed, optimizer, epoch=2)
    model = Tiny()
    assert load_for_training(make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(initial)), model)["epoch"] == 2
    assert same(model, resumed)
    cfg = make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(initial), AUTO_RESUME=False)
    assert load_for_training(cfg, model) == {"epoch": -1}
    assert same(model, first)


def test_epoch_reset_loads_only_the_weights(tmp_path):
    model, optimizer = trained()
    path = save(tmp_path / "old", model, optimizer, epoch=9, iteration=100)
    cfg = make_cfg(tmp_path / "new", CHECKPOINT_FILE_PATH=str(path), CHECKPOINT_EPOCH_RESET=True)
    copy, its_optimizer = trained(iterations=0)
    assert load_for_training(cfg, copy, its_optimizer) == {"epoch": -1}
    assert same(model, copy)
    assert not its_optimizer.state


@pytest.mark.parametrize(("key", "inflate"), [("state_dict", False), ("model", False), ("model_state", True)])
def test_the_epochs_of_another_program_are_ignored(tmp_path, key, inflate):
    model, optimizer = trained()
    content = {key: model.state_dict(), "epoch": 90, "optimizer_state": {}, "optimizer": optimizer.state_dict()}
    torch.save(content, tmp_path / "image_model.pth")
    copy, its_optimizer = trained(iterations=0)
    assert load_checkpoint(tmp_path / "image_model.pth", copy, its_optimizer, inflate=inflate) == {"epoch": -1}
    assert same(model, copy)
    assert not its_optimizer.state


def test_a_recipe_that_inflates_without_an_image_model_logs_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_for_training(make_cfg(tmp_path, CHECKPOINT_INFLATE=True), Tiny()) == {"epoch": -1}
    assert "TRAIN.CHECKPOINT_FILE_PATH names no image model" in caplog.text


def test_a_missing_initial_checkpoint_is_an_error_that_names_the_key(tmp_path):
    cfg = make_cfg(tmp_path, CHECKPOINT_FILE_PATH="nowhere.pyth")
    with pytest.raises(ValueError, match=r"TRAIN\.CHECKPOINT_FILE_PATH is 'nowhere\.pyth'"):
        load_for_training(cfg, Tiny())


def test_machines_that_see_different_checkpoints_are_an_error(tmp_path, monkeypatch):
    save(tmp_path, *trained(iterations=0), epoch=2)
    monkeypatch.setattr(training_checkpoint, "all_gather_object", lambda name: [name, None])
    with pytest.raises(ValueError, match=r"OUTPUT_DIR .*different machines.*shar"):
        load_for_training(make_cfg(tmp_path), Tiny())


def test_only_the_master_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_folder, "is_master", lambda: False)
    path = save(tmp_path, *trained(iterations=0), epoch=2)
    assert path.name == "checkpoint_epoch_00003.pyth"
    assert not path.exists()


# --- testing ----------------------------------------------------------------------------------------------------------


def test_testing_takes_the_named_checkpoint_then_the_last_then_the_initial_one(tmp_path):
    named, last, initial = (trained(iterations=i + 1)[0] for i in range(3))
    for name, model in {"named": named, "initial": initial}.items():
        torch.save({"model_state": model.state_dict()}, tmp_path / f"{name}.pyth")
    model = Tiny()
    keys = {"TEST_PATH": tmp_path / "named.pyth", "CHECKPOINT_FILE_PATH": str(tmp_path / "initial.pyth")}
    load_for_test(make_cfg(tmp_path, **keys), model)
    assert same(model, named)
    load_for_test(make_cfg(tmp_path, CHECKPOINT_FILE_PATH=keys["CHECKPOINT_FILE_PATH"]), model)
    assert same(model, initial)
    save(tmp_path, last, construct_optimizer(last, make_cfg("")))
    load_for_test(make_cfg(tmp_path, CHECKPOINT_FILE_PATH=keys["CHECKPOINT_FILE_PATH"]), model)
    assert same(model, last)


def test_testing_a_head_that_was_never_trained_is_an_error_with_the_table(tmp_path):
    path = save(tmp_path, *trained(classes=5))
    with pytest.raises(
        ValueError, match=r"(?s)2 tensors would stay.*head\.projection\.weight +5x4 in the file, 7x4 here"
    ):
        load_for_test(make_cfg(tmp_path, TEST_PATH=path), Tiny(classes=7))


def test_testing_without_any_checkpoint_is_an_error_unless_it_is_asked_for(tmp_path, caplog):
    cfg = make_cfg(tmp_path)
    with pytest.raises(ValueError, match=r"TEST\.CHECKPOINT_FILE_PATH.*OUTPUT_DIR.*TEST\.RANDOM_WEIGHTS True"):
        load_for_test(cfg, Tiny())
    cfg.TEST.RANDOM_WEIGHTS = True
    with caplog.at_level(logging.WARNING):
        load_for_test(cfg, Tiny())
    assert "random initialization" in caplog.text


# --- checkpoints of other models --------------------------------------------------------------------------------------


def test_fine_tuning_with_another_class_count_leaves_the_head_at_its_initialization_and_logs_it(tmp_path, caplog):
    model, optimizer = trained(classes=5)
    path = save(tmp_path / "old", model, optimizer)
    other = Tiny(classes=7)
    head = other.head["projection"].weight.detach().clone()
    cfg = make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(path), CHECKPOINT_EPOCH_RESET=True)
    with caplog.at_level(logging.WARNING):
        load_for_training(cfg, other)
    assert torch.equal(other.head["projection"].weight, head)
    assert torch.equal(other.s1["conv"].weight, model.s1["conv"].weight)
    assert "head.projection.weight" in caplog.text
    assert "left at initialization" in caplog.text


def test_a_checkpoint_without_a_tensor_that_fits_is_an_error_that_names_file_and_tensors(tmp_path):
    path = tmp_path / "bert.pyth"
    torch.save({"model_state": {"encoder.layer.0.weight": torch.zeros(2)}}, path)
    with pytest.raises(
        ValueError, match=r"bert\.pyth is of another model.*encoder\.layer\.0\.weight.*s1\.conv\.weight"
    ):
        load_checkpoint(path, Tiny())


def test_resuming_another_model_in_the_same_folder_is_an_error_with_the_table(tmp_path):
    save(tmp_path, *trained(width=4))
    with pytest.raises(ValueError, match=r"(?s)another model.*skipped +s1\.conv\.weight +4x3x3x1x1 in the file"):
        load_for_training(make_cfg(tmp_path), *trained(width=6, classes=5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"OPTIMIZING_METHOD": "adamw"}, "it is not of AdamW"),
        ({"ZERO": True}, r"groups of \[2, 3\] parameters, this training \[2, 2, 1\]"),
    ],
)
def test_an_optimizer_of_another_layout_is_an_error_with_a_fix(tmp_path, change, message):
    path = save(tmp_path / "old", *trained())
    cfg = make_cfg(tmp_path, OPTIMIZING_METHOD=change.get("OPTIMIZING_METHOD", "sgd"), CHECKPOINT_FILE_PATH=str(path))
    cfg.SOLVER.ZERO_WD_1D_PARAM = change.get("ZERO", False)
    with pytest.raises(ValueError, match=rf"(?s)optimizer's state.*{message}.*TRAIN\.CHECKPOINT_EPOCH_RESET True"):
        load_for_training(cfg, *trained(cfg, iterations=0))


def test_momenta_of_another_head_are_an_error_with_a_fix(tmp_path):
    path = save(tmp_path / "old", *trained(classes=5))
    cfg = make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(path))
    with pytest.raises(ValueError, match=r"\(5, 4\), the parameter \(7, 4\).*TRAIN\.CHECKPOINT_EPOCH_RESET True"):
        load_for_training(cfg, *trained(cfg, classes=7))


# --- other formats ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pkl", ".pyth"])
def test_a_bare_state_dict_of_data_parallelism_loads_with_any_suffix(tmp_path, suffix):
    model, _ = trained()
    path = tmp_path / f"weights{suffix}"
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, path)
    other = Tiny()
    assert load_checkpoint(path, other, complete=True) == {"epoch": -1}
    assert same(model, other)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}, "epoch": 3},
        lambda state: {"params": state},
        lambda state: {"model_state_dict": {f"_orig_mod.{name}": value for name, value in state.items()}},
        lambda state: {"optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}}, "net": state},
        lambda state: {"checkpoint": {"model": {"state_dict": state}}},
        lambda state: {"model_ema": {name: value + 1 for name, value in state.items()}, "model": state},
        lambda state: {"weights of mine": {f"backbone.{name}": value for name, value in state.items()}},
    ],
)
def test_weights_inside_the_wrappers_of_other_programs_load_also_for_a_test(tmp_path, wrap):
    model, _ = trained()
    path = tmp_path / "weights.ckpt"
    torch.save(wrap(model.state_dict()), path)
    other = Tiny()
    load_for_test(make_cfg(tmp_path, TEST_PATH=path), other)
    assert same(model, other)


def test_the_patterns_that_an_error_advises_work_in_a_test(tmp_path):
    model, _ = trained()
    path = tmp_path / "weights.pyth"
    torch.save({f"x_{name.replace('.', '.y_')}": value for name, value in model.state_dict().items()}, path)
    with pytest.raises(ValueError, match=r"TRAIN\.CHECKPOINT_CLEAR_NAME_PATTERN \(in training and tests\)"):
        load_for_test(make_cfg(tmp_path, TEST_PATH=path), Tiny())
    other = Tiny()
    load_for_test(make_cfg(tmp_path, TEST_PATH=path, CHECKPOINT_CLEAR_NAME_PATTERN=["x_", "y_"]), other)
    assert same(model, other)


def test_torch_files_from_before_the_zip_format_load(tmp_path):
    model, _ = trained()
    path = tmp_path / "old.pyth"
    torch.save({"model_state": model.state_dict(), "epoch": 3}, path, _use_new_zipfile_serialization=False)
    other = Tiny()
    assert load_checkpoint(path, other, complete=True)["epoch"] == 3
    assert same(model, other)


@pytest.mark.parametrize("wrap", [lambda blobs: {"blobs": blobs}, dict], ids=["blobs", "bare"])
def test_a_caffe2_pickle_loads_by_its_content(tmp_path, wrap):
    head = np.arange(20, dtype=np.float32).reshape(5, 4)
    blobs = {"pred_w": head, "pred_b": np.ones(5, np.float32), "pred_w_momentum": head, "lr": 0.1, "model_iter": 7}
    path = tmp_path / "SLOWFAST.pkl"
    path.write_bytes(pickle.dumps(wrap(blobs), protocol=2))
    model = Tiny()
    assert load_checkpoint(path, model) == {"epoch": -1}
    assert torch.equal(model.head["projection"].weight, torch.from_numpy(head))


def test_grouped_statistics_of_the_published_code_load_into_one_set(tmp_path):
    model = Tiny()
    state = model.state_dict()
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        value = state.pop(f"s1.bn.{name}")
        state[f"s1.bn.bn.{name}"] = value
        state[f"s1.bn.split_bn.{name}"] = torch.arange(8.0) if value.ndim else torch.tensor(9)
    path = tmp_path / "grouped.pyth"
    torch.save({"model_state": state, "epoch": 1}, path)
    load_checkpoint(path, model, complete=True)
    assert model.s1["bn"].running_mean.tolist() == [2.0, 3.0, 4.0, 5.0]
    assert model.s1["bn"].running_var.tolist() == [6.0, 7.0, 8.0, 9.0]  # with the spread between the means, 4
    assert model.s1["bn"].num_batches_tracked == 9


# --- hostile and damaged files ---------------------------------------------------------------------------------


class Hostile:
    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return os.system, (f"touch {self.flag}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_torch_file_is_refused_by_name_and_not_run(tmp_path, zipped):
    flag, path = tmp_path / "was-run", tmp_path / "hostile.pyth"
    content = {"model_state": Tiny().state_dict(), "cfg": Hostile(flag)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"hostile\.pyth was not loaded: it asks for (posix|nt)\.system") as error:
        load_checkpoint(path, Tiny())
    assert not flag.exists()
    assert "weights_only" not in str(error.value)


def test_a_hostile_caffe2_pickle_is_refused_by_name_and_not_run(tmp_path):
    flag, path = tmp_path / "was-run", tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"pred_w": Hostile(flag)}}, protocol=2))
    with pytest.raises(ValueError, match=r"hostile\.pkl was not loaded: it asks for (posix|nt)\.system"):
        load_checkpoint(path, Tiny())
    assert not flag.exists()


def test_a_torch_file_with_other_objects_is_refused_with_a_fix(tmp_path):
    path = tmp_path / "args.pyth"
    torch.save({"model_state": Tiny().state_dict(), "args": SimpleNamespace(lr=1)}, path)
    with pytest.raises(ValueError, match=r"it asks for types\.SimpleNamespace.*torch\.save\(\{'model_state'"):
        load_checkpoint(path, Tiny())


@pytest.mark.parametrize("kept", [0, 3, 300, -1])
def test_a_file_cut_short_is_an_error_that_names_it(tmp_path, kept):
    whole = save(tmp_path, *trained())
    path = tmp_path / "cut.pyth"
    path.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cut\.pyth is not a readable checkpoint"):
        load_checkpoint(path, Tiny())


@pytest.mark.parametrize("content", [[1, 2], {"model_state": {}}, {"a": 1}])
def test_a_file_without_weights_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "other.pyth"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"other\.pyth holds"):
        load_checkpoint(path, Tiny())


# --- saving goes wrong ------------------------------------------------------------------------------------------------


class FullDisk:
    """A file on a disk that is full after `room` bytes."""

    def __init__(self, path, mode, room):
        self.file, self.room = io.FileIO(path, mode), room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 700, 2000])
def test_a_full_disk_leaves_the_old_checkpoints_intact_and_no_temporary_file(tmp_path, monkeypatch, room):
    model, optimizer = trained()
    old = save(tmp_path, model, optimizer, epoch=0)
    before = old.read_bytes()
    monkeypatch.setattr(checkpoint_file, "open", lambda path, mode: FullDisk(path, mode, room), raising=False)
    for epoch in (0, 1):
        with pytest.raises(OSError, match=r"No space left on device while saving .*are intact.*resumes") as error:
            save(tmp_path, model, optimizer, epoch=epoch)
        assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert [file.name for file in old.parent.iterdir()] == [old.name]
    assert old.read_bytes() == before


def test_an_interrupt_while_saving_leaves_the_old_checkpoints_intact_and_no_temporary_file(tmp_path, monkeypatch):
    old = save(tmp_path, *trained(), epoch=0)

    def interrupted(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_file.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, *trained(), epoch=1)
    assert [file.name for file in old.parent.iterdir()] == [old.name]


def test_a_kill_while_saving_leaves_a_checkpoint_to_resume_from(tmp_path):
    saves_forever = textwrap.dedent(f"""
        import pathlib, torch
        from slowfast.utils.checkpoint_file import write_checkpoint
        for epoch in range(10**6):
            path = pathlib.Path({str(tmp_path)!r}, "checkpoints", f"checkpoint_epoch_{{epoch % 3 + 1:05d}}.pyth")
            write_checkpoint(path, {{"epoch": epoch, "model_state": {{"a": torch.zeros(300_000)}}}})
            print(epoch, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", saves_forever], stdout=subprocess.PIPE)
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.003)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    files = sorted((tmp_path / "checkpoints").glob("*.pyth"))
    assert len(files) == 3
    for file in files:
        assert read_checkpoint(file)["model_state"]["a"].numel() == 300_000
    assert last_checkpoint(tmp_path) == files[-1]
