"""Every promise of the port ``Presence``, as tests. An adapter's own tests subclass :class:`PresenceContract`:

    class TestMyPresence(PresenceContract):
        @pytest.fixture
        async def backend(self) -> AsyncIterator[PresenceBackend]:
            backend = MyBackend()          # a subclass of PresenceBackend
            yield backend
            await backend.close()

It needs pytest and pytest-asyncio in automatic mode. What a storage does while it is down is not tested here.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from cowrite.core.ports import LEASE_SECONDS, Presence, PresenceRecord
from cowrite.core.presence_records import CLOCKS_APART, MAX_METADATA_BYTES
from cowrite.testing.clock import ManualClock
from cowrite.testing.records import new_id

_NASTY_IDS = ("a", "A", "á", "a\u0301", "a ", " a", "a/b", "a%2Fb", "*", "{a}", "}", "{", "a}b{c", "a:b", "a\n", "😀" * 255)
"""Ids that a storage could mistake for each other, or for parts of its own names."""

_IMPOSSIBLE: tuple[dict[str, Any], ...] = (
    {"session_id": "s" * 37},
    {"session_id": "a\0"},
    {"user_id": ""},
    {"user_id": "u" * 256},
    {"document_id": ""},
    {"document_id": "\ud800"},
    {"process": ""},
    {"process": None},  # and no end
    {"last_active": -1},
    {"last_active": 2**60},
    {"expires_at": 2**60},
    {"metadata": {"process": "two"}},
    {"metadata": {"expires_at": 1}},
)


class PresenceBackend(ABC):
    """One empty place, for one test, in which several processes keep presence."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        """Tells what has come to its own end."""
        self._opened: list[Presence] = []

    async def open(self) -> Presence:
        """The presence of another process."""
        presence = await self.connect()
        self._opened.append(presence)
        return presence

    async def close(self) -> None:
        """Close all that was opened."""
        for presence in self._opened:
            await presence.close()

    @abstractmethod
    async def connect(self) -> Presence:
        """Connect, with ``clock``."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let time pass for the leases: at once, by setting back what was noted, when it is not the clock's time."""

    @abstractmethod
    async def stored(self) -> int:
        """How many records are at rest, those that nobody is shown any more included."""


def make_record(session_id: str = "", **changes: object) -> PresenceRecord:
    """A record with some value in every field but ``expires_at``, of the process "one"."""
    fields: dict[str, object] = {
        "session_id": session_id or new_id(),
        "user_id": "user_7",
        "document_id": "doc",
        "last_active": 1_790_000_000_123,
        "process": "one",
        "metadata": {"name": "Ana Ω", "colour": "#30bced", "cursor": {"at": [1, 2.5, None, True]}},
    }
    return PresenceRecord(**(fields | changes))  # type: ignore[arg-type]


def by_session(records: Collection[PresenceRecord]) -> list[PresenceRecord]:
    """In the order of sessions."""
    return sorted(records, key=lambda record: record.session_id)


async def present(presence: Presence, document_id: str = "doc") -> list[PresenceRecord]:
    """Who is in one document."""
    return by_session((await presence.read([document_id])).get(document_id, ()))


class PresenceContract:
    """The tests; see the module."""

    @pytest.fixture
    async def one(self, backend: PresenceBackend) -> Presence:
        """The presence of the process "one", which has beaten."""
        presence = await backend.open()
        await presence.beat("one")
        return presence

    @pytest.fixture
    async def two(self, backend: PresenceBackend) -> Presence:
        """That of the process "two"."""
        presence = await backend.open()
        await presence.beat("two")
        return presence

    # ---- records -----------------------------------------------------------------------------------------------------

    @pytest.mark.rule("PS1")
    async def test_records_come_back_as_they_were(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """Every field, on every process; also with little in it, and with all that JSON can say."""
        records = [
            make_record("1"),
            make_record("2", user_id="😀" * 255, last_active=0, metadata={}),
            make_record("3", expires_at=backend.clock.now() + 1, process=None),
            make_record("4", expires_at=253_402_300_799_000),
            make_record("5", metadata={"name": "\0\ud800 \n\"{}'", "": {}, "data": [2**60, 0.1, False, "", []]}),
        ]
        await one.write(records, [])
        assert await present(two) == records
        assert await present(one) == records

    @pytest.mark.rule("PS1")
    async def test_what_is_read_is_a_copy(self, one: Presence) -> None:
        """Nobody changes what is stored by changing what was written or read."""
        metadata = {"cursor": [1]}
        await one.write([make_record("1", metadata=metadata)], [])
        metadata["cursor"].append(2)
        [read] = await present(one)
        assert read.metadata == {"cursor": [1]}
        read.metadata["cursor"].append(3)
        assert [record.metadata for record in await present(one)] == [{"cursor": [1]}]

    @pytest.mark.rule("PS2")
    async def test_a_record_takes_the_place_of_the_one_before(self, one: Presence, two: Presence) -> None:
        """Whoever wrote that: a session may come to another process. Others stay."""
        stays, session = make_record("1"), make_record("2")
        await one.write([stays, session], [])
        changed = replace(session, last_active=session.last_active + 1, metadata={"state": "idle"})
        await one.write([changed], [])
        assert await present(two) == [stays, changed]
        moved = replace(session, process="two", user_id="somebody else")
        await two.write([moved], [])
        assert await present(one) == [stays, moved]

    @pytest.mark.rule("PS3")
    async def test_removal(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """A record goes for everybody, together with others and beside what is put; one that is not there does no harm."""
        records = [make_record(str(number)) for number in range(4)]
        await one.write(records[:3], [])
        await one.write(records[3:], [*records[:2], make_record("unknown"), make_record("other", document_id="unknown")])
        assert await present(two) == records[2:]
        await one.write([], records)
        assert await present(two) == []
        assert await backend.stored() == 0

    @pytest.mark.rule("PS3")
    async def test_a_session_that_has_moved_is_not_removed(
        self, backend: PresenceBackend, one: Presence, two: Presence
    ) -> None:
        """Its first process notices late that it is gone. The same with a record that has no process."""
        session = make_record("1")
        moved = replace(session, process="two")
        await one.write([session], [])
        await two.write([moved], [])
        await one.write([], [session])
        assert await present(one) == [moved]
        await two.write([], [replace(session, process=None, expires_at=backend.clock.now() + 1)])
        assert await present(one) == [moved]
        alone = replace(session, process=None, expires_at=backend.clock.now() + 5_000)
        await two.write([alone], [])
        await two.write([], [moved])
        assert await present(one) == [alone]
        await one.write([], [replace(alone, expires_at=alone.expires_at and alone.expires_at + 1)])
        assert await present(one) == []

    # ---- documents ---------------------------------------------------------------------------------------------------

    @pytest.mark.rule("PS4")
    async def test_documents_are_told_apart_by_every_byte(self, one: Presence, two: Presence) -> None:
        records = {id_: make_record(str(number), document_id=id_) for number, id_ in enumerate(_NASTY_IDS)}
        await one.write([*records.values()], [])
        read = await two.read([*_NASTY_IDS, "unknown", "a"])
        assert {id_: list(found) for id_, found in read.items() if found} == {id_: [record] for id_, record in records.items()}
        assert [await present(two, id_) for id_ in _NASTY_IDS] == [[record] for record in records.values()]
        await one.write([], [records["a"], records["}"]])
        assert {id_ for id_, found in (await two.read(_NASTY_IDS)).items() if found} == {*_NASTY_IDS} - {"a", "}"}
        assert not any((await two.read([])).values())

    @pytest.mark.rule("PS4")
    async def test_sessions_are_told_apart_by_every_byte(self, one: Presence) -> None:
        records = by_session([make_record(id_) for id_ in ("a", "A", "á", "a ", "{", "😀" * 36)])
        await one.write(records, [])
        assert await present(one) == records
        await one.write([], records[:1])
        assert await present(one) == records[1:]

    @pytest.mark.rule("PS5")
    async def test_ten_thousand(self, one: Presence, two: Presence) -> None:
        """Sessions in one document and in a thousand others, read in one call, removed in one call."""
        records = [
            make_record(f"{number:05}", document_id="doc" if number % 2 else str(number // 10)) for number in range(10_000)
        ]
        await one.write(records, [])
        documents = {record.document_id for record in records}
        read = await two.read(documents)
        assert by_session([record for found in read.values() for record in found]) == records
        await one.write([], records[10:])
        read = await two.read(documents)
        assert by_session([record for found in read.values() for record in found]) == records[:10]

    # ---- leases ------------------------------------------------------------------------------------------------------

    @pytest.mark.rule("PS6")
    async def test_beats_tell_who_lives(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """Whoever has beaten within the time of a lease, the caller included."""
        assert await one.beat("one") == await two.beat("two") == {"one", "two"}
        await backend.pass_time(LEASE_SECONDS - 5)
        assert await one.beat("one") == {"one", "two"}
        await backend.pass_time(6)
        assert await one.beat("one") == {"one"}
        assert await two.beat("two") == {"one", "two"}

    @pytest.mark.rule("PS6")
    async def test_what_a_dead_process_wrote_goes(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """It is shown until the lease runs out, and then neither shown nor kept; others stay."""
        mine, theirs = make_record("1"), make_record("2", process="two")
        elsewhere = make_record("3", process="two", document_id="other")
        await one.write([mine], [])
        await two.write([theirs, elsewhere], [])
        await backend.pass_time(LEASE_SECONDS - 5)
        await one.beat("one")
        assert await present(one) == [mine, theirs]
        await backend.pass_time(6)
        assert await present(one) == [mine]
        assert await present(one, "other") == []
        await one.beat("one")
        assert await backend.stored() == 1

    @pytest.mark.rule("PS6")
    async def test_beats_keep_what_was_written(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """However long ago that was, without writing it again."""
        record = make_record()
        await one.write([record], [])
        for _ in range(6):
            await backend.pass_time(LEASE_SECONDS / 2)
            await one.beat("one")
        assert await present(two) == [record]

    @pytest.mark.rule("PS6")
    async def test_what_was_written_before_the_first_beat_counts_from_then_on(
        self, backend: PresenceBackend, one: Presence
    ) -> None:
        """Nobody takes it out meanwhile."""
        early = await backend.open()
        record = make_record(process="early")
        await early.write([record], [])
        await one.beat("one")
        assert await present(one) == []
        await early.beat("early")
        assert await present(one) == [record]

    @pytest.mark.rule("PS7")
    async def test_a_process_that_leaves(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """It is gone at once, with what it wrote; a session that has moved on stays, and so does what has no process."""
        moved = make_record("1", process="two")
        alone = make_record("2", process=None, expires_at=backend.clock.now() + 5_000)
        await one.write([replace(moved, process="one"), alone, make_record("3"), make_record("4", document_id="other")], [])
        await two.write([moved], [])
        await one.leave("one")
        assert await two.beat("two") == {"two"}
        assert await present(two) == [moved, alone]
        assert await present(two, "other") == []
        assert await backend.stored() == 2
        await one.leave("one")
        assert await present(two) == [moved, alone]

    # ---- ends of their own -------------------------------------------------------------------------------------------

    @pytest.mark.rule("PS8")
    async def test_records_that_end_by_themselves(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """Without a process they live until then, whatever becomes of who wrote them; with one, at most until then."""
        end = backend.clock.now() + 3_600_000
        alone, leased = make_record("1", process=None, expires_at=end), make_record("2", process="two", expires_at=end)
        late = make_record("3", process=None, expires_at=end + 60_000)
        await one.write([alone, late], [])
        await two.write([leased], [])
        await one.leave("one")
        backend.clock.step_wall(3_599_999)
        assert await present(two) == [alone, leased, late]
        backend.clock.step_wall(1)
        assert await present(two) == [late]

    @pytest.mark.rule("PS8")
    async def test_what_has_ended_is_not_kept(self, backend: PresenceBackend, one: Presence) -> None:
        """It is taken out by reads and beats; what was prolonged is not."""
        records = [make_record(str(number), process=None, expires_at=backend.clock.now() + 1_000) for number in range(3)]
        longer = replace(records[0], expires_at=backend.clock.now() + 86_400_000)
        await one.write(records, [])
        await one.write([longer], [])
        backend.clock.advance(60 + CLOCKS_APART / 1000)
        assert await present(one) == [longer]
        await one.beat("one")
        assert await backend.stored() == 1

    @pytest.mark.rule("PS8")
    async def test_a_process_whose_clock_is_ahead(self, backend: PresenceBackend, one: Presence) -> None:
        await one.write([record := make_record("1", process=None, expires_at=backend.clock.now() + 60_000)], [])
        backend.clock.step_wall(300_000)
        assert await present(one) == []
        backend.clock.step_wall(-300_000)
        assert await present(one) == [record]

    # ---- generation, and what is refused -----------------------------------------------------------------------------

    @pytest.mark.rule("PS9")
    async def test_generation(self, backend: PresenceBackend, one: Presence, two: Presence) -> None:
        """It stays while the lease holds, and grows when a process beats whose lease had run out: others have forgotten it."""
        before = one.generation
        await one.write([make_record()], [])
        await backend.pass_time(LEASE_SECONDS - 5)
        await one.beat("one")
        await two.beat("two")
        await one.beat("one")
        assert one.generation == before
        await backend.pass_time(LEASE_SECONDS + 1)
        await two.beat("two")
        await present(two)
        assert one.generation == before
        await one.beat("one")
        assert one.generation > before

    @pytest.mark.rule("PS10")
    async def test_too_much_metadata(self, one: Presence) -> None:
        """A session is there nevertheless, and the others with theirs."""
        large = make_record("1", metadata={"data": "x" * (MAX_METADATA_BYTES - 11)})
        others = [
            make_record("2", metadata={"data": "Ω" * (MAX_METADATA_BYTES // 2)}),
            make_record("3", metadata={"a": float("nan")}),
        ]
        await one.write([large, *others, make_record("4", metadata={"a": object()})], [])
        assert [record.metadata for record in await present(one)] == [large.metadata, {}, {}, {}]

    @pytest.mark.rule("PS10")
    async def test_what_cannot_be_kept(self, backend: PresenceBackend, one: Presence) -> None:
        """It is the caller's mistake, and nothing is written of that call."""
        for changes in _IMPOSSIBLE:
            wrong = replace(make_record(), **changes)
            for put, removed in (([make_record(), wrong], []), ([make_record()], [wrong])):
                with pytest.raises(ValueError, match=r"."):
                    await one.write(put, removed)
        assert await backend.stored() == 0

    @pytest.mark.rule("PS10")
    async def test_what_is_no_id(self, one: Presence) -> None:
        for text in ("", "a\0", "x" * 256, "\udfff"):
            for call in (one.read([text]), one.beat(text), one.leave(text)):
                with pytest.raises(ValueError, match=r"\d characters|surrogate"):
                    await call

    @pytest.mark.rule("PS11")
    async def test_many_at_once(self, backend: PresenceBackend) -> None:
        """Processes that write at the same time do not disturb one another."""
        names = [f"process {number}" for number in range(5)]
        presences = [await backend.open() for _ in names]

        async def live(presence: Presence, name: str) -> None:
            for number in range(10):
                await presence.beat(name)
                records = [make_record(f"{name} {number} {which}", process=name) for which in range(3)]
                await presence.write(records, [])
                await presence.write([], records[1:])
                assert records[0] in await present(presence)

        await asyncio.gather(*(live(presence, name) for presence, name in zip(presences, names, strict=True)))
        assert [record.session_id for record in await present(presences[0])] == sorted(
            f"{name} {number} 0" for name in names for number in range(10)
        )

    @pytest.mark.rule("PS11")
    async def test_closed(self, one: Presence, two: Presence) -> None:
        """Closing does not remove anything, and may be done again."""
        record = make_record()
        await one.write([record], [])
        await one.close()
        await one.close()
        assert await present(two) == [record]
