"""Fitting tensors of a checkpoint to a model; merging the statistics of grouped norms."""

import pytest
import torch
from torch import nn

from slowfast.utils.weight_shapes import inflate_kernel
from slowfast.utils.weights import fit, merge_group_statistics


def zeros(*shape):
    return torch.zeros(shape)


def test_tensors_that_fit_by_name_and_shape_are_loaded_and_the_others_are_listed():
    result = fit({"a": zeros(2), "b": zeros(3), "c": zeros(1)}, {"a": zeros(2), "b": zeros(4), "d": zeros(1)})
    assert result.loaded == ["a"]
    assert result.skipped == {"b": "3 in the file, 4 here", "c": "the model has no such name"}
    assert result.initialized == ["b", "d"]
    assert result.summary == "1 tensors loaded, 0 inflated, 2 skipped, 2 left at initialization"


@pytest.mark.parametrize(
    ("there", "here"), [((400, 64), (400, 64, 1, 1, 1)), ((400, 64, 1, 1), (400, 64)), ((8, 4, 1, 1), (8, 4, 1, 1, 1))]
)
def test_linear_weights_may_have_more_or_fewer_trailing_dimensions(there, here):
    result = fit({"a": torch.randn(there)}, {"a": zeros(*here)})
    assert result.loaded == ["a"]
    assert result.tensors["a"].shape == here


@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (4, 3, 1, 5, 5)])
def test_a_flat_kernel_is_inflated_only_when_asked(shape):
    state, wanted = {"a.weight": torch.randn(shape)}, {"a.weight": zeros(4, 3, 3, 5, 5)}
    refused = fit(state, wanted)
    assert "TRAIN.CHECKPOINT_INFLATE" in refused.skipped["a.weight"]
    result = fit(state, wanted, inflate=True)
    assert list(result.inflated) == ["a.weight"]
    assert torch.allclose(result.tensors["a.weight"].sum(2), state["a.weight"].reshape(4, 3, 5, 5), atol=1e-6)


def test_an_inflated_kernel_gives_a_still_clip_the_output_of_the_image():
    image, kernel = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 5, 5)
    clip = image[:, :, None].repeat(1, 1, 7, 1, 1)
    flat = nn.functional.conv2d(image, kernel)
    deep = nn.functional.conv3d(clip, inflate_kernel(kernel, 7))
    assert torch.allclose(deep[:, :, 0], flat, atol=1e-5)


def test_a_head_is_loaded_completely_or_not_at_all():
    state = {"head.weight": zeros(5, 8), "head.bias": zeros(5)}
    result = fit(state, {"head.weight": zeros(5, 9), "head.bias": zeros(5)})
    assert not result.tensors
    assert result.skipped["head.bias"] == "its weight does not fit"
    assert result.initialized == ["head.weight", "head.bias"]


def test_missing_counters_of_batches_are_not_listed():
    result = fit({"bn.weight": zeros(2)}, {"bn.weight": zeros(2), "bn.num_batches_tracked": torch.tensor(0)})
    assert result.initialized == []


def test_entries_that_are_not_tensors_are_skipped_with_their_type():
    assert fit({"a": 3}, {"a": zeros(1)}).skipped == {"a": "not a tensor but a int"}


def test_the_table_names_every_tensor_that_did_not_simply_load():
    state = {"conv.weight": zeros(2, 2, 1, 1), "head.weight": zeros(5, 2), "old": zeros(1)}
    wanted = {"conv.weight": zeros(2, 2, 3, 1, 1), "head.weight": zeros(7, 2)}
    lines = fit(state, wanted, inflate=True).table.splitlines()
    assert lines[0] == "0 tensors loaded, 1 inflated, 2 skipped, 1 left at initialization"
    assert [line.split()[:2] for line in lines[1:3]] == [["inflated", "conv:"], ["skipped", "head.weight"]]
    assert "5x2 in the file, 7x2 here" in lines[2]
    assert lines[-1].split() == ["left", "at", "initialization", "head.weight"]


def test_a_long_table_has_a_row_for_each_part_of_the_model():
    wanted = {f"s{stage}.pathway1_res0.conv{i}.weight": zeros(1) for stage in range(2, 6) for i in range(20)}
    lines = fit({"head.weight": zeros(2)}, wanted | {"head.weight": zeros(3)}).table.splitlines()
    assert [line.split()[-2:] for line in lines[2:]] == [[f"s{i}.pathway1:", "20"] for i in range(2, 6)] + [
        ["head:", "1"]
    ]
    assert "skipped" in lines[1]
    assert "2 in the file, 3 here" in lines[1]


AXES = ("rel_pos_h", "rel_pos_w")


def of_positions(*shape):
    """A table that is a line along its rows, so that linear and cubic interpolation inside it are exact."""
    rows = shape[-2]
    return ((torch.arange(rows) + 0.5) / rows)[:, None].expand(shape).clone()


@pytest.mark.parametrize(
    ("name", "there", "here"),
    [
        ("blocks.3.attn.rel_pos_h", (55, 4), (27, 4)),
        ("blocks.3.attn.rel_pos_t", (15, 4), (31, 4)),
        ("pos_embed_temporal", (1, 8, 4), (1, 16, 4)),
    ],
)
def test_tables_of_positions_of_another_length_are_interpolated_linearly(name, there, here):
    result = fit({name: of_positions(*there)}, {name: zeros(*here)})
    assert list(result.resampled) == [name]
    inside = slice(1, -1)  # the ends are repeated beyond the outer centers
    expected = of_positions(*here)
    assert torch.allclose(result.tensors[name][..., inside, :], expected[..., inside, :], atol=1e-6)


def test_positions_in_space_are_resampled_as_a_square_grid_with_cubics():
    table = torch.randn(1, 49, 6)
    result = fit({"pos_embed_spatial": table}, {"pos_embed_spatial": zeros(1, 196, 6)})
    grid = table.reshape(1, 7, 7, 6).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(grid, (14, 14), mode="bicubic", align_corners=False)
    assert torch.equal(result.tensors["pos_embed_spatial"], expected.flatten(2).transpose(1, 2))


@pytest.mark.parametrize(("there", "here"), [(48, 49), (49, 48)])
def test_positions_that_are_no_square_grid_are_skipped_with_the_reason(there, here):
    result = fit({"pos_embed_spatial": zeros(1, there, 6)}, {"pos_embed_spatial": zeros(1, here, 6)})
    reason = f"1x{there}x6 in the file, 1x{here}x6 here: not both are square grids of positions"
    assert result.skipped == {"pos_embed_spatial": reason}
    assert result.initialized == ["pos_embed_spatial"]


@pytest.mark.parametrize(
    ("name", "there", "here"),
    [
        ("pos_embed", (1, 393, 4), (1, 785, 4)),
        ("blocks.0.attn.rel_pos_h", (55, 4), (27, 8)),
        ("blocks.0.attn.rel_pos_h", (0, 4), (27, 4)),
        ("blocks.0.attn.proj.weight", (8, 4), (6, 4)),
        ("pos_embed_class", (1, 1, 4), (1, 1, 8)),
    ],
)
def test_everything_else_of_another_shape_stays_at_its_initialization(name, there, here):
    result = fit({name: zeros(*there)}, {name: zeros(*here)})
    assert list(result.skipped) == result.initialized == [name]


def test_resampled_tables_of_half_precision_have_the_values_of_single_precision():
    table = of_positions(15, 4).half()
    result = fit({"attn.rel_pos_t": table}, {"attn.rel_pos_t": zeros(31, 4)})
    single = fit({"attn.rel_pos_t": table.float()}, {"attn.rel_pos_t": zeros(31, 4)})
    assert torch.equal(result.tensors["attn.rel_pos_t"], single.tensors["attn.rel_pos_t"])


def test_the_table_lists_what_was_resampled_by_name_and_sizes():
    state = {f"blocks.{i}.attn.{name}": zeros(rows, 4) for i, rows in ((0, 55), (1, 27), (2, 27)) for name in AXES}
    lines = fit(state, {name: zeros(13, 4) for name in state}).table.splitlines()
    assert lines[0] == "0 tensors loaded, 0 inflated, 6 resampled, 0 skipped, 0 left at initialization"
    assert [line.split(maxsplit=3) for line in lines[1:]] == [
        ["resampled", f"{name}:", count, f"{rows}x4 in the file, 13x4 here"]
        for rows, count in ((55, "1"), (27, "2"))
        for name in AXES
    ]


PATCHES, POOL = "patch_embed.proj.weight", "blocks.0.attn.pool_k.weight"


@pytest.mark.parametrize(
    ("name", "there", "here"),
    [(PATCHES, (8, 3, 7, 7), (8, 3, 3, 7, 7)), (POOL, (4, 1, 1, 3, 3), (4, 1, 3, 3, 3))],
)
def test_kernels_of_an_mvit_for_images_are_repeated_when_asked_and_not_divided(name, there, here):
    kernel = torch.randn(there)
    refused = fit({name: kernel}, {name: zeros(*here)})
    assert "TRAIN.CHECKPOINT_IN_INIT" in refused.skipped[name]
    result = fit({name: kernel}, {name: zeros(*here)}, repeat=True)
    assert result.inflated == {name: "2-D kernels repeated over time"}
    for frame in range(3):
        assert torch.equal(result.tensors[name][:, :, frame], kernel.reshape(*there[:2], *there[-2:]))


def test_patches_of_clips_are_summed_over_time_for_a_model_of_images():
    kernel = torch.randn(8, 3, 3, 7, 7)
    result = fit({PATCHES: kernel}, {PATCHES: zeros(8, 3, 7, 7)}, repeat=True)
    assert torch.equal(result.tensors[PATCHES], kernel.sum(2))
    assert list(fit({PATCHES: kernel}, {PATCHES: zeros(8, 3, 7, 7)}).skipped) == [PATCHES]


def test_other_kernels_are_not_repeated():
    result = fit({"conv.weight": zeros(2, 2, 1, 1)}, {"conv.weight": zeros(2, 2, 3, 1, 1)}, repeat=True)
    assert list(result.skipped) == ["conv.weight"]


def grouped_state(norm, aggregate=None):
    """A norm of 2 channels and 3 groups as the published code saves it, by default before its first evaluation."""
    mean, var = aggregate or ([0.0, 0.0], [1.0, 1.0])
    return {
        f"{norm}.weight": torch.ones(2),
        f"{norm}.bias": torch.zeros(2),
        f"{norm}.bn.running_mean": torch.tensor(mean),
        f"{norm}.bn.running_var": torch.tensor(var),
        f"{norm}.bn.num_batches_tracked": torch.tensor(0),
        f"{norm}.split_bn.running_mean": torch.tensor([1.0, 10.0, 2.0, 20.0, 3.0, 30.0]),
        f"{norm}.split_bn.running_var": torch.tensor([1.0, 4.0, 1.0, 4.0, 4.0, 7.0]),
        f"{norm}.split_bn.num_batches_tracked": torch.tensor(3),
    }


AGGREGATE = ([70.0, 80.0], [90.0, 95.0])


@pytest.mark.parametrize("norm", ["s2.pathway0_res0.branch2.a_bn", "s1.pathway0_stem.bn", "s1_fuse.bn"])
@pytest.mark.parametrize("has_norm", [True, False])
def test_groups_without_an_aggregate_are_merged_with_the_spread_between_their_means(norm, has_norm):
    state = grouped_state(norm)
    state = {name: value for name, value in state.items() if has_norm or not name.startswith(f"{norm}.bn.")}
    merged = merge_group_statistics(state)
    ending = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert sorted(merged) == sorted(f"{norm}.{name}" for name in ending)
    assert merged[f"{norm}.running_mean"].tolist() == [2.0, 20.0]
    # the mean of the variances, 2 and 5, and the variance of the means, 2/3 and 200/3
    assert merged[f"{norm}.running_var"].tolist() == pytest.approx([2 + 2 / 3, 5 + 200 / 3])
    assert merged[f"{norm}.num_batches_tracked"] == 3


def test_merged_statistics_are_those_of_all_values_together():
    values = torch.randn(4, 100, 2, dtype=torch.float64) * 3 + torch.arange(4.0)[:, None, None]  # (G, N, C)
    mean, var = values.mean(1), values.var(1, correction=0)
    state = {
        "x.weight": torch.ones(2),
        "x.split_bn.running_mean": mean.flatten(),
        "x.split_bn.running_var": var.flatten(),
    }
    merged, together = merge_group_statistics(state), values.flatten(0, 1)
    assert torch.allclose(merged["x.running_mean"], together.mean(0))
    assert torch.allclose(merged["x.running_var"], together.var(0, correction=0))


def test_an_aggregate_beside_groups_is_taken():
    merged = merge_group_statistics(grouped_state("x", AGGREGATE))
    assert merged["x.running_mean"].tolist() == [70.0, 80.0]
    assert merged["x.running_var"].tolist() == [90.0, 95.0]


def test_an_aggregate_without_groups_is_taken():
    state = {name: value for name, value in grouped_state("x", AGGREGATE).items() if "split_bn" not in name}
    assert merge_group_statistics(state)["x.running_var"].tolist() == [90.0, 95.0]


def test_plain_statistics_beside_grouped_ones_are_kept():
    state = grouped_state("x") | {"x.running_mean": torch.tensor([5.0, 6.0])}
    assert merge_group_statistics(state)["x.running_mean"].tolist() == [5.0, 6.0]


def test_norms_that_are_only_called_bn_are_unchanged():
    plain = {"s1.pathway0_stem.bn.running_mean": zeros(2), "s1.pathway0_stem.conv.weight": zeros(2)}
    assert merge_group_statistics(plain).keys() == plain.keys()


def test_groups_that_do_not_divide_are_an_error():
    state = grouped_state("x") | {"x.split_bn.running_mean": zeros(5)}
    with pytest.raises(ValueError, match=r"x\.split_bn\.running_mean has 5 numbers: not a multiple of 2"):
        merge_group_statistics(state)
