"""Whose awareness entries count, and when."""

from __future__ import annotations

import pytest

from core.presence.awareness_room import Room, entry
from cowrite.core.presence.awareness import IDS_PER_PEER, MAX_CLOCK, REMEMBERED, InvalidState, in_messages
from cowrite.core.presence.awareness_owners import Owner


@pytest.fixture
def room() -> Room:
    return Room()


# ---- what is news, by y-protocols --------------------------------------------------------------------------------------------


@pytest.mark.rule("AW1")
def test_an_entry_with_a_newer_clock_is_news(room: Room) -> None:
    assert room.announce("a1", entry(1, 5, '{"x":1}')) == [entry(1, 5, '{"x":1}')]
    assert room.announce("a1", entry(1, 5, '{"x":2}'), entry(1, 4, None)) == []
    assert room.announce("a1", entry(1, 6, '{"x":1}')) == [entry(1, 6, '{"x":1}')], "a renewal, though nothing has changed"
    assert room.announce("a1", entry(1, 9, None)) == [entry(1, 9, None)]
    assert room.announce("a1", entry(1, 10)) == [entry(1, 10)]


@pytest.mark.rule("AW1")
def test_the_end_of_a_state_is_news_at_the_same_clock(room: Room) -> None:
    room.introduce(a1=1)
    assert room.announce("a1", entry(1, 1, None)) == [entry(1, 1, None)]
    assert room.announce("a1", entry(1, 1, None)) == []
    assert room.announce("a1", entry(1, 0, None)) == []


@pytest.mark.rule("AW2")
def test_the_first_empty_state_is_not_news(room: Room) -> None:
    """An unknown client counts as known at clock 0, which is the clock at which every client is born."""
    assert room.announce("a1", entry(1, 0)) == []
    assert room.announce("b1", entry(2, 0, None), entry(3, 0)) == []
    assert room.states() == {}
    assert room.awareness.entries([1, 2, 3]) == [entry(1, 0, None)], "an own id is reserved, the others are not known"
    room.gone("a1")
    assert room.awareness.entries([1]) == []


@pytest.mark.rule("AW1")
def test_entries_of_one_message_count_one_after_the_other(room: Room) -> None:
    entries = [entry(1, 1), entry(1, 2, None), entry(1, 2), entry(1, 3, '{"x":1}')]
    announced = room.awareness.announce(Owner("a1", "a"), entries, 0.0)
    assert announced.news == [entry(1, 1), entry(1, 2, None), entry(1, 3, '{"x":1}')]
    assert announced.stale == [entry(1, 2, None)]


@pytest.mark.rule("AW1")
def test_an_empty_message_says_nothing(room: Room) -> None:
    room.introduce(b1=2)
    assert room.announce("a1") == []
    assert room.announce("a1", entry(1, 0)) == []
    assert room.announce("b1", entry(1, 1)) == [], "an empty message is not the first one, so the id is reserved"


@pytest.mark.rule("AW3")
@pytest.mark.parametrize("state", ["", "{", "{'x':1}", "NaN", "undefined", "[" * 100 + "]" * 100, '{"x":1}}'])
def test_a_state_that_is_not_json_is_refused(room: Room, state: str) -> None:
    with pytest.raises(InvalidState, match="client 1 is not JSON"):
        room.announce("a1", entry(1, 1, state))
    assert room.states() == {}
    assert room.gone("a1") == []


@pytest.mark.rule("AW3")
def test_a_state_that_does_not_count_is_not_looked_at(room: Room) -> None:
    """Whoever echoes somebody's state is not to blame for it."""
    room.introduce(a1=1, b1=2)
    assert room.announce("b1", entry(1, 7, "{")) == []
    assert room.announce("a1", entry(1, 1, "{")) == []


# ---- connections that come and go --------------------------------------------------------------------------------------------


@pytest.mark.rule("AW10")
@pytest.mark.parametrize("back", ["a2", "b1"])
def test_after_a_loss_the_client_takes_its_id_over_with_an_equal_clock(room: Room, back: str) -> None:
    """Clients announce themselves again with an unchanged clock; whoever has no name is another user each time."""
    room.introduce(a1=1)
    assert room.awareness.lose("a1")
    assert room.states() == {1: (1, "{}")}, "a lost connection keeps its states for a while"
    assert room.announce(back, entry(1, 1)) == []
    assert room.awareness.release("a1") == [], "nobody saw it blink"
    assert room.states() == {1: (1, "{}")}
    assert room.gone(back) == [entry(1, 1, None)]


@pytest.mark.rule("AW10")
def test_an_echo_does_not_take_over_what_was_lost(room: Room) -> None:
    """Everybody echoes a client's last state, some of them when its connection is lost already."""
    room.introduce(a1=1, b1=2)
    room.announce("a1", entry(1, 2))
    room.awareness.lose("a1")
    assert room.announce("b1", entry(1, 2)) == []
    assert room.awareness.release("a1") == [entry(1, 2, None)]


@pytest.mark.rule("AW11")
def test_a_released_connection_ends_what_it_owns(room: Room) -> None:
    room.introduce(a1=1, b1=2)
    room.announce("a1", entry(7, 3), entry(8, 1))
    room.announce("a1", entry(8, 2, None))
    assert room.awareness.release("a1") == [entry(1, 1, None), entry(7, 3, None)]
    assert room.awareness.release("a1") == []
    assert room.states() == {2: (1, "{}")}


@pytest.mark.rule("AW11")
def test_a_connection_without_living_states_need_not_be_waited_for(room: Room) -> None:
    assert not room.awareness.lose("never seen")
    assert room.awareness.release("never seen") == []
    room.announce("a1", entry(1, 0))
    assert not room.awareness.lose("a1")
    room.introduce(b1=2)
    room.announce("b1", entry(2, 2, None))
    assert not room.awareness.lose("b1")
    room.introduce(c1=3)
    assert room.awareness.lose("c1")


@pytest.mark.rule("AW12")
def test_a_client_that_comes_back_too_late_is_told_that_it_was_removed(room: Room) -> None:
    """So that it announces itself at once with a higher clock, and not at its next heartbeat."""
    room.introduce(a1=1, b1=2)
    room.announce("a1", entry(1, 5))
    room.gone("a1")
    assert room.stale("a2", entry(1, 5)) == [entry(1, 5, None)]
    assert room.announce("a2", entry(1, 6)) == [entry(1, 6)]
    room.gone("a2")
    assert room.stale("a3", entry(1, 3)) == [entry(1, 6, None)], "an earlier clock as well"


@pytest.mark.rule("AW12")
def test_a_client_that_starts_again_is_told_the_clock_of_its_earlier_life(room: Room) -> None:
    """The page made its provider anew, with the same Yjs document: the clock starts at 0, and all of it would be old news."""
    room.introduce(a1=1)
    room.announce("a1", entry(1, 50, '{"x":"old"}'))
    assert room.stale("a2", entry(1, 0)) == [], "the empty state of a new client is never seen"
    assert room.stale("a2", entry(1, 1, '{"x":"new"}')) == [entry(1, 50, None)]
    assert room.announce("a2", entry(1, 51, '{"x":"new"}')) == [entry(1, 51, '{"x":"new"}')]


@pytest.mark.rule("AW12")
def test_who_is_up_to_date_is_told_nothing(room: Room) -> None:
    room.introduce(a1=1, b1=2)
    assert room.stale("a1", entry(1, 1)) == []
    assert room.stale("b1", entry(1, 1)) == []
    assert room.stale("b1", entry(1, 0)) == []
    room.announce("b1", entry(7, 5))
    assert room.stale("b1", entry(7, 3)) == [], "not its own, so it may be an old echo"


@pytest.mark.rule("AW13")
def test_states_expire_after_30_seconds(room: Room) -> None:
    room.introduce(a1=1, b1=2)
    room.now = 20.0
    room.announce("b1", entry(2, 2))
    assert room.awareness.expire(29.9) == []
    assert room.awareness.expire(30.0) == [entry(1, 1, None)]
    assert room.awareness.expire(30.0) == []
    assert room.states() == {2: (2, "{}")}
    assert room.awareness.expire(50.0) == [entry(2, 2, None)]


@pytest.mark.rule("AW13")
def test_an_equal_clock_renews_nothing(room: Room) -> None:
    room.introduce(a1=1)
    room.now = 20.0
    room.announce("a1", entry(1, 1))
    assert room.awareness.expire(30.0) == [entry(1, 1, None)]


@pytest.mark.rule("AW13")
def test_an_expired_id_is_nobodys_until_its_client_speaks_again(room: Room) -> None:
    """The laptop wakes up, on a new connection, and perhaps under another name."""
    room.introduce(a1=1)
    room.awareness.expire(30.0)
    assert room.stale("b1", entry(1, 1)) == [entry(1, 1, None)]
    assert room.announce("b1", entry(1, 2)) == [entry(1, 2)]
    assert room.gone("a1") == []
    assert room.gone("b1") == [entry(1, 2, None)]


@pytest.mark.rule("AW14")
def test_the_newest_entries_of_given_ids(room: Room) -> None:
    """What a slow peer is owed: the ends as well."""
    room.introduce(a1=1, b1=2, c1=3)
    room.announce("b1", entry(2, 2, None))
    room.announce("c1", entry(3, 2, '{"x":1}'))
    assert room.awareness.entries([2, 3, 99]) == [entry(2, 2, None), entry(3, 2, '{"x":1}')]
    assert room.awareness.entries() == [entry(1, 1), entry(3, 2, '{"x":1}')]


# ---- bounds ------------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AW15")
def test_a_connection_owns_at_most_so_many_ids(room: Room) -> None:
    for n in range(IDS_PER_PEER):
        assert room.announce("g1", entry(n, 1), entry(n, 2))
    assert room.announce("g1", entry(1000, 1), entry(0, 3)) == [entry(0, 3)]
    assert room.awareness.skipped == 1
    assert len(room.states()) == IDS_PER_PEER
    room.announce("g1", entry(5, 9, None))
    assert room.announce("g1", entry(1000, 1), entry(1001, 1)) == [entry(1000, 1)]
    assert room.announce("b1", entry(1001, 1)) == [entry(1001, 1)]


@pytest.mark.rule("AW15")
def test_a_clock_that_not_every_client_can_hold_is_skipped(room: Room) -> None:
    room.introduce(a1=1)
    assert room.announce("a1", entry(1, MAX_CLOCK + 1)) == []
    assert room.announce("a1", entry(1, MAX_CLOCK)) == [entry(1, MAX_CLOCK)]
    assert room.awareness.skipped == 1


@pytest.mark.rule("AW16")
def test_late_news_of_those_who_are_gone_stays_old_news(room: Room) -> None:
    room.introduce(a1=1, b1=2)
    room.announce("a1", entry(1, 7))
    room.gone("a1")
    assert room.announce("b1", entry(1, 7, None)) == []
    assert room.stale("b1", entry(1, 6)) == [entry(1, 7, None)]
    assert room.states() == {2: (1, "{}")}


@pytest.mark.rule("AW16")
def test_the_memory_of_those_who_are_gone_is_bounded(room: Room) -> None:
    """The one that has been gone longest is forgotten first, and nobody who is here."""
    room.introduce(a1=1)
    assert room.announce("c1", entry(2, 0)) == []
    for n in range(10, REMEMBERED + 20):
        room.announce("b1", entry(n, 1))
        room.announce("b1", entry(n, 2, None))
    known = room.awareness.entries(range(REMEMBERED + 20))
    assert len(known) == REMEMBERED + 1
    assert [one.client_id for one in known[:2]] == [1, 20]
    assert room.states() == {1: (1, "{}")}
    assert room.gone("a1") == [entry(1, 1, None)]
    assert room.gone("c1") == [], "its id was reserved and then forgotten"
    room.announce("d1", entry(3, 0))
    room.gone("d1")
    for n in range(10, REMEMBERED + 20):
        room.announce("b1", entry(n, 3, None))
    assert len(room.awareness.entries(range(REMEMBERED + 20))) == REMEMBERED


@pytest.mark.rule("AW16")
def test_a_forgotten_own_id_still_belongs_to_its_connection(room: Room) -> None:
    assert room.announce("a1", entry(1, 0)) == []
    for n in range(10, REMEMBERED + 20):
        room.announce("b1", entry(n, 1, None))
    assert room.announce("b1", entry(1, 1), entry(7, 1)) == [entry(1, 1), entry(7, 1)]
    assert room.announce("a1", entry(1, 2)) == [entry(1, 2)]


# ---- messages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AW20")
def test_entries_are_told_in_messages_of_bounded_size() -> None:
    entries = [entry(n, 1, "x" * 100_000) for n in range(5)]
    assert [len(portion) for portion in in_messages(entries)] == [2, 2, 1]
    entries = [entry(n, 1, None) for n in range(1000)]
    assert list(in_messages(entries)) == [tuple(entries)]
    assert [len(portion) for portion in in_messages([*entries, entry(7, 1)])] == [1000, 1]
    assert list(in_messages([entry(1, 1, "x" * 1_000_000)])) == [(entry(1, 1, "x" * 1_000_000),)]
    assert list(in_messages([])) == []
