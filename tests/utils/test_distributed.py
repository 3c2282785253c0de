import pytest
import torch

from slowfast.errors import UserError
from slowfast.utils import distributed as du
from slowfast.utils.launch import RankError, launch
from slowfast.utils.world import World


def test_one_process_is_a_world_of_size_one():
    assert (du.get_rank(), du.get_world_size(), du.is_master()) == (0, 1, True)
    assert du.all_gather_lists([1, 2]) == [1, 2]
    assert du.all_reduce_sum(torch.tensor(3.0)) == 3
    assert du.sync_group(4) is None
    model = torch.nn.Linear(2, 2)
    assert du.wrap(model) is model


def test_one_process_runs_in_place():
    calls = []
    launch(calls.append, (1,))
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
    answers = [agreement.highest(7 if rank == 2 and call == 1 else 0) for call in range(4)]
    assert answers == [0, 0, 7, 0]
    assert agreement.settle(5 if rank == 1 else 0) == 5
    (folder / str(rank)).touch()


def test_four_processes_communicate_and_learn_of_a_request_one_call_later(tmp_path):
    launch(_talk, (tmp_path,), World(4))
    assert len(list(tmp_path.iterdir())) == 4


def _two_runs(rank, folder):
    groups = []
    for run in range(2):
        torch.distributed.init_process_group("gloo", f"file://{folder / str(run)}", rank=rank, world_size=2)
        groups.append(du.sync_group(2))
        assert groups[-1].size() == 2
        assert du.Agreement().settle(rank) == 1
        du.leave_process_group()
    assert groups[0] is not groups[1]
    (folder / f"done{rank}").touch()


def test_a_second_run_of_a_program_does_not_use_the_groups_that_the_first_one_has_ended(tmp_path):
    torch.multiprocessing.start_processes(_two_runs, (tmp_path,), nprocs=2, start_method="fork")
    assert len(list(tmp_path.glob("done*"))) == 2


def _fail(kind):
    if du.get_rank() == 1:
        raise kind("the reason of rank 1")
    du.barrier()


@pytest.mark.parametrize(("kind", "raised"), [(KeyError, RankError), (FileNotFoundError, ValueError)])
def test_the_error_of_the_rank_that_failed_first_is_raised_and_the_others_end(kind, raised):
    with pytest.raises(raised, match="the reason of rank 1"):
        launch(_fail, (kind,), World(2))


def test_more_processes_than_cuda_devices_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"NUM_GPUS is 2, but this machine has 1 CUDA device"):
        launch(print, (), World(2, gpus=True))


def test_a_run_that_asks_for_no_gpu_uses_none_on_a_machine_that_has_some(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert du.device_for_rank(0) == torch.device("cpu")
    assert not du.uses_cuda(0)
    assert du.uses_cuda(1)
    launch(_check_gloo, (), World(2))


def _check_gloo():
    assert torch.distributed.get_backend() == "gloo"


def _train_a_linear_model(folder):
    torch.manual_seed(du.get_rank())
    model = torch.nn.Linear(3, 1)
    net = du.wrap(model)
    torch.save(model.state_dict(), folder / f"start.{du.get_rank()}")
    net(torch.full((1, 3), float(du.get_rank()))).sum().backward()
    du.average_gradients(model)
    torch.save([parameter.grad for parameter in model.parameters()], folder / f"gradients.{du.get_rank()}")


def test_ranks_start_with_the_weights_of_rank_0_and_average_their_gradients(tmp_path):
    launch(_train_a_linear_model, (tmp_path,), World(4))
    starts = [torch.load(tmp_path / f"start.{rank}") for rank in range(4)]
    assert all(torch.equal(start["weight"], starts[0]["weight"]) for start in starts)
    for rank in range(4):
        weight, bias = torch.load(tmp_path / f"gradients.{rank}")
        assert weight.tolist() == [[1.5, 1.5, 1.5]]  # the mean of 0, 1, 2, 3
        assert bias.tolist() == [1.0]


@pytest.mark.parametrize("address", [None, "somewhere:1234"])
def test_machines_without_a_meeting_point_are_refused(address, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match=f"--init_method: {address!r} is not an address; the NUM_SHARDS 2"):
        launch(print, (), World(1, machines=2), address)
