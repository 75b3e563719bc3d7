"""What rooms, the journal and the services of history tell of what happens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from core.history.past_tools import info_of, write
from core.history.test_restoring_service import done
from core.journal.journal_tools import saved, step
from core.operations.process_tools import process
from cowrite.brokers.local import LocalHub
from cowrite.core.events import (
    Changed,
    Committed,
    Connected,
    Disconnected,
    Event,
    Evicted,
    Loaded,
    PresenceChanged,
    VersionCreated,
)
from cowrite.core.history.automatic import VersionTimes
from cowrite.core.history.past import Past, open_past
from cowrite.core.ports import Access, CommitDoubtful, Grant
from cowrite.core.ports.events import UNHEARD
from cowrite.core.presence.connections import Connections
from cowrite.core.presence.present import Transport
from cowrite.core.records import CauseKind, VersionKind
from cowrite.core.sessions.session import Session
from cowrite.stores.memory import MemoryDatabase
from cowrite.testing.clock import ManualClock
from cowrite.testing.process import Process, quiet
from cowrite.testing.records import new_id


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def of(self, *kinds: type[Event]) -> Sequence[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def kinds(self) -> Sequence[type[Event]]:
        return [type(event) for event in self.events]


def past_of(server: Process, told: Told, *, pause: float = 0) -> Past:
    more = server.journal.accounts, server.clock, server.ids, server.limits
    return open_past(server.storage, server.registry, *more, times=VersionTimes(pause), grace_days=30, events=told)


@pytest.mark.rule("HK1")
async def test_a_documents_life_in_one_process() -> None:
    told, database = Told(), MemoryDatabase()
    async with process(database, events=told) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        now = server.clock.now()
        assert told.kinds == [Loaded, Connected, PresenceChanged]
        loaded, connected, came = told.events
        assert loaded == Loaded("doc", server.room().replicas.head.epoch, 0, now)
        assert isinstance(connected, Connected)
        assert (connected.document_id, connected.user_id, connected.transport) == ("doc", "ana", Transport.YJS)
        assert came == PresenceChanged("doc", frozenset({"ana"}), frozenset(), frozenset(), now)
        told.events.clear()
        ana.client.text.insert(0, "a")
        await quiet(server)
        head = server.room().replicas.head
        assert told.events == [Changed("doc", 1, now), Committed("doc", head.epoch, 1, "ana", None, now)]
        told.events.clear()
        ana.lose(clean=True)
        await step(server, server.limits.eviction_seconds + 1)
        assert told.kinds == [Disconnected, PresenceChanged, Evicted]
        gone, left, _ = told.events
        assert gone == Disconnected("doc", connected.session_id, "ana", now)
        assert isinstance(left, PresenceChanged)
        assert left.left == {"ana"}


@pytest.mark.rule("HK2")
async def test_entries_are_told_by_the_process_that_has_committed_them() -> None:
    here, there, database, hub = Told(), Told(), MemoryDatabase(), LocalHub()
    async with process(database, hub, events=here) as server, process(database, hub, events=there) as other:
        ana, ben = await server.join(user="ana"), await other.join(user="ben")
        await quiet(server, other)
        for client in (ana, ben, ana):
            client.client.text.insert(0, "x")
            await quiet(server, other)
        offsets = [[getattr(event, "offset", 0) for event in told.of(Committed)] for told in (here, there)]
        assert offsets == [[1, 3], [2]]
        # What is shown changes at both.
        assert len(here.of(Changed)) == len(there.of(Changed)) == 3


@pytest.mark.rule("HK2")
@pytest.mark.parametrize("applied", [True, False])
async def test_an_entry_is_told_once_when_its_commit_was_in_doubt(applied: bool) -> None:
    told, database = Told(), MemoryDatabase()
    async with process(database, events=told) as server:
        ana = await server.join(user="ana")
        await quiet(server)
        database.fail_next("commit", CommitDoubtful("the connection was lost"), applied=applied)
        ana.client.text.insert(0, "doubt")
        await quiet(server)
        assert told.of(Committed) == []
        await step(server, 5)
        assert saved(ana)
        assert len(told.of(Committed)) == 1


@pytest.mark.rule("HK3")
async def test_versions_of_all_kinds_are_told() -> None:
    told, database = Told(), MemoryDatabase()
    async with process(database, events=told) as server:
        past = past_of(server, told)
        await write(server, "one", "two")
        at = partial(past.moments.at, await info_of(server))
        named = await past.versions.mark(await at(1), "ana", name="first")
        expected = VersionCreated("doc", named.id, 1, VersionKind.NAMED, "ana", "first", named.created_at)
        assert told.of(VersionCreated) == [expected]
        told.events.clear()
        session = Session(new_id(), "doc", Access("eve", Grant.ADMIN), 0)
        made = await done(server, past.restoring.restore(session, await at(1)))
        entry, version = told.of(Committed, VersionCreated)
        assert isinstance(entry, Committed)
        assert (entry.offset, entry.user_id, entry.cause) == (3, "eve", CauseKind.RESTORE)
        assert isinstance(version, VersionCreated)
        assert (version.version_id, version.offset, version.kind) == (made.version_id, 2, VersionKind.RESTORE)
        stored = await past.versions.get("doc", version.version_id)
        assert (stored.offset, stored.kind) == (2, VersionKind.RESTORE)
        # One that is there already is not made again.
        told.events.clear()
        assert not await past.automatic._versions.add(stored)
        await past.versions.change(named, name="changed")
        await past.versions.remove("doc", named.id)
        await past.automatic.tidy("doc")
        assert told.of(VersionCreated) == []
        await past.close()


@pytest.mark.rule("HK3")
async def test_an_automatic_version_is_told_when_it_is_made() -> None:
    told, database = Told(), MemoryDatabase()
    async with process(database, events=told) as server:
        past = past_of(server, told, pause=1.0)
        server.journal.listen(past.automatic.committed)
        await write(server, "one")
        await step(server, 2)
        (version,) = told.of(VersionCreated)
        assert isinstance(version, VersionCreated)
        assert (version.offset, version.kind, version.user_id) == (1, VersionKind.AUTOMATIC, "bot")
        await past.close()


@pytest.mark.rule("HK1")
def test_connections_of_one_session_are_told_one_by_one() -> None:
    told = Told()
    session = Session("s", "doc", Access("ana", Grant.READ), 0)
    alone = Connections()  # nobody is told
    alone.open(session, Transport.YJS)
    assert not alone.close(session)
    UNHEARD.tell(Evicted("doc", 0))
    counted = Connections(told, ManualClock())
    counted.open(session, Transport.YJS)
    counted.open(session, Transport.HOCUSPOCUS)
    assert counted["s"] == 2
    assert counted.close(session)
    counted.forget(session)
    assert not counted.close(session)
    assert told.kinds == [Connected, Connected, Disconnected, Disconnected]
