"""The batch norm of torch's CUDA kernels on CPU tensors: what they write, allocate and refuse, but not their rounding.

From torch 2.11, aten/src/ATen/native/cuda/Normalization.cu and Normalization.cuh.

Legend: N clips, C channels, ... any further axes.
"""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

LOW = (torch.float16, torch.bfloat16)


def accumulate_type(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype in LOW else x.dtype


def is_fast(x: Tensor) -> bool:
    """Whether the kernels for contiguous or channels-last memory take x. The general ones copy low precision."""
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))


def check_types(x: Tensor, *vectors: Tensor | None) -> None:
    assert x.dtype not in LOW or is_fast(x), f"a float copy of {tuple(x.shape)} with strides {x.stride()}"
    for vector in vectors:
        assert vector is None or vector.dtype in (x.dtype, accumulate_type(x)), f"{vector.dtype} for {x.dtype}"


def per_channel(vector: Tensor | None, x: Tensor, default: float) -> Tensor | float:
    return default if vector is None else vector.to(accumulate_type(x)).view(1, -1, *[1] * (x.ndim - 2))


def update_statistics(x, running_mean, running_var, momentum):
    """Return the mean and the biased variance, and move the running statistics, which are two outputs."""
    check_types(x, running_mean, running_var)
    var, mean = torch.var_mean(x.to(accumulate_type(x)), [d for d in range(x.ndim) if d != 1], correction=0)
    count = x.numel() // x.shape[1]
    if running_mean is not None:
        assert running_mean.data_ptr() != running_var.data_ptr(), "one tensor for two outputs"
        running_mean.copy_(mean * momentum + (1 - momentum) * running_mean)
        running_var.copy_(var * (count / (count - 1)) * momentum + (1 - momentum) * running_var)
    return mean, var


def forward(x, weight, bias, running_mean, running_var, training, momentum, eps):
    check_types(x, weight, bias, running_mean, running_var)
    if training:
        mean, var = update_statistics(x, running_mean, running_var, momentum)
    else:
        mean, var = (statistic.to(accumulate_type(x)) for statistic in (running_mean, running_var))
    inverse = (var + eps).rsqrt()
    y = (x.to(accumulate_type(x)) - per_channel(mean, x, 0)) * per_channel(inverse, x, 1)
    y = y * per_channel(weight, x, 1) + per_channel(bias, x, 0)
    return torch.empty_like(x).copy_(y), mean, inverse


def backward(grad, x, weight, running_mean, running_var, mean, inverse, training, eps, mask):
    check_types(x, weight)
    assert weight is not None or not (mask[1] or mask[2]), "sums of a backward pass without weight"
    axes = [d for d in range(x.ndim) if d != 1]
    g = grad.to(accumulate_type(x))
    normalized = (x.to(g.dtype) - per_channel(mean, x, 0)) * per_channel(inverse, x, 1)
    grad_weight, grad_bias = (g * normalized).sum(axes), g.sum(axes)
    if training:
        means = (per_channel(total / (x.numel() // x.shape[1]), x, 0) for total in (grad_bias, grad_weight))
        g = g - next(means) - normalized * next(means)
    g = g * per_channel(inverse, x, 1) * per_channel(weight, x, 1)
    sums = [s.to(weight.dtype) if m else None for m, s in zip(mask[1:], (grad_weight, grad_bias), strict=True)]
    return (torch.empty_like(x).copy_(g) if mask[0] else None, *sums)


class CudaKernels(TorchDispatchMode):
    """Replaces the operators of batch norm."""

    def __init__(self) -> None:
        super().__init__()
        aten = torch.ops.aten
        self.kernels = {
            aten.native_batch_norm.default: forward,
            aten.native_batch_norm_backward.default: backward,
            aten.batch_norm_update_stats.default: update_statistics,
        }
        self.used: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in self.kernels:
            self.used.add(self.kernels[func].__name__)
        return self.kernels.get(func, func)(*args, **(kwargs or {}))
