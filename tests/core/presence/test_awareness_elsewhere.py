"""What other processes tell of their connections, and what becomes of it."""

from __future__ import annotations

import pytest

from core.presence.awareness_room import Room, entry
from cowrite.core.presence.awareness import MAX_TOLD_CLOCK, STALE_ELSEWHERE_AFTER, Heard
from cowrite.core.presence.awareness_owners import Owner
from cowrite.protocol.awareness import AwarenessEntry


@pytest.fixture
def room() -> Room:
    return Room()


def hear(room: Room, process: str, *told: tuple[AwarenessEntry, str | None], answer: bool = False) -> Heard:
    return room.awareness.hear(process, told, room.now, answer=answer)


# ---- states ------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AW42")
def test_what_another_process_tells_is_news_by_its_clock(room: Room) -> None:
    assert hear(room, "P", (entry(1, 1), "ana"), (entry(2, 3), None)) == Heard(news=[entry(1, 1), entry(2, 3)])
    assert hear(room, "P", (entry(1, 1), "ana"), (entry(2, 4), None)) == Heard(news=[entry(2, 4)])
    assert hear(room, "P", (entry(1, 1, None), None), (entry(2, 9, None), None)).news == [entry(1, 1, None), entry(2, 9, None)]
    assert hear(room, "P", (entry(1, 1, None), None)) == Heard()
    assert room.states() == {}


@pytest.mark.rule("AW42")
def test_another_user_elsewhere_does_not_take_an_id_over(room: Room) -> None:
    """Neither from a client here nor from one of a third process, whatever the clock; nor does one that speaks of others."""
    room.introduce(a1=1)
    hear(room, "P", (entry(2, 1), "ana"))
    for user_id in ("eve", None):
        assert hear(room, "Q", (entry(1, 9), user_id), (entry(2, 9), user_id)) == Heard()
    assert room.awareness.skipped == 4
    assert room.states() == {1: (1, "{}"), 2: (1, "{}")}


@pytest.mark.rule("AW42")
def test_the_same_user_elsewhere_takes_an_id_over_with_an_equal_clock(room: Room) -> None:
    """It has moved there, and its old socket is not known to be dead."""
    room.introduce(a1=1)
    assert hear(room, "P", (entry(1, 1), "a")) == Heard()
    assert room.gone("a1") == [], "it is not this process's any more"
    assert hear(room, "Q", (entry(1, 1), "a")) == Heard()
    assert hear(room, "P", (entry(1, 1, None), None)) == Heard(), "nor P's"
    assert room.states() == {1: (1, "{}")}
    assert room.announce("a2", entry(1, 1)) == []
    assert hear(room, "Q", (entry(1, 1, None), None)).news == [], "it has come back here"
    assert room.gone("a2") == [entry(1, 1, None)]


@pytest.mark.rule("AW42")
def test_an_id_of_which_another_process_only_speaks_goes_to_whoever_calls_it_its_own(room: Room) -> None:
    hear(room, "P", (entry(1, 1), None))
    assert room.announce("b1", entry(1, 1)) == []
    assert hear(room, "P", (entry(1, 1, None), None)).news == []
    hear(room, "P", (entry(2, 1), None))
    assert hear(room, "Q", (entry(2, 2), "cleo")) == Heard(news=[entry(2, 2)])


@pytest.mark.rule("AW46")
def test_an_answer_moves_no_living_id_at_an_equal_clock(room: Room) -> None:
    """The process that answers may have a dead socket that it thinks open."""
    room.introduce(a1=1)
    assert hear(room, "P", (entry(1, 1), "a"), (entry(2, 1), "b"), answer=True) == Heard(news=[entry(2, 1)])
    assert room.gone("a1") == [entry(1, 1, None)]
    assert hear(room, "P", (entry(1, 1), "a"), answer=True) == Heard(), "nobody corrects an answer: its process was not asked"
    room.introduce(c1=3)
    room.awareness.lose("c1")
    hear(room, "P", (entry(3, 1), "other"), answer=True)
    assert room.awareness.release("c1") == [], "but from a lost connection it does"


# ---- ends --------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AW44")
def test_the_end_of_an_id_that_is_not_the_processs_is_not_believed(room: Room) -> None:
    hear(room, "P", (entry(1, 4), "ana"))
    assert hear(room, "Q", (entry(1, 4, None), None), (entry(1, 9, None), None)) == Heard()
    room.introduce(b1=2)
    room.announce("b1", entry(3, 1))
    assert hear(room, "Q", (entry(3, 1, None), None)) == Heard(), "b1 calls it not its own, and need not hear of it"
    assert room.states() == {1: (4, "{}"), 2: (1, "{}"), 3: (1, "{}")}


@pytest.mark.rule("AW44")
def test_a_client_here_is_told_of_its_end_elsewhere(room: Room) -> None:
    """So that it announces itself again with a higher clock; not when it is known to do that anyway."""
    room.announce("b1", entry(2, 5))
    for clock, told in ((4, False), (5, True), (9, True), (MAX_TOLD_CLOCK, True), (MAX_TOLD_CLOCK + 1, False)):
        end = entry(2, clock, None)
        assert hear(room, "P", (end, None)) == Heard(denied=[("b1", end)] if told else [])
    room.announce("b1", entry(2, 6, None))
    assert hear(room, "P", (entry(2, 9, None), None)) == Heard(), "it has ended by itself"
    room.announce("b1", entry(2, 10))
    room.awareness.lose("b1")
    assert hear(room, "P", (entry(2, 10, None), None)) == Heard(), "nobody is there to be told"


@pytest.mark.rule("AW45")
def test_a_state_with_a_clock_that_is_used_up_is_answered_with_the_end(room: Room) -> None:
    """Another process has not known that this client ended, or had a life before."""
    hear(room, "P", (entry(1, 7), "ana"))
    assert hear(room, "Q", (entry(1, 3), "ana")) == Heard(stale=[entry(1, 7, None)])
    assert room.states() == {1: (7, "{}")}
    hear(room, "P", (entry(1, 7, None), None))
    assert hear(room, "Q", (entry(1, 7), "ana"), (entry(1, 6), None)) == Heard(stale=[entry(1, 7, None)])
    assert hear(room, "Q", (entry(1, 8), "ana")) == Heard(news=[entry(1, 8)])


@pytest.mark.rule("AW43")
def test_what_another_process_has_lost_goes_to_anybody_with_an_equal_clock(room: Room) -> None:
    hear(room, "P", (entry(1, 4), "guest 1"), (entry(2, 4), "guest 2"), (entry(3, 4), "guest 3"))
    hear(room, "Q", (entry(4, 1), "guest 4"))
    room.awareness.lose_elsewhere("P", [1, 2, 3, 4, 5])
    assert room.states().keys() == {1, 2, 3, 4}
    assert room.announce("x1", entry(1, 4)) == []
    assert hear(room, "Q", (entry(2, 4), "guest 5")) == Heard()
    ends = [(entry(number, 4, None), None) for number in (1, 2, 3)]
    told = hear(room, "P", *ends, (entry(4, 1, None), None))
    assert told == Heard(news=[entry(3, 4, None)], denied=[("x1", entry(1, 4, None))])
    assert room.states().keys() == {1, 2, 4}


@pytest.mark.rule("AW47")
def test_a_process_that_leaves_has_lost_all(room: Room) -> None:
    hear(room, "P", (entry(1, 1), "guest 1"), (entry(2, 1), "guest 2"), (entry(3, 1), None))
    room.awareness.lose_elsewhere("P", [1])
    room.introduce(a1=4)
    lost = room.awareness.leave_elsewhere("P")
    assert room.states().keys() == {1, 2, 3, 4}
    assert room.announce("b1", entry(2, 1)) == []
    assert room.awareness.release(lost) == [entry(1, 1, None), entry(3, 1, None)]
    assert room.awareness.release(lost) == []


@pytest.mark.rule("AW48")
def test_a_client_elsewhere_that_is_not_renewed_ends_sooner(room: Room) -> None:
    """Its process may have been killed; the room is looked at every five seconds."""
    room.introduce(a1=1)
    hear(room, "P", (entry(2, 1), "ana"), (entry(3, 1), "ben"))
    room.now = STALE_ELSEWHERE_AFTER - 1
    assert room.awareness.expire_elsewhere(room.now) == []
    hear(room, "P", (entry(3, 2), "ben"))
    room.now += 1
    assert room.awareness.expire(room.now) == []
    assert room.awareness.expire_elsewhere(room.now) == [entry(2, 1, None)]
    assert room.states().keys() == {1, 3}


# ---- what is told ------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AW40")
def test_only_what_is_attached_here_is_told(room: Room) -> None:
    room.introduce(a1=1, b1=2)
    room.announce("a1", entry(3, 5))
    hear(room, "P", (entry(4, 1), "cleo"))
    assert room.awareness.attached() == [(entry(1, 1), "a"), (entry(2, 1), "b"), (entry(3, 5), None)]
    room.awareness.lose("b1")
    room.announce("a1", entry(3, 6, None))
    assert room.awareness.attached([1, 2, 3, 4, 5]) == [(entry(1, 1), "a"), (entry(3, 6, None), None)]


@pytest.mark.rule("AW41")
def test_an_id_that_a_connection_takes_is_a_claim(room: Room) -> None:
    """With news or without; what it owns already, and what it announces too late, is none."""

    def claims(peer: str, *entries: AwarenessEntry) -> list[int]:
        return room.awareness.announce(Owner(peer, peer[0]), entries, room.now).claims

    hear(room, "P", (entry(1, 4), "a"), (entry(2, 4), "b"), (entry(3, 4), "c"))
    assert claims("a1", entry(1, 4)) == [1]
    assert claims("a1", entry(1, 5)) == []
    assert claims("b1", entry(2, 5)) == [2]
    assert claims("c1", entry(3, 1)) == [], "an earlier life: its client is told, and says more"
    assert claims("d1", entry(9, 0)) == []
    assert claims("e1", entry(8, 1)) == [8]
