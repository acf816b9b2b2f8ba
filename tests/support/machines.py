"""Several machines for one installation: each with a network namespace, host name, state folder and temporary folder of
its own, and nothing in common but PostgreSQL, Redis and MLflow, which each have an address on a bridge between them.

Needs the right to make namespaces (root on Linux, iproute2); `can_be_made` says whether it is there.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry_ui.demo.installation import ROOT, Installation, answers
from registry_ui.demo.processes import Process
from tests.support.stack import Trial

POSTGRES, REDIS, MLFLOW, MAIL = 1, 2, 3, 4
"""Last numbers of the addresses on the bridge; machines have those from 11 on."""

NOWHERE = "02:00:00:00:00:99"
"""A network card that no one has: what is sent there is lost without a word, as behind a firewall that drops."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Network:
    """`with Network() as network:`; a bridge, and a namespace for each machine that is added."""

    tag: str = field(default_factory=lambda: f"cs{secrets.token_hex(2)}")
    names: list[str] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"10.213.{int(self.tag[2:4], 16)}"

    def address(self, number: int) -> str:
        return f"{self.prefix}.{number}"

    def __enter__(self) -> "Network":
        ip("link", "add", self.tag, "type", "bridge")
        for number in (POSTGRES, REDIS, MLFLOW, MAIL):
            ip("address", "add", f"{self.address(number)}/24", "dev", self.tag)
        ip("link", "set", self.tag, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", name)
        ip("link", "delete", self.tag)

    def add(self, number: int) -> str:
        """A namespace whose only way out is the bridge; its name."""
        name = f"{self.tag}n{number}"
        ip("netns", "add", name)
        self.names.append(name)
        ip("link", "add", f"{self.tag}h{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", f"{self.tag}h{number}", "master", self.tag, "up")
        ip("-n", name, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", name, "link", "set", device, "up")
        return name


def can_be_made() -> bool:
    if os.geteuid() or not shutil.which("ip") or not shutil.which("unshare"):
        return False
    try:
        with Network() as network:
            network.add(11)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@dataclass(frozen=True)
class Machine(Trial):
    """The processes that an operator starts on one of several machines, and what can happen to its network."""

    network: Network = field(default_factory=Network)
    number: int = 11
    namespace: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    """Environment that the operator gives to all machines alike."""

    @property
    def url(self) -> str:
        return f"http://{self.network.address(self.number)}:{self.port}"

    def take_keys_from(self, first: Installation) -> None:
        """As an operator hands them out: the machines share no folder."""
        for name in ("secret-key", "checkpoint-key", "gate-key", "gate-token"):
            shutil.copy(first.folder / name, self.folder / name)

    def environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return super().environment() | {"TMPDIR": str(temporary), "NO_PROXY": "*", "no_proxy": "*", **self.given}

    def inside(self, process: Process) -> Process:
        """The process on this machine; it keeps its number."""
        enter = ["ip", "netns", "exec", self.namespace, "unshare", "--uts"]
        enter += ["sh", "-c", 'hostname "$0"; exec "$@"', f"gate-{self.number}"]
        process.command = [*enter, *process.command]
        process.name = f"{process.name} on {self.number}"
        return process

    def web(self) -> Process:
        process = super().web()
        process.command = [word.replace("127.0.0.1", "0.0.0.0") for word in process.command]  # noqa: S104  a namespace
        process.is_ready = lambda: answers(f"{self.url}/healthz")
        return self.inside(process)

    def worker(self) -> Process:
        return self.inside(super().worker())

    def beat(self) -> Process:
        return self.inside(super().beat())

    # --- What happens to it

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """Its link is down; nobody is told."""
        link = f"{self.network.tag}h{self.number}"
        ip("link", "set", link, "down")
        try:
            yield
        finally:
            ip("link", "set", link, "up")

    @contextlib.contextmanager
    def without(self, service: int) -> Iterator[None]:
        """What this machine sends to one service is lost; the others reach it."""
        way = ("-n", self.namespace, "neighbour")
        where = (self.network.address(service), "dev", "eth0")
        ip(*way, "replace", *where, "lladdr", NOWHERE, "nud", "permanent")
        try:
            yield
        finally:
            ip(*way, "delete", *where)


def redis_server(network: Network, folder: Path) -> Process:
    command = [str(shutil.which("redis-server")), "--bind", network.address(REDIS), "--port", "6379"]
    command += ["--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    return Process("Redis", command, dict(os.environ), output=folder / "redis.log", folder=ROOT)
