"""Who is in a document, as far as one process knows by itself."""

from __future__ import annotations

import json

import pytest

from core.presence.presence_tools import compare
from cowrite.core.ids import Ids
from cowrite.core.limits import Limits
from cowrite.core.ports import Access, Grant, PresenceNews, PresenceRecord
from cowrite.core.presence.notes import Urgency
from cowrite.core.presence.presence import PresenceList
from cowrite.core.presence.present import PresenceChange, Present, Transport
from cowrite.core.presence.refusals import PresenceRefused, size_of
from cowrite.core.sessions.session import Session
from cowrite.testing.clock import ManualClock

IDS = Ids(ManualClock())
MINUTE = 60_000


def session(user: str) -> Session:
    return Session(IDS.new(), "doc", Access(user, Grant.WRITE, "Ana", "#123456"), 0)


class Told(list[PresenceChange]):
    def words(self) -> list[str]:
        found = []
        for change in self:
            found += [f"+{one.user_id}" for one in change.joined]
            found += [f"~{one.user_id}" for one in change.updated]
            found += [f"-{user_id}" for user_id in change.left]
        self.clear()
        return found


class Noted(list[tuple[str, Urgency]]):
    def note(self, present: Present, urgency: Urgency) -> None:
        self.append((present.user_id, urgency))


def users(people: PresenceList) -> list[str]:
    return [one.user_id for one in people.persons]


@pytest.mark.rule("PE1")
def test_a_session_stays_until_its_last_connection_has_closed() -> None:
    told = Told()
    people = PresenceList(told.append)
    ana = session("ana")
    people.connect(ana, Transport.YJS, 1)
    people.connect(ana, Transport.YJS, 2)
    people.disconnect(ana)
    assert users(people) == ["ana"]
    people.disconnect(ana)
    assert people.persons == []
    assert told.words() == ["+ana", "-ana"]
    people.leave(ana)
    assert told.words() == []


@pytest.mark.rule("PE1")
def test_one_that_polls_stays_until_its_time_is_over() -> None:
    told = Told()
    people = PresenceList(told.append)
    ana = session("ana")
    people.visit(ana, 1, 0.0, 30.0)
    people.visit(ana, 2, 10.0, 30.0)
    people.tend(2, 39.0)
    assert told.words() == ["+ana"]
    people.connect(ana, Transport.WEBSOCKET, 3)
    people.visit(ana, 4, 20.0, 30.0)
    people.tend(4, 100.0)
    assert [one.transport for one in people.crowd] == [Transport.WEBSOCKET]
    people.disconnect(ana)
    people.visit(ana, 5, 80.0, 30.0)
    people.tend(5, 110.0)
    assert told.words() == ["~ana", "-ana", "+ana", "-ana"]


@pytest.mark.rule("PE2")
def test_others_are_told_what_is_new() -> None:
    told = Told()
    people = PresenceList(told.append)
    ana = session("ana")
    people.tell(ana, {"cursor": 0}, 1)
    people.connect(ana, Transport.WEBSOCKET, 1)
    people.tell(ana, {"cursor": 1}, 2)
    people.tell(ana, {"cursor": 1}, 3)
    people.connect(ana, Transport.WEBSOCKET, 3)
    people.active(ana.id, 4)
    change = told[-1]
    assert told.words() == ["+ana", "~ana"]
    assert people.crowd.version == 2
    message = json.loads(change.frame)
    assert message["type"] == "presence"
    (person,) = people.persons
    assert message["updated"] == [
        person.to_json() | {"sessions": [one.to_json() | {"last_active": 2} for one in person.sessions]}
    ]
    assert [one.last_active for one in people.crowd] == [4]


@pytest.mark.rule("PE5")
def test_several_sessions_of_a_user_are_one_person() -> None:
    told = Told()
    people = PresenceList(told.append)
    first, second, ben = session("ana"), session("ana"), session("ben")
    for one in (first, ben, second):
        people.connect(one, Transport.YJS, 1)
    assert [(one.user_id, [each.session_id for each in one.sessions]) for one in people.persons] == [
        ("ana", [first.id, second.id]),
        ("ben", [ben.id]),
    ]
    people.disconnect(first)
    people.disconnect(second)
    assert told.words() == ["+ana", "+ben", "~ana", "~ana", "-ana"]


@pytest.mark.rule("PE6")
def test_who_does_nothing_is_idle_and_then_away_until_doing_something() -> None:
    told = Told()
    people = PresenceList(told.append)
    ana = session("ana")
    people.connect(ana, Transport.YJS, 0)
    states = []
    for now in (MINUTE - 1, MINUTE, 10 * MINUTE - 1, 10 * MINUTE):
        people.tend(now, 0.0)
        states += [one.activity.value for one in people.crowd]
    assert states == ["active", "idle", "idle", "away"]
    people.active(ana.id, 11 * MINUTE)
    assert told.words() == ["+ana", "~ana", "~ana", "~ana"]
    people.tell(ana, {"state": "away"}, 11 * MINUTE)
    people.tend(11 * MINUTE, 0.0)
    assert [one.activity.value for one in people.crowd] == ["away"]
    people.active(ana.id, 11 * MINUTE + 1)
    people.tend(11 * MINUTE + 1, 0.0)
    assert [one.activity.value for one in people.crowd] == ["active"]
    assert [one.last_active for one in people.crowd] == [11 * MINUTE + 1]
    people.active("nobody", 1)


@pytest.mark.rule("PE3")
def test_a_user_has_so_many_sessions_here_and_the_next_one_waits_for_a_place() -> None:
    told = Told()
    people = PresenceList(told.append, Limits(presence_sessions=2))
    first, second, third, fourth = (session("ana") for _ in range(4))
    for one in (first, second, third, fourth):
        people.connect(one, Transport.YJS, 1)
    people.connect(session("ben"), Transport.YJS, 1)
    people.tell(first, {"cursor": 1}, 1)
    with pytest.raises(PresenceRefused, match=r"^the user has 2 other sessions") as refused:
        people.tell(third, {"cursor": 3}, 1)
    assert refused.value.code == "too_many_sessions"
    with pytest.raises(PresenceRefused):
        people.stay(session("ana"), 1, 1000)
    assert told.words() == ["+ana", "~ana", "+ben", "~ana"]
    people.disconnect(fourth)
    assert told.words() == []
    people.disconnect(first)
    assert [one.session_id for one in people.crowd if one.user_id == "ana"] == [second.id, third.id]
    people.tell(third, {"cursor": 3}, 2)
    people.leave(second)
    people.leave(third)
    assert users(people) == ["ben"]
    assert told.words() == ["~ana", "~ana", "~ana", "~ana", "-ana"]


@pytest.mark.rule("PE3")
def test_one_that_polls_comes_in_with_its_next_poll() -> None:
    people = PresenceList(Told().append, Limits(presence_sessions=1))
    first, second = session("ana"), session("ana")
    people.visit(first, 1, 0.0, 30.0)
    people.visit(second, 2, 10.0, 30.0)
    people.tend(2, 30.0)
    assert people.persons == []
    people.visit(second, 3, 20.0, 30.0)
    people.visit(first, 3, 20.0, 30.0)
    assert [one.session_id for one in people.crowd] == [second.id]
    waiting = session("ana"), session("ana")
    for one in waiting:
        people.connect(one, Transport.WEBSOCKET, 4)
    people.tend(4, 50.0)
    assert [(one.session_id, one.last_active) for one in people.crowd] == [(waiting[0].id, 4)]


@pytest.mark.rule("PE4")
def test_all_that_is_told_together_is_bounded() -> None:
    people = PresenceList(Told().append, Limits(presence_bytes=31))
    ana, ben = session("ana"), session("ben")
    for one in (ana, ben):
        people.connect(one, Transport.WEBSOCKET, 1)
    people.tell(ana, {"data": {"n": "x" * 12}}, 1)
    with pytest.raises(PresenceRefused, match=r"at most 31 bytes together; tell less") as refused:
        people.tell(ben, {"data": {"n": "xxxx"}}, 1)
    assert refused.value.code == "presence_full"
    people.tell(ben, {"data": {"n": "xxx"}}, 1)
    with pytest.raises(PresenceRefused):
        people.tell(ana, {"cursor": 1}, 1)
    assert [one.data for one in people.crowd] == [{"n": "x" * 12}, {"n": "xxx"}]
    people.tell(ana, {"data": None}, 1)
    people.tell(ben, {"data": {"n": "x" * 22}}, 1)
    people.disconnect(ben)
    people.tell(ana, {"data": {"n": "y" * 22}}, 1)
    assert [one.data for one in people.crowd] == [{"n": "y" * 22}]


@pytest.mark.rule("PE2")
def test_what_everybody_is_told_is_encoded_once() -> None:
    people = PresenceList(Told().append)
    ana, ben = session("ana"), session("ben")
    people.connect(ana, Transport.WEBSOCKET, 1)
    people.visit(ben, 1, 0.0, 30.0)
    people.tell(ana, {"data": {"n": "é\0"}}, 2)
    before = [one.lasting for one in people.crowd]
    people.active(ben.id, 3)
    assert json.loads(people.crowd.json) == [one.to_json() for one in people.persons]
    (person, _) = people.persons
    assert json.loads(b"[%s}]" % person.lasting)[1]["data"] == {"n": "é\0"}
    assert [one.last_active for one in people.crowd] == [2, 3]
    assert all(one.lasting is same for one, same in zip(people.crowd, before, strict=True))
    people.tell(ben, {"cursor": 1}, 4)
    assert json.loads(people.crowd.json) == [one.to_json() for one in people.persons]
    assert people.crowd.json is people.crowd.json


@pytest.mark.rule("PE8")
def test_one_that_stays_for_a_time() -> None:
    told, noted = Told(), Noted()
    people = PresenceList(told.append, process="p", note=noted.note)
    bot = session("bot")
    people.stay(bot, 1000, 5000)
    people.visit(bot, 2000, 0.0, 1.0)
    people.tend(5999, 100.0)
    assert told.words() == ["+bot"]
    people.tend(6000, 100.0)
    assert people.persons == []
    people.stay(bot, 7000, 5000)
    people.leave(bot)
    assert people.persons == []
    people.connect(bot, Transport.WEBSOCKET, 8000)
    people.stay(bot, 8000, 5000)
    assert [one.expires_at for one in people.crowd] == [None]


def other(people: PresenceList, user: str, *, process: str = "there", session_id: str = "", **told: object) -> PresenceRecord:
    """A session of another process, as it is written down."""
    metadata = {"transport": "yjs", "state": "active", **told}
    return PresenceRecord(session_id or IDS.new(), user, "doc", 1, process, None, metadata)


@pytest.mark.rule("PE10")
def test_what_other_processes_say() -> None:
    told, noted = Told(), Noted()
    people = PresenceList(told.append, Limits(presence_sessions=1, presence_bytes=30), process="here", note=noted.note)
    ana = session("ana")
    people.connect(ana, Transport.YJS, 1)
    noted.clear()
    ben, second, large = other(people, "ben"), other(people, "ben"), other(people, "cem", data={"x": "x" * 30})
    taken = other(people, "eve", session_id=ana.id)
    people.hear(PresenceNews("doc", "there", (ben, second, large, taken), ("unknown",)), 1.0)
    assert [(one.user_id, one.data) for one in people.crowd] == [("ana", None), ("ben", None), ("cem", None)]
    people.hear(PresenceNews("doc", "elsewhere", (), (ben.session_id,)), 2.0)
    assert users(people) == ["ana", "ben", "cem"], "it is not theirs"
    people.hear(PresenceNews("doc", "there", (), (ben.session_id, ana.id)), 3.0)
    assert told.words() == ["+ana", "+ben", "+cem", "-ben"]
    assert noted == [("ana", Urgency.NOW)], "others have been told that it is gone"


@pytest.mark.rule("PE10")
def test_what_is_read_is_older_than_what_was_heard_meanwhile() -> None:
    people = PresenceList(Told().append, process="here")
    ben, cem, eve = (other(people, user) for user in ("ben", "cem", "eve"))
    people.hear(PresenceNews("doc", "there", (ben, cem), ()), 1.0)
    people.hear(PresenceNews("doc", "there", (eve,), (cem.session_id,)), 3.0)
    compare(people, [ben, cem], 2.0, settled=True)
    assert users(people) == ["ben", "eve"]
    compare(people, [], 4.0, settled=False)
    assert users(people) == ["ben", "eve"]
    compare(people, [eve], 4.0, settled=True)
    assert users(people) == ["eve"]


@pytest.mark.rule("PE14")
def test_what_is_written_of_this_process_is_what_is_here() -> None:
    """What is missing is written again, and what has gone is removed."""
    noted = Noted()
    people = PresenceList(Told().append, process="here", note=noted.note)
    people.connect(session("ana"), Transport.YJS, 1)
    noted.clear()
    unreadable = PresenceRecord("s", "who", "doc", 1, "here", None, {})
    compare(people, [other(people, "gone", process="here"), unreadable], 1.0, settled=True)
    assert noted == [("gone", Urgency.GONE), ("ana", Urgency.NOW)]


@pytest.mark.rule("PE11")
def test_only_those_of_living_processes_are_kept() -> None:
    people = PresenceList(Told().append, process="here")
    people.connect(session("ana"), Transport.YJS, 1)
    people.stay(session("bot"), 1, 1000)
    records = [other(people, process, process=process) for process in ("living", "dead", "new")]
    for at, record in zip((0.0, 0.0, 95.0), records, strict=True):
        people.hear(PresenceNews("doc", record.process or "", (record,), ()), at)
    people.keep(frozenset({"living"}), 100.0)
    assert users(people) == ["ana", "bot", "living", "new"]


@pytest.mark.rule("PE4")
def test_the_size_of_what_is_told() -> None:
    assert size_of({"cursor": [1], "data": {"é": None}, "state": "away"}) == 3 + len('{"\\u00e9":null}')
    assert size_of({"cursor": None}) == 0


@pytest.mark.rule("PE18")
def test_the_list_is_encoded_once_until_something_changes() -> None:
    people = PresenceList(lambda change: None, process="here")
    ana = session("ana")
    people.connect(ana, Transport.YJS, 1)
    before = people.crowd.json
    assert people.crowd.json is before
    people.active(ana.id, 60_000)
    assert b'"last_active":60000' in people.crowd.json
