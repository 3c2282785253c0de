"""Grouped and synchronized batch norm, compared with plain batch norm of every group on its own."""

import copy
from functools import partial
from itertools import product

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from slowfast.multigrid import (
    Phase,
    Schedule,
    Shape,
    ShortCycleBatchSampler,
    SubBatchNorm3d,
    average_statistics,
    convert,
    regroup,
)
from slowfast.multigrid.batch_norm import largest_divisor
from tests.multigrid.cuda_kernels import CudaKernels

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last_3d
LAYOUTS = pytest.mark.parametrize("layout", [CONTIGUOUS, CHANNELS_LAST], ids=["contiguous", "channels_last"])


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def clips(count: int, layout=CONTIGUOUS, channels: int = 6, dtype=torch.float64) -> torch.Tensor:
    x = torch.randn(count, channels, 2, 3, 4, dtype=dtype) * 2 + 3
    return x.contiguous(memory_format=layout).requires_grad_()


def layer(num_groups: int = 1, channels: int = 6, dtype=torch.float64, **options) -> SubBatchNorm3d:
    norm = SubBatchNorm3d(channels, **options).to(dtype)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    norm.num_groups = num_groups
    return norm


def members(count: int, num_groups: int) -> list[torch.Tensor]:
    """The clips of every group: clip i belongs to group i mod G."""
    return [torch.arange(g, count, num_groups) for g in range(num_groups)]


def by_hand(x: torch.Tensor, norm: nn.BatchNorm3d, groups: list[torch.Tensor]):
    """Output, and the mean over groups of means and unbiased variances, one group after the other."""
    y, means, variances = torch.zeros_like(x), [], []
    for group in groups:
        part = x[group]
        mean, var = part.mean((0, 2, 3, 4)), part.var((0, 2, 3, 4), unbiased=False)
        out = (part - mean.view(-1, 1, 1, 1)) / (var + norm.eps).sqrt().view(-1, 1, 1, 1)
        if norm.affine:
            out = out * norm.weight.view(-1, 1, 1, 1) + norm.bias.view(-1, 1, 1, 1)
        y = y.index_copy(0, group, out)
        means.append(mean)
        variances.append(part.var((0, 2, 3, 4), unbiased=True))
    return y, torch.stack(means).mean(0).detach(), torch.stack(variances).mean(0).detach()


def gradients(y: torch.Tensor, x: torch.Tensor, norm: nn.Module, weights: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad((y * weights).sum(), [x, *norm.parameters()]))


@LAYOUTS
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("num_groups", [2, 3, 6])
def test_every_group_is_normalized_by_itself(layout, affine, num_groups):
    x, norm = clips(6, layout), layer(num_groups, affine=affine)
    weights = torch.randn_like(x)
    y = norm(x)
    expected, mean, var = by_hand(x, norm, members(6, num_groups))
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(gradients(y, x, norm, weights), gradients(expected, x, norm, weights))
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * var)
    assert norm.num_batches_tracked == 1


@LAYOUTS
@pytest.mark.parametrize("num_groups", [1, 2])
def test_output_and_gradient_keep_the_layout(layout, num_groups):
    x, norm = clips(4, layout), layer(num_groups)
    y = norm(x)
    grad = torch.autograd.grad(y.sum(), x)[0]
    assert y.stride() == x.stride() == grad.stride()


def test_a_batch_of_odd_strides_is_normalized_too():
    x, norm = clips(4), layer(2)
    odd = x.transpose(3, 4)[:, :, :, ::2]
    torch.testing.assert_close(norm(odd), layer_like(norm)(odd.contiguous()))


def layer_like(norm: SubBatchNorm3d) -> SubBatchNorm3d:
    fresh = copy.deepcopy(norm)
    fresh.reset_running_stats()
    return fresh


@LAYOUTS
def test_one_group_is_plain_batch_norm_to_the_last_bit(layout):
    x, norm = clips(5, layout, dtype=torch.float32), layer(dtype=torch.float32)
    plain = nn.BatchNorm3d(6)
    plain.load_state_dict(norm.state_dict())
    assert torch.equal(norm(x), plain(x))
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), plain.buffers(), strict=True))


@LAYOUTS
def test_evaluation_is_plain_batch_norm(layout):
    x, norm = clips(6, layout), layer(3)
    norm(x)
    plain = nn.BatchNorm3d(6).double()
    plain.load_state_dict(norm.state_dict())
    assert torch.equal(norm.eval()(x), plain.eval()(x))
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("batch", "wanted", "groups"), [(12, 2, 2), (17, 4, 1), (12, 5, 4), (9, 4, 3), (1, 8, 1), (8, 100, 8), (0, 4, 1)]
)
def test_a_batch_is_cut_into_the_largest_divisor_not_above_the_requested_groups(batch, wanted, groups):
    assert largest_divisor(batch, wanted) == groups


@LAYOUTS
@pytest.mark.parametrize("batch", [1, 2, 5, 7, 12])
def test_any_batch_is_accepted(layout, batch):
    norm = layer(4)
    groups = members(batch, largest_divisor(batch, 4))
    x = clips(batch, layout)
    torch.testing.assert_close(norm(x), by_hand(x, norm, groups)[0])


@LAYOUTS
def test_without_a_momentum_the_running_statistics_are_the_mean_over_all_batches(layout):
    norm, means = layer(2, momentum=None), []
    for _ in range(3):
        x = clips(4, layout)
        means.append(by_hand(x, norm, members(4, 2))[1])
        norm(x)
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))


@LAYOUTS
def test_without_running_statistics_every_batch_is_normalized_by_its_own(layout):
    x, norm = clips(4, layout), layer(2, track_running_stats=False)
    assert norm.running_mean is None
    torch.testing.assert_close(norm(x), by_hand(x, norm, members(4, 2))[0])
    torch.testing.assert_close(norm.eval()(x), by_hand(x, norm, [torch.arange(4)])[0])


@LAYOUTS
def test_low_precision_input_keeps_its_type_and_float_statistics(layout):
    x, norm = clips(4, layout, dtype=torch.bfloat16), layer(2, dtype=torch.float32)
    y = norm(x)
    expected, mean, _ = by_hand(x.float(), norm, members(4, 2))
    grads = gradients(y, x, norm, torch.ones_like(y))
    assert y.dtype == grads[0].dtype == torch.bfloat16
    assert norm.running_mean.dtype == grads[1].dtype == torch.float32
    torch.testing.assert_close(y.float(), expected, atol=0.03, rtol=0.03)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)


@LAYOUTS
def test_a_layer_of_low_precision_is_accepted(layout):
    x, norm = clips(4, layout, dtype=torch.bfloat16), layer(2, dtype=torch.bfloat16)
    y = norm(x)
    grads = gradients(y, x, norm, torch.ones_like(y))
    expected, mean, _ = by_hand(x.float(), copy.deepcopy(norm).float(), members(4, 2))
    assert {t.dtype for t in (y, *grads, norm.running_mean)} == {torch.bfloat16}
    torch.testing.assert_close(y.float(), expected, atol=0.03, rtol=0.03)
    torch.testing.assert_close(norm.running_mean.float(), 0.1 * mean, atol=0.01, rtol=0.01)


@LAYOUTS
def test_a_low_precision_gradient_is_the_float_one_rounded(layout):
    x, norm = clips(4, layout, dtype=torch.bfloat16), layer(2, dtype=torch.float32)
    weights = torch.randn_like(x)
    exact = x.detach().float().requires_grad_()
    low = gradients(norm(x), x, norm, weights)[0]
    high = gradients(norm(exact), exact, norm, weights.float())[0]
    torch.testing.assert_close(low.float(), high, atol=0.02, rtol=0.02)


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_copy_of_the_input_and_small_vectors_are_saved_for_backward(layout, dtype):
    x, norm = clips(8, layout, dtype=dtype), layer(4, dtype=torch.float32)
    assert x.nbytes <= saved_bytes(norm, x) <= x.nbytes + small_vectors(4)


def saved_bytes(norm: nn.Module, x: torch.Tensor) -> int:
    """Bytes of all tensors that a forward pass saves for backward, each memory counted once."""
    saved = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.setdefault(t.data_ptr(), t), lambda t: t):
        y = norm(x)
    assert y.requires_grad
    return sum(t.nbytes for t in saved.values())


def small_vectors(num_groups: int, channels: int = 6) -> int:
    """Bytes of ten float32 values for every channel of every group."""
    return 10 * 4 * channels * num_groups


@LAYOUTS
def test_an_in_place_relu_may_follow(layout):
    x, norm = clips(4, layout), layer(2)
    weights = torch.randn_like(x)
    y = torch.relu_(norm(x))
    expected = torch.relu(by_hand(x, norm, members(4, 2))[0])
    torch.testing.assert_close(gradients(y, x, norm, weights), gradients(expected, x, norm, weights))


@LAYOUTS
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("num_groups", [1, 2, 4])
@pytest.mark.parametrize("training", [True, False])
def test_the_cuda_kernels_give_the_same_result(layout, affine, num_groups, training):
    x, norm = clips(4, layout, dtype=torch.float32), layer(num_groups, dtype=torch.float32, affine=affine)
    twin, weights = copy.deepcopy(norm).train(training), torch.randn_like(x)
    norm.train(training)
    with CudaKernels() as cuda:
        y = norm(x)
        grads = gradients(y, x, norm, weights)
    assert cuda.used >= {"forward", "backward"}
    expected = twin(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(grads, gradients(expected, x, twin, weights), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.state_dict(), twin.state_dict())


@LAYOUTS
@pytest.mark.parametrize("num_groups", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_the_cuda_kernels_make_no_float_copy_of_a_batch_of_low_precision(layout, num_groups, training):
    x, norm = clips(4, layout, dtype=torch.bfloat16), layer(num_groups, dtype=torch.float32).train(training)
    with CudaKernels():
        y = norm(x)
        grads = gradients(y, x, norm, torch.ones_like(y))
    assert y.dtype == grads[0].dtype == torch.bfloat16


def test_the_check_of_cuda_kernels_finds_a_float_copy_and_shared_outputs():
    x, one = clips(4, CHANNELS_LAST, dtype=torch.bfloat16), torch.zeros(6)
    with CudaKernels(), pytest.raises(AssertionError, match="float copy"):
        nn.BatchNorm3d(6)(x)
    with CudaKernels(), pytest.raises(AssertionError, match="two outputs"):
        torch.batch_norm_update_stats(x.flatten(2, 3), one, one, 1.0)


# --- models -----------------------------------------------------------------------------------------


def network() -> nn.Sequential:
    inner = nn.Sequential(nn.Conv3d(4, 4, 3, padding=1, bias=False), nn.BatchNorm3d(4), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, bias=False), nn.BatchNorm3d(4), nn.ReLU(), inner, nn.Flatten(), nn.LazyLinear(2)
    )


def test_a_model_has_the_loss_and_gradient_norm_of_one_normalized_group_by_group():
    x, model = torch.randn(8, 3, 4, 6, 6, dtype=torch.float64), network().double()
    model(x)  # makes the lazy layer
    model = convert(model)
    regroup(model, 4)
    loss, norm = loss_and_gradient_norm(model, x)
    regroup(model, 1)
    parts = torch.cat([model(x[g::4]) for g in range(4)])
    separate = torch.autograd.grad(parts.square().mean(), list(model.parameters()))
    assert loss == pytest.approx(parts.square().mean().item(), rel=1e-10)
    assert norm == pytest.approx(total_norm(separate), rel=1e-10)


def loss_and_gradient_norm(model: nn.Module, x: torch.Tensor) -> tuple[float, float]:
    loss = model(x).square().mean()
    return loss.item(), total_norm(torch.autograd.grad(loss, list(model.parameters())))


def total_norm(grads) -> float:
    return torch.cat([grad.flatten() for grad in grads]).norm().item()


def test_converting_shares_the_tensors_and_keeps_modules_hooks_and_names():
    model = network()
    before, norm, calls = model.state_dict(keep_vars=True), model[1], []
    norm.register_forward_hook(lambda *_: calls.append(1))
    assert convert(model) is model
    after = model.state_dict(keep_vars=True)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert model[1] is norm
    assert [type(m) for m in model.modules() if isinstance(m, nn.BatchNorm3d)] == [SubBatchNorm3d] * 2
    norm(clips(2, channels=4, dtype=torch.float32))
    assert calls == [1]


def test_a_single_batch_norm_is_converted_and_other_layers_are_unchanged():
    class Special(nn.BatchNorm3d):
        pass

    assert type(convert(nn.BatchNorm3d(3))) is SubBatchNorm3d
    assert type(convert(Special(3))) is Special
    assert type(convert(nn.BatchNorm2d(3))) is nn.BatchNorm2d


def test_names_are_those_of_plain_batch_norm_and_states_load_either_way():
    plain, norm = nn.BatchNorm3d(6).double(), layer(2)
    assert list(norm.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(norm.state_dict())
    norm.load_state_dict(nn.BatchNorm3d(6).state_dict())
    assert isinstance(norm, nn.BatchNorm3d)
    assert norm.num_groups == 2


def test_regrouping_reaches_every_layer_in_place():
    model = convert(network())
    regroup(model, 4)
    assert [m.num_groups for m in model.modules() if isinstance(m, SubBatchNorm3d)] == [4, 4]
    assert "num_groups=4" in repr(model)
    regroup(model, 1)
    assert [m.num_groups for m in model.modules() if isinstance(m, SubBatchNorm3d)] == [1, 1]


def test_regrouping_refuses_models_without_grouped_batch_norm():
    with pytest.raises(ValueError, match="num_groups is 0"):
        regroup(convert(network()), 0)
    with pytest.raises(ValueError, match=r"convert\(model\)"):
        regroup(network(), 2)
    regroup(network(), 1)
    regroup(nn.Linear(2, 2), 2)


def test_a_copied_layer_is_independent():
    norm = layer(2)
    twin = copy.deepcopy(norm)
    twin(clips(4))
    assert twin.num_groups == 2
    assert norm.num_batches_tracked == 0
    assert twin.weight is not norm.weight


def test_one_process_keeps_its_statistics():
    norm = layer(2)
    norm(clips(4))
    before = norm.running_var.clone()
    average_statistics(norm)
    assert torch.equal(norm.running_var, before)


# --- clips of a group ----------------------------------------------------------------------------------


@LAYOUTS
@pytest.mark.parametrize("ranks", [2, 4])
def test_groups_consist_of_the_same_clips_for_any_number_of_processes(layout, ranks):
    alone = normalized_clips(layout)
    parts = [normalized_clips(layout, rank, ranks) for rank in range(ranks)]
    together = {clip: y for part in parts for clip, y in part.items()}
    assert sum(len(part) for part in parts) == len(together)
    assert together.keys() == alone.keys()
    for clip, y in together.items():
        torch.testing.assert_close(y, alone[clip])


def normalized_clips(layout, rank=0, ranks=1, num_groups=4, sync_ranks=1, process_group=None) -> dict:
    """One rank's normalized clips, by epoch and video; global batches of 16 and 32 clips form `num_groups` groups."""
    shapes = Shape(16 // ranks, 8, 32), Shape(32 // ranks, 4, 32)
    groups = num_groups * sync_ranks // ranks
    phase = Phase(shapes, bn_groups=groups, bn_sync_ranks=sync_ranks, stage=0, start_epoch=0.0, end_epoch=2.0)
    legs = Schedule((phase,)).plan(100, ranks)
    videos = torch.randn(100, 6, 2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    norm = SubBatchNorm3d(6).double()
    regroup(norm, phase.bn_groups, process_group)
    result = {}
    for batch in ShortCycleBatchSampler(legs, 100, rank=rank, world_size=ranks):
        x = videos[[clip.video for clip in batch]].contiguous(memory_format=layout)
        result |= {(clip.epoch, clip.video): y for clip, y in zip(batch, norm(x).detach(), strict=True)}
    return result


# --- processes --------------------------------------------------------------------------------------


def test_processes_synchronize_all_together_or_in_pairs_and_agree_on_the_running_statistics(tmp_path):
    check_in_processes(4, tmp_path)


def check_in_processes(ranks: int, folder) -> None:
    """Fails here if a check fails in one of them. Forked, because importing torch four times takes long."""
    mp.start_processes(_one_process, (ranks, str(folder / "meet")), nprocs=ranks, start_method="fork")


def _one_process(rank: int, ranks: int, meeting: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    try:
        pairs = [dist.new_group([first, first + 1]) for first in range(0, ranks, 2)]
        for layout in (CONTIGUOUS, CHANNELS_LAST):
            check_clips_of_shared_groups(layout, rank, ranks, pairs[rank // 2])
        for process_group in (dist.group.WORLD, pairs[rank // 2]):
            check_processes_are_one_with_the_whole_batch(process_group)
        check_low_precision()
        check_cuda_kernels()
        check_saved_bytes()
        check_average(rank)
        check_copy()
    finally:
        dist.destroy_process_group()


def check_clips_of_shared_groups(layout, rank: int, ranks: int, pair) -> None:
    """Pairs of ranks with one group each: a pair's group consists of the clips of one of the groups of one process."""
    alone = normalized_clips(layout, num_groups=ranks // 2)
    for clip, y in normalized_clips(layout, rank, ranks, ranks // 2, 2, pair).items():
        torch.testing.assert_close(y, alone[clip])


def check_processes_are_one_with_the_whole_batch(process_group) -> None:
    for layout in (CONTIGUOUS, CHANNELS_LAST):
        for num_groups in (1, 2):
            check_against_whole_batch(process_group, layout, num_groups, torch.float64)
    check_against_whole_batch(process_group, CHANNELS_LAST, 2, torch.float32)
    check_against_whole_batch(process_group, CONTIGUOUS, 1, torch.float64, affine=False)


def check_against_whole_batch(process_group, layout, num_groups: int, dtype, **options) -> None:
    torch.manual_seed(1)
    rank, ranks = process_group.rank(), process_group.size()
    norm, whole = layer(num_groups, dtype=dtype, **options), clips(4 * ranks, dtype=dtype)
    weights, mine = torch.randn_like(whole), slice(4 * rank, 4 * rank + 4)
    norm.process_group = process_group
    x = whole[mine].detach().contiguous(memory_format=layout).requires_grad_()
    y = norm(x)
    grads = gradients(y, x, norm, weights[mine])
    assert y.stride() == x.stride() == grads[0].stride()

    groups = [torch.cat([g + 4 * r for r in range(ranks)]) for g in members(4, num_groups)]
    expected, mean, var = by_hand(whole, norm, groups)
    expected_grads = gradients(expected, whole, norm, weights)
    close = partial(torch.testing.assert_close, atol=1e-4 if dtype == torch.float32 else 1e-10, rtol=1e-4)
    close(y, expected[mine])
    close(grads[0], expected_grads[0][mine])
    close(norm.running_mean, 0.1 * mean)
    close(norm.running_var, 0.9 + 0.1 * var)
    for own, total in zip(grads[1:], expected_grads[1:], strict=True):
        dist.all_reduce(own, group=process_group)
        close(own, total)


def check_low_precision() -> None:
    norm = layer(dtype=torch.float32)
    norm.process_group = dist.group.WORLD
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = clips(2, CHANNELS_LAST, dtype=torch.bfloat16)
        y = norm(x)
    grad = torch.autograd.grad(y.float().square().sum(), x)[0]
    assert y.dtype == grad.dtype == torch.bfloat16
    assert norm.running_var.dtype == torch.float32
    assert grad.isfinite().all()


def check_cuda_kernels() -> None:
    with CudaKernels() as cuda:
        check_processes_are_one_with_the_whole_batch(dist.group.WORLD)
        check_low_precision()
    assert cuda.used == {"forward", "backward", "update_statistics"}


def check_saved_bytes() -> None:
    for layout, dtype in product((CONTIGUOUS, CHANNELS_LAST), (torch.float32, torch.bfloat16)):
        x, norm = clips(8, layout, dtype=dtype), layer(2, dtype=torch.float32)
        norm.process_group = dist.group.WORLD
        assert x.nbytes <= saved_bytes(norm, x) <= x.nbytes + small_vectors(2)


def check_average(rank: int) -> None:
    model = convert(nn.Sequential(nn.BatchNorm3d(3), nn.BatchNorm3d(2)))
    model[0].running_mean.fill_(float(rank))
    model[1].running_var.fill_(2.0 + 4 * rank)
    average_statistics(model)
    assert model[0].running_mean.tolist() == [1.5] * 3
    assert model[1].running_var.tolist() == [8.0] * 2
    assert model[0].running_var.tolist() == [1.0] * 3


def check_copy() -> None:
    model = convert(nn.Sequential(nn.BatchNorm3d(3)))
    regroup(model, 1, dist.group.WORLD)
    assert copy.deepcopy(model)[0].process_group is dist.group.WORLD


def test_a_group_of_one_process_is_plain_batch_norm(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        x, norm = clips(4, dtype=torch.float32), layer(dtype=torch.float32)
        plain = nn.BatchNorm3d(6)
        plain.load_state_dict(norm.state_dict())
        norm.process_group = dist.group.WORLD
        assert torch.equal(norm(x), plain(x))
    finally:
        dist.destroy_process_group()
