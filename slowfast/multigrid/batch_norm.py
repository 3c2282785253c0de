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

aten = torch.ops.aten


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
        synchronised = self.process_group is not None and self.process_group.size() > 1
        if not self.training or not (synchronised or num_groups > 1):
            return super().forward(x)
        if synchronised:
            y, stats = self._normalise_over_ranks(x, num_groups)
        elif x.is_contiguous():
            y, stats = self._normalise_interleaved(x, num_groups)
        else:
            y, stats = self._normalise_consecutive(x, num_groups)
        self._move_running_statistics(stats)
        return y

    def _normalise_interleaved(self, x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
        """Clip i in group i mod G: the groups are channels of a view, and one plain batch norm does it all."""
        stats = self._empty_statistics(x, 1, num_groups * self.num_features)
        weight, bias = (None if p is None else p.repeat(num_groups) for p in (self.weight, self.bias))
        view = x.view(-1, num_groups * self.num_features, *x.shape[2:])  # (N, C, T, H, W) -> (N/G, G*C, T, H, W)
        y = F.batch_norm(view, stats[0, 0], stats[1, 0], weight, bias, True, 1.0, self.eps)
        # Nobody else holds y: told so, autograd lets the ReLU behind work in place without copies.
        y = aten._unsafe_view(y, x.shape)  # (N/G, G*C, T, H, W) -> (N, C, T, H, W)
        return y, stats.view(2, num_groups, self.num_features)  # (2, 1, G*C) -> (2, G, C)

    def _normalise_consecutive(self, x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
        """Clips next to each other share a group: dense parts of a channels-last batch, which stays channels-last."""
        stats = self._empty_statistics(x, num_groups, self.num_features)
        return _ConsecutiveGroups.apply(x, self.weight, self.bias, stats, self.eps), stats

    def _normalise_over_ranks(self, x: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
        # Parts: the groups as channels of one view where the layout allows it, else chunks of the batch.
        shape = (1, num_groups * self.num_features) if x.is_contiguous() else (num_groups, self.num_features)
        stats = self._empty_statistics(x, *shape)
        y = _SynchronisedGroups.apply(x, self.weight, self.bias, stats, self.eps, self.process_group)
        return y, stats.view(2, num_groups, self.num_features)  # (2, P, K) -> (2, G, C)

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

    Raises ValueError for fewer than one group, and where there is only nn.BatchNorm3d to regroup.
    """
    if num_groups < 1:
        raise ValueError(f"num_groups is {num_groups}; a batch is normalised in at least 1 group")
    layers = [m for m in model.modules() if isinstance(m, SubBatchNorm3d)]
    grouped = num_groups > 1 or process_group is not None
    if grouped and not layers and any(isinstance(m, nn.BatchNorm3d) for m in model.modules()):
        raise ValueError(
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


class _ConsecutiveGroups(Function):
    """Each of G chunks of a batch normalised where it lies: the output is not copied, the input is saved once."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor | None, bias: Tensor | None, stats: Tensor, eps: float) -> Tensor:
        """`stats`: zeros (2, G, C), filled with the groups' means and unbiased variances."""
        num_groups = stats.shape[1]
        y, saved = torch.empty_like(x), torch.empty_like(stats)
        rows = zip(x.chunk(num_groups), y.chunk(num_groups), *stats, *saved, strict=True)
        for part, out, mean, var, saved_mean, saved_invstd in rows:
            aten.native_batch_norm.out(
                part, weight, bias, mean, var, True, 1.0, eps, out=out, save_mean=saved_mean, save_invstd=saved_invstd
            )
        ctx.save_for_backward(x, weight, saved)
        ctx.eps = eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, saved = ctx.saved_tensors
        num_groups = saved.shape[1]
        mask = [ctx.needs_input_grad[0], weight is not None, weight is not None]
        grad_x, affine = torch.empty_like(x) if mask[0] else None, []
        rows = zip(grad.chunk(num_groups), x.chunk(num_groups), *saved, strict=True)
        for group, (grad_part, part, mean, invstd) in enumerate(rows):
            by_x, *by_affine = aten.native_batch_norm_backward(
                grad_part, part, weight, None, None, mean, invstd, True, ctx.eps, mask
            )
            if mask[0]:
                grad_x.chunk(num_groups)[group].copy_(by_x)
            affine.append(by_affine)
        return grad_x, *_affine_gradients(affine, weight), None, None


class _SynchronisedGroups(Function):
    """Batch norm whose groups span several processes: one all-reduce of sums forward, and one backward.

    The gradient is that of the sum of all processes' losses, as if one process had the whole batch.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, stats: Tensor, eps: float, process_group: dist.ProcessGroup) -> Tensor:
        """`stats`: zeros (2, P, K), filled with the groups' means and unbiased variances over all processes."""
        parts = _parts(x, stats[0])
        local = [aten.batch_norm_update_stats(part, *stats[:, p], 1.0) for p, part in enumerate(parts)]
        mean, var = (torch.stack(values).double() for values in zip(*local, strict=True))  # (P, K), var biased
        count = torch.full_like(mean, parts[0].numel() / mean.shape[1])
        # In double precision the difference of squares below loses nothing that a float could show.
        count, mean, square = _sum_over_ranks((count, mean * count, (var + mean * mean) * count), process_group)
        mean, square = mean / count, square / count
        var = (square - mean * mean).clamp_(min=0)
        stats.copy_(torch.stack((mean, var * count / (count - 1))))
        mean, var = mean.to(stats.dtype), var.to(stats.dtype)
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.process_group = eps, process_group
        weight, bias = _repeat(weight, mean), _repeat(bias, mean)
        y = [F.batch_norm(part, mean[p], var[p], weight, bias, eps=eps) for p, part in enumerate(parts)]
        return (y[0] if len(y) == 1 else torch.cat(y)).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, var, count = ctx.saved_tensors
        rows = [*zip(_parts(grad, mean), _parts(x, mean), mean, var, strict=True)]
        affine = [  # sums of grad * normalised x, and of grad
            aten.native_batch_norm_backward(*row[:2], None, *row[2:], None, None, False, ctx.eps, [False, True, True])[
                1:
            ]
            for row in rows
        ]
        grad_x = None
        if ctx.needs_input_grad[0]:
            sums = [torch.stack(values).double() for values in zip(*affine, strict=True)]
            by_weight, by_bias = (s / count for s in _sum_over_ranks(sums, ctx.process_group))
            terms = _input_gradient_terms(weight, mean, var, ctx.eps, by_weight, by_bias)
            grad_x = [_linear(g, part, *term) for (g, part, *_), *term in zip(rows, *terms, strict=True)]
            grad_x = (grad_x[0] if len(grad_x) == 1 else torch.cat(grad_x)).view_as(x)
        return grad_x, *_affine_gradients(affine, weight), None, None, None


def _parts(x: Tensor, like: Tensor) -> tuple[Tensor, ...]:
    """The batch as the P parts of K channels each that `like`, (P, K), has statistics for."""
    num_parts, num_channels = like.shape
    if num_parts > 1:
        return x.chunk(num_parts)
    return (x.reshape(-1, num_channels, *x.shape[2:]),)  # (N, C, T, H, W) -> (N/G, G*C, T, H, W)


def _repeat(affine: Tensor | None, like: Tensor) -> Tensor | None:
    """A weight or bias (C,) for every channel of a part: (K,)."""
    return None if affine is None else affine.repeat(like.shape[1] // len(affine))


def _affine_gradients(parts: list, weight: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of weight and bias, (C,) each, from those of the parts, (K,) each."""
    if weight is None:
        return None, None
    by_weight, by_bias = (torch.stack(grads).view(-1, len(weight)).sum(dim=0) for grads in zip(*parts, strict=True))
    return by_weight.to(weight.dtype), by_bias.to(weight.dtype)


def _sum_over_ranks(tensors, process_group: dist.ProcessGroup) -> tuple[Tensor, ...]:
    """The sums over the processes of tensors of one shape, in one message."""
    total = torch.stack(tuple(tensors))
    dist.all_reduce(total, group=process_group)
    return total.unbind()


def _input_gradient_terms(weight, mean, var, eps: float, by_weight: Tensor, by_bias: Tensor) -> tuple[Tensor, ...]:
    """Slopes and offset, (P, K) each, of the gradient of x, which is linear in the output's gradient and in x.

    It is scale * (grad - by_bias - normalised x * by_weight), where the latter two are means over a whole group.
    """
    invstd = (var + eps).rsqrt()
    scale = invstd if weight is None else invstd * _repeat(weight, mean)
    slope = -scale * invstd * by_weight.to(mean.dtype)
    return scale, slope, -scale * by_bias.to(mean.dtype) - slope * mean


def _linear(grad: Tensor, x: Tensor, scale: Tensor, slope: Tensor, offset: Tensor) -> Tensor:
    """scale * grad + slope * x + offset, each of them (K,), in the precision of the statistics."""
    scale, slope, offset = (v.view(-1, 1, 1, 1) for v in (scale, slope, offset))
    return torch.addcmul(offset, x, slope).addcmul_(grad, scale).to(x.dtype)
