"""The meeting of the members of a run, machines or ranks, before any of them works.

All compare their configs, so that a difference is an error with its keys, and not a run that waits or goes wrong.
"""

import json
import logging
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from slowfast.config.node import CfgNode, flatten
from slowfast.errors import UserError

logger = logging.getLogger(__name__)

POLL_SEC = 0.1
PATIENCE_SEC = 1.0  # before a line about who is missing: processes never start at the same moment
LINGER_SEC = 1.0  # before a member ends with an error that the others still have to read
MAY_DIFFER = ("SHARD_ID", "OUTPUT_DIR", "LOG_", "DATA_LOADER.", "DIST_TIMEOUT_MIN", "TENSORBOARD.")


class Store(Protocol):
    """The methods of a torch.distributed store that a meeting and failing ranks use."""

    def add(self, key: str, amount: int) -> int: ...

    def check(self, keys: list[str]) -> bool: ...

    def get(self, key: str) -> bytes: ...

    def set(self, key: str, value: str) -> object: ...

    def compare_set(self, key: str, expected: str, desired: str) -> bytes: ...


@dataclass(frozen=True)
class Meeting:
    """Member `member` of `size`; `kind` is "machine" or "rank". `config` is what all must agree on."""

    kind: str
    member: int
    size: int
    address: str
    config: Mapping[str, str]
    wait_sec: float

    def hold(self, store: Store) -> None:
        """Wait for all members. Raise UserError if some are missing after `wait_sec`, or if the members disagree."""
        try:
            self._check_in(store)
            self._wait(store)
            self._compare(store)
        except RuntimeError:  # of the store
            raise UserError(
                f"{self.kind} {self.member} lost the connection to {self.address}: start all again"
            ) from None

    def _check_in(self, store: Store) -> None:
        size = store.compare_set("size", "", str(self.size)).decode()
        if size != str(self.size):
            self._refuse(store, f"one {self.kind} was started for {size} {self.kind}s, another for {self.size}")
        mine = json.dumps([f"{socket.gethostname()} {time.time_ns()}", dict(self.config)])
        if store.compare_set(f"{self.member}", "", mine).decode() != mine:
            number = "SHARD_ID" if self.kind == "machine" else "rank"
            self._refuse(store, f"{number} {self.member} was started twice at {self.address}; give each its own number")

    def _refuse(self, store: Store, message: str) -> None:
        """Raise UserError here and at all others."""
        store.set("error", message)
        time.sleep(LINGER_SEC)
        raise UserError(message)

    def _wait(self, store: Store) -> None:
        def missing() -> list[int]:
            if store.check(["error"]):
                time.sleep(LINGER_SEC)
                raise UserError(store.get("error").decode())
            return [member for member in range(self.size) if not store.check([str(member)])]

        def describe(absent: list[int]) -> str:
            numbers = ", ".join(map(str, absent))
            return f"{self.size - len(absent)} of {self.size} {self.kind}s are at {self.address}, without {numbers}"

        wait_until_empty(missing, describe, self.wait_sec)

    def _compare(self, store: Store) -> None:
        first, *others = (json.loads(store.get(str(member)))[1] for member in range(self.size))
        for member, config in enumerate(others, start=1):
            if differing := [key for key in {**first, **config} if first.get(key) != config.get(key)]:
                values = "; ".join(f"{key} is {first.get(key)} and {config.get(key)}" for key in differing)
                time.sleep(LINGER_SEC)
                raise UserError(f"{self.kind}s 0 and {member} have different configs: {values}")


def name_of_start(store: Store, rank: int, size: int, wait_sec: float) -> str:
    """Return a name that all ranks of this start share, and those of an earlier start on the same store did not.

    torchrun restarts ranks on the same store, and its agents count restarts differently. When a rank starts, all ranks
    of the earlier start have ended. Rank 0 lists the names of all ranks until each has found its own in the list.
    """
    mine, ranks = uuid.uuid4().hex, range(size)
    store.set(f"start/{rank}", mine)

    def listed() -> list[str]:
        return store.get("starts").decode().split(",") if store.check(["starts"]) else []

    def missing() -> list[int]:
        if rank == 0:
            names = [store.get(f"start/{r}").decode() if store.check([f"start/{r}"]) else "" for r in ranks]
            store.set("starts", ",".join(names))
            return [r for r in ranks[1:] if not store.check([f"{mine}/{r}"])]
        return [] if listed()[rank : rank + 1] == [mine] else [0]

    wait_until_empty(missing, lambda absent: f"of {size} ranks {', '.join(map(str, absent))} are missing", wait_sec)
    name = listed()[0]
    store.set(f"{name}/{rank}", "")
    return name


def wait_until_empty(missing: Callable[[], list], describe: Callable[[list], str], wait_sec: float) -> None:
    """Wait until nothing is missing. Log what is; raise UserError after `wait_sec`."""
    start, shown = time.monotonic(), None
    while absent := missing():
        if time.monotonic() - start > wait_sec:
            raise UserError(
                f"{describe(absent)}, after {wait_sec / 60:g} minutes: start what is missing, or raise DIST_TIMEOUT_MIN"
            )
        if absent != shown and time.monotonic() - start > PATIENCE_SEC:
            logger.info("waiting: %s", describe(absent))
            shown = absent
        time.sleep(POLL_SEC)


def shared_values(cfg: CfgNode) -> dict[str, str]:
    """Return the keys that all machines must agree on. Paths and settings of logs and loaders may differ."""
    return {key: repr(value) for key, value in flatten(cfg) if not key.startswith(MAY_DIFFER) and "PATH" not in key}


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of tcp://HOST:PORT. Raise UserError if there is no such host."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise UserError(f"--init_method: {address!r} is not an address; give tcp://HOST:PORT of machine 0")
    try:
        socket.getaddrinfo(host, port)
    except OSError as error:
        raise UserError(f"--init_method: the host of {address} is not known here ({error.strerror})") from None
    return host, port


def wait_for_host(host: str, port: int, wait_sec: float) -> None:
    """Wait until machine 0 listens. Raise UserError if it does not within `wait_sec`."""

    def missing() -> list[str]:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError as error:
            return [error.strerror or "no answer"]
        return []

    wait_until_empty(missing, lambda reason: f"machine 0 does not answer at {host}:{port} ({reason[0]})", wait_sec)


def check_port(address: str, port: int) -> None:
    """Raise UserError if the port is in use on this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(
                f"--init_method: {address}: {error.strerror}; use another port, unless SHARD_ID 0 was started twice"
            ) from None
