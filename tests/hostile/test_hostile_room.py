"""Valid-looking hostile updates into real rooms: the honest go on being served, and are never sent away."""

from __future__ import annotations

import pytest
from fuzz.expense import MEMORY_BYTES
from fuzz.rooms import Played, play

from core.rooms.room_tools import process
from cowrite.protocol import yjs
from cowrite.protocol.close_codes import CloseCode
from cowrite.protocol.messages import Update
from cowrite.testing.process import quiet
from cowrite.testing.yjs_writer import block, deleted, embed, mark, shared_type, text, write_update
from timing import MS
from yjs_replicas import FUZZ


@pytest.mark.fuzz
@pytest.mark.rule("HB2")
async def test_the_honest_are_served_beside_the_hostile() -> None:
    """All that they type is acknowledged, whoever comes later is shown the same, and no turn of the loop takes long."""
    played = Played()
    for seed in range(6 * FUZZ):
        await play(seed, played, updates=60, scale=(5, 40, 200)[seed % 3])
    assert played.words >= 36 * FUZZ
    assert played.closed > 10 * FUZZ, "much of it was hostile"
    assert played.slowest < 1000 * MS
    assert played.grown < MEMORY_BYTES


@pytest.mark.rule("HB2", "GU31")
@pytest.mark.parametrize(
    "structs",
    [
        [mark("bold", True, root="m", key="k")],
        [shared_type("map", root="m", key="k"), text("xxxx", parent=(1, 0), key="a")],
        pytest.param([text("abc", root="t"), text("x", origin=(1, 2), right=(1, 1))], marks=pytest.mark.rule("GU32")),
    ],
    ids=["mark", "piece", "neighbours"],
)
async def test_what_is_misplaced_costs_nobody_else_anything(structs: list[bytes]) -> None:
    """A mark under a key was shown to all and then refused by the journal, and everybody was sent away."""
    async with process() as server:
        honest = await server.join(user="ana")
        hostile = await server.join(user="mallory")
        await quiet(server)
        hostile.send(yjs.encode(Update(write_update([block(1, 0, *structs)]))))
        honest.client.text.insert(0, "hello")
        await quiet(server)
        assert hostile.closed is not None
        assert hostile.closed[0] == CloseCode.HOSTILE_UPDATE
        assert honest.closed is None
        assert honest.client.saved
        assert 1 not in honest.client.state


@pytest.mark.rule("HB2", "GU33")
async def test_what_goes_on_beside_deleted_content_elsewhere_costs_nobody_else_anything() -> None:
    """Its first clocks are there, as deleted, in one root; it says that it stands in another one, which makes that a text. The
    engine put the letters into the first one, the journal failed on them, and everybody was sent away."""
    async with process() as server:
        honest = await server.join(user="ana")
        hostile = await server.join(user="mallory")
        await quiet(server)
        hostile.send(yjs.encode(Update(write_update([block(1, 0, deleted(4, root="default"))]))))
        await quiet(server)
        hostile.send(yjs.encode(Update(write_update([block(1, 0, text("a" * 16, root="body"))]))))
        honest.client.text.insert(0, "hello")
        await quiet(server)
        assert hostile.closed is not None
        assert hostile.closed[0] == CloseCode.CONTRADICTING_CONTENT
        assert honest.closed is None
        assert honest.client.saved
        assert honest.client.state[1] == 4


@pytest.mark.rule("HB2", "GU25", "RO36")
async def test_nobody_waits_while_the_document_is_made_again_after_an_attack() -> None:
    """Each update steps past all that those before it have put there. What is shown then is what was shown before, with what
    is on its way; what the engine needs for it is made when somebody else edits, beside the loop."""
    async with process() as server:
        honest = await server.join(user="ana")
        hostile = await server.join(user="mallory")
        await quiet(server)
        honest.client.text.insert(0, "hello")
        await quiet(server)
        clocks = {2: 0, 3: 0}
        for turn in range(60):
            if turn % 6 == 5:
                honest.client.text.insert(0, ".")
            client = 3 - turn % 2
            hostile.send(yjs.encode(Update(write_update([block(client, clocks[client], *[embed(1, root="x")] * 900)]))))
            if hostile.closed is not None:
                break
            clocks[client] += 900
        assert hostile.closed is not None
        replicas = server.room().replicas
        assert replicas.live is not None
        assert replicas.live.resting
        assert replicas.asleep
        assert server.room().pending, "all of that is on its way"
        newcomer = await server.join(user="eve")
        honest.client.text.insert(0, "well ")
        await quiet(server)
        assert honest.closed is None
        assert honest.client.saved
        later = await server.join(user="tom")
        await quiet(server)
        assert str(newcomer.client.text) == str(later.client.text) == str(honest.client.text)
        assert later.client.state == honest.client.state
        assert later.client.state[2] + later.client.state[3] == sum(clocks.values())
