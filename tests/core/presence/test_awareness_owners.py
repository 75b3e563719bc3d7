"""Whose a Yjs client's id is."""

from __future__ import annotations

import pytest

from core.presence.awareness_room import Room, entry
from cowrite.core.presence.awareness_owners import Owner
from cowrite.protocol.awareness import AwarenessEntry


@pytest.fixture
def room() -> Room:
    return Room()


# ---- whose id it is ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("AW4")
def test_entries_of_others_are_skipped_and_counted(room: Room) -> None:
    room.introduce(a1=1, b1=2)
    assert room.announce("b1", entry(1, 1), entry(2, 2), entry(1, 9, '{"x":"hijacked"}')) == [entry(2, 2)]
    assert room.awareness.skipped == 2
    assert room.states() == {1: (1, "{}"), 2: (2, "{}")}


@pytest.mark.rule("AW5")
@pytest.mark.parametrize("clock", [1, 2, 99])
def test_the_end_of_an_id_that_is_anothers_is_not_believed(room: Room, clock: int) -> None:
    """Stock clients announce the end of ids that they think stale; not even the same user's other tab is believed."""
    room.introduce(a1=1, a2=2, b1=3)
    for peer in ("a2", "b1"):
        assert room.announce(peer, entry(1, clock, None)) == []
    assert room.awareness.skipped == 2
    assert 1 in room.states()
    assert room.awareness.lose("a1")
    assert room.announce("b1", entry(1, clock, None)) == [], "not even while its connection is lost"


@pytest.mark.rule("AW6")
def test_an_id_that_is_nobodys_belongs_to_whoever_announces_it(room: Room) -> None:
    """A gateway may speak for several clients."""
    assert room.announce("g1", entry(1, 1), entry(2, 1), entry(3, 1)) == [entry(1, 1), entry(2, 1), entry(3, 1)]
    assert room.announce("b1", entry(7, 1), entry(2, 5)) == [entry(7, 1)]
    assert room.announce("g1", entry(2, 2, None)) == [entry(2, 2, None)]
    assert room.announce("b1", entry(2, 3)) == [entry(2, 3)], "whose end was announced is nobody's again"
    assert room.gone("g1") == [entry(1, 1, None), entry(3, 1, None)]


@pytest.mark.rule("AW7")
def test_an_own_id_is_reserved_before_it_is_seen(room: Room) -> None:
    """Another tab of the browser may be quicker with its state than the tab itself."""
    room.introduce(b1=2)
    assert room.announce("a1", entry(1, 0)) == []
    assert room.announce("b1", entry(1, 1)) == []
    assert room.announce("a1", entry(1, 1)) == [entry(1, 1)]
    assert room.gone("b1") == [entry(2, 1, None)]


@pytest.mark.rule("AW7")
@pytest.mark.parametrize("clock", [0, 1, 2])
@pytest.mark.parametrize("relay", ["a2", "b1"])
def test_an_own_id_is_taken_over_from_a_relay(room: Room, relay: str, clock: int) -> None:
    """The tab's own socket opened after another tab, of the same user or not, had passed its state on."""
    room.introduce(**{relay: 2})
    assert room.announce(relay, entry(1, 1)) == [entry(1, 1)]
    assert room.announce("a1", entry(1, clock)) == ([entry(1, 2)] if clock == 2 else [])
    assert room.announce(relay, entry(1, 3)) == [], "it is the tab's own now"
    assert room.announce("a1", entry(1, 4)) == [entry(1, 4)]
    assert room.gone(relay) == [entry(2, 1, None)]
    assert room.gone("a1") == [entry(1, 4, None)]


@pytest.mark.rule("AW7")
def test_the_same_users_other_tab_does_not_take_over_what_it_passes_on(room: Room) -> None:
    room.introduce(a1=1, a2=2)
    assert room.announce("a1", entry(1, 2)) == [entry(1, 2)]
    assert room.announce("a2", entry(1, 2)) == []
    assert room.announce("a2", entry(1, 3)) == []
    assert room.announce("a1", entry(1, 3)) == [entry(1, 3)]
    assert room.gone("a2") == [entry(2, 1, None)]
    assert room.gone("a1") == [entry(1, 3, None)], "no ghost is left"


@pytest.mark.rule("AW7")
def test_an_own_id_without_a_state_is_still_reserved(room: Room) -> None:
    room.introduce(a1=1, b1=2)
    room.announce("a1", entry(1, 2, None))
    assert room.announce("b1", entry(1, 3)) == [], "another tab is quicker than the tab itself"
    assert room.announce("a1", entry(1, 3)) == [entry(1, 3)]


@pytest.mark.rule("AW7")
def test_of_two_that_call_an_id_their_own_the_one_that_is_seen_has_it(room: Room) -> None:
    room.introduce(a1=1)
    room.announce("a1", entry(1, 2, None))
    assert room.announce("b1", entry(1, 3)) == [entry(1, 3)]
    assert room.announce("a1", entry(1, 4)) == []
    assert room.gone("b1") == [entry(1, 3, None)]
    assert room.announce("a1", entry(1, 4)) == [entry(1, 4)]


@pytest.mark.rule("AW8")
@pytest.mark.parametrize("first", [[entry(5, 1, None)], [entry(5, 1), entry(2, 1)]], ids=["an end", "several"])
def test_only_a_first_message_with_one_living_state_claims(room: Room, first: list[AwarenessEntry]) -> None:
    """A client without a state of its own begins with what it has heard."""
    room.introduce(a1=9)
    room.announce("a1", entry(5, 1))
    room.announce("b1", *first)
    assert room.announce("b1", entry(5, 2)) == []
    assert room.announce("a1", entry(5, 3)) == [entry(5, 3)]


@pytest.mark.rule("AW8")
def test_an_echo_is_no_claim(room: Room) -> None:
    """What comes after the answer to the server's SyncStep1 may be what the client has heard from the server."""
    room.introduce(a1=1)
    announced = room.awareness.announce(Owner("a2", "a"), [entry(1, 1)], room.now, opening=False)
    assert (announced.news, announced.stale) == ([], [])
    assert room.announce("a2", entry(1, 2)) == []
    assert room.gone("a2") == []
    assert room.gone("a1") == [entry(1, 1, None)]


@pytest.mark.rule("AW9")
@pytest.mark.parametrize("clock", [3, 4])
def test_the_same_users_newer_connection_takes_over(room: Room, clock: int) -> None:
    """A client has come back before the server noticed that its old connection is dead."""
    room.introduce(a1=1, b1=2)
    room.announce("a1", entry(1, 3))
    assert room.announce("a2", entry(1, clock)) == ([entry(1, 4)] if clock == 4 else [])
    assert room.gone("a1") == [], "the old connection's end removes nothing"
    assert room.announce("a2", entry(1, 5)) == [entry(1, 5)]
    assert room.gone("a2") == [entry(1, 5, None)]


@pytest.mark.rule("AW9")
def test_a_connection_of_another_user_does_not_take_over(room: Room) -> None:
    room.introduce(a1=1)
    assert room.announce("b1", entry(1, 1)) == []
    assert room.announce("b1", entry(1, 9)) == []
    assert room.states() == {1: (1, "{}")}
    assert room.gone("b1") == []


@pytest.mark.rule("AW9")
def test_after_the_first_message_only_news_takes_over(room: Room) -> None:
    """Two providers of one page share a client: what the one sends, the other sends too."""
    room.introduce(a1=1)
    assert room.announce("a2", entry(1, 1)) == []
    assert room.announce("a1", entry(1, 2)) == [entry(1, 2)]
    assert room.announce("a2", entry(1, 2)) == [], "old news by now"
    assert room.announce("a2", entry(1, 2, None)) == [], "nor does an end take over"
    assert room.gone("a2") == []
    assert room.announce("a1", entry(1, 3)) == [entry(1, 3)]
    assert room.gone("a1") == [entry(1, 3, None)]
