"""Grants that change while people are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from cowrite.core.ids import Ids
from cowrite.core.ports import Access, AccessDenied, Grant, Storage, StoreUnavailable
from cowrite.core.records import AccessChange
from cowrite.core.sessions.access import ENDED_SECONDS, LEEWAY, READ_SECONDS, AccessControl
from cowrite.core.sessions.session import Session
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.clock import ManualClock
from cowrite.testing.records import make_session

NOW = 1_790_000_000_000
IDS = Ids(ManualClock(now=NOW))


def session(user: str = "ana", document: str = "doc", *, decided: int = NOW, grant: Grant = Grant.WRITE) -> Session:
    return Session(IDS.new(), document, Access(user, grant, issued_at=decided), decided)


class Desk:
    def __init__(self, storage: Storage | None = None) -> None:
        self.clock = ManualClock(now=NOW)
        self.storage = storage if storage is not None else memory_storage(MemoryDatabase(self.clock))
        self.control = AccessControl(self.storage.access, self.clock)

    async def change(self, at: int = NOW, **what: Any) -> None:
        await self.storage.access.change(AccessChange(IDS.new(), "admin", at, **what))
        await self.control.catch_up()

    def grants(self, *sessions: Session) -> Sequence[Grant | None]:
        for one in sessions:
            self.control.refresh(one)
        return [one.grant for one in sessions]


@pytest.mark.rule("AC1")
async def test_a_change_concerns_those_whom_it_names() -> None:
    desk = Desk()
    ana, elsewhere, ben = session(), session(document="other"), session("ben")
    await desk.change(document_id="doc", user_id="ana", grant=Grant.READ)
    assert desk.grants(ana, elsewhere, ben) == [Grant.READ, Grant.WRITE, Grant.WRITE]
    await desk.change(user_id="ana", grant=Grant.COMMENT)
    assert desk.grants(ana, elsewhere, ben) == [Grant.COMMENT, Grant.COMMENT, Grant.WRITE]
    await desk.change(session_id=ben.id)
    assert desk.grants(ana, elsewhere, ben) == [Grant.COMMENT, Grant.COMMENT, None]
    await desk.change(document_id="doc", grant=Grant.ADMIN)
    assert desk.grants(ana, elsewhere, ben) == [Grant.ADMIN, Grant.COMMENT, Grant.ADMIN]


@pytest.mark.rule("AD4")
async def test_what_was_changed_last() -> None:
    """The newest change about all sessions of a user in a document; one that gives back what tokens say is none."""
    desk = Desk()
    assert desk.control.change_of("doc", "ana") is None
    await desk.change(document_id="doc", user_id="ana", grant=Grant.READ)
    await desk.change(session_id=session().id)
    await desk.change(user_id="ana", grant=Grant.COMMENT)
    newest = desk.control.change_of("doc", "ana")
    assert newest is not None
    assert newest.grant is Grant.COMMENT
    assert desk.control.change_of("doc", "ben") is None
    await desk.change(user_id="ana", restores=True)
    assert desk.control.change_of("doc", "ana") is None


@pytest.mark.rule("AC2")
async def test_what_was_decided_later_is_not_touched() -> None:
    desk = Desk()
    await desk.change(document_id="doc")
    assert desk.grants(session(decided=NOW + LEEWAY), session(decided=NOW + LEEWAY + 1)) == [None, Grant.WRITE]


@pytest.mark.rule("AC4")
async def test_a_change_that_restores() -> None:
    desk = Desk()
    ana = session()
    await desk.change(user_id="ana")
    await desk.change(document_id="doc", restores=True)
    assert desk.grants(ana, session(document="other")) == [Grant.WRITE, None]


@pytest.mark.rule("AC3")
async def test_open_sessions_are_told_within_half_a_second() -> None:
    desk = Desk()
    ana, heard = session(), list[Grant | None]()
    changes: list[AccessChange] = []
    desk.control.follow(ana, lambda one: heard.append(one.grant))
    desk.control.follow(ana, lambda one: desk.control.unfollow(ana, quiet_one))

    def quiet_one(one: Session) -> None:
        raise AssertionError("it was taken out by the one before it")

    desk.control.listen(changes.append)
    running = asyncio.ensure_future(desk.control.run())
    await desk.storage.access.change(AccessChange(IDS.new(), "admin", NOW, "doc", grant=Grant.READ))
    for _ in range(20):
        await asyncio.sleep(0)
    desk.clock.advance(READ_SECONDS)
    for _ in range(20):
        await asyncio.sleep(0)
    assert heard == [Grant.READ]
    await desk.change(document_id="doc", grant=Grant.READ)
    assert heard == [Grant.READ], "nothing has changed for it"
    assert [change.revision for change in changes] == [1, 2]
    running.cancel()


@pytest.mark.rule("AC3")
async def test_who_follows_no_more_is_not_told() -> None:
    desk = Desk()
    ana, heard = session(), list[Session]()
    desk.control.follow(ana, heard.append)
    desk.control.unfollow(ana, heard.append)
    desk.control.unfollow(ana, heard.append)
    await desk.change(document_id="doc")
    assert heard == []


@pytest.mark.rule("AC5")
async def test_a_revoked_session_does_not_come_in() -> None:
    desk = Desk()
    await desk.change(document_id="doc")
    for enter in (desk.control.check, lambda one: desk.control.follow(one, print)):
        with pytest.raises(AccessDenied) as caught:
            enter(session())
        assert caught.value.known


@pytest.mark.rule("AC6", "TR33", "RE8")
async def test_while_changes_cannot_be_read_the_known_ones_hold() -> None:
    database = MemoryDatabase()
    desk = Desk(memory_storage(database))
    await desk.change(document_id="doc", grant=Grant.READ)
    database.unavailable = True
    with capture_logs() as logs:
        running = asyncio.ensure_future(desk.control.run())
        for read, failing in ((1, False), (2, True), (3, True), (4, False)):
            database.unavailable = read < 4
            await asyncio.sleep(0.01)
            if read > 1:
                desk.clock.advance(READ_SECONDS)
                await asyncio.sleep(0.01)
            assert desk.control.failing == failing
            assert desk.grants(session()) == [Grant.READ]
            await desk.control.catch_up(1)
        database.unavailable = True
        with pytest.raises(StoreUnavailable):
            await desk.control.catch_up(2)
        running.cancel()
    assert [(line["log_level"], line.get("failures")) for line in logs] == [("warning", None), ("info", 3)]


@pytest.mark.rule("AC5")
async def test_changes_that_are_read_twice_count_once() -> None:
    desk = Desk()
    await desk.storage.access.change(AccessChange(IDS.new(), "admin", NOW, "doc"))
    changes: list[AccessChange] = []
    desk.control.listen(changes.append)
    await asyncio.gather(*(desk.control.catch_up(1) for _ in range(3)), desk.control.catch_up())
    assert len(changes) == 1


@pytest.mark.rule("AC2")
async def test_the_leeway_is_two_seconds() -> None:
    assert LEEWAY == 2000


@pytest.mark.rule("HT8")
async def test_a_session_whose_time_is_over() -> None:
    """Who follows it is told once, and not before."""
    desk = Desk()
    ana, endless, told = session(), session("ben"), list[Session]()
    ana.ends_at = NOW + 10
    for one in (ana, endless):
        desk.control.follow(one, told.append)
    desk.control.tend(NOW + 9)
    assert told == []
    desk.control.tend(NOW + 10)
    desk.control.tend(NOW + 11)
    assert told == [ana]
    assert ana.ended


@pytest.mark.rule("SB4", "SB7")
async def test_a_session_that_its_user_ended() -> None:
    """Once that is read it is let in no more, and those who follow it are told once; its grant stays as it is."""
    desk = Desk()
    ana, ben, told = session(), session("ben"), list[Session]()
    desk.control.follow(ana, told.append)
    for one in (ana, ben):
        await desk.storage.access.begin_session(make_session(session_id=one.id))
    running = asyncio.create_task(desk.control.run())
    await asyncio.sleep(0.01)
    await desk.storage.access.end_session(ana.id, NOW - 5000)  # its process's clock is late
    assert not told
    desk.control.check(ana)
    for _ in range(3):
        desk.clock.advance(READ_SECONDS)
        await asyncio.sleep(0.01)
    running.cancel()
    assert told == [ana]
    assert (ana.ended, ana.grant) == (True, Grant.WRITE)
    again = replace(ana, ended=False)
    for one in (ana, again):
        with pytest.raises(AccessDenied, match="has ended"):
            desk.control.check(one)
    desk.control.check(ben)


@pytest.mark.rule("SB4")
async def test_ended_sessions_are_known_to_a_process_that_starts_and_forgotten_when_no_token_is_left() -> None:
    desk = Desk()
    ends = {session(): NOW - 1000 * ago for ago in (1, ENDED_SECONDS - 1, ENDED_SECONDS + 1)}
    for one, at in ends.items():
        await desk.storage.access.begin_session(make_session(session_id=one.id))
        await desk.storage.access.end_session(one.id, at)
    await desk.control.look_for_ends()
    desk.control.tend(NOW + 5000)

    def ended(one: Session) -> bool:
        try:
            desk.control.check(one)
        except AccessDenied:
            return True
        return False

    assert [ended(one) for one in ends] == [True, False, False]


@pytest.mark.rule("AC1")
async def test_the_newest_counts_of_a_session_and_of_more() -> None:
    desk = Desk()
    ana = session()
    await desk.change(user_id="ana", grant=Grant.READ)
    await desk.change(session_id=ana.id, grant=Grant.COMMENT)
    await desk.change(session_id=session().id)
    assert desk.grants(ana) == [Grant.COMMENT]
    await desk.change(document_id="doc", user_id="ana", grant=Grant.ADMIN)
    assert desk.grants(ana) == [Grant.ADMIN]
