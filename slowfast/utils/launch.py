"""Start the processes of a run, or join those that torchrun or srun started; report the first error, end stuck runs."""

import functools
import itertools
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType, TracebackType

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from slowfast.errors import UserError, user_message
from slowfast.utils.distributed import TIMEOUT, backend_for, leave_process_group, use_device, uses_cuda
from slowfast.utils.placement import Place, launched_by
from slowfast.utils.rendezvous import Meeting, check_port, host_and_port, wait_for_host
from slowfast.utils.stop import EXIT_CODES, INTERRUPTED, REQUEUE, Interrupted, handled, print_now, stop_at_once
from slowfast.utils.world import World

logger = logging.getLogger(__name__)

MAX_MESSAGE = 3000  # characters; a pipe passes so few on in one piece, even if several processes write
GRACE_SEC = 120.0  # from a request to stop until the processes are ended
END_SEC = 4.0  # from the failure of a process until the others are ended
INTACT = "Earlier checkpoints are intact: the same command resumes from the last one"
_launches = itertools.count()  # those of one program share a store


class RankError(RuntimeError):
    """An error of the program in one of its processes. The message holds the traceback, or which rank ended and why."""


def launch(
    run: Callable,
    args: tuple = (),
    world: World | None = None,
    init_method: str | None = None,
    backend: str = "nccl",
    *,
    config: Mapping[str, str] | None = None,
    wait_minutes: float = 30,
) -> None:
    """Call `run(*args)` in every process of `world`, or in this process if there is only one.

    Processes that torchrun or srun started join instead, each by calling this function. If a process fails, the
    others are ended and the first error is raised here: a user's mistake as UserError, any other as RankError.

    Args:
        init_method: where several machines meet, as `tcp://HOST:PORT` of machine 0.
        backend: of torch.distributed on GPUs; processes on CPUs use gloo.
        config: what all machines must agree on.
        wait_minutes: how long to wait for the other machines.
    """
    world, place = world or World(), launched_by()
    _check_devices(world.size, place.local_size if place else world.processes, world.gpus, backend)
    if world.size == 1:
        return run(*args)
    job = f"job{next(_launches)}"
    if place:
        meeting = Meeting("rank", place.rank, place.size, place.address, config or {}, 60 * wait_minutes)
        return _join(run, args, world, place, backend, job, meeting)
    address = init_method or ("env://" if "MASTER_ADDR" in os.environ else "")
    address = _address_of(address, world.machines) if world.machines > 1 else "tcp://localhost:0"
    meeting = Meeting("machine", world.machine, world.machines, address, config or {}, 60 * wait_minutes)
    store, address = _host_or_join(address, world.machine == 0, meeting.wait_sec)
    meeting.hold(dist.PrefixStore(f"{job}/meeting", store))
    _spawn(_run_rank, (run, args, world, address, backend, job), world.processes)


def _join(run: Callable, args: tuple, world: World, place: Place, backend: str, job: str, meeting: Meeting) -> None:
    """Work as one of the ranks that a launcher started."""
    if place.launcher == "torchrun" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store, _ = _host_or_join(place.address, False, meeting.wait_sec)
        job = f"attempt{attempt}/{job}"
        _prctl_pr_set_pdeathsig(signal.SIGTERM)  # without its agent this rank would train on, and nobody would know
    else:
        store, _ = _host_or_join(place.address, place.rank == 0, meeting.wait_sec)
    meeting.hold(dist.PrefixStore(f"{job}/meeting", store))
    failures = dist.PrefixStore(f"{job}/failures", store)
    with handled(stop_at_once), _ErrorReport(functools.partial(_print_first, failures), place.rank):
        _work(run, args, place, world.gpus, backend, store, job)


def _run_rank(
    local_rank: int, sender: Connection, run: Callable, args: tuple, world: World, address: str, backend: str, job: str
) -> None:
    """Work as one of the ranks that this program started.

    torch ends a rank whose launcher dies, but not if the launcher died before the rank asked for it. Such a rank would
    wait for the launcher's store.
    """
    launcher = mp.parent_process()
    if launcher is not None and os.getppid() != launcher.pid:
        raise SystemExit(REQUEUE)
    rank = world.machine * world.processes + local_rank
    place = Place("run_net", rank, world.size, local_rank, world.processes, address)
    with handled(stop_at_once), _ErrorReport(sender.send, rank):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)  # requests from before arrive now
        _work(run, args, place, world.gpus, backend, _open_store(address), job)


def _work(run: Callable, args: tuple, place: Place, gpus: bool, backend: str, store: dist.Store, job: str) -> None:
    device = use_device(place.local_rank, place.local_size, gpus)
    dist.init_process_group(
        backend_for(device, backend),
        store=dist.PrefixStore(f"{job}/group", store),
        timeout=TIMEOUT,
        rank=place.rank,
        world_size=place.size,
        device_id=device,
    )
    run(*args)
    leave_process_group()


# Stores ---------------------------------------------------------------------------------------------


@functools.cache  # a program that trains and then tests keeps its store
def _host_or_join(address: str, is_host: bool, wait_sec: float) -> tuple[dist.Store, str]:
    """Return the store at `address`, and its address with the port in use. The host opens it, others wait for it."""
    if address.startswith("file://"):
        return _open_store(address), address
    if address == "tcp://localhost:0":
        store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        return store, f"tcp://localhost:{store.port}"
    host, port = host_and_port(address)
    if not is_host:
        wait_for_host(host, port, wait_sec)
        return _open_store(address), address
    check_port(address, port)
    return dist.TCPStore("localhost", port, is_master=True, wait_for_workers=False, timeout=TIMEOUT), address


def _open_store(address: str) -> dist.Store:
    if address.startswith("file://"):
        return dist.FileStore(address.removeprefix("file://"))
    host, port = host_and_port(address)
    return dist.TCPStore(host, port, is_master=False, timeout=TIMEOUT)


def _address_of(address: str, machines: int) -> str:
    """Return where the machines meet. Raise UserError if they do not know."""
    if address.startswith("env://"):
        return f"tcp://{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT', 29500)}"
    if not address.startswith(("tcp://", "file://")):
        raise UserError(
            f"--init_method: {address or None!r} is not an address; the NUM_SHARDS {machines} machines need "
            "tcp://HOST:PORT of machine 0"
        )
    return address


# Errors of ranks ------------------------------------------------------------------------------------


class _ErrorReport(AbstractContextManager):
    """Sends the error of this process, and exits at once without waiting for the other ranks.

    The other ranks then fail too, because they lose a peer. They report that later, so that the cause comes first.
    """

    def __init__(self, send: Callable[[tuple[bool, str]], object], rank: int):
        self._send, self._rank = send, rank

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
        text = user_message(error) if is_mistake else f"rank {self._rank} failed:\n{details}"
        if _is_lost_peer(error):
            time.sleep(1)
            text = f"rank {self._rank} lost the connection to another rank, which ended or cannot be reached. {INTACT}"
        self._send((is_mistake, text[-MAX_MESSAGE:]))
        logging.shutdown()
        sys.stderr.flush()
        os._exit(2 if is_mistake else 1)


def _is_lost_peer(error: BaseException) -> bool:
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo/transport" in str(error))


def _print_first(failures: dist.Store, report: tuple[bool, str]) -> None:
    """Print the error of this rank if no other rank has printed one."""
    try:
        is_first = failures.add("count", 1) == 1
    except RuntimeError:  # the store ended with its rank
        is_first = True
    if is_first:
        print(f"error: {report[1]}", file=sys.stderr)


# The launcher ---------------------------------------------------------------------------------------


def _spawn(work: Callable, args: tuple, count: int) -> None:
    """Run `work(local_rank, sender, *args)` in `count` processes. Raise the first error among them."""
    receiver, sender = mp.get_context("spawn").Pipe(duplex=False)
    with _Requests() as requests:
        signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)  # processes that start keep requests until they can answer
        context = mp.spawn(work, (sender, *args), nprocs=count, join=False)
        requests.processes = context.processes
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)
        while not _has_failure(context.processes) and (running := _running(context.processes)):
            wait([process.sentinel for process in running], timeout=0.5)
            requests.check_time()
        if _has_failure(context.processes):
            codes = _end(context.processes, requests)
            _raise_first(codes, receiver, requests.code)


class _Requests(AbstractContextManager):
    """Counts requests to stop. The first is passed on to the processes; the second, or time, ends them."""

    def __init__(self) -> None:
        self.processes: list[BaseProcess] = []
        self.code = 0
        self._deadline = float("inf")

    def __enter__(self) -> "_Requests":
        self._handlers = handled(self._ask)
        self._handlers.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._handlers.__exit__(None, None, None)

    def check_time(self) -> None:
        """End the processes if the first request is too old."""
        if time.monotonic() > self._deadline:
            self._kill(f"the processes have not stopped within {GRACE_SEC:g} s")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.code:
            return self._kill(f"a second request to stop ({name})")
        self.code, self._deadline = EXIT_CODES[signal.Signals(number)], time.monotonic() + GRACE_SEC
        print_now(
            f"{name}: asking {len(self.processes)} processes to save and stop; a second request ends them at once"
        )
        for process in self.processes:
            process.terminate()

    def _kill(self, reason: str) -> None:
        self._deadline = float("inf")
        print_now(f"{reason}: ending them; earlier checkpoints are intact")
        for process in self.processes:
            process.kill()


def _running(processes: list[BaseProcess]) -> list[BaseProcess]:
    return [process for process in processes if process.exitcode is None]


def _has_failure(processes: list[BaseProcess]) -> bool:
    return any(process.exitcode for process in processes)


def _end(processes: list[BaseProcess], requests: _Requests) -> list[int | None]:
    """Let the processes end by themselves, then end them. Return the exit codes of those that ended by themselves."""
    deadline = time.monotonic() + END_SEC
    while (running := _running(processes)) and (requests.code or time.monotonic() < deadline):
        wait([process.sentinel for process in running], timeout=0.2)
        requests.check_time()
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return codes


def _raise_first(codes: list[int | None], receiver: Connection, requested: int) -> None:
    """Raise the reason why processes ended with `codes`: a request, a signal, or the first error that one reported."""
    if requested:
        raise Interrupted("the processes have stopped on request", requested)
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ", often a sign that the machine ran out of memory" if name == "SIGKILL" else ""
            raise RankError(f"rank {rank} was ended by {name}{hint}. {INTACT}")
    if receiver.poll():
        is_mistake, text = receiver.recv()
        raise (UserError if is_mistake else RankError)(text)
    if stopped := [code for code in codes if code in (INTERRUPTED, REQUEUE)]:
        raise SystemExit(max(stopped))
    raise RankError(f"a process ended without reporting an error: exit codes {codes}. {INTACT}")


# Devices --------------------------------------------------------------------------------------------


def _check_devices(size: int, local_size: int, gpus: bool, backend: str) -> None:
    present = torch.cuda.device_count() if uses_cuda(int(gpus)) else 0
    is_shared_out = launched_by() is not None and present == 1  # Slurm may show each task its own device
    if present and local_size > present and not is_shared_out:
        raise UserError(
            f"NUM_GPUS is {local_size}, but this machine has {present} CUDA device(s): "
            f"set NUM_GPUS to {present} or less"
        )
    if not present and size > 1 and backend == "nccl":
        _log_gloo(size)


@functools.cache  # once for a run that trains and then tests
def _log_gloo(processes: int) -> None:
    logger.info("DIST_BACKEND nccl needs CUDA devices, and there are none: %d CPU processes use gloo", processes)
