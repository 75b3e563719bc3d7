"""A real server that is stopped, or killed, while a process looks at a large update for it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep1, SyncStep2
from cowrite.testing.yjs_writer import varuint
from demo_server import STOP_SECONDS, DemoServer

LONG = b"\x01" + varuint(1_000_000) + b"\x01\x00" + b"\x00\x01" * 1_000_000 + b"\x00"
"""Seconds of CPU time."""


def looking(server: DemoServer) -> psutil.Process:
    """The process that looks at the update, once it is there."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        for child in psutil.Process(server.pid).children():
            if "cowrite.import_child" in child.cmdline():
                return child
        time.sleep(0.01)
    raise AssertionError("no process looks at it")


@pytest.mark.rule("IM4")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_nothing_is_left_of_it(tmp_path: Path, stop: signal.Signals) -> None:
    with DemoServer(tmp_path) as server:
        url = f"ws://127.0.0.1:{server.port}/yjs/doc"
        with connect(url, max_size=None, ping_interval=None, open_timeout=STOP_SECONDS, close_timeout=0) as socket:
            socket.send(yjs.encode(SyncStep1(b"\0")))
            socket.send(yjs.encode(SyncStep2(LONG)))
            child = looking(server)
            os.kill(server.pid, stop)
            code = server.code()
        assert code == (0 if stop is signal.SIGTERM else -signal.SIGKILL)
        psutil.wait_procs([child], timeout=STOP_SECONDS)
        assert not child.is_running()
