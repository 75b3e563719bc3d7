"""The memory of what is not taken yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cowrite.core.excess import Excess
from cowrite.core.incoming import SMALL_BYTES, Incoming
from cowrite.core.limits import Limits

MB = 1 << 20

pytestmark = pytest.mark.rule("LM20")


def of(megabytes: int) -> tuple[Incoming, Excess]:
    excess = Excess()
    return Incoming(replace(Limits(), incoming_bytes=megabytes * MB), excess), excess


def test_one_user_leaves_room_for_others() -> None:
    """However many messages it begins: together it has a quarter."""
    incoming, excess = of(8)
    eves = [incoming.share("eve") for _ in range(100)]
    assert [share.hold(MB) for share in eves] == [True] * 2 + [False] * 98
    assert incoming.share("ana").hold(2 * MB)
    assert (incoming.bytes, excess.counts["incoming_bytes"]) == (4 * MB, 98)
    eves[0].release()
    assert eves[5].hold(MB)


def test_all_together_have_a_limit() -> None:
    incoming, excess = of(8)
    shares = [incoming.share(f"user {number}") for number in range(6)]
    assert [share.hold(2 * MB) for share in shares] == [True] * 4 + [False] * 2
    assert not shares[5].hold(SMALL_BYTES + 1)
    assert excess.counts["incoming_bytes"] == 3
    for share in shares:
        share.release()
        share.release()
    assert (incoming.bytes, incoming._of) == (0, {})


def test_what_grows_keeps_what_it_has_when_there_is_no_room_for_more() -> None:
    incoming, excess = of(8)
    first, second = incoming.share(""), incoming.share("")
    assert first.hold(MB)
    assert second.hold(MB)
    assert not second.hold(MB + 1)
    assert [second.fits(size) for size in (MB + 1, MB, MB - 1, SMALL_BYTES)] == [False, True, True, True]
    assert (incoming.bytes, excess.counts["incoming_bytes"]) == (2 * MB, 1), "to ask refuses nobody"
    assert second.hold(MB // 2)
    assert first.hold(MB + MB // 2)
    assert incoming.bytes == 2 * MB


def test_what_is_alone_is_not_refused() -> None:
    """Else the largest message that may come could never be looked at."""
    incoming, _ = of(8)
    large = incoming.share("eve")
    assert large.hold(7 * MB)
    assert large.hold(9 * MB)
    assert not incoming.share("ana").hold(MB)
    large.release()
    assert incoming.share("ana").hold(MB)


def test_what_is_small_is_not_counted() -> None:
    incoming, _ = of(1)
    for _ in range(1000):
        assert incoming.share("eve").hold(SMALL_BYTES)
    assert incoming.bytes == 0


@pytest.mark.rule("LM21", "LM22", "LM3")
def test_what_has_come_gives_more_time_and_what_is_late_is_counted() -> None:
    """By the limit, where the code that is told is another word."""
    limits = replace(Limits(), arrival_seconds=60.0, arrival_bytes=8192)
    assert [limits.arrives_within(size) for size in (0, 8192, MB)] == [60.0, 61.0, 188.0]
    excess = Excess()
    excess.count("request_timeout")
    assert excess.counts["arrival_seconds"] == 1
