"""What becomes of unsaved edits when the block ends, however it does."""

from __future__ import annotations

import asyncio

import pytest

from between import Between
from cowrite.client import Closed, NotSaved, Status, connect
from demo_server import DemoServer
from python_clients import token, until


@pytest.mark.rule("PY15")
async def test_leaving_waits_for_what_is_on_its_way(server: DemoServer, name: str) -> None:
    async with connect(server.url, name, token=token()) as doc:
        doc.text("body").append("last words")
    assert (doc.unsaved, doc.status) == (0, Status.CLOSED)
    async with connect(server.url, name, token=token()) as doc:
        assert str(doc.text("body")) == "last words"


@pytest.mark.rule("PY15")
async def test_nothing_is_lost_silently(server: DemoServer, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """What could not be saved in time is in the exception, and in the log that it is."""
    with Between(server.port) as between:

        async def away() -> None:
            async with connect(between.url, name, token=token(), save_seconds=0.1) as doc:
                between.network = False
                between.cut()
                doc.text("body").append("one ")
                doc.text("body").append("two")

        with pytest.raises(NotSaved, match=r"2 edits .* nothing was heard of them within 0\.1 s") as left:
            await away()
    assert "left with unsaved edits" in caplog.text
    async with connect(server.url, name, token=token()) as doc:
        assert str(doc.text("body")) == ""
        doc.merge(left.value.update)
        await doc.saved()
        assert str(doc.text("body")) == "one two"


@pytest.mark.rule("PY15")
async def test_the_programs_own_error_goes_on(server: DemoServer, name: str) -> None:
    """What was edited before it is saved all the same, where there is a connection; else a note says what is not."""

    async def connected() -> None:
        async with connect(server.url, name, token=token()) as doc:
            doc.text("body").append("before")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failed:
        await connected()
    assert not hasattr(failed.value, "__notes__")
    async with connect(server.url, name, token=token()) as doc:
        assert str(doc.text("body")) == "before"
    with Between(server.port) as between:

        async def away() -> None:
            async with connect(between.url, name, token=token()) as doc:
                between.network = False
                between.cut()
                await until(lambda: doc.status is not Status.CONNECTED)
                doc.text("body").append("away")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError) as failed:
            await away()
    assert "1 edits are not known to be saved: there is no connection" in failed.value.__notes__[0]


@pytest.mark.rule("PY15", "PY17")
async def test_it_can_be_cancelled(server: DemoServer, name: str) -> None:
    """While it comes in, while it waits, and while it leaves."""
    with Between(server.port) as between:
        between.sockets = "swallow"

        async def come_in() -> None:
            async with connect(between.url, name, token=token()):
                pass

        coming = asyncio.create_task(come_in())
        await until(lambda: between.upgrades)
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming
    entered = asyncio.Event()

    async def wait() -> None:
        async with connect(server.url, name, token=token()) as doc:
            doc.text("body").append("kept")
            entered.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await entered.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with connect(server.url, name, token=token()) as doc:
        assert str(doc.text("body")) == "kept"
        left = asyncio.create_task(doc.saved())
    await left
    with pytest.raises(Closed):
        doc.encode()
    with pytest.raises(RuntimeError, match="was entered before"):
        await doc.__aenter__()


@pytest.mark.rule("PY4", "PY15")
async def test_where_it_can_be_used(server: DemoServer, name: str) -> None:
    """Inside of its block, on its event loop; it may be made anywhere."""
    doc = await asyncio.to_thread(connect, server.url, name, token=token(), name="Bot")
    with pytest.raises(Closed, match="outside of its block"):
        doc.text("body")
    async with doc:
        body = doc.text("body")
        with pytest.raises(RuntimeError, match="on its event loop only"):
            await asyncio.to_thread(body.append, "from a thread")
        assert (str(body), doc.unsaved) == ("", 0)
        asyncio.get_running_loop().call_soon_threadsafe(body.append, "from a thread")
        await until(lambda: str(body) == "from a thread")
