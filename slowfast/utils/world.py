"""The processes of a run."""

from dataclasses import dataclass

from slowfast.config.node import CfgNode
from slowfast.errors import UserError
from slowfast.utils.placement import launched_by


@dataclass(frozen=True)
class World:
    """`processes` on each of `machines`, one device each. This machine is number `machine`, from 0.

    `gpus`: whether the processes ask for GPUs. They run on the CPU where it is False or the machine has no GPU.
    """

    processes: int = 1
    machines: int = 1
    machine: int = 0
    gpus: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.machine < self.machines:
            raise UserError(
                f"SHARD_ID: {self.machine} does not fit NUM_SHARDS {self.machines}; "
                f"number the machines from 0 to {self.machines - 1}"
            )

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> "World":
        """Return NUM_GPUS processes (0: one, on the CPU) on each of NUM_SHARDS machines.

        The processes that torchrun or srun started are taken instead if there are any. NUM_SHARDS then still multiplies
        the batch, so that a recipe means the same training under every launcher, and NUM_GPUS asks for GPUs or CPUs.
        """
        place = launched_by()
        if place is None:
            return cls(max(cfg.NUM_GPUS, 1), cfg.NUM_SHARDS, cfg.SHARD_ID, cfg.NUM_GPUS > 0)
        if place.size % cfg.NUM_SHARDS:
            raise UserError(
                f"NUM_SHARDS: {cfg.NUM_SHARDS} does not divide the {place.size} processes of {place.launcher}; set "
                f"NUM_SHARDS 1 and TRAIN.BATCH_SIZE to the clips of all processes, now "
                f"{cfg.NUM_SHARDS * cfg.TRAIN.BATCH_SIZE}"
            )
        processes = place.size // cfg.NUM_SHARDS
        return cls(processes, cfg.NUM_SHARDS, place.rank // processes, cfg.NUM_GPUS > 0)

    @property
    def size(self) -> int:
        """Return the number of processes on all machines."""
        return self.processes * self.machines

    def share(self, key: str, batch_size: int) -> int:
        """Return a process's share of a machine's batch, which is the config's `key`."""
        if batch_size % self.processes:
            above = (batch_size // self.processes + 1) * self.processes
            choices = " or ".join(str(n) for n in (above - self.processes, above) if n)
            raise UserError(f"{key}: {batch_size} is not divisible by NUM_GPUS {self.processes}; use {choices}")
        return batch_size // self.processes


def process_batch(cfg: CfgNode, section: str) -> int:
    """Return the clips of one process in a batch of the config's `section`, "TRAIN" or "TEST"."""
    return World.from_cfg(cfg).share(f"{section}.BATCH_SIZE", cfg[section].BATCH_SIZE)


def clips_per_video(cfg: CfgNode) -> int:
    """Return the clips that each video of a training batch gives: repeated augmentation (Hoffer et al., 2020)."""
    return cfg.AUG.NUM_SAMPLE * cfg.DATA.TRAIN_CROP_NUM_SPATIAL
