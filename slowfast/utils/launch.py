"""Start the processes of a run, report the first error among them, and pass signals on."""

import functools
import gc
import logging
import os
import signal
import socket
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType, TracebackType

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from slowfast.errors import UserError, user_message
from slowfast.utils.distributed import init_process_group, uses_cuda
from slowfast.utils.world import World

logger = logging.getLogger(__name__)

MAX_MESSAGE = 3000  # characters; a pipe passes so few on in one piece, even if several processes write
INTERRUPTED = 130  # exit code of a program that Ctrl-C ended


class RankError(RuntimeError):
    """An error of the program in one of its processes. The message holds the traceback."""


def launch(
    run: Callable,
    args: tuple = (),
    world: World | None = None,
    init_method: str | None = None,
    backend: str = "nccl",
) -> None:
    """Call `run(*args)` in every process of `world`, or in this process if there is only one.

    If a process fails, the others are ended and the first error is raised here: a user's mistake as UserError, any
    other as RankError.

    Args:
        init_method: where several machines meet, as `tcp://HOST:PORT` of machine 0.
        backend: of torch.distributed on GPUs; processes on CPUs use gloo.
    """
    world = world or World()
    _check_devices(world, backend)
    _check_meeting_point(world, init_method)
    if world.size == 1:
        return run(*args)
    receiver, sender = mp.get_context("spawn").Pipe(duplex=False)
    address = init_method if world.machines > 1 else _free_address()
    context = mp.spawn(_run_rank, (run, args, world, address, backend, sender), nprocs=world.processes, join=False)
    with _SignalsPassedOn(context.processes):
        try:
            while not context.join(grace_period=5):
                continue
        except mp.ProcessExitedException as exit_error:
            _raise_first(receiver, exit_error)


def _run_rank(
    local_rank: int, run: Callable, args: tuple, world: World, address: str, backend: str, sender: Connection
) -> None:
    with _ErrorReport(sender, local_rank):
        init_process_group(
            local_rank, world.processes, world.machine, world.machines, address, backend, gpus=world.gpus
        )
        run(*args)
        gc.collect()  # a DDP wrapper that outlives its process group can block the interpreter's exit
        dist.destroy_process_group()


class _ErrorReport(AbstractContextManager):
    """Sends the error of this process to the parent and exits at once, without waiting for the other ranks.

    The other ranks then fail too, because they lose a peer. Their errors reach the parent later and are ignored.
    """

    def __init__(self, sender: Connection, local_rank: int):
        self._sender, self._local_rank = sender, local_rank

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            traceback.clear_frames(trace)  # releases loaders, which end their workers
            raise SystemExit(getattr(error, "code", INTERRUPTED)) from None
        is_mistake = isinstance(error, (UserError, OSError))
        details = "".join(traceback.format_exception(error))
        text = user_message(error) if is_mistake else f"rank {self._local_rank} failed:\n{details}"
        self._sender.send((is_mistake, text[-MAX_MESSAGE:]))
        logging.shutdown()
        os._exit(1)


def _raise_first(receiver: Connection, exit_error: mp.ProcessExitedException) -> None:
    if exit_error.signal_name:  # this process could not report, and the others only report a lost peer
        hint = ", often a sign that the machine ran out of memory" if exit_error.signal_name == "SIGKILL" else ""
        raise RankError(
            f"rank {exit_error.error_index} was ended by {exit_error.signal_name}{hint}. Earlier checkpoints are "
            "intact: the same command resumes from the last one"
        ) from None
    if receiver.poll():
        is_mistake, text = receiver.recv()
        raise (UserError if is_mistake else RankError)(text) from None
    if exit_error.exit_code == INTERRUPTED:
        raise SystemExit(INTERRUPTED) from None
    raise RankError(f"a process ended without reporting an error: {exit_error}") from None


class _SignalsPassedOn(AbstractContextManager):
    """Passes SIGTERM on to the processes. Ctrl-C is ignored here, since a terminal sends it to every process."""

    def __init__(self, processes: Sequence[BaseProcess]):
        self._processes = processes

    def __enter__(self) -> None:
        self._previous = {
            signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._pass_on),
        }

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        for process in self._processes:
            process.terminate()

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def _check_meeting_point(world: World, init_method: str | None) -> None:
    """Raise UserError if several machines do not know where to meet."""
    known = init_method or ("env://" if "MASTER_ADDR" in os.environ else "")
    if world.machines > 1 and not known.startswith(("tcp://", "file://", "env://")):
        raise UserError(
            f"--init_method: {init_method!r} is not an address; the NUM_SHARDS {world.machines} machines need "
            "tcp://HOST:PORT of machine 0"
        )


def _check_devices(world: World, backend: str) -> None:
    present = torch.cuda.device_count() if uses_cuda(world.gpus) else 0
    if present and world.processes > present:
        raise UserError(
            f"NUM_GPUS is {world.processes}, but this machine has {present} CUDA device(s): "
            f"set NUM_GPUS to {present} or less"
        )
    if not present and world.size > 1 and backend == "nccl":
        _log_gloo(world.size)


@functools.cache  # once for a run that trains and then tests
def _log_gloo(processes: int) -> None:
    logger.info("DIST_BACKEND nccl needs CUDA devices, and there are none: %d CPU processes use gloo", processes)


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"tcp://localhost:{probe.getsockname()[1]}"
