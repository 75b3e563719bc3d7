"""Updates of one peer that wait for others."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import Any, cast

import pytest

from cowrite.core.delivery.peer import Peer
from cowrite.core.errors import PeerError
from cowrite.core.limits import Limits
from cowrite.core.rooms.held import HeldUpdates
from cowrite.core.rooms.received import Received
from cowrite.crdt.outline import Outline
from cowrite.protocol.close_codes import CloseCode
from cowrite.testing.clock import ManualClock

MANY = int(os.environ.get("COWRITE_FUZZ", "1"))
NOBODY = cast("Peer", None)  # whose they are is not looked at here
NOTHING = Outline((), (), (), {})


def update(size: int = 10) -> Received:
    return Received(b"." * size, NOTHING, NOBODY, 0, False)


class Held:
    """Held updates on a manual clock, and when they asked and gave up."""

    def __init__(self, **limits: Any) -> None:
        self.clock = ManualClock()
        self.asked: list[float] = []
        self.gave_up: list[float] = []
        self.updates = HeldUpdates(
            self.clock,
            replace(Limits(), **limits),
            ask=lambda: self.asked.append(self.clock.monotonic()),
            give_up=lambda: self.gave_up.append(self.clock.monotonic()),
        )

    def hold(self, *updates: Received) -> None:
        for one in updates:
            self.updates.hold(one)

    def take_except(self, *kept: Received) -> list[Received]:
        taken = self.updates.take()
        self.updates.keep([one for one in taken if one in kept])
        return taken


@pytest.mark.rule("AK40")
def test_what_is_known_about_an_update_counts() -> None:
    held = Held(held_bytes=100_000)
    large = replace(update(4000), outline=Outline((), (), (), {}, structs=2000))
    held.hold(large)
    with pytest.raises(PeerError) as refused:
        held.hold(replace(large))
    assert refused.value.code == CloseCode.MISSING_DEPENDENCIES
    held.take_except(large)
    with pytest.raises(PeerError):
        held.hold(replace(large))


@pytest.mark.rule("AK20")
def test_the_peer_is_asked_at_once_and_then_every_two_seconds() -> None:
    held = Held()
    held.hold(update(), update())
    assert held.asked == [0.0]
    held.clock.advance(9.9)
    assert held.asked == [0.0, 2.0, 4.0, 6.0, 8.0]


@pytest.mark.rule("AK20")
def test_a_peer_without_held_updates_is_not_asked() -> None:
    held = Held()
    one = update()
    held.hold(one)
    held.clock.advance(1)
    assert held.take_except() == [one]
    assert not held.updates
    held.clock.advance(100)
    assert held.asked == [0.0]
    assert held.gave_up == []
    held.hold(update())
    assert held.asked == [0.0, 101.0]


@pytest.mark.rule("AK21")
def test_after_ten_seconds_the_peer_is_given_up() -> None:
    held = Held()
    held.hold(update())
    held.clock.advance(9.99)
    assert held.gave_up == []
    held.clock.advance(0.01)
    assert held.gave_up == [10.0]
    assert not held.updates
    held.clock.advance(100)
    assert (len(held.asked), held.gave_up) == (5, [10.0]), "nothing more comes of it"


@pytest.mark.rule("AK21")
def test_the_one_that_was_held_first_decides() -> None:
    held = Held()
    held.hold(update())
    held.clock.advance(9)
    held.hold(update())
    held.clock.advance(1)
    assert held.gave_up == [10.0]


@pytest.mark.rule("AK21")
def test_taking_and_keeping_does_not_start_the_time_anew() -> None:
    held = Held()
    first, second = update(), update()
    held.hold(first, second)
    for _ in range(9):
        held.clock.advance(1)
        assert held.take_except(first) in ([first, second], [first])
    assert held.asked == [0.0, 2.0, 4.0, 6.0, 8.0]
    held.clock.advance(1)
    assert held.gave_up == [10.0]


@pytest.mark.rule("AK21")
def test_a_peer_whose_updates_each_wait_a_moment_is_not_given_up() -> None:
    """Two tabs of a browser on two processes: something is always held, and nothing for long."""
    held = Held()
    waiting = update()
    held.hold(waiting)
    for _ in range(100):
        held.clock.advance(0.9)
        following = update()
        held.hold(following)
        held.take_except(following)
        waiting = following
    assert held.gave_up == []
    assert len(held.asked) == 46, "every two seconds"
    held.clock.advance(10)
    assert held.gave_up == [100.0]


@pytest.mark.rule("AK22")
def test_held_updates_are_bounded_in_number() -> None:
    held = Held(held_updates=3)
    held.hold(update(), update(), update())
    with pytest.raises(PeerError) as refused:
        held.hold(update())
    assert refused.value.code == CloseCode.MISSING_DEPENDENCIES
    assert refused.value.reason == "4 updates (40 bytes) wait for others that did not arrive"
    assert len(held.updates.take()) == 3


@pytest.mark.rule("AK22")
def test_held_updates_are_bounded_in_bytes() -> None:
    held = Held(held_bytes=100)
    held.hold(update(100))
    with pytest.raises(PeerError, match="wait for others"):
        held.hold(update(1))
    held.take_except()
    with pytest.raises(PeerError, match="wait for others"):
        held.hold(update(101))
    held.hold(update(60), update(40))


@pytest.mark.rule("AK22")
def test_what_is_kept_counts() -> None:
    held = Held(held_bytes=100)
    kept = update(60)
    held.hold(update(40), kept)
    held.take_except(kept)
    held.hold(update(40))
    with pytest.raises(PeerError, match="wait for others"):
        held.hold(update(1))


@pytest.mark.rule("AK23")
def test_held_updates_are_given_in_the_order_of_arrival() -> None:
    held = Held()
    updates = [update() for _ in range(5)]
    held.hold(*updates[:3])
    assert held.take_except(updates[0], updates[2]) == updates[:3]
    held.hold(*updates[3:])
    assert held.updates.take() == [updates[0], *updates[2:]]


@pytest.mark.rule("AK23")
def test_a_peer_that_is_gone_is_neither_asked_nor_given_up() -> None:
    held = Held()
    held.hold(update())
    held.updates.cancel()
    held.updates.cancel()
    held.clock.advance(100)
    assert held.asked == [0.0]
    assert held.gave_up == []
    assert not held.updates
    assert held.updates.take() == []


@pytest.mark.fuzz
@pytest.mark.rule("AK20", "AK21", "AK22")
def test_against_the_time_of_each_update() -> None:
    for seed in range(100 * MANY):
        rng = random.Random(seed)
        held = Held(held_updates=8)
        since: dict[Received, float] = {}
        for _ in range(rng.randint(1, 80)):
            if len(since) < 8 and rng.random() < 0.5:
                one = update(rng.randint(0, 20))
                held.hold(one)
                since[one] = held.clock.monotonic()
            elif rng.random() < 0.5:
                since = {one: began for one, began in since.items() if rng.random() < 0.5}
                held.take_except(*since)
            held.clock.advance(rng.choice([0.0, 0.25, 1.75]))
            now = held.clock.monotonic()
            if since and now - min(since.values()) >= 10:
                assert held.gave_up == [pytest.approx(min(since.values()) + 10)], f"seed {seed}"
                break
            assert held.gave_up == [], f"seed {seed}"
            assert bool(held.updates) is bool(since), f"seed {seed}"
            assert not since or now - held.asked[-1] <= 2.0, f"seed {seed}"
