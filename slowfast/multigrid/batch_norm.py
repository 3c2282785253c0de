"""Batch norm over sub-mini-batches: small groups of clips, however large the batch (Section 3.4 of the paper).

Multigrid's batches grow to 8 B clips and more, and batch norm would then normalize over too many of them. Here a batch
is normalized in groups or, where a device holds too few clips, together with the batches of other processes.

    model = convert(model)                 # turns any model's nn.BatchNorm3d into SubBatchNorm3d
    regroup(model, num_groups=4)           # at each change of shape, in place

Legend: N clips, G groups of clips, C channels, T frames, H x W pixels.
"""

from __future__ import annotations  # torch.distributed may be built without its types

import copy

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from slowfast.errors import UserError


class SubBatchNorm3d(nn.BatchNorm3d):
    """An nn.BatchNorm3d, with the same names and one set of running statistics, that can normalize in groups.

    In training, clip i of a batch belongs to group i mod G. G is the largest divisor of the number of clips that is not
    above `num_groups`. The processes of `process_group` share the statistics of equally numbered groups. With None this
    process uses its own. With one group and one process the layer is exactly nn.BatchNorm3d.

    The running statistics move once per forward pass, toward the mean over the groups of the groups' means and
    unbiased variances.
    """

    num_groups: int = 1
    process_group: dist.ProcessGroup | None = None

    def forward(self, x: Tensor) -> Tensor:
        super()._check_input_dim(x)
        num_groups = largest_divisor(x.shape[0], self.num_groups)
        alone = self.process_group is None or self.process_group.size() == 1
        if not self.training or (num_groups == 1 and alone):
            return self._plain(x)
        if not x.is_contiguous(memory_format=torch.channels_last_3d):
            x = x.contiguous()
        process_group = None if alone else self.process_group
        y, mean, var = self._normalize(_groups_to_channels(x, num_groups), num_groups, process_group)
        self._update_running_statistics(mean.view(num_groups, -1), var.view(num_groups, -1))
        return _channels_to_groups(y, num_groups, x)

    def _plain(self, x: Tensor) -> Tensor:
        """Apply nn.BatchNorm3d. A channels-last batch is passed on in four dimensions (see `_groups_to_channels`)."""
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last_3d):
            return super().forward(x)
        y = super().forward(x.flatten(2, 3))  # (N, C, T, H, W) -> (N, C, T*H, W)
        return torch.ops.aten._unsafe_view(y, x.shape)  # no view, as in `_channels_to_groups`

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept the four dimensions of `_plain`. `forward` has checked its own input."""

    def _normalize(
        self, x: Tensor, num_groups: int, process_group: dist.ProcessGroup | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize (N/G, G*C, T*H, W) by channel. Return it with its means and unbiased variances, (G*C,) each."""
        mean, var = _empty_statistics(x)
        weight, bias = (p if p is None else p.to(mean.dtype).repeat(num_groups) for p in (self.weight, self.bias))
        if process_group is not None:
            return _shared_batch_norm(x, weight, bias, self.eps, process_group)
        y = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=1.0, eps=self.eps)
        return y, mean, var

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics toward the average of the groups' statistics, (G, C) each."""
        if not self.track_running_stats or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for running, groups in ((self.running_mean, mean), (self.running_var, var)):
            if running is not None:
                running.lerp_(groups.mean(0).to(running.dtype), momentum)

    def __deepcopy__(self, memo: dict) -> SubBatchNorm3d:
        """Copy everything but the process group, which cannot be copied and is shared."""
        memo[id(self.process_group)] = self.process_group
        memo[id(self)] = twin = type(self).__new__(type(self))
        twin.__dict__ = copy.deepcopy(self.__dict__, memo)
        return twin

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", num_groups={self.num_groups}" if self.num_groups > 1 else "")


def regroup(model: nn.Module, num_groups: int, process_group: dist.ProcessGroup | None = None) -> None:
    """Set the number of groups, and the processes that share them, of every SubBatchNorm3d of `model`, in place.

    Raises UserError for fewer than one group, and for groups in a model that only has nn.BatchNorm3d.
    """
    if num_groups < 1:
        raise UserError(f"num_groups is {num_groups}; a batch is normalized in at least 1 group")
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
    """Turn every nn.BatchNorm3d of `model` into a SubBatchNorm3d in place, and return the model.

    The modules stay the same objects, so their tensors, hooks and optimizer state remain valid. Subclasses of
    nn.BatchNorm3d are not changed.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SubBatchNorm3d
    return model


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running mean and variance of every batch norm of `model`, not copies of them."""
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [b for m in layers for b in (m.running_mean, m.running_var) if b is not None]


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Average the running statistics over all processes, so that all evaluate the same model."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    buffers = running_statistics(model)
    if not buffers:
        return
    flat = torch.cat([b.double() for b in buffers])  # one message for all layers
    dist.all_reduce(flat)
    for buffer, mean in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(mean / dist.get_world_size())


def largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of `number` that is not above `limit`, or 1 for an empty batch."""
    return next((d for d in range(min(number, limit), 1, -1) if number % d == 0), 1)


# --- groups as channels -----------------------------------------------------------------------------


def _groups_to_channels(x: Tensor, num_groups: int) -> Tensor:
    """Make every group of clips a block of channels, so that one plain batch norm normalizes all groups.

    This is a view of a contiguous batch. A channels-last batch is copied once, to channels-last. T and H are merged,
    because torch's fast CUDA kernels for channels-last take four dimensions.
    """
    x = x.flatten(2, 3)  # (N, C, T, H, W) -> (N, C, T*H, W)
    if x.is_contiguous():
        return x.view(-1, num_groups * x.shape[1], *x.shape[2:])  # -> (N/G, G*C, T*H, W)
    x = x.permute(0, 2, 3, 1).unflatten(0, (-1, num_groups))  # -> (N/G, G, T*H, W, C)
    x = x.permute(0, 2, 3, 1, 4).flatten(3)  # -> (N/G, T*H, W, G*C)
    return x.permute(0, 3, 1, 2)  # -> (N/G, G*C, T*H, W)


def _channels_to_groups(y: Tensor, num_groups: int, like: Tensor) -> Tensor:
    """Undo `_groups_to_channels`: the result has the shape and the layout of `like`."""
    if like.is_contiguous():
        # Nothing else refers to y, so autograd need not track a view, and an in-place ReLU may follow at no cost.
        # With y.view, batch norm and ReLU of 8 x 64 x 8 x 28 x 28 in 4 groups take 10.4 ms on a CPU, not 7.5 ms.
        return torch.ops.aten._unsafe_view(y, like.shape)  # (N/G, G*C, T*H, W) -> (N, C, T, H, W)
    y = y.permute(0, 2, 3, 1).unflatten(3, (num_groups, -1))  # (N/G, G*C, T*H, W) -> (N/G, T*H, W, G, C)
    y = y.permute(0, 3, 1, 2, 4).flatten(0, 1)  # -> (N, T*H, W, C)
    return y.unflatten(1, like.shape[2:4]).permute(0, 4, 1, 2, 3)  # -> (N, C, T, H, W)


# --- processes --------------------------------------------------------------------------------------


def _shared_batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, process_group: dist.ProcessGroup
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize by the statistics of all processes. Return the result, the means and the unbiased variances.

    The gradient is that of the sum of all processes' losses, as if one process had all clips.
    """
    mean, var, count = _SharedMoments.apply(x, process_group)
    scale = (var + eps).rsqrt() * (1 if weight is None else weight)
    center = mean.detach()  # any constant gives the same result; this one keeps the sums of the backward pass small
    shift = (center - mean) * scale + (0 if bias is None else bias)
    return _scale_and_shift(x, center, scale, shift), center, var.detach() * (count / (count - 1))


class _SharedMoments(Function):
    """The mean and the biased variance of each channel over all processes, and the number of values in a channel.

    There is one all-reduce forward and one backward, and of the batch only x itself is saved.
    """

    @staticmethod
    def forward(ctx, x: Tensor, process_group: dist.ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
        statistics = _empty_statistics(x)
        # Unlike var_mean, this makes no float copy of a bfloat16 batch.
        mean, var = torch.batch_norm_update_stats(x, statistics[0], statistics[1], 1.0)
        mean, var = mean.double(), var.double()  # for an accurate difference of squares below
        count = torch.full_like(mean, x.numel() // x.shape[1])
        sums = torch.stack((count, count * mean, count * (var + mean.square())))
        dist.all_reduce(sums, group=process_group)
        count, mean, square = sums[0], sums[1] / sums[0], sums[2] / sums[0]
        var = (square - mean.square()).clamp_(min=0)
        mean, var, count = (s.to(statistics.dtype) for s in (mean, var, count))
        ctx.process_group = process_group
        ctx.save_for_backward(x, mean, count)
        ctx.mark_non_differentiable(count)
        return mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_mean: Tensor, grad_var: Tensor, _grad_count: Tensor) -> tuple[Tensor, None]:
        x, mean, count = ctx.saved_tensors
        grads = torch.stack((grad_mean, grad_var))
        dist.all_reduce(grads, group=ctx.process_group)
        grad_mean, grad_var = grads / count
        return _scale_and_shift(x, mean, 2 * grad_var, grad_mean), None


def _scale_and_shift(x: Tensor, center: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return (x - center) * scale + shift for every channel: batch norm in evaluation, with a variance of 1."""
    return F.batch_norm(x, center, torch.ones_like(center), scale, shift, eps=0.0)


def _empty_statistics(x: Tensor) -> Tensor:
    """Zeros (2, C) for the means and variances of x: in float32, or in float64 where x is."""
    return x.new_zeros(2, x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32))
