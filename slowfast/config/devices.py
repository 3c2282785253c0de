"""How many devices a config asks for."""


def devices_of_a_machine(cfg, num_devices: int | None = None) -> int:
    """Processes on each machine; `num_devices` takes the place of NUM_GPUS, whose 0 is one process on the CPU."""
    return max(cfg.NUM_GPUS if num_devices is None else num_devices, 1)


def world_size(cfg, num_devices: int | None = None) -> int:
    """Processes on all machines."""
    return devices_of_a_machine(cfg, num_devices) * cfg.NUM_SHARDS
