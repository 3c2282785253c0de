"""The place that torchrun or srun gives a process."""

import pytest

from slowfast.config.defaults import get_cfg
from slowfast.errors import UserError
from slowfast.utils.placement import Place, first_host, launched_by
from slowfast.utils.world import World

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
TORCHRUN |= {"MASTER_ADDR": "a", "MASTER_PORT": "7"}
SRUN = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_NNODES": "2"}
SRUN |= {"SLURM_NODELIST": "gpu[03-05],x", "SLURM_JOB_ID": "1234567"}


def test_the_place_is_read_from_the_environment():
    assert launched_by(TORCHRUN) == Place("torchrun", 5, 8, 1, 4, "tcp://a:7")
    assert launched_by(SRUN) == Place("srun", 5, 8, 1, 4, "tcp://gpu03:24567")
    assert launched_by({}) is None
    assert launched_by(SRUN | {"SLURM_NTASKS": "1"}) is None


def test_a_place_that_is_not_a_number_is_refused():
    with pytest.raises(UserError, match="WORLD_SIZE: 'two' is not a number"):
        launched_by(TORCHRUN | {"WORLD_SIZE": "two"})


@pytest.mark.parametrize(
    ("nodes", "host"), [("a1", "a1"), ("a1,b", "a1"), ("n-[007,9]", "n-007"), ("r[1-2].x.org,b", "r1.x.org")]
)
def test_the_first_host_of_a_slurm_list(nodes, host):
    assert first_host(nodes) == host


def test_the_processes_of_a_launcher_share_the_batches_of_the_config(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    cfg = get_cfg()
    cfg.merge_from_list(["NUM_GPUS", 2, "NUM_SHARDS", 2])
    assert World.from_cfg(cfg) == World(processes=4, machines=2, machine=1, gpus=True)
    cfg.merge_from_list(["NUM_SHARDS", 16, "TRAIN.BATCH_SIZE", 64])
    with pytest.raises(UserError, match="NUM_SHARDS: 16 does not divide the 8 processes of torchrun.* now 1024"):
        World.from_cfg(cfg)
