"""The memory of what has not left yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cowrite.core.excess import Excess
from cowrite.core.incoming import SMALL_BYTES
from cowrite.core.leaving import BUFFER_BYTES, Held, Leaving
from cowrite.core.limits import Limits

MB = 1 << 20

pytestmark = pytest.mark.rule("LM23")


def of(megabytes: int) -> tuple[Leaving, Excess]:
    excess = Excess()
    return Leaving(replace(Limits(), leaving_bytes=megabytes * MB), excess), excess


def test_what_many_are_given_counts_once() -> None:
    """And each with a buffer, until the last of them has it."""
    leaving, excess = of(8)
    body = bytes(4 * MB)
    crowd = [Held(leaving, None) for _ in range(20)]
    assert all(one.hold(body) for one in crowd)
    assert leaving.bytes == 4 * MB + 20 * BUFFER_BYTES
    assert not Held(leaving, None).hold(bytes(4 * MB)), "the same bytes in another object are in memory again"
    assert excess.counts["leaving_bytes"] == 1
    crowd[0].release()
    crowd[0].release()
    assert leaving.bytes == 4 * MB + 19 * BUFFER_BYTES
    for one in crowd:
        one.release()
    assert leaving.bytes == 0
    assert one.hold(bytes(20_000))
    assert leaving.bytes == 40_000


def test_buffers_count_too() -> None:
    leaving, _ = of(1)
    body = bytes(MB // 2)
    assert [Held(leaving, None).hold(body) for _ in range(5)] == [True] * 4 + [False]


def test_one_address_leaves_room_for_others() -> None:
    leaving, excess = of(8)
    eves = [Held(leaving, "192.0.2.1") for _ in range(30)]
    assert [one.hold(bytes(MB)) for one in eves] == [True] + [False] * 29
    assert Held(leaving, "192.0.2.2").hold(bytes(MB))
    assert excess.counts["leaving_bytes"] == 29
    eves[0].release()
    assert eves[7].hold(bytes(MB))


def test_what_is_alone_or_small_is_taken() -> None:
    leaving, excess = of(1)
    one, other = Held(leaving, "192.0.2.1"), Held(leaving, "192.0.2.2")
    assert one.hold(bytes(9 * MB))
    assert other.hold(bytes(SMALL_BYTES))
    assert not other.hold(bytes(SMALL_BYTES + 1))
    assert leaving.bytes == 9 * MB + BUFFER_BYTES
    one.release()
    assert other.hold(bytes(2 * MB))
    assert excess.counts["leaving_bytes"] == 1


def test_one_thing_takes_the_place_of_another() -> None:
    """Held twice it is held once; and what a buffer has left of it counts by its size."""
    leaving, _ = of(8)
    one, plain, compressed = Held(leaving, "192.0.2.1"), bytes(MB), bytes(MB // 2)
    for body in (plain, plain, compressed):
        assert one.hold(body)
    assert leaving.bytes == MB // 2 + BUFFER_BYTES
    assert one.buffer(100_000)
    assert one.buffer(50_000)
    assert leaving.bytes == 50_000
    one.release()
    assert leaving.bytes == 0
    assert one.hold(bytes(20_000))
    assert leaving.bytes == 40_000


def test_without_a_buffer_what_is_shared_costs_nothing_more() -> None:
    """As messages of sockets are, of which the buffers are no copies."""
    leaving, _ = of(1)
    body = bytes(MB)
    for _ in range(1000):
        assert leaving.take("ana", body, MB)
    assert leaving.bytes == MB
    for _ in range(1000):
        leaving.give_back("ana", body, MB)
    assert leaving.bytes == 0
