"""What waits to be told of one document: what is merged, and what is read again."""

from __future__ import annotations

import random

import pytest

from cowrite.core.events import Changed, Committed, Disconnected, Event, PresenceChanged, VersionCreated
from cowrite.core.records import VersionKind
from cowrite.hooks.waiting import MAX_RANGES, Range, Waiting


def changed(updates: int, time: int = 0) -> Changed:
    return Changed("doc", updates, time)


def committed(offset: int, epoch: str = "e") -> Committed:
    return Committed("doc", epoch, offset, "ana", None, offset)


def version(time: int, kind: VersionKind = VersionKind.NAMED) -> VersionCreated:
    return VersionCreated("doc", f"v{time}", 1, kind, "ana", None, time)


def people(joined: str = "", updated: str = "", left: str = "", time: int = 0) -> PresenceChanged:
    return PresenceChanged("doc", frozenset(joined), frozenset(updated), frozenset(left), time)


def first(waiting: Waiting) -> Range | None:
    return waiting.entries


def taken(waiting: Waiting) -> list[Event]:
    found = []
    while (event := waiting.take()) is not None:
        found.append(event)
    return found


@pytest.mark.rule("HK5")
def test_changes_wait_once_and_keep_their_place() -> None:
    waiting = Waiting()
    for event in (changed(1, 1), committed(1), people("a"), changed(2, 5), people("b", left="a"), committed(2)):
        assert waiting.put(event, room=True)
    assert len(waiting) == 4
    assert taken(waiting) == [changed(3, 5), committed(1), people("b"), committed(2)]
    assert not waiting
    waiting.put(changed(4), room=True)  # what was taken is told: this one is another
    assert waiting.put(changed(1, 2), room=False)  # it needs no room
    assert not waiting.put(people("c"), room=False)
    assert taken(waiting) == [changed(5, 2)]


@pytest.mark.rule("HK5")
def test_presence_that_is_merged_is_what_has_changed_by_all() -> None:
    """Against what a set of users says that follows each step."""
    for seed in range(50):
        dice = random.Random(seed)
        here = {user for user in "abcde" if dice.random() < 0.5}
        before, waiting, touched = set(here), Waiting(), set[str]()
        for _ in range(8):
            user = dice.choice("abcde")
            if user not in here:
                event = people(user)
                here.add(user)
            elif dice.random() < 0.5:
                event = people(left=user)
                here.remove(user)
            else:
                event = people(updated=user)
            touched.add(user)
            waiting.put(event, room=True)
        (told,) = taken(waiting)
        assert isinstance(told, PresenceChanged)
        assert told.joined == here - before
        assert told.left == before - here
        assert told.updated == touched & here & before


@pytest.mark.rule("HK6")
def test_entries_and_versions_that_find_no_room_are_read_again() -> None:
    waiting = Waiting()
    waiting.put(committed(1), room=True)
    for offset in (2, 3, 5):
        assert waiting.put(committed(offset), room=False)
    assert waiting.put(committed(6), room=True)  # there is room again; the others come first
    for event in (version(70, VersionKind.RESTORE), version(80), version(90)):
        assert waiting.put(event, room=True)
    assert not waiting.put(Disconnected("doc", "s", "ana", 0), room=False)
    assert len(waiting) == 4
    assert taken(waiting) == [committed(1)]
    assert first(waiting) == Range("e", 2, 3)
    waiting.read(2)
    assert first(waiting) == Range("e", 3, 3)
    waiting.read(3)
    assert first(waiting) == Range("e", 5, 6)
    waiting.read(9)
    assert first(waiting) is None
    assert waiting.take_versions() == 80
    assert waiting.take_versions() is None
    waiting.give_back_versions(80)
    assert waiting.take_versions() == 80
    assert not waiting
    waiting.put(version(95), room=False)
    waiting.put(version(96), room=True)
    assert waiting.take_versions() == 95


@pytest.mark.rule("HK6")
def test_ranges_are_bounded_and_none_is_left_out() -> None:
    waiting = Waiting()
    offsets = [2 * number + (number > 50) for number in range(1, 3 * MAX_RANGES)]
    for offset in offsets:
        waiting.put(committed(offset), room=False)
    waiting.put(committed(1, "later"), room=False)
    assert len(waiting) <= MAX_RANGES + 1
    covered: set[int] = set()
    while (found := waiting.entries) is not None and found.epoch == "e":
        covered |= set(range(found.first, found.last + 1))
        waiting.read(found.last)
    assert covered >= set(offsets)
    assert first(waiting) == Range("later", 1, 1)
