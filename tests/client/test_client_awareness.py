"""Awareness by the clock, and what may come: without a server, with a clock that is turned by hand."""

from __future__ import annotations

import pytest

from cowrite.client.awareness import GONE_SECONDS, RENEW_SECONDS, Awareness
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.messages import AwarenessUpdate


class Somebody:
    def __init__(self) -> None:
        self.time = 0.0
        self.told: list[AwarenessEntry] = []
        self.awareness = Awareness(7, lambda: self.time, self.tell)

    def tell(self, update: AwarenessUpdate) -> None:
        self.told += update.entries

    def meet(self, client: int, clock: int, state: str | None) -> None:
        self.awareness.met([AwarenessEntry(client, clock, state)])


@pytest.mark.rule("PY22")
def test_states_are_renewed_and_fade() -> None:
    """One's own is told again with a higher clock; who was silent for 30 s is gone, and may come back."""
    one = Somebody()
    one.awareness.tend()
    one.awareness.set(user={"name": "é"})
    one.meet(1, 1, '{"a":1}')
    one.time = RENEW_SECONDS - 1
    one.awareness.tend()
    assert one.told == [AwarenessEntry(7, 1, '{"user":{"name":"é"}}')]
    one.time = RENEW_SECONDS
    one.awareness.tend()
    assert one.told[1:] == [AwarenessEntry(7, 2, '{"user":{"name":"é"}}')]
    one.time = GONE_SECONDS
    one.awareness.tend()
    assert dict(one.awareness.states) == {}
    one.meet(1, 1, '{"a":1}')
    assert dict(one.awareness.states) == {}, "the same clock is old news"
    one.meet(1, 2, '{"a":2}')
    assert dict(one.awareness.states) == {1: {"a": 2}}
    one.awareness.clear()
    one.awareness.clear()
    assert one.told[-1] == AwarenessEntry(7, 4, None)
    assert one.awareness.introduction() is None


@pytest.mark.rule("PY22")
def test_which_news_count() -> None:
    """A higher clock, or the end of somebody at the same one; what is no JSON object is nobody."""
    one = Somebody()
    one.meet(1, 3, '{"a":1}')
    one.meet(1, 2, '{"a":0}')
    assert dict(one.awareness.states) == {1: {"a": 1}}
    one.meet(1, 3, None)
    one.meet(1, 3, None)
    assert dict(one.awareness.states) == {}
    one.meet(2, 0, '{"b":1}')
    assert dict(one.awareness.states) == {}, "clock 0 is what clients say that are not there yet"
    for clock, state in enumerate(("nonsense", "[]", "7", "[" * 100_000), 4):
        one.meet(1, clock, state)
    assert dict(one.awareness.states) == {}
    one.awareness.alone()
    one.meet(1, 3, '{"a":1}')
    assert dict(one.awareness.states) == {1: {"a": 1}}


@pytest.mark.rule("PY22")
def test_who_is_called_gone_says_that_they_are_there() -> None:
    one = Somebody()
    one.meet(7, 0, None)
    one.awareness.set(x=1)
    one.meet(7, 1, '{"x":1}')
    assert len(one.told) == 1
    one.meet(7, 1, None)
    assert one.told[1:] == [AwarenessEntry(7, 2, '{"x":1}')]
    one.meet(7, 9, '{"x":0}')
    assert one.told[2:] == [AwarenessEntry(7, 10, '{"x":1}')]
