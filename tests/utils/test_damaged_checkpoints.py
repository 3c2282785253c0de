"""Checkpoints that are damaged, hostile or have fields of the wrong type: errors that name what is wrong."""

import logging
import math
import pickle
import zipfile

import numpy as np
import pytest
import torch

from slowfast.errors import UserError
from slowfast.utils.checkpoint_file import read_checkpoint
from slowfast.utils.safe_pickle import load_pickle
from slowfast.utils.training_checkpoint import load_checkpoint, load_for_test, load_for_training
from tests.utils.test_training_checkpoint import Tiny, make_cfg, same, save, trained


@pytest.fixture
def saved(tmp_path):
    return save(tmp_path, *trained(), iteration=3, plan=[12, 1, 9, 36])


def changed(path, **fields):
    torch.save(torch.load(path, weights_only=True) | fields, path)
    return path


def test_a_flipped_bit_in_any_tensor_is_an_error_that_names_the_member(saved):
    data = bytearray(saved.read_bytes())
    weights = Tiny().state_dict()["s1.conv.weight"].numel() * 4
    rng = np.random.default_rng(5)
    content = torch.load(saved, weights_only=True)["model_state"]["s1.conv.weight"].numpy().tobytes()
    start = bytes(data).index(content)
    for _ in range(20):
        place, bit = start + int(rng.integers(weights)), int(rng.integers(8))
        data[place] ^= 1 << bit
        saved.write_bytes(data)
        with pytest.raises(ValueError, match=r"00001\.pyth is damaged: the checksum of .*data/\d+ in it is wrong"):
            read_checkpoint(saved)
        data[place] ^= 1 << bit


def test_a_flipped_bit_anywhere_is_an_error_or_leaves_the_content_as_it_was(saved):
    whole, rng = saved.read_bytes(), np.random.default_rng(1)
    expected = read_checkpoint(saved)["model_state"]
    for place in rng.integers(len(whole), size=300):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(data)
        try:
            state = read_checkpoint(saved)["model_state"]
        except UserError:
            continue
        assert all(torch.equal(expected[name], value) for name, value in state.items())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_and_momenta_that_are_not_finite_are_refused_by_name(value, saved, tmp_path):
    content = torch.load(saved, weights_only=True)
    content["optimizer_state"]["state"][0]["momentum_buffer"][0] = value
    torch.save(content, saved)
    with pytest.raises(ValueError, match=r"optimizer_state\.0\.momentum_buffer has numbers that are not finite"):
        load_checkpoint(saved, *trained(iterations=0))
    content["model_state"]["head.projection.bias"][1] = value
    torch.save(content, saved)
    with pytest.raises(ValueError, match=r"head\.projection\.bias has numbers that are not finite"):
        load_for_test(make_cfg(tmp_path, TEST_PATH=saved), Tiny())


@pytest.mark.parametrize("damage", ["cut", "nan", "field"])
def test_a_training_and_a_test_use_the_checkpoint_before_a_damaged_one(damage, saved, tmp_path, caplog):
    model, optimizer = trained()
    newest = save(tmp_path, model, optimizer, epoch=5)
    if damage == "cut":
        newest.write_bytes(newest.read_bytes()[:3000])
    else:
        bad = {"nan": {"model_state": Tiny().state_dict() | {"s1.bn.bias": torch.full((4,), math.nan)}}}
        changed(newest, **bad.get(damage, {"epoch": "five"}))
    for load in (load_for_training, load_for_test):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert load(make_cfg(tmp_path), Tiny())["epoch"] == 0
        assert newest.name in caplog.text
        assert f"{saved.name}, the checkpoint before, is used" in caplog.text


def test_a_folder_of_damaged_checkpoints_is_an_error_about_the_newest(saved, tmp_path):
    save(tmp_path, *trained(), epoch=5).write_bytes(b"")
    saved.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="checkpoint_epoch_00006"):
        load_for_training(make_cfg(tmp_path), Tiny())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("epoch", value) for value in ("3", 2.5, -7, True, 10**30, [1])],
        *[("iteration", value) for value in ("many", -1, 10**12, None, 1.5)],
        *[("position", value) for value in (math.nan, -1.0, math.inf, "0")],
        *[("optimizer_state", value) for value in ([1], {}, {"state": {}, "param_groups": [{}]}, "x")],
        ("optimizer_state", {"state": {0: [1]}, "param_groups": [{"params": [0]}]}),
        *[("plan", value) for value in ("plan", [1, 2], [1, 2, "3", 4])],
        ("best", [1]),
        ("best", {"top1_acc": "high"}),
        ("evaluation_due", "no"),
        ("epoch_sums", {"a": 1}),
        ("scaler_state", {"scale": 1.0}),
        ("class_names", "abc"),
        ("cfg", {"MODEL": {}}),
    ],
)
def test_a_field_of_the_wrong_type_is_an_error_that_names_it(field, value, saved, tmp_path):
    changed(saved, **{field: value})
    with pytest.raises(ValueError, match=rf"00001\.pyth is damaged: its {field} is "):
        load_for_training(make_cfg(tmp_path), *trained(iterations=0))


def test_a_plan_without_an_iteration_is_an_error(saved, tmp_path):
    content = torch.load(saved, weights_only=True)
    del content["iteration"]
    torch.save(content, saved)
    with pytest.raises(ValueError, match="its iteration is missing"):
        load_for_training(make_cfg(tmp_path), Tiny())


def unusual_tensors():
    return {
        "sparse": torch.eye(3).to_sparse(),
        "complex": torch.zeros(3, dtype=torch.complex64),
        "quantized": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
    }


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:TypedStorage")
@pytest.mark.parametrize("kind", ["sparse", "complex", "quantized"])
def test_tensors_of_unusual_kinds_are_refused_by_name(kind, tmp_path):
    path = tmp_path / "odd.pyth"
    torch.save({"model_state": Tiny().state_dict() | {"s1.odd": unusual_tensors()[kind]}}, path)
    with pytest.raises(ValueError, match=r"odd\.pyth was not loaded: model_state\.s1\.odd is not a dense"):
        load_checkpoint(path, Tiny())


def test_a_tensor_that_claims_more_than_the_file_has_is_refused(tmp_path):
    path = tmp_path / "large.pyth"
    torch.save({"model_state": {"a": torch.zeros(1).expand(5 * 10**10)}}, path)
    with pytest.raises(ValueError, match=r"claim 200,000,000,000 bytes"):
        read_checkpoint(path)


@pytest.mark.parametrize("ending", ["running_mean", "running_var"])
def test_lone_entries_of_grouped_statistics_are_an_error_that_names_what_is_missing(ending, tmp_path):
    state = Tiny().state_dict() | {f"s1.bn.split_bn.{ending}": torch.zeros(8)}
    torch.save({"model_state": state}, tmp_path / "lone.pyth")
    if ending == "running_mean":
        with pytest.raises(ValueError, match=r"the checkpoint has no s1\.bn\.split_bn\.running_var"):
            load_checkpoint(tmp_path / "lone.pyth", Tiny())
    else:  # no statistics are merged, and the entry is skipped
        load_checkpoint(tmp_path / "lone.pyth", Tiny(), complete=True)


def nested_key(levels, twice):
    """A pickle of a mapping whose key is a tuple of tuples: each holds the one before, once or twice."""
    inner = b")" + b"q\x00" + b"".join((b"h\x00\x86" if twice else b"\x85") + b"q\x00" for _ in range(levels))
    return b"\x80\x02}" + inner + b"K\x01s."


@pytest.mark.parametrize(("levels", "twice"), [(60, True), (1_000_000, False)])
@pytest.mark.parametrize("kind", ["pickle", "zip", "old torch"])
def test_keys_of_nested_tuples_neither_hang_nor_crash(levels, twice, kind, saved):
    data = nested_key(levels, twice)
    if kind == "pickle":
        saved.write_bytes(data)
    elif kind == "zip":
        torch.save({"a": torch.zeros(1)}, saved)
        with zipfile.ZipFile(saved, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3\n")
    else:
        heads = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
        saved.write_bytes(b"".join(heads) + data)
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        read_checkpoint(saved)


def test_plain_tuples_as_keys_are_read(tmp_path):
    path = tmp_path / "keys.pkl"
    path.write_bytes(pickle.dumps({(1, (2, "b")): 3}, 2))
    assert load_pickle(path) == {(1, (2, "b")): 3}


def test_a_compressed_archive_that_declares_far_more_than_its_size_is_refused(saved):
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(50_000_000))
    with pytest.raises(ValueError, match="declares 50,000,00"):
        read_checkpoint(saved)


def test_a_damaged_checkpoint_does_not_change_the_model(saved, tmp_path):
    changed(saved, model_state=trained()[0].state_dict() | {"head.projection.bias": torch.full((5,), math.nan)})
    model, before = Tiny(), Tiny()
    before.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="not finite"):
        load_checkpoint(saved, model)
    assert same(model, before)
