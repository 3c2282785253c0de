"""Devices without hardware: tensors that have a device, a shape and a type, and no values.

The `meta` device takes whole training steps. Reading a value there (`item()`, `if tensor`, `nonzero`) is an error, and
`NoWaiting` makes errors of the rest that a GPU would wait for. A fake CUDA device takes evaluation, in mixed precision
too. Training on it needs a torch that is built with CUDA.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slowfast.engine import learner
from slowfast.engine.precision import Precision
from slowfast.models import build_model

META, CUDA = torch.device("meta"), torch.device("cuda", 0)
TO_COPY, COPY_INTO = torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default


class NoWaiting(TorchDispatchMode):
    """Raises AssertionError on operations that make the host wait for the device, or mix them.

    These are a copy from the device, a copy to it that is not asynchronous, and an operation on tensors of both. A
    single number on the host may take part in an operation on the device.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in (TO_COPY, COPY_INTO):
            source = args[1] if func is COPY_INTO else args[0]
            asynchronous = kwargs.get("non_blocking") or args[2:3] == (True,)
            self._check_copy(func, source.device.type, result.device.type, asynchronous)
        else:
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor) and t.ndim]
            devices = {t.device.type for t in tensors}
            assert len(devices) < 2, f"{func} on {devices}"
        return result

    @staticmethod
    def _check_copy(func, source: str, target: str, asynchronous: bool) -> None:
        assert source == target or (source == "cpu" and asynchronous), f"{func} from {source} to {target} waits"


@contextmanager
def fake_cuda(monkeypatch, has_bf16: bool = True) -> Iterator[None]:
    """Make all new tensors fake, and let torch believe that there is CUDA."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16)
    monkeypatch.setattr(learner, "build_model", _with_real_tensors)
    monkeypatch.setattr(Precision, "place", _place)
    with FakeTensorMode(), torch.no_grad():
        yield


def _with_real_tensors(cfg) -> nn.Module:
    with unset_fake_temporarily():
        return build_model(cfg)


def _place(precision: Precision, model: nn.Module) -> nn.Module:
    """Do what `Precision.place` does. `Module.to` does not take fake tensors (torch 2.13)."""
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                tensors[name] = None if tensor is None else _placed(tensor, precision)
    return model


def _placed(tensor: Tensor, precision: Precision) -> Tensor:
    layout = precision.memory_format if tensor.ndim == 5 else torch.contiguous_format
    fake = torch.empty(tensor.shape, dtype=tensor.dtype, device=precision.device, memory_format=layout)
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
