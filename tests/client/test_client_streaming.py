"""Text that comes piece by piece, at a place that others move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cowrite.client import ReadOnly, connect
from demo_server import DemoServer
from python_clients import change_grant, token, until
from timing import MS

WORDS = ["The", "😀", "quick", "é", "brown", "漢字", "fox", "jumps", "over", "the", "lazy", "dog.", ""]


async def said(words: list[str], pause: float = 0.002) -> AsyncIterator[str]:
    for word in words:
        yield f"{word} "
        await asyncio.sleep(pause)


@pytest.mark.rule("PY20")
async def test_streaming_while_somebody_types_before_it(server: DemoServer, name: str) -> None:
    """Each goes on where they are, and both texts are whole."""
    async with connect(server.url, name, token=token("ana")) as ana, connect(server.url, name, token=token("bot")) as bot:
        ana.text("body").append("# Title\n\nanswer: \n\nend")
        await ana.saved()
        await until(lambda: len(bot.text("body")))
        typed = "".join(f"{number} 😀 " for number in range(40))

        async def type_before() -> None:
            cursor = ana.text("body").anchor(2)
            for character in typed:
                ana.text("body").insert(cursor, character)
                await asyncio.sleep(0.002)

        place = bot.text("body").anchor(str(bot.text("body")).index("\n\nend"))
        typing = asyncio.create_task(type_before())
        end = await bot.text("body").stream(place, said(WORDS * 4, pause=0.01))
        await typing
        await asyncio.gather(ana.saved(), bot.saved())
        answer = "".join(f"{word} " for word in WORDS * 4)
        whole = f"# {typed}Title\n\nanswer: {answer}\n\nend"
        await until(lambda: str(ana.text("body")) == str(bot.text("body")) == whole)
        assert end is place
        assert whole[end.index :] == "\n\nend"


@pytest.mark.rule("PY20")
async def test_what_comes_fast_goes_together(server: DemoServer, name: str) -> None:
    """The first piece is there at once; a thousand pieces are some edits, and none of them is empty."""
    async with connect(server.url, name, token=token()) as doc:
        body, seen = doc.text("body"), []

        async def tokens() -> AsyncIterator[str]:
            for number in range(1000):
                yield ""
                yield f"{number},"
                if number == 0:
                    seen.append(str(body))
                await asyncio.sleep(0)

        await body.stream(0, tokens())
        assert seen == ["0,"]
        assert str(body) == "".join(f"{number}," for number in range(1000))
        assert doc._live.conversation.edits < 100


@pytest.mark.rule("PY20")
async def test_what_has_come_is_there_whatever_ends_it(server: DemoServer, name: str) -> None:
    """A model that fails, a program that is stopped, and a grant that is gone."""
    async with connect(server.url, name, token=token("ana")) as doc:
        body = doc.text("body")

        async def fails() -> AsyncIterator[str]:
            yield "one "
            yield "two "
            raise ConnectionError("the model is away")

        with pytest.raises(ConnectionError):
            await body.stream(0, fails())
        assert str(body) == "one two "

        async def hangs() -> AsyncIterator[str]:
            yield "three "
            yield "four "
            await asyncio.Event().wait()

        streaming = asyncio.ensure_future(body.stream(len(body), hangs()))
        await until(lambda: str(body).endswith("four "))
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming
        await doc.saved()
        await change_grant(server.url, name, "ana", "read")
        asked: list[int] = []

        async def goes_on() -> AsyncIterator[str]:
            for number in range(10_000):
                asked.append(number)
                yield "x"
                await asyncio.sleep(5 * MS)

        with pytest.raises(ReadOnly):
            await body.stream(0, goes_on())
        assert 1 < len(asked) < 10_000
        await change_grant(server.url, name, "ana", "write")
        await doc.refresh()
        await doc.saved()
