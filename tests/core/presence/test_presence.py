"""Who is in a document."""

from __future__ import annotations

import json

import pytest

from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant
from cowrite.core.presence.presence import PresenceChange, PresenceList, PresenceRefused, Transport
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


def users(people: PresenceList) -> list[str]:
    return [one.user_id for one in people.present]


@pytest.mark.rule("PE3")
def test_a_user_has_so_many_sessions_here_and_the_next_one_waits_for_a_place() -> None:
    told = Told()
    people = PresenceList(told.append, Limits(presence_sessions=2))
    first, second, third, fourth = (session("ana") for _ in range(4))
    for one in (first, second, third, fourth):
        people.connect(one, Transport.YJS, 1)
    people.connect(session("ben"), Transport.YJS, 1)
    people.tell(first, {"n": 1}, 1)
    with pytest.raises(PresenceRefused, match=r"^the user has 2 other sessions") as refused:
        people.tell(third, {"n": 3}, 1)
    assert refused.value.code == "too_many_sessions"
    assert told.words() == ["+ana", "+ana", "+ben", "~ana"]
    people.disconnect(fourth)
    assert told.words() == []
    people.disconnect(first)
    assert [one.session_id for one in people.present if one.user_id == "ana"] == [second.id, third.id]
    people.tell(third, {"n": 3}, 2)
    people.leave(second)
    people.leave(third)
    assert users(people) == ["ben"]
    assert told.words() == ["-", "+ana", "~ana", "-", "-"]


@pytest.mark.rule("PE3")
def test_one_that_polls_comes_in_with_its_next_poll() -> None:
    told = Told()
    people = PresenceList(told.append, Limits(presence_sessions=1))
    first, second = session("ana"), session("ana")
    people.visit(first, 1, until=30)
    people.visit(second, 2, until=40)
    people.expire(30)
    assert people.present == []
    people.visit(second, 3, until=50)
    people.visit(first, 3, until=50)
    assert [one.session_id for one in people.present] == [second.id]
    waiting = session("ana"), session("ana")
    for one in waiting:
        people.connect(one, Transport.WEBSOCKET, 4)
    people.expire(50)
    assert [(one.session_id, one.last_active) for one in people.present] == [(waiting[0].id, 4)]


@pytest.mark.rule("PE4")
def test_all_states_together_are_bounded() -> None:
    told = Told()
    people = PresenceList(told.append, Limits(presence_bytes=31))
    ana, ben = session("ana"), session("ben")
    for one in (ana, ben):
        people.connect(one, Transport.WEBSOCKET, 1)
    people.tell(ana, {"n": "x" * 12}, 1)
    with pytest.raises(PresenceRefused, match=r"at most 31 bytes together; tell less") as refused:
        people.tell(ben, {"n": "xxxx"}, 1)
    assert refused.value.code == "presence_full"
    people.tell(ben, {"n": "xxx"}, 1)
    with pytest.raises(PresenceRefused):
        people.tell(ana, {"n": "x" * 13}, 1)
    assert [one.state for one in people.present] == [{"n": "x" * 12}, {"n": "xxx"}]
    people.tell(ana, None, 1)
    people.tell(ben, {"n": "x" * 22}, 1)
    people.disconnect(ben)
    people.tell(ana, {"n": "y" * 22}, 1)
    assert [one.state for one in people.present] == [{"n": "y" * 22}]


@pytest.mark.rule("PE2")
def test_what_everybody_is_told_is_encoded_once() -> None:
    people = PresenceList(Told().append)
    ana, ben = session("ana"), session("ben")
    people.connect(ana, Transport.WEBSOCKET, 1)
    people.visit(ben, 1, until=30)
    people.tell(ana, {"n": "é\0"}, 2)
    before = [one.lasting for one in people.present]
    people.visit(ben, 3, until=40)
    assert json.loads(people.json) == [one.to_json() for one in people.present]
    assert [one.last_active for one in people.present] == [2, 3]
    assert all(one.lasting is same for one, same in zip(people.present, before, strict=True))
