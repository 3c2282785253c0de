"""The door to the processes of a run: start them, or join those that torchrun or srun started."""

import functools
import itertools
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing.connection import Connection

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from slowfast.errors import UserError
from slowfast.utils.distributed import backend_for, leave_process_group, use_device, uses_cuda
from slowfast.utils.failures import ErrorReport, Failures, RankError
from slowfast.utils.placement import Place, launched_by
from slowfast.utils.rendezvous import Meeting, check_port, host_and_port, name_of_start, wait_for_host
from slowfast.utils.stop import EXIT_CODES, REQUEUE, handled, stop_at_once
from slowfast.utils.supervisor import supervise
from slowfast.utils.world import World

__all__ = ["RankError", "launch"]

logger = logging.getLogger(__name__)

STORE_TIMEOUT = timedelta(minutes=60)
_launches = itertools.count()  # those of one program share a store


@dataclass(frozen=True)
class _Job:
    """The function that all ranks call, and how they communicate. `name`: a prefix in the store."""

    run: Callable
    args: tuple
    gpus: bool
    backend: str
    name: str
    timeout: timedelta

    def part(self, store: dist.Store, name: str) -> dist.Store:
        """Return the part of a store that this job uses for a purpose."""
        return dist.PrefixStore(f"{self.name}/{name}", store)

    def work(self, place: Place, store: dist.Store) -> None:
        """Join the other ranks and call the function."""
        device = use_device(place.local_rank, place.local_size, self.gpus)
        dist.init_process_group(
            backend_for(device, self.backend),
            store=self.part(store, "group"),
            timeout=self.timeout,
            rank=place.rank,
            world_size=place.size,
            device_id=device,
        )
        self.run(*self.args)
        leave_process_group()


def launch(
    run: Callable,
    args: tuple = (),
    world: World | None = None,
    init_method: str | None = None,
    backend: str = "nccl",
    *,
    config: Mapping[str, str] | None = None,
    wait_minutes: float = 40,
) -> None:
    """Call `run(*args)` in every process of `world`, or in this process if there is only one.

    Processes that torchrun or srun started join instead, each by calling this function. If a process fails, the
    others are ended and the first error is raised here: a user's mistake as UserError, any other as RankError.

    Args:
        init_method: where several machines meet, as `tcp://HOST:PORT` of machine 0.
        backend: of torch.distributed on GPUs; processes on CPUs use gloo.
        config: what all machines must agree on.
        wait_minutes: how long to wait for the other machines, and for a rank that does not answer.
    """
    world, place = world or World(), launched_by()
    _check_devices(world.size, place.local_size if place else world.processes, world.gpus, backend)
    if world.size == 1:
        return run(*args)
    job = _Job(run, args, world.gpus, backend, f"job{next(_launches)}", timedelta(minutes=wait_minutes))
    if place:
        meeting = Meeting("rank", place.rank, place.size, place.address, config or {}, 60 * wait_minutes)
        return _join(job, place, meeting)
    address = init_method or ("env://" if "MASTER_ADDR" in os.environ else "")
    address = _address_of(address, world.machines) if world.machines > 1 else "tcp://localhost:0"
    meeting = Meeting("machine", world.machine, world.machines, address, config or {}, 60 * wait_minutes)
    store, address = _host_or_join(address, world.machine == 0, meeting.wait_sec)
    meeting.hold(job.part(store, "meeting"))
    supervise(_run_rank, (job, world, address), world.processes)


def _join(job: _Job, place: Place, meeting: Meeting) -> None:
    """Work as one of the ranks that a launcher started."""
    has_agent_store = place.launcher == "torchrun" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store, _ = _host_or_join(place.address, place.rank == 0 and not has_agent_store, meeting.wait_sec)
    if has_agent_store:
        _warn_of_agent_store(place)
        start = name_of_start(job.part(store, "starts"), place.rank, place.size, meeting.wait_sec)
        job = replace(job, name=f"{job.name}/{start}")
    if place.launcher == "torchrun":
        _prctl_pr_set_pdeathsig(signal.SIGTERM)  # without its agent this rank would train on, and nobody would know
    meeting.hold(job.part(store, "meeting"))
    failures = Failures(job.part(store, "failures"), place.rank, place.size)
    with handled(stop_at_once), ErrorReport(failures.print_first, failures):
        job.work(place, store)


@functools.cache  # once for a run that trains and then tests
def _warn_of_agent_store(place: Place) -> None:
    """Warn if torchrun is to restart several machines, but cannot replace one that vanishes.

    A machine that joins later waits for the address of torchrun's store, which torch 2.13 publishes only once.
    """
    if place.local_size < place.size and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0" and place.rank == 0:
        logger.warning(
            "a machine that vanishes cannot be replaced: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun on all "
            "machines"
        )


def _run_rank(local_rank: int, sender: Connection, job: _Job, world: World, address: str) -> None:
    """Work as one of the ranks that this program started.

    torch ends a rank whose launcher dies, but not if the launcher died before the rank asked for it. Such a rank would
    wait for the launcher's store.
    """
    launcher = mp.parent_process()
    if launcher is not None and os.getppid() != launcher.pid:
        raise SystemExit(REQUEUE)
    rank, store = world.machine * world.processes + local_rank, _open_store(address)
    place = Place("run_net", rank, world.size, local_rank, world.processes, address)
    failures = Failures(job.part(store, "failures"), rank, world.size)
    with handled(stop_at_once), ErrorReport(sender.send, failures):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)  # requests from before arrive now
        job.work(place, store)


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
    return dist.TCPStore("localhost", port, is_master=True, wait_for_workers=False, timeout=STORE_TIMEOUT), address


def _open_store(address: str) -> dist.Store:
    if address.startswith("file://"):
        return dist.FileStore(address.removeprefix("file://"))
    host, port = host_and_port(address)
    return dist.TCPStore(host, port, is_master=False, timeout=STORE_TIMEOUT)


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
