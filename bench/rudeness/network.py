"""A network that can be lost: a namespace of its own behind a pair of virtual interfaces. Linux, as root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


class Network:
    """Programs in it reach the machine at ``address``, until the link is cut."""

    def __init__(self, number: int) -> None:
        self._name = f"rude{number}"
        self._net = f"198.18.{number % 250}"  # for benchmarks (RFC 2544): nobody else's
        self.address = f"{self._net}.1"
        self.prefix = ("ip", "netns", "exec", self._name)
        """Of a command that is to run in it."""

    def set_up(self) -> None:
        """Raises ``CalledProcessError`` where this may not be done."""
        outer, inner = f"{self._name}o", f"{self._name}i"
        _ip("netns", "add", self._name)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self._name)
        _ip("address", "add", f"{self.address}/24", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("-n", self._name, "address", "add", f"{self._net}.2/24", "dev", inner)
        _ip("-n", self._name, "link", "set", inner, "up")

    def cut(self) -> None:
        """Nothing comes through any more, in either direction, and nobody is told."""
        _ip("-n", self._name, "link", "set", f"{self._name}i", "down")

    def mend(self) -> None:
        """It works again. Idempotent."""
        _ip("-n", self._name, "link", "set", f"{self._name}i", "up")

    def tear_down(self) -> None:
        """Idempotent; the interfaces go with the namespace."""
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def losable() -> Iterator[Network | None]:
    """While the block runs; None where this user may not make one."""
    if shutil.which("ip") is None:
        yield None
        return
    network = Network(os.getpid())
    try:
        network.set_up()
    except subprocess.CalledProcessError:
        network.tear_down()
        yield None
        return
    try:
        yield network
    finally:
        network.tear_down()
