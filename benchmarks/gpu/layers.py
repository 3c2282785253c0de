"""Checks of layers: grouped and synchronized batch norm against float64, and how exact convolutions are.

Legend: N clips, G groups of clips, C channels, T frames, H x W pixels.
"""

import tempfile
from itertools import product

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.checking import Settings
from slowfast.multigrid import SubBatchNorm3d, regroup

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}
LIMITS = {"float32": 1e-4, "float16": 3e-3, "bfloat16": 2e-2}  # relative errors that rounding explains
TF32_LIMIT, EXACT_LIMIT = 3e-3, 1e-5  # of a convolution in float32, with TF32 and without it
RANKS, SHARED = 2, ("float32", "bfloat16")


def off_by(tensor: Tensor, exact: Tensor) -> float:
    """Return the relative error of a tensor."""
    exact = exact.detach().double().cpu()
    return float((tensor.detach().double().cpu() - exact).norm() / exact.norm())


def errors_text(errors: dict[str, float], limit: float) -> str:
    """Return errors as text. Raise AssertionError where one is above the limit or is not a number."""
    text = "off by " + ", ".join(f"{error:.0e} ({name})" for name, error in errors.items())
    assert all(error < limit for error in errors.values()), f"{text}; at most {limit:.0e}"
    return text


def batch_norm(settings: Settings, dtype: str, layout: str, groups: int) -> str:
    """Compare the output, all gradients and the running mean of grouped batch norm with float64 on the CPU."""
    torch.manual_seed(2)
    x, grad = ((torch.randn(8, 24, 4, 14, 14) * 2 + 1).to(getattr(torch, dtype)) for _ in range(2))
    weight, bias = torch.randn(24) * 0.1 + 1, torch.randn(24)
    exact = [t.double().requires_grad_() for t in (x, weight, bias)]
    exact_y = by_group(*exact, groups)
    exact_grads = torch.autograd.grad(exact_y, exact, grad.double())
    norm = SubBatchNorm3d(24)
    norm.load_state_dict({"weight": weight, "bias": bias}, strict=False)
    regroup(norm.to(settings.device), groups)
    x, grad = (t.to(settings.device, memory_format=LAYOUTS[layout]) for t in (x, grad))
    y = norm(x.requires_grad_())
    grads = torch.autograd.grad(y, (x, norm.weight, norm.bias), grad)
    errors = {name: off_by(got, want) for name, got, want in zip("xwb", grads, exact_grads, strict=True)}
    errors |= {"y": off_by(y, exact_y), "mean": off_by(norm.running_mean, 0.1 * exact[0].mean((0, 2, 3, 4)))}
    assert y.is_contiguous(memory_format=LAYOUTS[layout]), f"the output has strides {y.stride()}"
    assert grads[0].is_contiguous(memory_format=LAYOUTS[layout]), f"the gradient has strides {grads[0].stride()}"
    return errors_text(errors, LIMITS[dtype])


def by_group(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Normalize every group of clips on its own: clip i belongs to group i mod G."""
    parts = [F.batch_norm(x[g::groups], None, None, weight, bias, training=True) for g in range(groups)]
    return torch.stack(parts, dim=1).flatten(0, 1)  # (N/G, G, C, T, H, W) -> (N, C, T, H, W)


def synchronized_batch_norm(settings: Settings) -> str:
    """Compare batch norm over two ranks on one device with float64. Gloo connects them, as NCCL takes one rank each."""
    texts = mp.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_shared, (f"file://{folder}/meet", settings.device.type, texts), nprocs=RANKS)
    return texts.get()


def _shared(rank: int, address: str, device: str, texts) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", address, world_size=RANKS, rank=rank)
    found = [
        f"{dtype} {layout} {errors_text(_shared_errors(rank, device, dtype, layout), LIMITS[dtype])}"
        for dtype, layout in product(SHARED, LAYOUTS)
    ]
    if rank == 0:
        texts.put("; ".join(found))
    dist.barrier()
    dist.destroy_process_group()


def _shared_errors(rank: int, device: str, dtype: str, layout: str) -> dict[str, float]:
    torch.manual_seed(3)
    batch, grad = (torch.randn(8, 12, 2, 6, 6).to(getattr(torch, dtype)) for _ in range(2))
    mine = slice(4 * rank, 4 * rank + 4)
    exact = batch.double().requires_grad_()
    exact_y = F.batch_norm(exact, None, None, training=True)
    (exact_grad,) = torch.autograd.grad(exact_y, exact, grad.double())
    norm = SubBatchNorm3d(12).to(device)
    regroup(norm, 1, dist.group.WORLD)
    x, own_grad = (t[mine].to(device, memory_format=LAYOUTS[layout]) for t in (batch, grad))
    y = norm(x.requires_grad_())
    (own,) = torch.autograd.grad(y, x, own_grad)
    return {"y": off_by(y, exact_y[mine]), "x": off_by(own, exact_grad[mine])}


def convolution(settings: Settings, kernel: tuple[int, int, int], channels: int) -> str:
    """Return the error of a convolution in float32, as torch has it (TF32 on many GPUs) and without TF32."""
    torch.manual_seed(4)
    x, weight = torch.randn(2, channels, 4, 14, 14), torch.randn(channels, channels, *kernel)
    padding = [size // 2 for size in kernel]
    exact = F.conv3d(x.double(), weight.double(), padding=padding)
    x, weight = x.to(settings.device), weight.to(settings.device)
    default = off_by(F.conv3d(x, weight, padding=padding), exact)
    assert default < TF32_LIMIT, f"off by {default:.0e}, and TF32 explains {TF32_LIMIT:.0e}"
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        exactly = off_by(F.conv3d(x, weight, padding=padding), exact)
    return f"by default off by {default:.0e}; " + errors_text({"without TF32": exactly}, EXACT_LIMIT)
