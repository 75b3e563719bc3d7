"""What edits take on the disk."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ids import Ids
from cowrite.core.journal.entries import EntryMaker
from cowrite.core.ports import Store
from cowrite.core.records import Head
from cowrite.core.rooms.replicas import Replicas
from cowrite.crdt.guard import inspect
from cowrite.protocol import yjs
from cowrite.protocol.messages import Update
from cowrite.testing.yjs_client import YjsClient
from stores.store_backends import SqliteBackend

NUMBER = 2500
DOCUMENT = "0191d2f8-5a3c-7e21-9b44-6d2f0c8a1e57"


def typing(number: int) -> Iterator[bytes]:
    """The updates of somebody who types one character after the other, and now and then elsewhere."""
    sent: list[bytes] = []
    client = YjsClient(812345678)
    client.connect(sent.append)
    sent.clear()
    source = random.Random(1)
    place = 0
    for length in range(number):
        if source.random() < 0.02:
            place = source.randint(0, length)
        client.text.insert(place, source.choice("abcdefghij "))
        place += 1
        (message,) = map(yjs.decode, sent)
        assert isinstance(message, Update)
        yield message.update
        sent.clear()


async def commit(store: Store, number: int) -> None:
    """Each character becomes an entry of its own, as the journal makes them, with the checkpoints that it would save."""
    clock = SystemClock()
    ids = Ids(clock)
    maker, replicas = EntryMaker(clock, ids), Replicas(None)
    assert replicas.log is not None
    updates = list(typing(number))
    for start in range(0, number, 100):
        async with store.writing([DOCUMENT]) as transaction:
            epoch, entries = transaction.heads[DOCUMENT].epoch, []
            for offset, update in enumerate(updates[start : start + 100], start + 1):
                change = replicas.log.commit([update], [inspect(update)])
                assert change is not None
                entries.append(
                    maker.entry(change, replicas, offset=offset, author="user_4711_ana", group=ids.new(), claims=(812345678,))
                )
            await transaction.append(DOCUMENT, entries)
        replicas.head = Head(epoch, entries[-1].offset, entries[-1].id)
        replicas.tail_entries += len(entries)
        checkpoint = replicas.checkpoint()
        if checkpoint is not None:
            await store.save_checkpoint(DOCUMENT, checkpoint)


@pytest.mark.rule("HS22")
async def test_bytes_of_a_typed_character(sqlite: SqliteBackend) -> None:
    """With an id of a document that is a UUID; tables that are empty not counted."""
    empty = sqlite.path.stat().st_size
    store = await sqlite.open()
    await commit(store, NUMBER)
    assert len(await sqlite.checkpoints(DOCUMENT)) > 1
    await store.close()
    await sqlite.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    per_character = (sqlite.path.stat().st_size - empty) / NUMBER
    assert 100 < per_character <= 400
