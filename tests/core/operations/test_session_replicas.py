"""The replicas that are run for clients without a CRDT library: whose content they make, and what they are thrown away for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.operations.thin_client import ThinClient
from cowrite.brokers.local import LocalBroker
from cowrite.core.journal import submitted_entries
from cowrite.core.operations import session_replicas
from cowrite.core.operations.session_replicas import SessionReplicas
from cowrite.core.operations.submissions import Submission, SubmissionRefused
from cowrite.core.ports import StoreUnavailable
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.state import text
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.process import Process, quiet
from cowrite.testing.yjs_client import YjsClient

PARAGRAPH = {"$xml": "p", "attrs": {}, "children": [{"$xmltext": [{"insert": "a"}], "attrs": {}}]}


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
async def server(database: MemoryDatabase) -> AsyncIterator[Process]:
    async with Process(memory_storage(database), LocalBroker()) as process:
        yield process


def replicas_of(server: Process) -> SessionReplicas:
    return server.journal._groups._submitted._replicas


def body(server: Process) -> str:
    log = server.room().replicas.log
    assert log is not None
    return text(log, "body")


async def done(server: Process, submission: Submission) -> None:
    await quiet(server)
    submission.answer.result()


async def refusal(server: Process, submission: Submission) -> str:
    await quiet(server)
    error = submission.answer.exception()
    assert isinstance(error, SubmissionRefused)
    return error.code


async def client_ids(server: Process) -> list[int]:
    entries = await server.storage.store.entries("doc", start=1, limit=100)
    return [entry.ranges[0].client for entry in entries if entry.ranges]


@pytest.mark.rule("SU3")
async def test_somebody_who_writes_under_the_client_id_of_a_session_takes_nothing_from_it(server: Process) -> None:
    bot = ThinClient("bot")
    await done(server, await bot.insert(server, 0, "bot"))
    await bot.read(server)
    (client_id,) = await client_ids(server)
    eve = await server.join(client=YjsClient(client_id), user="eve")
    await quiet(server)
    eve.client.text.insert(3, " eve")
    await quiet(server)
    await done(server, await bot.insert(server, 3, "!"))
    assert sorted(body(server)) == sorted("bot eve!")
    assert len(set(await client_ids(server))) == 2, "it has another one now"


@pytest.mark.rule("SU3")
async def test_a_base_that_goes_back_loses_nothing(server: Process) -> None:
    ana, bot = await server.join(user="ana"), ThinClient("bot")
    heads = [None]
    for number in range(4):
        ana.client.text.insert(0, str(number))
        await quiet(server)
        await bot.read(server)
        heads.append(bot.head)  # type: ignore[arg-type]
    await done(server, await bot.insert(server, 0, "late"))
    bot.head = heads[1]
    await done(server, await bot.insert(server, 1, "early"))
    assert body(server) == "late3210early"
    bot.head = None
    await done(server, await bot.insert(server, 0, "first"))
    assert "first" in body(server)


@pytest.mark.rule("SU3")
async def test_a_session_keeps_its_client_id_as_long_as_nothing_is_lost(server: Process, database: MemoryDatabase) -> None:
    bot, other = ThinClient("bot"), ThinClient("other")
    replicas_of(server)._max_bytes = 1
    for word in ("a", "b", "c"):
        await done(server, await bot.insert(server, 0, word))
        await done(server, await other.insert(server, 0, word))
        assert len(replicas_of(server)._replicas) == 1
        await bot.read(server)
        await other.read(server)
    assert len(set(await client_ids(server))) == 2, "made again, under the same id"
    database.fail_next("commit", StoreUnavailable("away"))
    submission = await bot.insert(server, 0, "d")
    await quiet(server)
    server.clock.advance(1)  # type: ignore[attr-defined] # turned by hand
    await done(server, submission)
    assert len(set(await client_ids(server))) == 3, "what was made under the old one is not in the log"


@pytest.mark.rule("SU4")
@pytest.mark.parametrize("history", ["kept", "damaged"])
async def test_what_a_replica_lacks_is_read_from_the_store(history: str, server: Process, database: MemoryDatabase) -> None:
    ana, bot = await server.join(user="ana"), ThinClient("bot")
    await done(server, await bot.insert(server, 0, "one"))
    await bot.read(server)
    await done(server, await bot.insert(server, 3, "two"))
    ana.client.text.insert(0, "<")
    await quiet(server)
    await bot.read(server)
    server.room().readership.feed = None
    submission = await bot.insert(server, 7, ">")
    if history == "damaged":
        database.lose_entry("doc", 3)
        assert await refusal(server, submission) == "unavailable"
    else:
        await done(server, submission)
        assert body(server) == "<onetwo>"


@pytest.mark.rule("SU8")
async def test_a_base_that_is_too_old(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_replicas, "MAX_AGE", 2)
    ana, bot = await server.join(user="ana"), ThinClient("bot")
    for _ in range(3):
        ana.client.text.insert(0, "x")
        await quiet(server)
    assert await refusal(server, await bot.insert(server, 0, "y")) == "unknown_base"


@pytest.mark.rule("SU8")
async def test_the_beginning_of_a_history_that_is_not_kept(server: Process) -> None:
    """The empty document is a base only as long as the log begins with it: what was there before cannot be told."""
    database = server.storage.store.database  # type: ignore[attr-defined] # one in memory
    ana, bot, late = await server.join(user="ana"), ThinClient("bot"), ThinClient("late")
    for _ in range(3):
        ana.client.text.insert(0, "x")
        await quiet(server)
    await done(server, await bot.insert(server, 0, "y"))
    document = database.tables.documents["doc"]
    document.emptied = document.rows[1].operations[-1].id  # of the last operation that goes the id stays
    database.forget_history("doc", 3)
    assert await refusal(server, await late.insert(server, 0, "y")) == "unknown_base"
    assert sorted(body(server)) == ["x", "x", "x", "y"], "the place depends on the Yjs client ids"


@pytest.mark.rule("SU8")
async def test_a_base_of_a_history_that_was_replaced(server: Process) -> None:
    bot = ThinClient("bot")
    await done(server, await bot.insert(server, 0, "x"))
    await bot.read(server)
    room = server.room()
    submission = await bot.insert(server, 0, "y")
    submission.epoch = "another"
    assert await refusal(server, submission) == "unknown_base"
    assert room.replicas.head.offset == 1


@pytest.mark.rule("SU3")
async def test_only_so_many_client_ids_are_remembered(server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_replicas, "MAX_NAMES", 1)
    for name in ("ana", "ben"):
        await done(server, await ThinClient(name).insert(server, 0, name))
    assert len(replicas_of(server)._names) == 1


@pytest.mark.rule("SU7")
@pytest.mark.parametrize("fault", ["hostile", "missing"])
async def test_what_the_engine_would_not_take_is_refused(fault: str, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    bot, ana = ThinClient("bot"), await server.join(user="ana")
    submission = await bot.insert(server, 0, "x")

    def hostile(update: bytes) -> Any:
        raise HostileUpdate("types", "too many types")

    with monkeypatch.context() as patch:
        if fault == "hostile":
            patch.setattr(submitted_entries, "inspect", hostile)
        else:
            patch.setattr(submitted_entries, "missing", lambda *_: ((1, 2),))
        assert await refusal(server, submission) == "unsupported"
    ana.client.text.insert(0, "ana")
    await done(server, await bot.insert(server, 0, "bot"))
    assert ana.client.saved
    assert sorted(body(server)) == sorted("anabot")


@pytest.mark.rule("SU5", "RD1")
async def test_an_operation_on_something_that_is_gone_makes_an_entry_without_operations(server: Process) -> None:
    """The update is part of the log: what the session makes next builds on it."""
    bot, other = ThinClient("bot"), ThinClient("other")
    await done(server, await bot.send(server, [{"type": "insert", "position": ["xml", 0], "content": [PARAGRAPH]}]))
    await bot.read(server)
    await other.read(server)
    await done(server, await other.send(server, [{"type": "delete", "position": ["xml", 0], "length": 1}]))
    for index in range(2):
        submission = await bot.send(server, [{"type": "insert", "position": ["xml", 0, 0, 1 + index], "content": "b"}])
        await done(server, submission)
        assert submission.answer.result().operations == ()
    assert server.room().replicas.head.offset == 4
    for client in (bot, other):
        await client.read(server)
        assert client.model.state == {"xml": {"$xml": None, "attrs": {}, "children": []}}


@pytest.mark.rule("SU11")
async def test_one_whose_transaction_fails_after_it_was_given_up_is_not_tried_again(
    server: Process, database: MemoryDatabase
) -> None:
    bot = ThinClient("bot")
    hold = database.hold_next("commit")
    submission = await bot.insert(server, 0, "x")
    await quiet(server)
    server.clock.advance(6)  # type: ignore[attr-defined] # turned by hand
    await quiet(server)
    assert isinstance(submission.answer.exception(), SubmissionRefused)
    database.fail_next("commit", StoreUnavailable("away"))
    hold.release()
    for _ in range(20):
        server.clock.advance(0.2)  # type: ignore[attr-defined]
        await quiet(server)
    assert server.room().replicas.head.offset == 0
    assert not server.room().submissions
