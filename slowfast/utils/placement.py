"""The process's place in a run that torchrun or Slurm's srun started, from the environment."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from slowfast.errors import UserError

# Launcher -> variables of (rank, number of ranks, rank on this machine).
VARIABLES = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "srun": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
}
FIRST_PORT, PORTS = 20_000, 10_000  # for Slurm: a job's port follows from its number


@dataclass(frozen=True)
class Place:
    """Rank `rank` of `size`, and rank `local_rank` of the `local_size` on this machine; `address`: where they meet."""

    launcher: str
    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str


def launched_by(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Return the place that a launcher gave this process, or None if no launcher started it.

    A single task of Slurm is not a launched rank: it starts the processes of NUM_GPUS itself.
    """
    for launcher, names in VARIABLES.items():
        if all(name in environment for name in names):
            rank, size, local_rank = (_number(environment, name) for name in names)
            if launcher == "torchrun" or size > 1:
                return Place(launcher, rank, size, local_rank, _local_size(environment, size), _address(environment))
    return None


def ignore_launcher() -> None:
    """Forget what a launcher set, since the command line names the machines itself."""
    for names in VARIABLES.values():
        os.environ.pop(names[0], None)


def _number(environment: Mapping[str, str], name: str) -> int:
    if not environment[name].isdigit():
        raise UserError(f"{name}: {environment[name]!r} is not a number; torchrun and srun set this variable")
    return int(environment[name])


def _local_size(environment: Mapping[str, str], size: int) -> int:
    if "LOCAL_WORLD_SIZE" in environment:
        return _number(environment, "LOCAL_WORLD_SIZE")
    machines = _number(environment, "SLURM_NNODES") if "SLURM_NNODES" in environment else 1
    return -(-size // max(machines, 1))


def _address(environment: Mapping[str, str]) -> str:
    """Return tcp://HOST:PORT: MASTER_ADDR and MASTER_PORT, or a Slurm job's first host and a port of its number."""
    host = environment.get("MASTER_ADDR") or first_host(
        environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST", "localhost")
    )
    job = environment.get("SLURM_JOB_ID", "0") + environment.get("SLURM_STEP_ID", "")
    port = environment.get("MASTER_PORT") or FIRST_PORT + int(re.sub(r"\D", "", job) or 0) % PORTS
    return f"tcp://{host}:{port}"


def first_host(nodes: str) -> str:
    """Return the first host of a Slurm list: "gpu03" of "gpu[03-05,9],cpu1"."""
    found = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,]*))?", nodes)
    if found is None:
        raise UserError(f"SLURM_NODELIST: {nodes!r} names no host; set MASTER_ADDR to the first machine")
    return "".join(part or "" for part in found.groups())
