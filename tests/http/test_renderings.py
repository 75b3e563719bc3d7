"""Answers that are the same for many."""

from __future__ import annotations

import asyncio
import gc

import pytest

from cowrite.core.leaving import BUFFER_BYTES, Held, Leaving
from cowrite.core.limits import Limits
from cowrite.http.answers import PART_BYTES
from cowrite.http.contents import HELD, Content
from cowrite.http.refusals import Refusal
from cowrite.http.renderings import Renderings

pytestmark = pytest.mark.rule("LM23")

GZIP = [(b"accept-encoding", b"gzip")]


async def test_made_once_for_all_who_ask_meanwhile() -> None:
    """While it is made and while it is sent; also compressed. Then it is gone, and one that failed is made again."""
    renderings, made = Renderings(), 0

    async def make() -> Content:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        if made == 1:
            raise ValueError("not now")
        return Content(b"x" * 300_000)

    first, *contents = await asyncio.gather(*(renderings.get("key", make) for _ in range(5)), return_exceptions=True)
    assert isinstance(first, ValueError)
    assert made == 2
    scope = {"type": "http", "headers": GZIP}
    answers = [await one.answer(scope, media_type="text/plain") for one in contents if not isinstance(one, BaseException)]
    assert len(answers) == 4
    assert all(answer.body is answers[0].body for answer in answers)
    del contents
    await renderings.get("key", make)
    assert made == 2
    del answers
    gc.collect()
    await renderings.get("key", make)
    assert made == 3


async def test_counted_from_when_it_is_made() -> None:
    """What waits to be compressed counts as it is; where there is no room it is refused before that."""
    leaving = Leaving(Limits(leaving_bytes=1 << 20))

    content, other = Content(b"x" * 900_000), Content(b"x" * 900_000)
    held = Held(leaving, None)
    scope = {"type": "http", "headers": GZIP, HELD: held}
    answering = asyncio.ensure_future(content.answer(scope, media_type="text/plain"))
    await asyncio.sleep(0)
    assert leaving.bytes == 900_000 + BUFFER_BYTES
    with pytest.raises(Refusal) as refused:
        await other.answer({**scope, HELD: Held(leaving, None)}, media_type="text/plain")
    assert refused.value.code == "overloaded"
    assert len((await answering).body) < PART_BYTES
    assert leaving.bytes == 0  # compressed it is small
