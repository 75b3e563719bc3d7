"""The Python client against a real server: edits, what is saved, and what becomes of both when the server dies."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
import uvloop

from between import Between
from cowrite.client import Status, connect
from cowrite.testing.client import live_client
from demo_server import DemoServer
from python_clients import SECRET, token, until, yjs_url


@pytest.mark.rule("PY10", "PY11", "PY16")
async def test_two_edit_one_document(server: DemoServer, name: str) -> None:
    """What one writes the other reads, and others with other clients do."""
    async with connect(server.url, name, token=token("ana")) as ana, connect(server.url, name, token=token("bo")) as bo:
        assert ana.text("body") is ana.text("body")
        assert (ana.status, ana.synced, ana.grant, ana.name) == (Status.CONNECTED, True, "write", name)
        assert ana.user is not None
        assert (ana.user.id, ana.user.name) == ("ana", "Ana")
        ana.text("body").append("Hi 👩\u200d👧, e\u0301!")
        assert ana.unsaved == 1
        await ana.saved()
        assert ana.unsaved == 0
        await until(lambda: len(bo.text("body")) == 11)
        bo.text("body").insert(6, "漢")
        await until(lambda: str(ana.text("body")) == "Hi 👩\u200d👧漢, e\u0301!")
        async with live_client(yjs_url(server, name)) as stock:
            assert str(stock.yjs.text) == str(ana.text("body"))
            stock.yjs.text += "?"
            await until(lambda: str(bo.text("body")).endswith("e\u0301!?"))


@pytest.mark.rule("PY11")
async def test_saved_waits_for_what_was_before_it(server: DemoServer, name: str) -> None:
    """And at once when there is nothing; several may wait."""
    async with connect(server.url, name, token=token()) as doc:
        await doc.saved()
        doc.text("body").append("one")
        first = asyncio.create_task(doc.saved())
        second = asyncio.create_task(doc.saved())
        cancelled = asyncio.create_task(doc.saved())
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(first, second)
        assert (doc.unsaved, cancelled.cancelled()) == (0, True)
    async with connect(server.url, name, token=token()) as doc:
        assert str(doc.text("body")) == "one"


@pytest.mark.rule("PY13")
async def test_what_is_edited_without_a_pause_is_one_message(server: DemoServer, name: str) -> None:
    """Ten thousand edits of a loop are one entry of the log, and a server's limits for the fast do not come into it."""
    async with connect(server.url, name, token=token()) as doc:
        body = doc.text("body")
        for number in range(10_000):
            body.append(f"{number}\n")
        await doc.saved()
    async with live_client(yjs_url(server, name)) as stock:
        assert str(stock.yjs.text) == str(body)
        stock.yjs.text += "."
        await stock.until(lambda: stock.yjs.saved)
        assert stock.yjs.offset == 2


@pytest.mark.rule("PY13")
def test_large_pastes(server: DemoServer, name: str) -> None:
    """More than a server takes as an edit, on the loop that many use: every byte of it arrives."""

    async def paste() -> None:
        text = "".join(random.Random(7).choices("abcdefgh 漢😀\n", k=1_000_000))
        async with connect(server.url, name, token=token()) as ana, connect(server.url, name, token=token("bo")) as bo:
            ana.text("body").append("a" * 1_000_000)
            await ana.saved()
            ana.text("body").insert(500_000, text)
            await ana.saved()
            await until(lambda: len(bo.text("body")) == 2_000_000)
            assert str(bo.text("body")) == str(ana.text("body"))
            assert bo.text("body")[500_000:1_500_000] == text

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(paste())


@pytest.mark.rule("PY11", "PY12")
async def test_the_server_is_killed(tmp_path: Path) -> None:
    """Nothing that was called saved is lost, and what is edited meanwhile arrives."""
    with DemoServer(tmp_path, demo=False, COWRITE_SECRET=SECRET) as server:
        async with connect(server.url, "d", token=token("ana")) as ana, connect(server.url, "d", token=token("bo")) as bo:
            ana.text("body").append("saved ")
            await ana.saved()
            session = ana._live.ticket
            server.kill()
            ana.text("body").append("offline 😀 ")
            bo.text("body").append("bo ")
            await until(lambda: {ana.status, bo.status} <= {Status.DISCONNECTED, Status.CONNECTING})
            assert not ana.synced
            ana.text("body").append("longer ")
            await asyncio.sleep(0.05)
            assert (ana.unsaved, bo.unsaved) == (2, 1)
            server.start()
            await asyncio.gather(ana.saved(), bo.saved())
            await until(lambda: str(ana.text("body")) == str(bo.text("body")))
            assert ana._live.ticket is session, "the session goes on"
            text = str(ana.text("body"))
            assert text.startswith("saved ")
            assert sorted(text.split()) == ["bo", "longer", "offline", "saved", "😀"]
        server.kill()
        server.start()
        async with connect(server.url, "d", token=token("eve", "read")) as eve:
            assert str(eve.text("body")) == text


@pytest.mark.rule("PY12")
async def test_a_bad_network(server: DemoServer, name: str) -> None:
    """Connections are cut again and again, also in the middle of something: all arrives once, in the order of each."""
    rng = random.Random(11)
    with Between(server.port, delay=0.005) as between:
        async with connect(between.url, name, token=token("ana")) as ana, connect(between.url, name, token=token("bo")) as bo:
            for number in range(60):
                who, sign = rng.choice(((ana, "a"), (bo, "b")))
                who.text("body").append(f"{sign}{number} ")
                if number % 12 == 5:
                    between.cut()
                await asyncio.sleep(rng.uniform(0, 0.02))
            await asyncio.gather(ana.saved(), bo.saved())
            await until(lambda: str(ana.text("body")) == str(bo.text("body")))
            words = str(ana.text("body")).split()
            assert sorted(int(word[1:]) for word in words) == list(range(60))
            for sign in "ab":
                own = [int(word[1:]) for word in words if word[0] == sign]
                assert own == sorted(own)


@pytest.mark.rule("PY17")
async def test_no_task_and_no_socket_is_left(server: DemoServer, name: str) -> None:
    """Also of a document that was never reached, or that is left while it is away."""
    before = asyncio.all_tasks()
    with Between(server.port) as between:
        async with connect(between.url, name, token=token()) as doc:
            await doc.saved()
            between.network = False
            between.cut()
            await until(lambda: doc.status is Status.DISCONNECTED)
    assert doc.status is Status.CLOSED
    assert asyncio.all_tasks() == before
