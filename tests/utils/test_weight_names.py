"""Names of other formats, checked against the published lists."""

from pathlib import Path

import pytest

from slowfast.utils.weight_names import from_caffe2, from_torch_resnet, rename

GOLDEN = Path(__file__).parents[1] / "golden"


def golden_blobs(recipe):
    rows = (GOLDEN / f"caffe2_{recipe}.tsv").read_text().splitlines()[1:]
    return [row.split("\t")[:2] for row in rows]


@pytest.mark.parametrize("recipe", ["SLOWFAST_8x8_R50", "I3D_NLN_8x8_R50"])
def test_every_published_caffe2_blob_gets_the_name_of_a_parameter(recipe):
    blobs = golden_blobs(recipe)
    assert len(blobs) > 300
    assert {blob: from_caffe2(blob) for blob, _ in blobs} == dict(blobs)


@pytest.mark.parametrize("recipe", ["SLOWFAST_8x8_R50", "I3D_NLN_8x8_R50"])
def test_the_published_caffe2_blobs_are_all_parameters_of_the_recipe(recipe):
    parameters = {row.split("\t")[0] for row in (GOLDEN / "parameters" / f"{recipe}.tsv").read_text().splitlines()}
    assert {from_caffe2(blob) for blob, _ in golden_blobs(recipe)} == parameters - {""}


@pytest.mark.parametrize("blob", ["conv1_w_momentum", "res2_0_branch1_bn_s_momentum", "lr", "model_iter"])
def test_state_of_the_solver_is_not_a_parameter(blob):
    assert from_caffe2(blob) is None


@pytest.mark.parametrize(
    ("blob", "name"),
    [
        ("t_res4_22_branch2c_bn_subsample_w", "s4_fuse.conv_f2s.weight"),
        ("res4_22_branch2c_bn_riv", "s4.pathway0_res22.branch2.c_bn.running_var"),
        ("t_nonlocal_conv4_1_theta_b", "s4.pathway1_nonlocal1.conv_theta.bias"),
        ("fc1000_w", "fc1000_w"),
        ("res6_x_w", "res6_x_w"),
    ],
)
def test_blobs_of_deeper_and_of_unknown_models(blob, name):
    assert from_caffe2(blob) == name


@pytest.mark.parametrize(
    ("name", "translated"),
    [
        ("conv1.weight", "s1.pathway0_stem.conv.weight"),
        ("bn1.running_mean", "s1.pathway0_stem.bn.running_mean"),
        ("layer1.0.conv1.weight", "s2.pathway0_res0.branch2.a.weight"),
        ("layer3.22.conv2.weight", "s4.pathway0_res22.branch2.b.weight"),
        ("layer4.2.bn3.num_batches_tracked", "s5.pathway0_res2.branch2.c_bn.num_batches_tracked"),
        ("layer2.0.downsample.0.weight", "s3.pathway0_res0.branch1.weight"),
        ("layer2.0.downsample.1.bias", "s3.pathway0_res0.branch1_bn.bias"),
        ("fc.bias", "head.projection.bias"),
        ("queue_ptr", "queue_ptr"),
    ],
)
def test_a_torch_resnet_gets_the_names_of_the_slow_pathway(name, translated):
    assert from_torch_resnet(name) == translated


def test_the_prefix_of_data_parallelism_and_the_users_patterns_are_removed():
    state = {"module.backbone.s2.x": 1, "s3.backbone.y": 2}
    assert rename(state, ["backbone."]) == {"s2.x": 1, "s3.y": 2}


def test_a_torch_resnet_is_recognized_behind_a_prefix():
    state = {"module.encoder.layer1.0.conv1.weight": 1, "module.encoder.fc.weight": 2}
    assert rename(state, ["encoder."]) == {"s2.pathway0_res0.branch2.a.weight": 1, "head.projection.weight": 2}


def test_names_of_this_package_stay():
    state = {"s1.pathway0_stem.conv.weight": 1, "s1_fuse.bn.weight": 2}
    assert rename(state) == state


def test_two_entries_with_the_same_name_are_an_error():
    with pytest.raises(ValueError, match="'a.weight'.*CHECKPOINT_CLEAR_NAME_PATTERN"):
        rename({"x.a.weight": 1, "a.weight": 2}, ["x."])


WANTED = ["s1.conv.weight", "s1.bn.weight", "s2.conv.weight", "head.projection.bias"]


@pytest.mark.parametrize(
    "wrapped",
    [
        "module.{}",
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.{}",
        "model.{}",
        "model._orig_mod.{}",
        "module.model.backbone.{}",
        "net.encoder.{}",
    ],
)
def test_prefixes_of_wrappers_are_removed(wrapped):
    state = {wrapped.format(name): number for number, name in enumerate(WANTED)}
    assert rename(state, wanted=WANTED) == {name: number for number, name in enumerate(WANTED)}


def test_compiled_and_wrapped_parts_are_recognized_in_the_middle_of_names():
    state = {"s1._orig_mod.conv.weight": 1, "s2.module._orig_mod.conv.weight": 2}
    assert rename(state, wanted=WANTED) == {"s1.conv.weight": 1, "s2.conv.weight": 2}


def test_a_wrapper_with_other_entries_keeps_their_names():
    state = {"criterion.weight": 2} | {f"model.{name}": 1 for name in WANTED}
    assert rename(state, wanted=WANTED) == dict.fromkeys(WANTED, 1) | {"criterion.weight": 2}


def test_names_of_a_model_that_has_such_parts_itself_stay():
    wanted = ["module.conv.weight", "model.conv.weight"]
    assert rename(dict.fromkeys(wanted, 1), wanted=wanted).keys() == set(wanted)


def test_a_torch_resnet_is_recognized_behind_a_wrapper():
    state = {
        "model._orig_mod.conv1.weight": 0,
        "model._orig_mod.layer1.0.conv1.weight": 1,
        "model._orig_mod.fc.bias": 2,
    }
    names = ["s1.pathway0_stem.conv.weight", "s2.pathway0_res0.branch2.a.weight", "head.projection.bias"]
    assert rename(state, wanted=names) == dict(zip(names, range(3), strict=True))
