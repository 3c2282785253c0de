"""Communication between the processes of a run. With one process every function here does nothing.

`launch.py` starts the processes. Besides these two modules only `multigrid/batch_norm.py` uses torch.distributed.
"""

import functools
import gc
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.errors import UserError
from slowfast.utils.placement import launched_by

TIMEOUT = timedelta(minutes=60)  # how long a rank waits for another, unless its launcher sets another time


def is_distributed() -> bool:
    """Return whether this process belongs to a group of processes."""
    return dist.is_available() and dist.is_initialized()


def get_rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if is_distributed() else 0


def get_world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if is_distributed() else 1


def is_master() -> bool:
    """Return whether this is rank 0, which writes files and logs."""
    place = None if is_distributed() else launched_by()
    return (place.rank if place else get_rank()) == 0


def barrier() -> None:
    """Wait until every rank has come this far."""
    if is_distributed():
        dist.barrier()


synchronize = barrier  # the published name


def is_master_proc(num_gpus: int = 8) -> bool:
    """Return whether this is the first process of a machine with `num_gpus` processes."""
    return get_rank() % num_gpus == 0


def init_distributed_training(*args: object) -> None:
    """Do nothing: the published code prepares process groups for batch norm here, and `sync_group` does so later."""


def init_process_group(
    local_rank: int,
    local_world_size: int,
    shard_id: int,
    num_shards: int,
    init_method: str,
    dist_backend: str = "nccl",
    *,
    gpus: bool = True,
) -> None:
    """Join the processes of a run, of which `local_world_size` are on each of `num_shards` machines.

    Without `gpus`, and on machines without CUDA, the processes use CPUs, which they share, and gloo.
    """
    rank, size = shard_id * local_world_size + local_rank, local_world_size * num_shards
    device = use_device(local_rank, local_world_size, gpus)
    dist.init_process_group(
        backend_for(device, dist_backend), init_method, TIMEOUT, world_size=size, rank=rank, device_id=device
    )


def use_device(local_rank: int, local_size: int, gpus: bool) -> torch.device | None:
    """Select and return the CUDA device of a process. On CPUs, which the processes share, return None."""
    if not uses_cuda(local_size if gpus else 0):
        torch.set_num_threads(max(1, torch.get_num_threads() // local_size))
        return None
    device = torch.device("cuda", local_rank % torch.cuda.device_count())  # a Slurm task may see its own device only
    torch.cuda.set_device(device)
    return device


def backend_for(device: torch.device | None, asked: str) -> str:
    """Return the backend for processes on `device`: `asked` on GPUs, and gloo on CPUs."""
    return "gloo" if device is None else asked


def all_gather(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return each of `tensors` with those of all ranks, joined along the first axis."""
    if not is_distributed():
        return list(tensors)
    gathered = []
    for tensor in tensors:
        parts = [torch.empty_like(tensor) for _ in range(get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        gathered.append(torch.cat(parts))
    return gathered


def all_reduce(tensors: Sequence[Tensor], average: bool = True) -> Sequence[Tensor]:
    """Replace each of `tensors` by its mean over ranks, or its sum, in place; return them."""
    for tensor in tensors if is_distributed() else ():
        dist.all_reduce(tensor)
        if average:
            tensor.div_(get_world_size())
    return tensors


def uses_cuda(num_gpus: int) -> bool:
    """Return whether a run with NUM_GPUS `num_gpus` uses CUDA on this machine: if it asks for it and it is there."""
    return num_gpus > 0 and torch.cuda.is_available()


def device_for_rank(num_gpus: int) -> torch.device:
    """Return this rank's CUDA device, or the CPU if the run does not use CUDA."""
    return torch.device("cuda", torch.cuda.current_device()) if uses_cuda(num_gpus) else torch.device("cpu")


def wrap(model: nn.Module) -> nn.Module:
    """Return `model` with the weights of rank 0 and, on GPUs, with gradients that backward averages over ranks (DDP).

    On CPUs `average_gradients` averages them. Buffers, such as batch-norm statistics, stay each rank's own. With one
    rank this is `model` itself.
    """
    if not is_distributed():
        return model
    if next(model.parameters()).device.type == "cpu":
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)
        return model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 renames broadcast_buffers
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)


def without_averaging(net: nn.Module) -> AbstractContextManager:
    """Return a context in which the backward pass of `net`, from `wrap`, leaves each rank its own gradients."""
    return net.no_sync() if hasattr(net, "no_sync") else nullcontext()  # type: ignore[operator]  # DDP's


def average_gradients(model: nn.Module) -> None:
    """Average the gradients of `model` over ranks on CPUs, in one message; on GPUs DDP has done so.

    This makes a resumed run exact to the last bit. Gloo's order of summation depends on a gradient's place in the
    message, and DDP rearranges its buckets after the first iteration of a run. On GPUs a resumed run can therefore
    differ in the last bits.

    Two processes, one core each, SlowFast R50 of width 16: 0.98 times DDP's step on 2 clips of 32 frames x 96 px, and
    1.12 times on 32 px.
    """
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if not is_distributed() or not gradients or gradients[0].device.type != "cpu":
        return
    total = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(total)
    means = total.div_(get_world_size()).split([gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Return the sum of `tensor` over ranks."""
    if not is_distributed():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def all_gather_object(value: Any) -> list:
    """Return `value` of every rank, in the order of ranks."""
    if not is_distributed():
        return [value]
    values = [None] * get_world_size()
    dist.all_gather_object(values, value)
    return values


def all_gather_lists(values: Iterable) -> list:
    """Return the items of all ranks' lists in one list."""
    return [item for part in all_gather_object(list(values)) for item in part]


def leave_process_group() -> None:
    """End the process group of a run. A later run of the same program joins another one and makes its own groups."""
    gc.collect()  # a DDP wrapper that outlives its process group can block the interpreter's exit
    dist.destroy_process_group()
    sync_group.cache_clear()
    _host_group.cache_clear()


@functools.cache
def sync_group(num_ranks: int) -> dist.ProcessGroup | None:
    """Return the process group of this rank's block of `num_ranks` consecutive ranks; None for a block of one.

    All ranks must call this together.
    """
    world = get_world_size()
    if num_ranks == 1 or world == 1:
        return None
    if world % num_ranks:
        raise UserError(f"batch norm over {num_ranks} ranks does not divide {world} ranks evenly")
    group, _ = dist.new_subgroups(num_ranks, timeout=_timeout())
    return group


@functools.cache
def _host_group() -> dist.ProcessGroup:
    """Return a group for messages between CPUs, separate from the traffic of the devices."""
    return dist.new_group(backend="gloo", timeout=_timeout())


def _timeout() -> timedelta:
    """Return how long the ranks of the run wait for one another: torch does not pass that on to new groups."""
    world = dist.distributed_c10d._get_default_group()
    return world._get_backend(device_for_rank(dist.get_backend() != "gloo")).options._timeout


def is_lost_connection(error: BaseException) -> bool:
    """Return whether `error` reports that another rank or the store cannot be reached."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/transport" in str(error))


def is_timeout(error: BaseException) -> bool:
    """Return whether `error` reports that another rank did not answer in time."""
    return is_lost_connection(error) and bool(re.search("timed? ?out", str(error), re.IGNORECASE))


class Agreement:
    """A request of any rank, which all ranks learn at the same call without waiting for one another.

    Every rank calls `highest(mine)` once per iteration. The answer is about the previous call, whose message has
    arrived long ago; with one rank it is about this call.
    """

    def __init__(self) -> None:
        self._pending: tuple[Tensor, dist.Work] | None = None

    def highest(self, mine: int) -> int:
        """Send this rank's number, 0 for no request, and return the highest number of the previous call."""
        if not is_distributed():
            return mine
        previous = self._pending
        votes = torch.tensor([mine])
        self._pending = votes, dist.all_reduce(votes, dist.ReduceOp.MAX, group=_host_group(), async_op=True)
        return 0 if previous is None else self._receive(*previous)

    def settle(self, mine: int) -> int:
        """Wait for all ranks and return the highest number of this last call and the one before it."""
        before = self.highest(mine)
        if self._pending is None:
            return before
        pending, self._pending = self._pending, None
        return max(before, self._receive(*pending))

    @staticmethod
    def _receive(votes: Tensor, work: dist.Work) -> int:
        work.wait()
        return int(votes.item())
