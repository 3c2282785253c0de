"""The meeting of machines or ranks before they work."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from slowfast.config.defaults import get_cfg
from slowfast.errors import UserError
from slowfast.utils.rendezvous import Meeting, check_port, host_and_port, name_of_start, shared_values, wait_for_host


def meet(*members: tuple[int, int, dict], wait_sec: float = 20.0) -> list[str]:
    """The errors of members (number, size, config) that meet at once, "" where there is none."""
    store = dist.HashStore()

    def hold(member: tuple) -> str:
        number, size, config = member
        try:
            Meeting("machine", number, size, "tcp://a:1", config, wait_sec).hold(store)
        except UserError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(hold, members))


def test_machines_that_agree_meet():
    config = shared_values(get_cfg())
    assert meet((0, 3, config), (2, 3, config), (1, 3, config)) == ["", "", ""]


def test_machines_with_different_configs_all_report_the_keys():
    errors = meet(
        (0, 2, {"RNG_SEED": "1", "SOLVER.MAX_EPOCH": "2"}), (1, 2, {"RNG_SEED": "1", "SOLVER.MAX_EPOCH": "3"})
    )
    assert errors == ["machines 0 and 1 have different configs: SOLVER.MAX_EPOCH is 2 and 3"] * 2


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(0, 2, {}), (1, 3, {})], "one machine was started for . machines, another for"),
        ([(0, 3, {}), (1, 3, {}), (1, 3, {})], "SHARD_ID 1 was started twice"),
    ],
)
def test_machines_that_cannot_meet_all_report_it(members, message):
    errors = meet(*members)
    assert len(set(errors)) == 1
    assert message.replace(".", errors[0][28:29]) in errors[0]


def test_missing_machines_are_named_after_the_time_is_up():
    (error,) = meet((1, 4, {}), wait_sec=0.01)
    assert error.startswith("1 of 4 machines are at tcp://a:1, without 0, 2, 3, after")
    assert "DIST_TIMEOUT_MIN" in error


def test_paths_and_loaders_may_differ_between_machines():
    first, second = get_cfg(), get_cfg()
    second.merge_from_list(["OUTPUT_DIR", "/b", "DATA.PATH_TO_DATA_DIR", "/c", "DATA_LOADER.NUM_WORKERS", 3])
    assert shared_values(first) == shared_values(second)
    second.merge_from_list(["NUM_GPUS", 4])
    assert shared_values(first) != shared_values(second)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://no.such.host.invalid:1", "is not known here"),
        ("tcp://localhost", "is not an address"),
        ("a:b", "is not"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(address, message):
    with pytest.raises(UserError, match=f"--init_method: .*{message}"):
        host_and_port(address)


def test_a_port_in_use_is_refused_and_a_silent_one_is_waited_for():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        wait_for_host("localhost", port, 1)
        with pytest.raises(UserError, match="--init_method: tcp://h:1: Address already in use"):
            check_port("tcp://h:1", port)
    check_port("tcp://h:1", port)
    with pytest.raises(UserError, match=f"machine 0 does not answer at localhost:{port}"):
        wait_for_host("localhost", port, 0)


def test_ranks_that_start_again_on_one_store_share_a_new_name():
    store = dist.HashStore()
    names = []
    for size in (3, 3, 2):
        with ThreadPoolExecutor(size) as pool:
            (name,) = set(pool.map(lambda rank, size=size: name_of_start(store, rank, size, 20.0), range(size)))
        names.append(name)
    assert len(set(names)) == 3


def test_a_rank_that_does_not_start_again_is_named():
    store = dist.HashStore()
    with pytest.raises(UserError, match="of 2 ranks 1 are missing, after"):
        name_of_start(store, 0, 2, 0.01)
