"""A large document is shown before it is made, and made before it is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pycrdt
import pytest

from cowrite.core.ports import News
from cowrite.core.records import Checkpoint, Entry, Head, StoredDocument
from cowrite.core.rooms.replicas import Replicas, open_replicas
from cowrite.core.rooms.waking import Waking
from cowrite.crdt.document import Document
from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect, outline_of_state
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import ClockRange
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state_vector import encode_state_vector
from cowrite.crdt.transactions import apply_all
from cowrite.testing.clock import ManualClock
from cowrite.testing.records import make_entry
from timing import MS
from yjs_replicas import seen

pytestmark = pytest.mark.rule("RE40")

KEYSTROKES = 120
ROOTS = {"body": RootKind.TEXT}


def typed() -> list[Entry]:
    """Many entries, of which the first is large."""
    entries: list[Entry] = []
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=7)

    def changed(event: pycrdt.TransactionEvent) -> None:
        brings = inspect(event.update).brings
        entries.append(make_entry(len(entries) + 1, update=event.update, ranges=brings, operations=()))

    doc.observe(changed)
    text = doc.get("body", type=pycrdt.Text)
    text += "x" * 70_000
    for number in range(KEYSTROKES):
        text.insert(number * 7, "y")
    return entries


ENTRIES = typed()
WHOLE = rebuild_at(None, {}, [entry.update for entry in ENTRIES])


def stored(*, compacted: int, entries: int = len(ENTRIES), roots: dict[str, RootKind] = ROOTS) -> StoredDocument:
    """The document with so many entries, of which some are in a checkpoint."""
    checkpoint = None
    if compacted:
        log = rebuild_at(None, {}, [entry.update for entry in ENTRIES[:compacted]])
        checkpoint = Checkpoint(compacted, ENTRIES[compacted - 1].id, log.encode(), roots)
    return StoredDocument(Head("epoch", entries, ENTRIES[entries - 1].id), checkpoint, tuple(ENTRIES[compacted:entries]))


def live_of(replicas: Replicas) -> Document:
    assert replicas.live is not None
    return replicas.live


def log_of(replicas: Replicas) -> LogDocument | None:
    """What it is now."""
    return replicas.log


def asleep(replicas: Replicas) -> bool:
    """Whether they are now."""
    return replicas.asleep


async def awake(replicas: Replicas) -> None:
    """Wake them, and see that everything is there."""
    assert asleep(replicas)
    state = live_of(replicas).encode()
    await replicas.wake()
    live, log = live_of(replicas), replicas.log
    assert not asleep(replicas)
    assert log is not None
    assert not log.resting
    assert not live.resting
    assert live._places is not None
    assert live.encode() is state, "those who come in now are given the same bytes"
    assert log.roots == ROOTS
    assert seen(log.encode()) == seen(live.encode()) == seen(WHOLE.encode())
    assert replicas.head.offset == len(ENTRIES)


async def test_a_checkpoint_is_shown_as_it_is() -> None:
    document = stored(compacted=len(ENTRIES))
    replicas = await open_replicas(document)
    live, log = live_of(replicas), replicas.log
    assert document.checkpoint is not None
    assert log is not None
    assert (live.resting, log.resting) == (True, True)
    assert live.encode() is log.encode() is document.checkpoint.state
    assert live.state == log.state == WHOLE.state
    committed = replicas.committed()
    assert committed is not None
    assert (committed.state, committed.roots) == (document.checkpoint.state, ROOTS)
    await awake(replicas)


@pytest.mark.parametrize(
    ("compacted", "roots"), [(0, ROOTS), (1, ROOTS), (len(ENTRIES) - 101, ROOTS), (len(ENTRIES), {})], ids=str
)
async def test_entries_are_shown_before_they_are_told_as_operations(compacted: int, roots: dict[str, RootKind]) -> None:
    replicas = await open_replicas(stored(compacted=compacted, roots=roots))
    assert log_of(replicas) is None, "it will be exactly as when each entry is committed by itself"
    assert replicas.committed() is None
    assert seen(live_of(replicas).encode()) == seen(WHOLE.encode())
    assert live_of(replicas).state == WHOLE.state
    await awake(replicas)
    log = log_of(replicas)
    assert log is not None
    change = log.commit([MORE.update])
    assert change is not None
    assert [(draft.position, draft.content) for draft in change.operations] == [(("body", 0), "z")]


def more() -> Entry:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=9)
    doc.apply_update(WHOLE.encode())
    doc.observe(lambda event: updates.append(event.update))
    updates: list[bytes] = []
    doc.get("body", type=pycrdt.Text).insert(0, "z")
    return make_entry(len(ENTRIES) + 1, update=updates[0], ranges=inspect(updates[0]).brings, operations=())


MORE = more()


async def test_small_documents_are_made_at_once() -> None:
    replicas = await open_replicas(replace(stored(compacted=0, entries=1), entries=(MORE_SMALL,)))
    assert not replicas.asleep
    assert replicas.log is not None
    await replicas.wake()
    assert not replicas.log.resting


MORE_SMALL = make_entry(1, update=b"\x01\x01\x07\x00\x04\x01\x01t\x01a\x00", operations=())


async def test_what_has_changed_meanwhile_stays_as_it_is() -> None:
    for compacted in (1, len(ENTRIES)):
        replicas = await open_replicas(stored(compacted=compacted))
        waking = asyncio.create_task(replicas.wake())
        await asyncio.sleep(0)
        if replicas.log is None:  # as the journal does it under the lock
            replicas.load(stored(compacted=compacted))
        replicas.advance([MORE])
        live, log = live_of(replicas), replicas.log
        await waking
        assert replicas.live is live
        assert replicas.log is log
        assert log is not None
        assert live.state == log.state == {**WHOLE.state, 9: 1}
        assert seen(live.encode()) == seen(log.encode())


async def test_a_log_that_was_being_made_when_news_came_is_not_taken() -> None:
    """It would lack them, and stand at a head behind them."""
    replicas = await open_replicas(stored(compacted=1))
    waking = asyncio.create_task(replicas.wake())
    await asyncio.sleep(0)
    replicas.advance([MORE])
    assert replicas.head.offset == MORE.offset
    await waking
    assert log_of(replicas) is None, "the journal loads it under the lock"
    assert replicas.committed() is None
    assert live_of(replicas).state == {**WHOLE.state, 9: 1}


async def test_a_log_is_not_made_of_what_only_live_has() -> None:
    replicas = Replicas(stored(compacted=1))
    assert replicas.rest()
    live, log = live_of(replicas), replicas.log
    assert log is not None
    assert live.apply(MORE.update, inspect(MORE.update)), "somebody has typed, and it is not committed"
    await replicas.wake()
    assert log.commit([MORE.update]), "to the log it is new"
    assert seen(log.encode()) == seen(live.encode())


async def test_a_log_that_has_changed_and_rests_again_is_not_replaced() -> None:
    replicas = Replicas(stored(compacted=1))
    assert replicas.rest()
    waking = asyncio.create_task(replicas.wake())
    await asyncio.sleep(0)
    replicas.advance([MORE])
    assert replicas.rest()
    await waking
    log = log_of(replicas)
    assert log is not None
    assert log.resting, "what was made lacks the news"
    assert log.commit([MORE.update]) is None, "the log has them"
    assert seen(log.encode()) == seen(live_of(replicas).encode())


async def test_a_document_that_was_needed_meanwhile_has_woken_by_itself() -> None:
    replicas = await open_replicas(stored(compacted=len(ENTRIES)))
    waking = asyncio.create_task(replicas.wake())
    await asyncio.sleep(0)
    live = live_of(replicas)
    assert b"y" in live.diff(encode_state_vector({7: 70_000})), "somebody came back"
    engine = live._engine
    await waking
    assert live._engine is engine
    assert live._places is not None
    assert not asleep(replicas)


async def test_documents_that_went_meanwhile_stay_away() -> None:
    for compacted in (1, len(ENTRIES)):
        replicas = await open_replicas(stored(compacted=compacted))
        waking = asyncio.create_task(replicas.wake())
        await asyncio.sleep(0)
        replicas.abandon()
        replicas.live = None
        await waking
        assert replicas.log is None
        assert replicas.live is None
        assert not replicas.asleep
    replicas = await open_replicas(stored(compacted=1))
    replicas.live = None
    await replicas.wake()
    assert replicas.log is not None


async def test_a_document_that_has_rested_wakes_in_the_same_way() -> None:
    replicas = Replicas(stored(compacted=1))
    assert not replicas.asleep
    assert replicas.rest()
    await awake(replicas)
    assert replicas.rest()
    assert replicas.log is not None
    assert replicas.log.commit([MORE.update]), "a submission woke the log alone"
    log = replicas.log
    await replicas.wake()
    assert replicas.log is log
    assert not live_of(replicas).resting


async def test_a_log_with_gaps_is_not_shown() -> None:
    document = stored(compacted=0)
    gap = replace(document, entries=document.entries[1:])
    with pytest.raises(EngineFault):
        await open_replicas(gap)
    lying = replace(document.entries[-1], ranges=(ClockRange(7, 0, 10**6),))
    replicas = await open_replicas(replace(document, entries=(*document.entries[:-1], lying)))
    assert not replicas.asleep, "it was made entry by entry"
    assert live_of(replicas).state == WHOLE.state


class Told:
    """What a waking room is told."""

    def __init__(self, replicas: Replicas) -> None:
        self.news: list[News] = []
        self.failures: list[str] = []
        self.clock = ManualClock()
        self.waking = Waking(
            "doc",
            replicas,
            self.clock,
            learn=self.news.append,
            fail=self.failures.append,
            rebuild=lambda: self.failures.append("rebuild"),
        )


NEWS = News("doc", "epoch", 2, (), "")


async def test_news_waits_until_the_document_is_made() -> None:
    replicas = await open_replicas(stored(compacted=1))
    told = Told(replicas)
    assert asleep(replicas)
    assert told.waking.hold(NEWS)
    assert told.waking.hold(NEWS)
    assert not told.news
    await told.waking.over()
    assert (told.news, told.failures) == ([NEWS, NEWS], [])
    assert not asleep(replicas)
    assert not told.waking.hold(NEWS)
    await told.waking.over()
    await told.waking.log_made()


async def test_news_waits_for_what_rests() -> None:
    replicas = await open_replicas(stored(compacted=len(ENTRIES)))
    told = Told(replicas)
    assert told.waking.needed
    assert told.waking.hold(NEWS)
    await told.waking.over()
    assert not live_of(replicas).resting
    assert told.news == [NEWS]


async def test_it_is_made_soon_after_somebody_came_who_may_write() -> None:
    replicas = await open_replicas(stored(compacted=len(ENTRIES)))
    told = Told(replicas)
    for _ in range(2):
        told.waking.expect()
        told.waking.expect()
        assert live_of(replicas).resting
        told.waking.cancel()
        told.clock.advance(1)
        await asyncio.sleep(10 * MS)
        assert live_of(replicas).resting, "those who came have left"
    told.waking.expect()
    told.clock.advance(1)
    told.waking.expect()
    await told.waking.over()
    assert not live_of(replicas).resting
    told.waking.expect()
    told.clock.advance(1)
    assert not told.waking.needed


async def test_whoever_needs_the_log_waits_for_it() -> None:
    replicas = await open_replicas(stored(compacted=1))
    told = Told(replicas)
    await told.waking.log_made()
    assert replicas.committed() is not None


async def test_a_document_that_cannot_be_made_is_given_up() -> None:
    document = stored(compacted=1)
    replicas = await open_replicas(document)
    assert replicas.source is not None
    broken = replace(document.entries[0], update=b"\x01")
    replicas.source = replace(document, entries=(broken, *document.entries[1:]))
    told = Told(replicas)
    learn = told.waking._learn
    told.waking._learn = lambda news: None if told.waking.hold(news) else learn(news)  # as a room does
    assert told.waking.hold(NEWS)
    for _ in range(3):
        await told.waking.over()
    assert told.failures == ["the document cannot be read; it was left as it is"]
    assert told.news == []


@pytest.mark.rule("RO36")
async def test_a_document_that_was_mended_is_made_beside_the_loop_however_small() -> None:
    replicas = Replicas(replace(stored(compacted=0, entries=1), entries=(MORE_SMALL,)))
    broken = live_of(replicas)
    replicas.mend_live(())
    live = live_of(replicas)
    assert live is not broken
    assert asleep(replicas)
    told = Told(replicas)
    await told.waking.over()
    assert told.failures == []
    assert not live.resting
    assert live._places is not None
    assert seen(live.encode()) == seen(broken.encode())
    live.rest()
    assert not asleep(replicas), "it is a small one again"


@pytest.mark.rule("RO36")
async def test_a_mended_document_that_cannot_be_made_is_left_to_the_journal() -> None:
    replicas = Replicas(replace(stored(compacted=0, entries=1), entries=(MORE_SMALL,)))
    replicas.mend_live(())
    replicas.live = Document.at_rest(b"\x01", {})
    told = Told(replicas)
    assert told.waking.hold(NEWS)
    await told.waking.over()
    assert told.failures == ["rebuild"]
    assert told.news == [], "they are read from the store"


async def test_no_call_of_the_engine_is_long_when_a_document_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps the interpreter, and a document may be full of conflicts: both replicas are made in slices."""
    calls: list[int] = []

    def applied(engine: Any, updates: Iterable[bytes]) -> None:
        for update in updates:
            calls.append(outline_of_state(update).structs)
            apply_all(engine, (update,))

    monkeypatch.setattr("cowrite.crdt.slices._STEPS", 0)
    monkeypatch.setattr("cowrite.crdt.document.apply_all", applied)
    replicas = await open_replicas(stored(compacted=len(ENTRIES)))
    await replicas.wake()
    assert replicas.log is not None
    assert replicas.live is not None
    assert not replicas.log.resting
    assert not replicas.live.resting
    assert max(calls) <= 8
    assert sum(calls) >= 2 * KEYSTROKES
    assert replicas.log.encode() == replicas.live.encode() == WHOLE.encode()
    assert replicas.log.roots == ROOTS
