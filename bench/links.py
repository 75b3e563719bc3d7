"""What a person notices of the link: how soon an edit is seen at the other end, and how soon polling begins without WebSockets.

    PYTHONPATH=tests python -m bench.links [--edits 200] [--starts 10] [--delay 25]

Starts a real ``cowrite serve --demo`` on SQLite, and two clients of ``@cowrite/client`` in one Node process, both behind a real
proxy that keeps everything for ``--delay`` milliseconds in each direction: 25 make a link of 50 ms. (The handshake of TCP, and
the proxy's own refusal of an upgrade, are not delayed.) An edit is one character; it counts from the call that makes it until
the other document has it, so it goes up one link and down another. Between two edits the writer rests for up to 100 ms. *Until
polling* counts from ``new CowriteProvider()`` until the event that says ``polling``: the first answer has come. Targets (CI31,
CI10): p95 within 250 ms over WebSockets and 700 ms over polling; polling within 3 s.

Needs Node, and installs the packages of the client's tests at its first run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path

from between import Between, Sockets
from demo_server import DemoServer
from node_clients import Clients, client_program

_TRANSPORTS: dict[Sockets, str] = {"pass": "websocket", "refuse": "polling"}


def edits(clients: Clients, url: str, transport: str, count: int) -> list[float]:
    """Milliseconds of each edit."""
    room = str(uuid.uuid4())
    names = [f"{who} {room}" for who in ("ana", "bo")]
    for name in names:
        clients("open", name, kind="cowrite", url=url, room=room)
    for name in names:
        clients("synced", name)
        clients("goes_by", name, transport=transport)
    took: list[float] = clients("latencies", names[0], other=names[1], count=count)
    assert {clients("transport", name) for name in names} == {transport}, "it changed over in between"
    for name in names:
        clients("destroy", name)
    return took


def starts(clients: Clients, url: str, count: int) -> list[float]:
    """Milliseconds until a client that finds no WebSocket polls."""
    took = []
    for _ in range(count):
        name = str(uuid.uuid4())
        clients("open", name, kind="cowrite", url=url, room=name)
        (change,) = clients("tells", name, event="transport")
        assert change["transport"] == "polling"
        took.append(change["at"])
        clients("destroy", name)
    return took


def show(what: str, took: list[float]) -> None:
    """Print the middle, the 95th of a hundred, and the worst."""
    p95 = statistics.quantiles(took, n=20, method="inclusive")[-1]
    print(f"{what}: p50 {statistics.median(took):.0f} ms, p95 {p95:.0f} ms, worst {max(took):.0f} ms ({len(took)} times)")


def measure(server: DemoServer, clients: Clients, options: argparse.Namespace) -> None:
    delay = options.delay / 1000
    for sockets, transport in _TRANSPORTS.items():
        with Between(server.port, sockets=sockets, delay=delay) as between:
            show(f"an edit over {transport}", edits(clients, between.url, transport, options.edits))
    refused: Sockets = "refuse"
    swallowed: Sockets = "swallow"
    for sockets, what in ((refused, "refused"), (swallowed, "swallowed")):
        with Between(server.port, sockets=sockets, delay=delay) as between:
            show(f"until polling, upgrades {what}", starts(clients, between.url, options.starts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--delay", type=float, default=25.0, help="milliseconds in each direction")
    options = parser.parse_args()
    program = client_program()
    with tempfile.TemporaryDirectory() as folder, DemoServer(Path(folder)) as server:
        with closing(Clients(program, Path(folder) / "complaints")) as clients:
            began = time.monotonic()
            print(f"a link of {2 * options.delay:.0f} ms")
            measure(server, clients, options)
            print(f"in {time.monotonic() - began:.0f} s")
        server.stop()


if __name__ == "__main__":
    main()
