"""Whose what was carried is, in blame and diff."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.history.past_tools import info_of, process
from cowrite.core.history.diffs import DiffFormat
from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep2
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.process import quiet
from cowrite.testing.yjs_client import YjsClient


@pytest.mark.rule("BI10", "HI13")
async def test_who_wrote_what_was_carried_is_known_when_they_show_up() -> None:
    """Nobody's, and asked anew each time, until then; afterwards it is kept."""
    async with process(MemoryDatabase()) as (server, past):
        lost = YjsClient(70)
        lost.text.insert(0, "unsaved")
        bo = await server.join(user="bo")
        bo.send(yjs.encode(SyncStep2(lost.doc.get_update())))
        await quiet(server)
        info = await info_of(server)
        first, last = await past.moments.at(info, 0), await past.moments.at(info, 1)

        async def author() -> Any:
            ((run, *_), changes) = (
                json.loads(await past.blames.of(last, None)),
                await past.diffs.between(first, last, DiffFormat.JSON, None),
            )
            assert (run["offset"], run["created_at"]) == (1, server.clock.now())
            assert (b'"author":null' in changes) is (run["author"] is None)
            return run["author"]

        assert (await author(), await author()) == (None, None)
        await server.join(user="ana", client=lost)
        lost.point("{}")
        await quiet(server)
        assert await author() == "ana"
        assert await past.blames.of(last, None) is await past.blames.of(last, None)
