"""Processes that train together. One process is a world of size one: everything here then does nothing.

With `multigrid/batch_norm.py`, the only place that knows torch.distributed.
"""

import functools
import gc
import logging
import os
import signal
import socket
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from multiprocessing.connection import Connection

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.errors import UserError
from slowfast.utils.parser import user_message
from slowfast.utils.world import World

logger = logging.getLogger(__name__)

TIMEOUT = timedelta(minutes=60)  # the longest that a rank waits for another: rank 0 may be writing files
ONE_PIECE = 3000  # characters
INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


class RankError(RuntimeError):
    """What went wrong on the rank that failed first, with its traceback."""


def launch(
    run: Callable,
    args: tuple = (),
    world: World | None = None,
    init_method: str | None = None,
    backend: str = "nccl",
) -> None:
    """Call `run(*args)` in every process of `world`; in this one if there is only one.

    The error of the rank that failed first is raised here, and the other ranks are ended.
    """
    world = world or World()
    _check_devices(world, backend)
    if world.size == 1:
        return run(*args)
    heard, told = mp.get_context("spawn").Pipe(duplex=False)
    address = init_method if world.machines > 1 else _free_address()
    context = mp.spawn(_run_rank, (run, args, world, address, backend, told), nprocs=world.processes, join=False)
    with _signals_passed_on(context.processes):
        try:
            while not context.join(grace_period=5):
                continue
        except mp.ProcessExitedException as ended:
            _raise_first(heard, ended)


def _run_rank(
    local_rank: int, run: Callable, args: tuple, world: World, address: str, backend: str, told: Connection
) -> None:
    with _Reporting(told, local_rank):
        _init_process_group(local_rank, world, address, backend)
        run(*args)
        gc.collect()  # a wrapper that outlives its group may wait for the group's threads, and they for the interpreter
        dist.destroy_process_group()


def _init_process_group(local_rank: int, world: World, address: str, backend: str) -> None:
    device = None
    if torch.cuda.is_available():
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // world.processes))
        backend = "gloo"
    rank = world.machine * world.processes + local_rank
    dist.init_process_group(backend, address, TIMEOUT, world_size=world.size, rank=rank, device_id=device)


class _Reporting(AbstractContextManager):
    """Tells the parent process how this rank ended; the others' complaints about a lost peer come after it."""

    def __init__(self, told: Connection, local_rank: int):
        self.told, self.local_rank = told, local_rank

    def __exit__(self, kind, error, trace):
        if error is None:
            return
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            traceback.clear_frames(trace)  # lets go of loaders, which end their workers
            raise SystemExit(getattr(error, "code", INTERRUPTED)) from None
        if isinstance(error, (UserError, OSError)):
            self._tell("user", user_message(error))
        else:
            text = "".join(traceback.format_exception(kind, error, trace))
            self._tell("ours", f"rank {self.local_rank} failed:\n{text}")
        logging.shutdown()
        os._exit(1)  # without waiting for the other ranks, which may be waiting for this one

    def _tell(self, kind: str, text: str) -> None:
        """What is short goes through the pipe in one piece, whoever else writes."""
        self.told.send((kind, text[-ONE_PIECE:]))


def _raise_first(heard: Connection, ended: mp.ProcessExitedException) -> None:
    if ended.signal_name:  # it could not tell, and what the others say of a lost peer is beside the point
        raise RankError(
            f"rank {ended.error_index} was ended by {ended.signal_name}, as happens where memory is short: checkpoints "
            "saved before are intact, and the same command goes on from the last of them"
        ) from None
    if heard.poll():
        kind, text = heard.recv()
        raise (UserError if kind == "user" else RankError)(text) from None
    if ended.exit_code == INTERRUPTED:
        raise SystemExit(INTERRUPTED) from None
    raise RankError(f"a process ended without a word: {ended}") from None


class _signals_passed_on(AbstractContextManager):
    """Ctrl-C reaches the whole process group and is the ranks' to answer; SIGTERM is passed on to them."""

    def __init__(self, processes):
        self.processes = processes

    def __enter__(self):
        self.before = {
            signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._pass_on),
        }

    def _pass_on(self, number, frame):
        for process in self.processes:
            process.terminate()

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _check_devices(world: World, backend: str) -> None:
    present = torch.cuda.device_count()
    if present and world.processes > present:
        raise UserError(
            f"NUM_GPUS is {world.processes}, but this machine has {present} CUDA device(s): "
            f"set NUM_GPUS to {present} or less"
        )
    if not present and world.size > 1 and backend == "nccl":
        _say_gloo(world.size)


@functools.cache
def _say_gloo(processes: int) -> None:
    logger.info("DIST_BACKEND nccl needs CUDA devices, and there are none: %d CPU processes use gloo", processes)


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"tcp://localhost:{probe.getsockname()[1]}"


# --- within a run ---------------------------------------------------------------------------------


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def get_rank() -> int:
    return dist.get_rank() if is_distributed() else 0


def get_world_size() -> int:
    return dist.get_world_size() if is_distributed() else 1


def is_master() -> bool:
    return get_rank() == 0


def barrier() -> None:
    if is_distributed():
        dist.barrier()


def device_for_rank(num_gpus: int) -> torch.device:
    """This rank's CUDA device if the config asks for one and the machine has it, else the CPU."""
    if num_gpus and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def wrap(model: nn.Module) -> nn.Module:
    """`model` with gradients averaged over ranks; itself on one rank. Buffers stay each rank's own."""
    if not is_distributed():
        return model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the name that torch 2.13 gives to broadcast_buffers
        net = DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)
    if net.device_type == "cpu":
        # It would cut its buckets anew after its first iteration, and the order of gloo's sums depends on the place in
        # a bucket: a resumed run would differ in the last bit. So it does that now, by the order of the parameters.
        net.reducer._push_all_rebuilt_params()
        net.reducer._rebuild_buckets()
    return net


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum of `tensor` over ranks."""
    if not is_distributed():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def all_gather_object(value) -> list:
    """`value` of every rank, in the order of ranks."""
    if not is_distributed():
        return [value]
    values = [None] * get_world_size()
    dist.all_gather_object(values, value)
    return values


def all_gather_lists(values: Iterable) -> list:
    """The items of all ranks' lists in one list."""
    return [item for part in all_gather_object(list(values)) for item in part]


@functools.cache
def sync_group(num_ranks: int):
    """The group of this rank's block of `num_ranks` consecutive ranks; None for a block of one.

    All ranks call it together, as making a group is their common work.
    """
    world = get_world_size()
    if num_ranks == 1 or world == 1:
        return None
    if world % num_ranks:
        raise UserError(f"batch norm over {num_ranks} ranks does not divide {world} ranks evenly")
    group, _ = dist.new_subgroups(num_ranks, timeout=TIMEOUT)
    return group


@functools.cache
def host_group():
    """A group for messages between the hosts' processors, beside the devices' own traffic."""
    return dist.new_group(backend="gloo", timeout=TIMEOUT) if is_distributed() else None


class Agreement:
    """A yes of any rank that all ranks hear at the same call, without stopping the work in between.

    Every rank calls `any(mine)` once per iteration. The answer is about the call before, whose message has long
    arrived; with one rank it is about this call.
    """

    def __init__(self):
        self._pending = None

    def any(self, mine: bool) -> bool:
        if not is_distributed():
            return mine
        before = self._pending
        votes = torch.tensor([int(mine)])
        self._pending = votes, dist.all_reduce(votes, group=host_group(), async_op=True)
        if before is None:
            return False
        votes, work = before
        work.wait()
        return bool(votes.item())

    def finish(self) -> None:
        """Hear the last message out, so that none is under way when the processes part."""
        if self._pending is not None:
            self._pending[1].wait()
            self._pending = None
