import pytest
import torch

from slowfast.utils import distributed as du
from slowfast.utils.world import World

SPAWN = World


def test_one_process_is_a_world_of_size_one():
    assert (du.get_rank(), du.get_world_size(), du.is_master()) == (0, 1, True)
    assert du.all_gather_lists([1, 2]) == [1, 2]
    assert du.all_reduce_sum(torch.tensor(3.0)) == 3
    assert du.sync_group(4) is None
    model = torch.nn.Linear(2, 2)
    assert du.wrap(model) is model


def test_one_process_runs_in_place():
    calls = []
    du.launch(calls.append, (1,))
    assert calls == [1]


def _talk(folder):
    rank, world = du.get_rank(), du.get_world_size()
    assert du.all_gather_object(rank) == list(range(world))
    assert du.all_reduce_sum(torch.tensor(float(rank))) == world * (world - 1) / 2
    assert du.all_gather_lists(["a"] * (rank + 1)) == ["a"] * (world * (world + 1) // 2)
    group = du.sync_group(2)
    total = torch.tensor(float(rank))
    torch.distributed.all_reduce(total, group=group)
    assert total == {0: 1, 1: 1, 2: 5, 3: 5}[rank]
    agreement = du.Agreement()
    heard = [agreement.any(rank == 2 and call == 1) for call in range(4)]
    agreement.finish()
    assert heard == [False, False, True, False]
    (folder / str(rank)).touch()


def test_four_processes_talk_and_hear_a_yes_one_call_later(tmp_path):
    du.launch(_talk, (tmp_path,), SPAWN(4))
    assert len(list(tmp_path.iterdir())) == 4


def _fail(kind):
    if du.get_rank() == 1:
        raise kind("rank 1 says why")
    du.barrier()


@pytest.mark.parametrize(("kind", "raised"), [(KeyError, du.RankError), (FileNotFoundError, ValueError)])
def test_the_error_of_the_rank_that_failed_first_is_raised_and_the_others_end(kind, raised):
    with pytest.raises(raised, match="rank 1 says why"):
        du.launch(_fail, (kind,), SPAWN(2))


def test_more_processes_than_cuda_devices_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"NUM_GPUS is 2, but this machine has 1 CUDA device"):
        du.launch(print, (), World(2))
