"""``cowrite serve --workers``: start, what keeps it from starting, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from cowrite.control import Assignment, decode
from cowrite.protocol.close_codes import CloseCode
from cowrite.settings import Settings
from cowrite.testing.client import LiveClient, live_client
from cowrite.tokens import generate_secret, issue
from timing import MS
from workers_server import WorkersServer

SOON = 25_000 * MS
IN_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
os.login_tty(int(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])
"""


def gone(pids: Iterable[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


async def until_gone(pids: Iterable[int]) -> None:
    async with asyncio.timeout(SOON):
        while not gone(pids):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@asynccontextmanager
async def one_at_each(server: WorkersServer, document: str) -> AsyncIterator[list[LiveClient]]:
    """A client at each worker."""
    clients, stacks = [], []
    for pid in server.workers():
        with server.taking(pid):
            stacks.append(live_client(f"ws://127.0.0.1:{server.port}/yjs/{document}"))
            clients.append(await stacks[-1].__aenter__())
    yield clients
    for stack in stacks:
        await stack.__aexit__(None, None, None)


@pytest.mark.rule("WK2")
@pytest.mark.parametrize("problem", ["port", "database"])
async def test_what_keeps_it_from_starting(tmp_path: Path, problem: str) -> None:
    """A port that is taken, a database that is none: one line, once, exit code 2, and no process is left."""
    (tmp_path / "broken.db").write_text("this is no database, whatever its name says" * 100)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] if problem == "port" else 0
        own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
        process = await asyncio.create_subprocess_exec(
            "cowrite", "serve", "--demo", "--workers", "3", "--port", str(port),
            env=own | {"COWRITE_DATABASE_URL": f"sqlite:///{tmp_path / 'broken.db'}"}, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(SOON):
            printed, logged = await process.communicate()
    assert process.returncode == 2
    assert printed == b""
    (line,) = [line for line in logged.decode().splitlines() if line.startswith("cowrite: ")]
    assert problem in line
    assert "Traceback" not in logged.decode()


def administration(server: WorkersServer, path: str, token: str) -> Any:
    """What administrators are told of all workers, whichever of them is asked."""
    return json.loads(server.text(f"api/v2/admin/{path}?access_token={token}"))


@pytest.mark.rule("WK1", "WK6", "WK10", "WK11", "WK30", "AD2", "AD3")
async def test_serves_and_ends_at_once_at_a_second_signal(tmp_path: Path) -> None:
    """One ready line for all, all have figures, and nothing is left of any after two signals."""
    secret = generate_secret()
    server = WorkersServer(tmp_path, demo=False, COWRITE_SECRET=secret, COWRITE_DRAIN_SECONDS="60")
    with server:
        workers = server.workers()
        assert len(workers) == 2
        assert len(server.log("cowrite is ready")) == 1
        assert len(server.log("without COWRITE_REDIS_URL")) == 1
        assert secret not in "".join(word for pid in workers for word in psutil.Process(pid).cmdline())
        for pid in workers:
            with server.taking(pid):
                # Whoever is asked cannot hear the frozen one, and says what it knows.
                told = await asyncio.to_thread(server.text, "metrics")
                assert len(figures(told)) == 1
                # One that dies again and again is never there to say it: the supervisor does.
                assert set(re.findall(r'^cowrite_worker_restarts_total{worker="(\d+)"} 0', told, re.MULTILINE)) == {"1", "2"}
        await asyncio.to_thread(server.wait, lambda: figures(server.text("metrics")) == {"1", "2"})
        admin = issue(secret, sub="root", documents={"*": "admin"})
        overview = await asyncio.to_thread(administration, server, "overview", admin)
        assert [(one["number"], one["answers"]) for one in overview["workers"]] == [(1, True), (2, True)]
        token = issue(secret, sub="ana", documents={"*": "write"})
        async with AsyncExitStack() as stack:
            # Of three sockets two are at one worker, which takes its time with the second one.
            url = f"ws://127.0.0.1:{server.port}/yjs/doc?token={token}"
            clients = [await stack.enter_async_context(live_client(url)) for _ in range(3)]
            assert all(client.yjs.synced for client in clients)
            [document] = (await asyncio.to_thread(administration, server, "documents", admin))["documents"]
            found = {name: document[name] for name in ("document_id", "sockets", "people")}
            assert found == {"document_id": "doc", "sockets": 3, "people": 1}
            assert set(document["workers"]) <= {1, 2}
            os.kill(server.pid, signal.SIGTERM)
            await asyncio.to_thread(server.wait, server.refuses)
            os.kill(server.pid, signal.SIGINT)
            assert await asyncio.to_thread(server.code) == -signal.SIGINT
        await until_gone(workers)


def figures(text: str) -> set[str]:
    return set(re.findall(r'^cowrite_sockets{worker="(\d+)"} ', text, re.MULTILINE))


@pytest.mark.rule("WK7", "WK20", "WK21")
async def test_workers_without_their_supervisor_drain(tmp_path: Path) -> None:
    """The supervisor is killed: what its workers took is stored and acknowledged, everybody is sent away, and they end."""
    with WorkersServer(tmp_path, COWRITE_DRAIN_SECONDS="0.5") as server:
        workers = server.workers()
        async with one_at_each(server, "doc") as clients:
            clients[0].yjs.text += "hello"
            await clients[0].until(lambda: clients[0].yjs.saved)
            os.kill(server.pid, signal.SIGKILL)
            for client in clients:
                await client.until(lambda one=client: one.socket.ended is not None)  # type: ignore[misc]
                assert client.socket.ended is not None
                assert client.socket.ended.code == CloseCode.SERVICE_RESTART
        await until_gone(workers)
        stopped = [json.loads(line) for line in server.log('"stopped"')]
        assert sorted(line["worker"] for line in stopped) == [1, 2]
        assert server.errors() == []


@pytest.mark.rule("WK8", "WK33")
async def test_its_terminal_is_closed(tmp_path: Path) -> None:
    """Then it stops, although SIGHUP from elsewhere replaces workers; those that have not begun to serve are not waited for."""
    ours, its = os.openpty()
    own = {name: value for name, value in os.environ.items() if not name.startswith("COWRITE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IN_TERMINAL, str(its), "cowrite", "serve", "--demo", "--workers", "2", "--port", "0",
        env=own, cwd=tmp_path, pass_fds=[its],
    )  # fmt: skip
    os.close(its)
    parent = psutil.Process(process.pid)
    try:
        async with asyncio.timeout(SOON):
            # In a process group of its own: until then it would be told, too, and end at once.
            while not (workers := [one.pid for one in parent.children() if os.getpgid(one.pid) == one.pid]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        os.close(ours)
        async with asyncio.timeout(SOON):
            assert await process.wait() == 0
        await until_gone(workers)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.rule("WK10")
def test_an_assignment_has_all_that_the_settings_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets, and what the environment says otherwise."""
    monkeypatch.setenv("COWRITE_PORT", "9999")
    monkeypatch.setenv("COWRITE_REDIS_URL", "redis://elsewhere")
    settings = Settings(
        secret=SecretStr(generate_secret()),
        allowed_origins=("https://a.example",),
        port=0,
        redis_url=None,
        workers=3,
        drain_seconds=1.5,
        jwt_secret=SecretStr("s" * 40),
    )
    sent = Assignment(2, settings, True, (5, 6))
    found = Assignment.read(sent.line())
    assert found == sent
    assert found.settings.keys == settings.keys
    assert found.settings.jwt_secret == settings.jwt_secret


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"settings": {"port": -1}}', b"no json\n"])
def test_what_is_no_assignment(line: bytes) -> None:
    """It is a ``ValueError``, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011
        Assignment.read(line)


def test_a_message_is_an_object() -> None:
    """Everything else is printed by something else."""
    with pytest.raises(ValueError, match="not an object"):
        decode(b"1")
