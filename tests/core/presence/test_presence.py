"""Who is in a document."""

from __future__ import annotations

import json

import pytest

from cowrite.core.ids import Ids
from cowrite.core.ports import Access, Grant
from cowrite.core.presence.presence import PresenceChange, PresenceList, Transport
from cowrite.core.sessions.session import Session
from cowrite.testing.clock import ManualClock

IDS = Ids(ManualClock())


def session(user: str) -> Session:
    return Session(IDS.new(), "doc", Access(user, Grant.WRITE, "Ana", "#123456"), 0)


class Told(list[PresenceChange]):
    def words(self) -> list[str]:
        found = []
        for change in self:
            found += [f"+{one.user_id}" for one in change.joined]
            found += [f"~{one.user_id}" for one in change.updated]
            found += ["-"] * len(change.left)
        self.clear()
        return found


@pytest.mark.rule("PE1")
def test_a_session_stays_until_its_last_connection_has_closed() -> None:
    told = Told()
    people = PresenceList(told.append)
    ana = session("ana")
    people.connect(ana, Transport.YJS, 1)
    people.connect(ana, Transport.YJS, 2)
    people.disconnect(ana)
    assert [one.user_id for one in people.present] == ["ana"]
    people.disconnect(ana)
    assert people.present == []
    assert told.words() == ["+ana", "-"]
    people.leave(ana)
    assert told.words() == []


@pytest.mark.rule("PE1")
def test_one_that_polls_stays_until_its_time_is_over() -> None:
    told = Told()
    people = PresenceList(told.append)
    ana = session("ana")
    people.visit(ana, 1, until=30)
    people.visit(ana, 2, until=40)
    people.expire(39)
    assert told.words() == ["+ana"]
    people.connect(ana, Transport.WEBSOCKET, 3)
    people.visit(ana, 4, until=50)
    people.expire(100)
    assert [one.transport for one in people.present] == [Transport.WEBSOCKET]
    people.disconnect(ana)
    people.visit(ana, 5, until=110)
    people.expire(110)
    assert told.words() == ["~ana", "-", "+ana", "-"]


@pytest.mark.rule("PE2")
def test_others_are_told_what_is_new() -> None:
    told = Told()
    people = PresenceList(told.append)
    ana = session("ana")
    people.tell(ana, {"cursor": 0}, 1)
    people.connect(ana, Transport.WEBSOCKET, 1)
    people.tell(ana, {"cursor": 1}, 2)
    people.tell(ana, {"cursor": 1}, 3)
    people.connect(ana, Transport.WEBSOCKET, 4)
    version = people.version
    change = told[-1]
    assert told.words() == ["+ana", "~ana"]
    assert version == 2
    message = json.loads(change.frame)
    assert message["type"] == "presence"
    assert message["updated"] == [people.present[0].to_json() | {"last_active": 2}]
