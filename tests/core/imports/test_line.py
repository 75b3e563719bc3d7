"""The line of large updates: whose turn comes when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cowrite.core.errors import PeerError
from cowrite.core.excess import Excess
from cowrite.core.imports.line import Imports, Place
from cowrite.core.imports.process import ImportProcess, ImportRefused
from cowrite.core.limits import Limits
from cowrite.protocol.close_codes import CloseCode
from cowrite.testing.clock import ManualClock

LIMITS = replace(Limits(), cpu_share=0.25, cpu_burst_seconds=1.0, late_seconds=30.0)


def line() -> tuple[Imports, ManualClock]:
    clock = ManualClock()
    return Imports(clock, LIMITS), clock


def has_turn(place: Place) -> bool:
    return place.turn.done() and place.turn.result()


def used(place: Place, seconds: float) -> None:
    """A process has looked at it."""
    place.process = ImportProcess(LIMITS)
    place.process.cpu_seconds = seconds


@pytest.mark.rule("IM1", "IM7")
async def test_one_at_a_time_and_of_each_user_one() -> None:
    """However many sockets somebody sends by: who comes after them is the next, and then one more of theirs."""
    imports, _ = line()
    eve = [imports.enter("eve") for _ in range(100)]
    ana, ben = imports.enter("ana"), imports.enter("ben")
    assert [has_turn(place) for place in (*eve[:2], ana, ben)] == [True, False, False, False]
    imports.leave(eve[0])
    assert [has_turn(place) for place in (*eve[1:3], ana, ben)] == [False, False, True, False]
    imports.leave(ana)
    imports.leave(ben)
    assert [has_turn(place) for place in eve[1:3]] == [True, False]


@pytest.mark.rule("IM7")
async def test_who_wants_an_answer_does_not_wait_behind_its_own() -> None:
    imports, clock = line()
    first = imports.enter("eve", waits=False)
    with pytest.raises(PeerError) as refused:
        imports.enter("eve", waits=False)
    assert refused.value.code == CloseCode.TOO_FAST
    assert refused.value.code.reconnect
    used(first, 9.0)
    imports.leave(first)
    with pytest.raises(PeerError, match="connect again in 32 s"):
        imports.enter("eve", waits=False)
    clock.advance(3.0)
    imports.enter("eve", waits=False)


@pytest.mark.rule("IM7", "IM4")
async def test_those_behind_follow_in_their_order() -> None:
    """Who has given up meanwhile is passed over; who would have to wait for too long by then is told so."""
    imports, clock = line()
    first, gone, gone_too, second, third, fourth = (imports.enter("eve") for _ in range(6))
    for place in (gone, gone_too):
        place.give_up()
    imports.leave(gone)
    used(first, 3.0)
    imports.leave(first)
    assert not has_turn(second), "it has to wait for what the first took"
    clock.advance(8.1)
    assert has_turn(second)
    used(second, 20.0)
    imports.leave(second)
    for place in (third, fourth):
        with pytest.raises(PeerError, match="connect again in 80 s"):
            await place.turn
        imports.leave(place)
    imports.leave(gone_too)
    clock.advance(30.0)
    assert not has_turn(imports.enter("eve"))
    assert has_turn(imports.enter("ana"))


@pytest.mark.rule("IM4")
async def test_who_has_given_up_is_passed_over() -> None:
    """Whether it has told so by leaving its place already, or not yet."""
    imports, _ = line()
    first, gone, gone_too, last = (imports.enter(author) for author in ("eve", "ana", "ben", "cleo"))
    gone.give_up()
    gone_too.give_up()
    gone_too.give_up()
    imports.leave(gone_too)
    imports.leave(first)
    assert has_turn(last)
    assert not await gone.turn
    imports.leave(gone)
    imports.leave(last)
    assert has_turn(imports.enter("ana"))


@pytest.mark.rule("IM7")
async def test_who_causes_much_work_comes_into_the_line_later() -> None:
    """By any connection: 2 s beyond what may be used at once are 8 s, and a little."""
    imports, clock = line()
    eve = imports.enter("eve")
    used(eve, 3.0)
    imports.leave(eve)
    again, ana = imports.enter("eve"), imports.enter("ana")
    assert [has_turn(again), has_turn(ana)] == [False, True]
    imports.leave(ana)
    clock.advance(8.0)
    assert not has_turn(again)
    clock.advance(0.1)
    assert has_turn(again)


@pytest.mark.rule("IM7", "IM4")
async def test_who_leaves_meanwhile_does_not_come_into_the_line() -> None:
    imports, clock = line()
    eve = imports.enter("eve")
    used(eve, 3.0)
    imports.leave(eve)
    again = imports.enter("eve")
    again.give_up()
    imports.leave(again)
    clock.advance(9.0)
    assert not imports._line
    assert has_turn(imports.enter("eve"))


@pytest.mark.rule("IM7")
async def test_who_would_have_to_wait_for_long_is_told_to_come_back() -> None:
    """Instead of keeping what it brings meanwhile: for more than a minute."""
    imports, clock = line()
    eve = imports.enter("eve")
    used(eve, 17.0)
    imports.leave(eve)
    with pytest.raises(PeerError) as refused:
        imports.enter("eve")
    assert refused.value.code == CloseCode.TOO_FAST
    assert "connect again in 64 s" in refused.value.reason
    clock.advance(5.0)
    again = imports.enter("eve")
    clock.advance(59.0)
    assert not has_turn(again)
    clock.advance(1.0)
    assert has_turn(again)


@pytest.mark.rule("IM3", "LM3")
async def test_what_was_more_than_a_limit_is_counted() -> None:
    excess = Excess()
    imports = Imports(ManualClock(), LIMITS, excess)
    for limit in ("import_crashed", None):
        imports.refused(ImportRefused("why", limit=limit))
    assert {limit: count for limit, count in excess.counts.items() if count} == {"import_crashed": 1}
    assert not any(line()[0]._excess.counts.values())
