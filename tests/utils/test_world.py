"""The processes of a run."""

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.errors import UserError
from slowfast.utils.world import World


def test_a_config_without_gpus_is_one_process_a_machine():
    cfg = get_cfg()
    cfg.merge_from_list(["NUM_GPUS", 0, "NUM_SHARDS", 3, "SHARD_ID", 2])
    assert World.from_cfg(cfg) == World(processes=1, machines=3, machine=2)
    assert World(8, 4).size == 32


def test_machines_are_numbered_below_their_count():
    with pytest.raises(UserError, match="SHARD_ID: 2 does not fit NUM_SHARDS 2; number the machines from 0 to 1"):
        World(1, machines=2, machine=2)


@pytest.mark.parametrize(("processes", "batch", "choices"), [(3, 64, "63 or 66"), (8, 4, "8"), (8, 12, "8 or 16")])
def test_a_batch_that_the_processes_cannot_share_is_refused_with_the_nearest_that_they_can(processes, batch, choices):
    with pytest.raises(UserError, match=f"TEST.BATCH_SIZE: {batch} is not divisible by .* {processes}; use {choices}$"):
        World(processes).share("TEST.BATCH_SIZE", batch)


def test_every_process_gets_an_equal_share_of_a_machines_batch():
    assert World(8, machines=4).share("TRAIN.BATCH_SIZE", 64) == 8
