"""The servers that are measured: cowrite, and those of others as npm has them. Each runs in a process on a core of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from bench.side_by_side.node import ROOT, node

PEERS = Path(__file__).resolve().parents[1] / "peers"
SERVER_CORE, GENERATOR_CORE = 0, 1
START_SECONDS, STOP_SECONDS = 30.0, 15.0


class ServerError(Exception):
    """A server does not start; the message has what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    """One who takes part. ``settings`` are environment variables."""

    name: str
    protocol: str
    """What is spoken with it, as ``cowrite load --mix`` names it."""
    defaults: str
    """How it runs: said with every result."""
    program: str | None = None
    """A file of ``bench/peers``; None: cowrite."""
    arguments: tuple[str, ...] = ()
    """Of the program, after the port."""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def address(self, port: int) -> str:
        """What ``cowrite load`` is given."""
        return f"{'http' if self.program is None else 'ws'}://127.0.0.1:{port}"


_DURABLE = "`cowrite serve --demo`, SQLite with full sync: an edit is acknowledged when it is on the disk"

COWRITE = Server("cowrite", "yjs", f"{_DURABLE}; all settings as they come")
COWRITE_100MS = Server(
    "cowrite-100ms",
    "yjs",
    f"{_DURABLE}; the window of the broadcast fixed at 100 ms (COWRITE_BATCH_MIN_MS and COWRITE_BATCH_MS)",
    settings={"COWRITE_BATCH_MIN_MS": "100", "COWRITE_BATCH_MS": "100"},
)
HOCUSPOCUS = Server(
    "hocuspocus",
    "hocuspocus",
    "@hocuspocus/server, all settings as they come: no extension, so nothing is stored; `flushDelay` 0, so what arrives in one"
    " turn of the event loop is merged; `debounce` 2 s and `timeout` 60 s",
    program="hocuspocus.mjs",
)
HOCUSPOCUS_100MS = replace(
    HOCUSPOCUS,
    name="hocuspocus-100ms",
    defaults="@hocuspocus/server with `flushDelay` 100 ms, its setting for what cowrite-100ms does; all others as they come",
    arguments=("100",),
)
Y_WEBSOCKET = Server(
    "y-websocket",
    "yjs",
    "@y/websocket-server as its `y-websocket-server` starts it: no persistence; each update goes out by itself",
    program="y-websocket.mjs",
)
SERVERS = {server.name: server for server in (COWRITE, COWRITE_100MS, HOCUSPOCUS, HOCUSPOCUS_100MS, Y_WEBSOCKET)}


class Running:
    """A server that runs."""

    def __init__(self, server: Server, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.server = server
        self.port = port
        self.address = server.address(port)
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def died(self) -> bool:
        return self._process.poll() is not None

    def last_words(self, lines: int = 5) -> str:
        """The exit code of one that has ended, and the end of what it wrote, in one line."""
        end = " / ".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        return f"exit code {self._process.poll()}, last words: {end}"

    def waited_seconds(self) -> float:
        """How long its main thread was ready to run and had no core; 0 where the system does not tell.

        A server that shares its core with somebody else is late, merges more, and looks cheaper than it is.
        """
        try:
            return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            return 0.0


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in the block runs on that core only, with all its threads; where there is one core, anywhere."""
    if not can_pin():
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def can_pin() -> bool:
    """This machine has a core for the server and one for the generator, and lets us choose."""
    return hasattr(os, "sched_setaffinity") and {SERVER_CORE, GENERATOR_CORE} <= os.sched_getaffinity(0)


@contextlib.contextmanager
def running(server: Server, folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
    """Start it with its data in that folder, and end it after the block, by force where it does not go by itself.

    Raises :class:`ServerError` when it does not start.
    """
    port = free_port()
    log = folder / f"{server.name}.log"
    with on_core(SERVER_CORE), log.open("ab") as out:
        process = subprocess.Popen(
            _command(server, port),
            env=_environment(server, port, folder, settings),
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    one = Running(server, port, process, log)
    try:
        _wait_until_it_listens(one)
        yield one
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(server: Server, port: int) -> list[str]:
    if server.program is None:
        return [str(Path(sys.executable).with_name("cowrite")), "serve", "--demo"]
    return [node(), str(peers() / server.program), str(port), *server.arguments]


def _environment(server: Server, port: int, folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    # The settings of the person who measures are not those that are measured.
    own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
    told = {"COWRITE_PORT": str(port), "COWRITE_DATA_DIR": str(folder / "data")} if server.program is None else {}
    return {**own, **told, **server.settings, **settings}


def _wait_until_it_listens(one: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and not one.died:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", one.port), timeout=1):
            return
        time.sleep(0.02)
    raise ServerError(f"{one.server.name} does not start ({one.last_words(20)})")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peers() -> Path:
    """The folder of the other servers with their packages, which the first call installs."""
    from node_program import install

    return install(PEERS, ROOT / ".cache" / "bench-peers")
