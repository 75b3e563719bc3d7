"""One document, many peers, some of them typing: what a delivered update costs the server, and how long it takes.

    python -m bench.fanout [--peers 1000] [--writers 10] [--rate 5] [--seconds 10] [--window MIN MAX]

Starts a real ``cowrite serve --demo`` on SQLite with full durability, pinned to one core where the machine has two, and
``cowrite load`` on the other; docs/reference/load.md says what its figures mean.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from cowrite.loadtest import Plan
from cowrite.loadtest.command import execute


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(
    port: int, data: Path, environment: dict[str, str], log: Path, *, command: Sequence[str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """``command``: what serves; None: ``cowrite serve --demo``."""
    # The settings of the person who measures, in the environment and in .env, are not those that are measured.
    own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command or [str(Path(sys.executable).with_name("cowrite")), "serve", "--demo"],
            env={**own, "COWRITE_PORT": str(port), "COWRITE_DATA_DIR": str(data), **environment},
            cwd=log.parent,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        if process.poll() is not None:
            raise SystemExit(f"the server did not start:\n{log.read_text()}")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def measure(environment: dict[str, str], *, as_json: bool, **plan: Any) -> int:
    """Load on a server of its own; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with served(port, Path(folder) / "data", environment, Path(folder) / "log") as process:
            server = psutil.Process(process.pid)
            if (os.cpu_count() or 1) >= 2 and hasattr(server, "cpu_affinity"):
                server.cpu_affinity([0])
                psutil.Process().cpu_affinity([1])
            chosen = Plan(url=f"http://127.0.0.1:{port}", server_pid=process.pid, **plan)
            return execute(chosen, json_file="-" if as_json else None, html_file=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--writers", type=int, default=10)
    parser.add_argument("--rate", type=float, default=5.0, help="edits per writer and second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--window", type=int, nargs=2, metavar=("MIN_MS", "MAX_MS"))
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    window = {} if not told.window else {"COWRITE_BATCH_MIN_MS": str(told.window[0]), "COWRITE_BATCH_MS": str(told.window[1])}
    sys.exit(measure(window, as_json=told.json, people=told.peers, typing=told.writers, rate=told.rate, seconds=told.seconds))


if __name__ == "__main__":
    main()
