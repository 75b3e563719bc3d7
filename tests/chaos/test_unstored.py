"""A server that stops while its database cannot be written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cowrite.testing.client import live_client
from demo_server import DemoServer


@pytest.mark.chaos
@pytest.mark.rule("WK23")
async def test_what_could_not_be_stored_is_told(tmp_path: Path) -> None:
    """The database is locked for as long as the server waits for it: the exit code is 1; nothing was acknowledged."""
    with DemoServer(tmp_path) as server:
        async with live_client(f"ws://127.0.0.1:{server.port}/yjs/doc") as client:
            with closing(sqlite3.connect(server.database, isolation_level=None, timeout=5)) as other:
                other.execute("BEGIN IMMEDIATE")
                client.yjs.text += "hello"
                await client.socket.drain()
                os.kill(server.pid, signal.SIGTERM)
                await client.until(lambda: client.socket.ended is not None)
                assert not client.yjs.saved
                assert await asyncio.to_thread(server.code, 60.0) == 1
        (line,) = [line for line in server.errors() if "edits not stored" in line]
        assert json.loads(line)["updates"] >= 1
