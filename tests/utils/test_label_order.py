"""The order of the classes of a checkpoint and of a data set."""

import logging

import pytest
import torch

from slowfast.utils.checkpoint_file import read_checkpoint
from slowfast.utils.label_order import compare_names, names_of_scores, reorder_head
from slowfast.utils.training_checkpoint import load_for_test, load_for_training
from tests.utils.test_training_checkpoint import Tiny, make_cfg, save, trained

NAMES = ["climb", "dive", "jump", "run", "throw"]


def rows(model):
    head = model.head["projection"]
    return head.weight.detach().clone(), head.bias.detach().clone()


@pytest.fixture
def saved(tmp_path):
    model, optimizer = trained()
    return model, save(tmp_path / "old", model, optimizer, class_names=NAMES)


def test_rows_follow_the_names_and_those_of_other_classes_come_after():
    state = {"head.projection.weight": torch.arange(8.0).reshape(4, 2), "s1.weight": torch.arange(4.0)}
    result = reorder_head(state, ["a", "b", "c"], ["c", "a"])  # the head has one row more than names
    assert result["head.projection.weight"][:, 0].tolist() == [4, 0, 2, 6]
    assert torch.equal(result["s1.weight"], state["s1.weight"])


@pytest.mark.parametrize("head", ["head.projection", "module.head.projection0", "head.projections.1"])
def test_all_heads_are_reordered(head):
    state = {f"{head}.bias": torch.arange(2.0)}
    assert reorder_head(state, ["a", "b"], ["b", "a"])[f"{head}.bias"].tolist() == [1, 0]


def test_a_head_of_another_name_is_the_last_linear_layer_with_a_row_for_each_class():
    state = {"attend.weight": torch.eye(2), "classify.weight": torch.eye(2), "classify.bias": torch.arange(2.0)}
    result = reorder_head(state, ["a", "b"], ["b", "a"])
    assert torch.equal(result["classify.weight"], torch.eye(2).flip(0))
    assert result["classify.bias"].tolist() == [1, 0]
    assert torch.equal(result["attend.weight"], torch.eye(2))


def test_a_checkpoint_of_other_classes_without_a_head_that_can_be_found_is_refused(tmp_path):
    path = save(tmp_path / "old", *trained(), class_names=[f"class {i}" for i in range(99)])
    with pytest.raises(ValueError, match="other classes, and no layer with a row for each was found.*`head`"):
        load_for_training(make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(path)), Tiny(), class_names=NAMES)


def test_scores_have_the_names_of_the_data_set_and_those_only_in_the_checkpoint():
    assert names_of_scores(["a", "b", "c"], ["c", "a"]) == ["c", "a", "b"]
    assert names_of_scores(["a", "b"], None) == ["a", "b"]
    assert names_of_scores(None, ["a"]) == ["a"]


def test_data_without_names_for_a_checkpoint_with_names_gives_a_warning(saved, tmp_path, caplog):
    load_for_test(make_cfg(tmp_path, TEST_PATH=saved[1]), Tiny(), None)
    assert "the data set has no class names: make sure" in caplog.text
    assert "climb, dive, jump, run, throw" in caplog.text


def test_long_lists_of_names_are_cut():
    text = compare_names([f"there{i}" for i in range(400)], ["here"])
    assert "there9, ... (390 more)" in text
    assert len(text) < 250


def test_a_test_of_some_classes_maps_the_head_by_their_names(saved, tmp_path):
    model, path = saved
    other = Tiny()
    load_for_test(make_cfg(tmp_path, TEST_PATH=path), other, ["climb", "jump", "run", "throw"])
    for there, here in zip(rows(model), rows(other), strict=True):
        assert torch.equal(here, there[[0, 2, 3, 4, 1]])


@pytest.mark.parametrize("names", [None, [], NAMES, NAMES[:3]])
def test_a_test_without_names_or_with_the_same_ones_changes_nothing(names, saved, tmp_path):
    model, path = saved
    other = Tiny()
    load_for_test(make_cfg(tmp_path, TEST_PATH=path), other, names)
    assert torch.equal(rows(other)[0], rows(model)[0])


def test_a_test_of_an_unknown_class_is_an_error_with_both_lists(saved, tmp_path):
    cfg = make_cfg(tmp_path, TEST_PATH=saved[1])
    with pytest.raises(ValueError, match=r"checkpoint \(5 classes\): climb, dive, throw; .*\(3 classes\): swim\."):
        load_for_test(cfg, Tiny(), ["jump", "run", "swim"])


def test_names_are_equal_in_any_unicode_form(tmp_path):
    save(tmp_path, *trained(), epoch=2, class_names=["caf\u00e9"])
    assert load_for_training(make_cfg(tmp_path), Tiny(), class_names=["cafe\u0301"])["epoch"] == 2


def test_names_that_are_not_utf8_survive_a_checkpoint(tmp_path):
    names = [b"caf\xe9".decode("utf-8", "surrogateescape")]
    assert read_checkpoint(save(tmp_path, *trained(), class_names=names))["class_names"] == names


@pytest.mark.parametrize("names", [["bike", *NAMES], NAMES[::-1]])
def test_a_resume_with_other_classes_or_another_order_is_an_error(names, tmp_path):
    save(tmp_path, *trained(), class_names=NAMES)
    with pytest.raises(ValueError, match="only in the data set .*bike|in another order: climb.* there, throw.* here"):
        load_for_training(make_cfg(tmp_path), Tiny(), class_names=names)


def test_initial_weights_with_classes_in_another_order_are_reordered_without_momenta(saved, tmp_path):
    model, path = saved
    other, optimizer = trained(iterations=0)
    cfg = make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(path))
    assert load_for_training(cfg, other, optimizer, class_names=NAMES[::-1]) == {"epoch": -1}
    assert torch.equal(rows(other)[1], rows(model)[1].flip(0))
    assert not optimizer.state


def test_initial_weights_of_other_classes_leave_the_head_at_its_initialization(saved, tmp_path, caplog):
    model, path = saved
    other = Tiny()
    before = rows(other)
    cfg = make_cfg(tmp_path, CHECKPOINT_FILE_PATH=str(path))
    with caplog.at_level(logging.WARNING):
        load_for_training(cfg, other, class_names=[*NAMES[:4], "swim"])
    assert torch.equal(rows(other)[0], before[0])
    assert torch.equal(other.s1["conv"].weight, model.s1["conv"].weight)
    assert "only in the data set (5 classes): swim" in caplog.text
