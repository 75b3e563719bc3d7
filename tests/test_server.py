"""``cowrite serve`` as a process: start, stop, and what keeps it from starting."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cowrite.core.rooms.making import log_of
from cowrite.crdt.state import get_state
from cowrite.stores import open_store
from cowrite.testing.client import UpgradeRefused, WebSocketClient, live_client
from cowrite.testing.transport_contract.server import text_of
from cowrite.tokens import generate_secret
from timing import MS

COWRITE = Path(sys.executable).parent / "cowrite"


def environment(folder: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
    return own | {"COWRITE_DATA_DIR": str(folder / "data"), "COWRITE_PORT": "0", **more}


class Served:
    def __init__(self, process: asyncio.subprocess.Process, line: str) -> None:
        self.process = process
        self.line = line

    @property
    def url(self) -> str:
        return self.line.rpartition(" ")[2].strip().rstrip("/").replace("http", "ws", 1)

    async def end(self, *signals: signal.Signals) -> tuple[int | None, str]:
        """Send these signals; the exit code and what was logged."""
        for number in signals:
            self.process.send_signal(number)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(15_000 * MS):
            _, logged = await self.process.communicate()
        return self.process.returncode, logged.decode()


@asynccontextmanager
async def served(folder: Path, *flags: str, **more: str) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        COWRITE, "serve", *(flags or ["--demo"]), env=environment(folder, **more), cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20_000 * MS):
            line = (await process.stdout.readline()).decode()
        yield Served(process, line)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def is_open(url: str, token: str) -> None:
    """A token opens what is there."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.rule("AD11")
async def test_no_token_of_a_secret_that_lasts(tmp_path: Path) -> None:
    """The demo prints a token for administrators only where it is good for nothing else."""
    async with served(tmp_path, COWRITE_SECRET=generate_secret()) as server:
        server.process.send_signal(signal.SIGTERM)
        printed, _ = await server.process.communicate()
        assert printed == b""


@pytest.mark.rule("TR38", "CL18", "AD11")
async def test_serve_and_stop(tmp_path: Path) -> None:
    """It says where it serves, stores what it took when it is told to stop by either signal, and has it after a restart."""
    for number, before in ((signal.SIGTERM, ""), (signal.SIGINT, "hello world")):
        async with served(tmp_path) as server:
            assert server.line.startswith("cowrite is ready at http://127.0.0.1:")
            assert server.process.stdout is not None
            printed = (await server.process.stdout.readline()).decode()
            found = re.fullmatch(r"its administration, for 7 days: (http://127\.0\.0\.1:\d+/)admin/#token=(\S+)\n", printed)
            assert found
            await asyncio.to_thread(is_open, f"{found[1]}api/v2/admin/overview", found[2])
            assert await text_of(f"{server.url}/yjs/doc") == before
            async with live_client(f"{server.url}/yjs/doc") as client:
                await client.until(lambda: client.yjs.synced)
                client.yjs.text += "hello"
                await client.until(lambda: client.yjs.saved)
                client.yjs.text += " world"
                await client.socket.drain()
                code, logged = await server.end(number)
                assert client.socket.ended is not None
                assert client.socket.ended.code == 1012
            assert code == 0
            assert "Traceback" not in logged
            assert [json.loads(line)["message"] for line in logged.splitlines()] == ["connections are sent away", "stopped"]
    # What the second one stored is read without a third.
    storage = await open_store(f"sqlite:///{tmp_path}/data/cowrite.sqlite3")
    stored = await storage.store.load("doc")
    await storage.close()
    assert stored is not None
    assert get_state(log_of(stored)) == {"body": {"$text": [{"insert": "hello worldhello world"}]}}


@pytest.mark.rule("TR38")
async def test_without_the_demo_it_says_what_is_where(tmp_path: Path) -> None:
    """There is no page at the address then; what the line names is there."""
    async with served(tmp_path, "--host", "localhost", COWRITE_SECRET=generate_secret()) as server:
        found = re.fullmatch(
            r"cowrite is ready: editors at (ws://localhost:\d+/yjs/){document_id}, HTTP at (http://\S+)\n", server.line
        )
        assert found
        with await asyncio.to_thread(urllib.request.urlopen, found[2], timeout=10) as answer:
            assert answer.status == 200
        with pytest.raises(UpgradeRefused) as refused:
            await WebSocketClient.connect(f"{found[1]}doc", headers={"Origin": "http://elsewhere"})
        assert refused.value.status == 403
        assert (await server.end(signal.SIGTERM))[0] == 0


@pytest.mark.rule("TR38")
async def test_second_signal(tmp_path: Path) -> None:
    """A second signal ends it at once, also while it waits for clients that do not go."""
    async with served(tmp_path) as server:
        _, writer = await _stubborn_client(server)
        code, _ = await server.end(signal.SIGTERM, signal.SIGTERM)
        assert code == -signal.SIGTERM
        writer.close()


async def _stubborn_client(server: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket that answers no close frame."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(
        b"GET /yjs/doc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


@pytest.mark.rule("TR39")
async def test_what_keeps_it_from_starting(tmp_path: Path) -> None:
    """A taken port, a data folder that is a file, a database that is none: one line each, and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        (tmp_path / "file").write_text("no folder")
        (tmp_path / "broken.db").write_text("this is no database, whatever its name says" * 100)
        cases = {
            "taken": {"COWRITE_PORT": port},
            "data folder": {"COWRITE_DATA_DIR": str(tmp_path / "file")},
            "database": {"COWRITE_DATABASE_URL": f"sqlite:///{tmp_path / 'broken.db'}"},
        }
        ends = await asyncio.gather(*(_start_and_end(tmp_path, setting) for setting in cases.values()))
    for word, (printed, code, logged) in zip(cases, ends, strict=True):
        assert printed == ""
        assert code == 2, logged
        (line,) = [line for line in logged.splitlines() if line.startswith("cowrite: ")]
        assert word in line
        assert "Traceback" not in logged


async def _start_and_end(folder: Path, setting: dict[str, str]) -> tuple[str, int | None, str]:
    async with served(folder, **setting) as server:
        return server.line, *(await server.end())
