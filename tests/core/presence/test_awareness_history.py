"""Which awareness entries have changed since when."""

from __future__ import annotations

import pytest

from cowrite.core.presence.awareness import Awareness
from cowrite.core.presence.awareness_history import MAX_ENDED, AwarenessHistory
from cowrite.core.presence.awareness_owners import Owner
from cowrite.protocol.awareness import AwarenessEntry

ANA, BOB = Owner("ana's", "ana"), Owner("bob's", "bob")


@pytest.mark.rule("PO25")
def test_changes_are_told_once() -> None:
    """What has changed behind a version is told, ends too; what has not is not."""
    awareness, history = Awareness(), AwarenessHistory()
    history.look(awareness)
    assert (history.version, list(history.since(0))) == (0, [])
    awareness.announce(ANA, [AwarenessEntry(1, 1, "{}")], 0)
    awareness.announce(BOB, [AwarenessEntry(2, 1, "{}")], 0)
    history.look(awareness)
    first = history.version
    assert [entry.client_id for entry in history.since(0)] == [1, 2]
    history.look(awareness)
    assert (history.version, list(history.since(first))) == (first, [])
    awareness.announce(ANA, [AwarenessEntry(1, 2, '{"at":1}')], 1)
    history.look(awareness)
    assert history.since(first) == [AwarenessEntry(1, 2, '{"at":1}')]
    second = history.version
    awareness.release("bob's")
    history.look(awareness)
    assert history.since(second) == [AwarenessEntry(2, 1, None)]
    assert [entry.client_id for entry in history.since(0)] == [1]
    third = history.version
    history.look(awareness)
    assert (history.version, list(history.since(third))) == (third, [])


@pytest.mark.rule("PO25")
def test_forgotten_by_the_room() -> None:
    """A client of which the room knows nothing any more has ended."""
    awareness, history = Awareness(), AwarenessHistory()
    awareness.announce(ANA, [AwarenessEntry(1, 3, "{}")], 0)
    history.look(awareness)
    history.look(Awareness())
    assert history.since(1) == [AwarenessEntry(1, 3, None)]


@pytest.mark.rule("PO25")
def test_bounded() -> None:
    """Of clients that are gone only so many are remembered."""
    history = AwarenessHistory()
    for start in range(0, MAX_ENDED + 200, 100):
        awareness = Awareness()
        awareness.announce(ANA, [AwarenessEntry(start + number + 1, 1, "{}") for number in range(100)], 0)
        history.look(awareness)
    assert len(history.since(1)) <= MAX_ENDED + 100
