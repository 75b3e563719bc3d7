"""Presence in the database: the contract on all kinds of databases, and what is its own."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs

from cowrite.core.ports import LEASE_SECONDS, PresenceError
from cowrite.stores import open_store
from cowrite.stores.sqlalchemy.database import now_milliseconds, upsert
from cowrite.stores.sqlalchemy.presence import SWEEP_SECONDS
from cowrite.stores.sqlalchemy.tables import presence_processes
from cowrite.testing.presence_contract import PresenceBackend, PresenceContract, make_record, present
from presence.presence_backends import ServerBackend, SqliteBackend

KINDS = {
    "sqlite": ("ON CONFLICT (process_id) DO UPDATE SET seen_at = excluded.seen_at", "julianday"),
    "postgresql+asyncpg": ("ON CONFLICT (process_id) DO UPDATE SET seen_at = excluded.seen_at", "clock_timestamp()"),
    "mysql+asyncmy": ("ON DUPLICATE KEY UPDATE seen_at = ", "UNIX_TIMESTAMP"),
    "mariadb+asyncmy": ("ON DUPLICATE KEY UPDATE seen_at = ", "UNIX_TIMESTAMP"),
}


class TestSqlPresence(PresenceContract):
    @pytest.fixture
    def backend(self, sqlite: SqliteBackend) -> PresenceBackend:
        return sqlite


class TestPostgresPresence(PresenceContract):
    @pytest.fixture
    def backend(self, postgres: ServerBackend) -> PresenceBackend:
        return postgres


class TestMariadbPresence(PresenceContract):
    @pytest.fixture
    def backend(self, mariadb: ServerBackend) -> PresenceBackend:
        return mariadb


@pytest.mark.rule("PS15")
async def test_the_specified_table(sqlite: SqliteBackend) -> None:
    """One row for each session, in the specified columns; what is not one of them is in ``metadata``."""
    presence = await sqlite.open()
    await presence.write([make_record("1", expires_at=1_790_003_600_000)], [])
    [(*row, metadata)] = await sqlite.sql(
        "SELECT session_id, user_id, document_id, last_active, metadata FROM collaboration_sessions"
    )
    assert row == ["1", "user_7", "doc", "2026-09-21 14:13:20.123000"]
    assert json.loads(metadata) == {"process": "one", "expires_at": 1_790_003_600_000, **make_record().metadata}


@pytest.mark.rule("PS15")
@pytest.mark.parametrize("kind", KINDS)
def test_statements_for_each_kind_of_database(kind: str) -> None:
    dialect = make_url(f"{kind}://").get_dialect()()
    written, clock = KINDS[kind]
    assert written in " ".join(str(upsert(presence_processes, dialect).compile(dialect=dialect)).split())
    assert clock in str(now_milliseconds(dialect))


@pytest.mark.rule("PS12")
async def test_what_another_version_wrote(sqlite: SqliteBackend) -> None:
    """It is skipped and left alone, and one line says so; what is done beside it works."""
    presence = await sqlite.open()
    await presence.beat("one")
    record = make_record("1")
    await presence.write([record, make_record("2")], [])
    time = "2026-01-01 00:00:00.000000"
    for session, last_active, metadata in (
        ("a", time, "no JSON"),
        ("b", time, "[]"),
        ("c", "yesterday", '{"process":"one"}'),
        ("d", time, None),
        ("e", time, 5),
        ("f", 5, '{"process":"one"}'),
        ("g", b"x", '{"process":"one"}'),
        (b"h", time, '{"process":"one"}'),
        ("i", time, '{"process":"one","cursor":NaN}'),
        ("j", time, '{"expires_at":999999999999999999}'),
    ):
        await sqlite.sql("INSERT INTO collaboration_sessions VALUES (?, 'u', 'doc', ?, ?)", session, last_active, metadata)
    with capture_logs() as lines:
        await presence.write([], [make_record("2")])
        assert await present(presence) == await present(presence) == [record]
        sqlite.clock.advance(SWEEP_SECONDS)
        await presence.beat("one")
    assert [line["document"] for line in lines] == ["doc"]
    await presence.leave("one")
    assert await sqlite.stored() == 6


@pytest.mark.rule("PS13")
async def test_what_nobody_keeps_is_swept(sqlite: SqliteBackend) -> None:
    """A process wrote when its lease was out already, and ended; but one that has only begun is not taken for that."""
    presence = await sqlite.open()
    await presence.beat("one")
    await presence.write([make_record("1", process="ghost"), make_record("2", process="late")], [])
    sqlite.clock.advance(SWEEP_SECONDS)
    await presence.beat("one")
    assert await sqlite.stored() == 2
    late = await sqlite.open()
    await late.beat("late")
    sqlite.clock.advance(SWEEP_SECONDS)
    await presence.beat("one")
    assert [record.session_id for record in await present(presence)] == ["2"]
    assert await sqlite.stored() == 1


@pytest.mark.rule("PS14")
async def test_a_database_that_fails(sqlite: SqliteBackend) -> None:
    """It is said, and it works when the database does; closing the storage closes it."""
    storage = await open_store(f"sqlite:///{sqlite.path}", patience=0.1)
    presence = storage.presence
    assert presence is not None
    await presence.beat("one")
    await sqlite.sql("ALTER TABLE presence_processes RENAME TO gone")
    for call in (presence.beat("one"), presence.read(["doc"]), presence.processes()):
        with pytest.raises(PresenceError, match="Presence cannot be kept in the database"):
            await call
        assert presence.degraded
    await sqlite.sql("ALTER TABLE gone RENAME TO presence_processes")
    assert await presence.beat("one") == {"one"}
    assert not presence.degraded
    await storage.close()
    with pytest.raises(PresenceError, match="closed"):
        await presence.processes()


@pytest.mark.rule("PS13")
async def test_the_dead_leave_nothing(sqlite: SqliteBackend) -> None:
    presence = await sqlite.open()
    await presence.beat("dead")
    await presence.write([make_record(str(number), process="dead") for number in range(3)], [])
    await sqlite.pass_time(LEASE_SECONDS)
    await presence.beat("one")
    assert await sqlite.sql("SELECT process_id FROM presence_processes") == [("one",)]
    assert await sqlite.stored() == 0
