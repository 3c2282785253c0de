"""Batch norm over sub-mini-batches: small groups of clips, however large the batch (Section 3.4 of the paper).

Multigrid's batches grow to 8 B clips and more, and batch norm would then normalise over too many of them. Here a
batch is normalised in groups, or, where a device holds too few clips, together with the same group of other ranks.

    model = convert(model)                 # any model's nn.BatchNorm3d; the tensors are shared
    regroup(model, num_groups=4)           # at each change of shape, in place

Legend: N clips, G groups of clips, C channels, T frames, H x W pixels; P parts of K channels, P * K = G * C.
"""

from __future__ import annotations  # torch.distributed may be missing its types

import copy

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from slowfast.errors import UserError

aten = torch.ops.aten

SHORT_ROW = 16  # channels; a kernel's loop over fewer is too short (measured on a CPU)


class SubBatchNorm3d(nn.BatchNorm3d):
    """An nn.BatchNorm3d, with its names and one set of running statistics, that can normalise in groups.

    `num_groups`: into how many groups of clips a training batch is cut; a batch it does not divide is cut into the
    largest divisor of its size not above it. `process_group`: the processes whose equally numbered groups share
    their statistics, None for this process alone. With one group and one process it is exactly nn.BatchNorm3d.

    The running statistics move once per forward pass, toward the mean over the groups of the groups' means and
    unbiased variances.
    """

    num_groups: int = 1
    process_group: dist.ProcessGroup | None = None

    def forward(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)
        num_groups = largest_divisor(x.shape[0], self.num_groups)
        process_group = self.process_group
        if process_group is not None and process_group.size() == 1:
            process_group = None
        if not self.training or (num_groups == 1 and process_group is None):
            return super().forward(x)
        if not x.is_contiguous(memory_format=torch.channels_last_3d):
            x = x.contiguous()
        if process_group is None and x.is_contiguous():
            y, stats = self._normalise_view(x, num_groups)
        else:
            y, stats = self._normalise_parts(x, num_groups, process_group)
        self._move_running_statistics(stats)
        return y

    def _normalise_view(self, x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
        """Clip i in group i mod G: the groups are channels of a view, and one plain batch norm does it all."""
        stats = self._empty_statistics(x, 1, num_groups * self.num_features)
        weight, bias = (None if p is None else p.repeat(num_groups) for p in (self.weight, self.bias))
        view = x.view(-1, num_groups * self.num_features, *x.shape[2:])  # (N, C, T, H, W) -> (N/G, G*C, T, H, W)
        y = F.batch_norm(view, stats[0, 0], stats[1, 0], weight, bias, True, 1.0, self.eps)
        # Nobody else holds y: told so, autograd lets the ReLU after it work in place without copies.
        y = aten._unsafe_view(y, x.shape)  # (N/G, G*C, T, H, W) -> (N, C, T, H, W)
        return y, stats.view(2, num_groups, -1)  # (2, 1, G*C) -> (2, G, C)

    def _normalise_parts(self, x: Tensor, num_groups: int, process_group) -> tuple[Tensor, Tensor]:
        """Clips next to each other share a group where the batch is channels-last: dense parts, which stay so."""
        groups_in_view = num_groups if x.is_contiguous() else 1
        stats = self._empty_statistics(x, num_groups // groups_in_view, groups_in_view * self.num_features)
        y = _GroupedBatchNorm.apply(x, self.weight, self.bias, stats, self.eps, process_group)
        return y, stats.view(2, num_groups, -1)  # (2, P, K) -> (2, G, C)

    def _empty_statistics(self, x: Tensor, *shape: int) -> Tensor:
        """Room for means and unbiased variances, in the precision of the layer's own tensors."""
        own = self.running_mean if self.weight is None else self.weight
        dtype = torch.promote_types(x.dtype, torch.float32) if own is None else own.dtype
        return torch.zeros(2, *shape, dtype=dtype, device=x.device)

    @torch.no_grad()
    def _move_running_statistics(self, stats: Tensor) -> None:
        """`stats`: (2, G, C), the groups' means and unbiased variances."""
        if not self.track_running_stats or self.running_mean is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        mean, var = stats.mean(dim=1).to(self.running_mean.dtype)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var, momentum)

    def __deepcopy__(self, memo: dict) -> SubBatchNorm3d:
        """A copy talks to the same processes: a process group is shared, it cannot be copied."""
        memo[id(self.process_group)] = self.process_group
        memo[id(self)] = twin = type(self).__new__(type(self))
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", num_groups={self.num_groups}" if self.num_groups > 1 else "")


def regroup(model: nn.Module, num_groups: int, process_group: dist.ProcessGroup | None = None) -> None:
    """Set the groups of every SubBatchNorm3d of `model`, and the processes they span, in place.

    Raises UserError for fewer than one group, and where there is only nn.BatchNorm3d to regroup.
    """
    if num_groups < 1:
        raise UserError(f"num_groups is {num_groups}; a batch is normalised in at least 1 group")
    layers = [m for m in model.modules() if isinstance(m, SubBatchNorm3d)]
    grouped = num_groups > 1 or process_group is not None
    if grouped and not layers and any(isinstance(m, nn.BatchNorm3d) for m in model.modules()):
        raise UserError(
            f"num_groups is {num_groups}, but the model's batch norms are nn.BatchNorm3d, which has no groups; "
            "call slowfast.multigrid.convert(model) first"
        )
    for layer in layers:
        layer.num_groups, layer.process_group = num_groups, process_group


def convert(model: nn.Module) -> nn.Module:
    """Turn every nn.BatchNorm3d of `model` into a SubBatchNorm3d, and return the model.

    In place: the modules stay the objects they are, so their tensors, hooks and optimiser state stay valid.
    Subclasses of nn.BatchNorm3d are left alone.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SubBatchNorm3d
            module.num_groups, module.process_group = 1, None
    return model


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Average the running statistics over all ranks, so that all evaluate the same model. One process keeps its own."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    buffers = [b for m in layers for b in (m.running_mean, m.running_var) if b is not None]
    if not buffers:
        return
    flat = torch.cat([b.double() for b in buffers])  # one message for all layers
    dist.all_reduce(flat)
    for buffer, mean in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(mean / dist.get_world_size())


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is not above `limit`; 1 for an empty batch."""
    return next((d for d in range(min(number, limit), 1, -1) if number % d == 0), 1)


class _GroupedBatchNorm(Function):
    """Batch norm of the parts of a batch, each normalised where it lies: dense, and with the input saved once.

    With a process group the groups span its processes: one all-reduce of sums forward and one backward. The gradient
    is then that of the sum of all processes' losses, as if one process had the whole batch.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, stats: Tensor, eps: float, process_group: dist.ProcessGroup | None) -> Tensor:
        """`stats`: zeros (2, P, K), filled with the groups' means and unbiased variances."""
        normalise = _normalise_alone if process_group is None else _normalise_together
        y = torch.empty_like(x)
        affine = [_repeat(p, stats.shape[2]) for p in (weight, bias)]
        saved, count = normalise(_parts(x, stats), _parts(y, stats), affine, stats, eps, process_group)
        ctx.save_for_backward(x, affine[0], saved)
        ctx.eps, ctx.count, ctx.process_group = eps, count, process_group
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, saved = ctx.saved_tensors
        grad = grad.contiguous() if x.is_contiguous() else grad.contiguous(memory_format=torch.channels_last_3d)
        rows = [*zip(_parts(grad, saved), _parts(x, saved), *saved, strict=True)]
        alone = ctx.process_group is None
        if alone and x.dtype != saved.dtype:  # the linear form below would need a float copy of the batch
            grad_x, sums = _native_gradients(rows, weight, x, ctx.eps)
        else:
            sums = _affine_sums(rows, ctx.eps)
            grad_x = _input_gradient(grad, x, weight, saved, _means(sums, ctx.count, ctx.process_group))
        by_weight, by_bias = sums.view(2, -1, x.shape[1]).sum(dim=1)  # (2, P, K) -> (2, C)
        return grad_x, *((None, None) if weight is None else (by_weight, by_bias)), None, None, None


def _parts(x: Tensor, like: Tensor) -> tuple[Tensor, ...]:
    """The batch as the P parts of K channels that `like`, (2, P, K), is about."""
    _, num_parts, num_channels = like.shape
    if num_channels == x.shape[1]:
        return x.chunk(num_parts)  # (N, C, T, H, W) -> G of (N/G, C, T, H, W)
    return (x.view(-1, num_channels, *x.shape[2:]),)  # (N, C, T, H, W) -> (N/G, G*C, T, H, W)


def _normalise_alone(parts, outputs, affine, stats: Tensor, eps: float, _process_group) -> tuple[Tensor, int]:
    """Normalise the parts by their own statistics; returns means and inverse deviations, (2, P, K), and the count."""
    saved = torch.empty_like(stats)
    for part, out, *rows, mean, invstd in zip(parts, outputs, *stats, *saved, strict=True):
        aten.native_batch_norm.out(part, *affine, *rows, True, 1.0, eps, out=out, save_mean=mean, save_invstd=invstd)
    return saved, parts[0].numel() // stats.shape[2]


def _normalise_together(parts, outputs, affine, stats: Tensor, eps: float, process_group) -> tuple[Tensor, Tensor]:
    """The same, by statistics over all processes of the group."""
    local = [aten.batch_norm_update_stats(part, *rows, 1.0) for part, *rows in zip(parts, *stats, strict=True)]
    mean, var = (torch.stack(values).double() for values in zip(*local, strict=True))  # (P, K), var biased
    count = torch.full_like(mean, parts[0].numel() // stats.shape[2])
    # In double precision the difference of squares below loses nothing that a float could show.
    sums = torch.stack((count, mean * count, (var + mean * mean) * count))
    dist.all_reduce(sums, group=process_group)
    count, (mean, square) = sums[0], sums[1:] / sums[0]
    var = (square - mean * mean).clamp_(min=0)
    stats.copy_(torch.stack((mean, var * count / (count - 1))))
    used, nothing = torch.stack((mean, var)).to(stats.dtype), stats.new_empty(0)
    for part, out, *rows in zip(parts, outputs, *used, strict=True):
        aten.native_batch_norm.out(
            part, *affine, *rows, False, 0.0, eps, out=out, save_mean=nothing, save_invstd=nothing
        )
    return torch.stack((used[0], (used[1] + eps).rsqrt())), count


def _affine_sums(rows: list, eps: float) -> Tensor:
    """Sums over each part of grad * normalised x, and of grad: (2, P, K)."""
    sums = []
    for grad, x, mean, invstd in rows:
        sums += aten.native_batch_norm_backward(
            grad, x, None, None, None, mean, invstd, True, eps, [False, True, True]
        )[1:]
    return _two_rows(sums)


def _means(sums: Tensor, count: int | Tensor, process_group: dist.ProcessGroup | None) -> Tensor:
    """The sums over the groups' clips on all processes, by their number: (2, P, K)."""
    if process_group is None:
        return sums / count
    total = sums.to(torch.float64, copy=True)
    dist.all_reduce(total, group=process_group)
    return (total / count).to(sums.dtype)


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor | None, saved: Tensor, means: Tensor) -> Tensor:
    """The gradient of x: weight * invstd * (grad - mean(grad) - normalised x * mean(grad * normalised x)).

    It is linear in grad and in x, so two passes over the batch make it, with the coefficients of every channel.
    """
    mean, invstd = saved
    scale = invstd if weight is None else invstd * weight
    slope = scale * invstd * means[0]
    coefficients = torch.stack((scale, -slope, slope * mean - scale * means[1]))  # (3, P, K)
    if x.is_contiguous():
        rows = (-1, mean.shape[1], x[0, 0].numel())  # (N, C, T, H, W) -> (N/G, K, T*H*W)
        return _linear(x.view(rows), grad.view(rows), coefficients.view(3, -1, 1)).view_as(x)
    x, grad = (t.permute(0, 2, 3, 4, 1) for t in (x, grad))  # -> (N, T, H, W, C), dense
    pixels = x.shape[3] if x.shape[4] < SHORT_ROW else 1
    rows = (len(mean), -1, pixels * x.shape[4])  # -> (P, N/P*T*H*W, C), or (P, N/P*T*H, W*C) of few channels
    coefficients = coefficients.repeat(1, 1, pixels).unsqueeze(2)
    return _linear(x.view(rows), grad.view(rows), coefficients).view_as(x).permute(0, 4, 1, 2, 3)


def _linear(x: Tensor, grad: Tensor, coefficients: Tensor) -> Tensor:
    scale, slope, offset = coefficients
    return torch.addcmul(offset, x, slope).addcmul_(grad, scale).to(x.dtype)


def _native_gradients(rows: list, weight: Tensor | None, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The gradient of x, and the sums of `_affine_sums`, part by part by the native kernel."""
    grad_x, sums = torch.empty_like(x), []
    for out, (grad, part, mean, invstd) in zip(grad_x.chunk(len(rows)), rows, strict=True):
        by_x, *by_affine = aten.native_batch_norm_backward(
            grad, part, weight, None, None, mean, invstd, True, eps, [True, True, True]
        )
        out.copy_(by_x)
        sums += by_affine
    return grad_x, _two_rows(sums)


def _two_rows(sums: list[Tensor]) -> Tensor:
    """Pairs of (K,), one pair a part, as (2, P, K)."""
    return torch.stack((*sums[0::2], *sums[1::2])).view(2, -1, len(sums[0]))


def _repeat(affine: Tensor | None, num_channels: int) -> Tensor | None:
    """A weight or bias (C,) for all channels of a part: (K,)."""
    return affine if affine is None or len(affine) == num_channels else affine.repeat(num_channels // len(affine))
