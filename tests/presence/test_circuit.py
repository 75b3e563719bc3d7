"""When the circuit opens and closes, and what that means for what was written: with storages in memory, and the clock turned by
hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest

from cowrite.core.ports import PresenceError
from cowrite.presence.failover import FLAP_SECONDS, IDLE_PROBE_SECONDS, IDLE_SECONDS, PROBE_SECONDS, SETTLE_SECONDS
from cowrite.presence.redis import PATIENCE
from presence.presence_processes import Place, SwitchableProcess


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    await place.close()


@pytest.fixture
async def one(place: Place) -> SwitchableProcess:
    process = place.process("one")
    await process.beat()
    return process


@pytest.fixture
async def two(place: Place) -> SwitchableProcess:
    process = place.process("two")
    await process.beat()
    return process


@pytest.mark.rule("PS20")
@pytest.mark.parametrize("call", ["beat", "sees", "come", "leave"])
async def test_a_failing_call_is_answered_by_the_fallback(one: SwitchableProcess, call: str) -> None:
    """Every kind of call; the caller notices nothing but the generation."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "beat": one.beat,
        "sees": one.sees,
        "come": partial(one.come, "a"),
        "leave": partial(one.failover.leave, "one"),
    }
    before = one.failover.generation
    one.primary.down = True
    for _ in range(2):
        await calls[call]()
        assert one.failover.degraded
        assert one.failover.generation == before + 1


@pytest.mark.rule("PS20")
async def test_a_primary_that_dies_in_silence_is_noticed(place: Place, one: SwitchableProcess) -> None:
    """Without a call, and within two seconds, also when every call of it takes as long as it may."""
    assert PROBE_SECONDS + PATIENCE < 2
    await one.come("a")
    await place.turn(3)
    assert [one.failover.degraded] == [False]
    one.primary.down = True
    await place.turn(PROBE_SECONDS)
    assert one.failover.degraded
    assert await one.sees() == ["a"]


@pytest.mark.rule("PS21")
async def test_many_failing_calls_are_one_change(one: SwitchableProcess) -> None:
    before = one.failover.generation
    one.primary.down = True
    assert await asyncio.gather(*(one.sees() for _ in range(50))) == [[]] * 50
    assert one.failover.generation == before + 1
    asked = one.primary.asked
    for _ in range(50):
        await one.sees()
    assert one.primary.asked == asked


@pytest.mark.rule("PS22")
async def test_the_primary_serves_again(place: Place, one: SwitchableProcess, two: SwitchableProcess) -> None:
    """Nobody is lost or doubled by any turn of it, whoever is first; and at the end nothing is left in the fallback."""
    await one.come("a", "b")
    await two.come("c")
    for process in (one, two):
        process.primary.down = True
    await place.turn(2)
    assert await one.sees() == await two.sees() == ["a", "b", "c"]
    await one.go("b")
    await two.come("d")
    assert await one.sees() == await two.sees() == ["a", "c", "d"]
    one.primary.down = False
    for _ in range(8):
        await place.turn(0.25)
        assert await one.sees() == await two.sees() == ["a", "c", "d"]
    assert [one.failover.degraded, two.failover.degraded] == [False, True]
    two.primary.down = False
    for _ in range(40):
        await place.turn(0.25)
        assert await one.sees() == await two.sees() == ["a", "c", "d"]
    assert not two.failover.degraded
    assert place.fallback.documents == {}
    assert place.fallback.leases == {}


@pytest.mark.rule("PS22")
async def test_what_went_away_meanwhile_is_not_in_the_primary_again(place: Place, one: SwitchableProcess) -> None:
    """It kept all that it had, and those who went could not be taken out of it: with and without a process."""
    end = place.clock.now() + 3_600_000
    await one.come("a", "b")
    await one.come("agent", "bot", process=None, expires_at=end)
    one.primary.down = True
    await place.turn(1)
    await one.go("b", "bot")
    await one.come("late", process=None, expires_at=end)
    one.primary.down = False
    await place.turn(1)
    assert not one.failover.degraded
    assert await one.sees() == ["a", "agent", "late"]
    await one.go("late", "agent")
    assert await one.sees() == ["a"]
    await place.turn(SETTLE_SECONDS)
    assert await one.sees() == ["a"]
    assert place.fallback.documents == {}


@pytest.mark.rule("PS22")
async def test_who_went_away_and_came_back_meanwhile_stays(place: Place, one: SwitchableProcess) -> None:
    """Though nobody writes it again."""
    one.diligent = False
    end = place.clock.now() + 3_600_000
    await one.come("bot", process=None, expires_at=end)
    one.primary.down = True
    await place.turn(1)
    await one.go("bot")
    await one.come("bot", process=None, expires_at=end)
    one.primary.down = False
    await place.turn(SETTLE_SECONDS + 10)
    assert not one.failover.degraded
    assert await one.sees() == ["bot"]


@pytest.mark.rule("PS22")
async def test_who_stays_for_a_time_is_taken_along(place: Place, one: SwitchableProcess) -> None:
    """Though nobody writes it again; unless its time is over by then."""
    now = place.clock.now()
    one.primary.down = True
    await one.come("agent", process=None, expires_at=now + 3_600_000)
    await one.come("brief", process=None, expires_at=now + 100)
    one.primary.down = False
    await place.turn(SETTLE_SECONDS + 10)
    assert not one.failover.degraded
    assert await one.sees() == ["agent"]


@pytest.mark.rule("PS22")
async def test_what_went_away_in_the_first_outage_is_not_there_in_the_second(place: Place, one: SwitchableProcess) -> None:
    await one.come("a", "b")
    await one.come("agent", process=None, expires_at=place.clock.now() + 3_600_000)
    for gone in ("b", "agent"):
        one.primary.down = True
        await place.turn(1)
        one.primary.down = False
        await place.turn(FLAP_SECONDS + 1)
        await one.beat()
        await one.go(gone)
    one.primary.down = True
    await place.turn(1)
    assert await one.sees() == ["a"]


@pytest.mark.rule("PS22")
async def test_who_goes_while_it_settles_goes_from_both(place: Place, one: SwitchableProcess, two: SwitchableProcess) -> None:
    """Others may still read the fallback."""
    await one.come("a", "b")
    for process in (one, two):
        process.primary.down = True
    await place.turn(1)
    one.primary.down = False
    await place.turn(1)
    await one.go("b")
    assert (one.failover.degraded, two.failover.degraded) == (False, True)
    assert await one.sees() == await two.sees() == ["a"]


@pytest.mark.rule("PS23")
async def test_others_who_are_on_their_way_live(place: Place, one: SwitchableProcess, two: SwitchableProcess) -> None:
    """For some seconds after a change; who has not come by then does not."""
    assert await one.beat() == {"one", "two"}
    one.primary.down = True
    assert await one.beat() == {"one", "two"}
    await place.turn(SETTLE_SECONDS - 0.5)
    assert await one.beat() == {"one", "two"}
    await place.turn(1)
    assert await one.beat() == {"one"}


@pytest.mark.rule("PS24")
async def test_a_partition(place: Place, one: SwitchableProcess, two: SwitchableProcess) -> None:
    """Who reaches the primary sees those who do not, each once and as it was active last."""
    await one.come("a", "moved")
    two.primary.down = True
    await two.come("c")
    await two.come("moved", last_active=1_790_000_009_000)
    await place.turn(SETTLE_SECONDS + 4)
    assert await one.beat() == {"one", "two"}
    assert await one.sees() == ["a", "c", "moved"]
    [moved] = [record for record in (await one.failover.read(["doc"]))["doc"] if record.session_id == "moved"]
    assert moved.process == "two"
    assert await two.sees() == ["c", "moved"]
    two.fallback.down = one.fallback.down = True
    assert await one.sees() == ["a", "moved"]
    assert not one.failover.degraded


@pytest.mark.rule("PS25")
async def test_a_primary_that_comes_and_goes(place: Place, one: SwitchableProcess) -> None:
    """It has to be good for longer each time; when it has been good for long, it is trusted again."""

    async def outage() -> float:
        one.primary.down = True
        await place.turn(1)
        one.primary.down = False
        turned = 0.0
        while one.failover.degraded:
            await place.turn(0.25)
            turned += 0.25
        return turned

    first, *later = [await outage() for _ in range(6)]
    assert first <= 0.75
    assert later == sorted(later)
    assert 2 < later[-1] < SETTLE_SECONDS
    for _ in range(round(FLAP_SECONDS)):
        await place.turn(1)
        await one.beat()
    assert await outage() <= 0.75


@pytest.mark.rule("PS25")
async def test_a_primary_that_answers_and_cannot_be_written(place: Place, one: SwitchableProcess) -> None:
    """It does not serve: as a Redis that has become a replica, or is full."""
    one.primary.down = True
    await place.turn(1)
    before = one.failover.generation
    one.primary.down, one.primary.only_reads = False, True
    await place.turn(3)
    assert one.failover.degraded
    assert one.failover.generation == before
    one.primary.only_reads = False
    await place.turn(3)
    assert [one.failover.degraded] == [False]


@pytest.mark.rule("PS26")
async def test_a_primary_that_has_lost_everything(place: Place, one: SwitchableProcess) -> None:
    """It was restarted between two calls: the generation grows within a probe, and all is written again."""
    await one.come("a")
    place.primary.documents.clear()
    place.primary.leases.clear()
    await place.turn(2 * PROBE_SECONDS)
    assert not one.failover.degraded
    assert await one.sees() == ["a"]


@pytest.mark.rule("PS27")
async def test_nothing_works(one: SwitchableProcess) -> None:
    """Then it is said, and it goes on when one of them works again."""
    one.primary.down = one.fallback.down = True
    for call in (one.beat(), one.sees(), one.come("a"), one.failover.leave("one")):
        with pytest.raises(PresenceError, match="down"):
            await call
    assert one.failover.degraded
    one.fallback.down = False
    await one.beat()
    await one.come("a")
    assert await one.sees() == ["a"]


@pytest.mark.rule("PS28")
async def test_nobody_asks_when_nobody_is_there(place: Place, one: SwitchableProcess) -> None:
    """The primary is asked while presence is in use, and not for long after."""
    await place.turn(IDLE_SECONDS + 1)
    asked = one.primary.asked, one.fallback.asked
    await place.turn(60)
    assert (one.primary.asked, one.fallback.asked) == asked
    one.primary.down = True
    assert await one.sees() == []
    await place.turn(IDLE_SECONDS + 1)
    one.primary.down = False
    await place.turn(IDLE_PROBE_SECONDS)
    assert not one.failover.degraded, "while the other one has its place, it is asked now and then"


@pytest.mark.rule("PS28")
async def test_who_asks_how_it_is_uses_it(place: Place, one: SwitchableProcess) -> None:
    """So the answer is true though nobody is there."""
    await one.sees()
    await place.turn(IDLE_SECONDS + 1)
    one.primary.down = True
    await place.turn(60)
    before = one.failover.degraded
    await place.turn(2 * PROBE_SECONDS)
    after = one.failover.degraded
    assert (before, after) == (False, True)
    await one.failover.close()
    assert one.failover.degraded


@pytest.mark.rule("PS7")
async def test_leaving_both(place: Place, one: SwitchableProcess, two: SwitchableProcess) -> None:
    """A process that leaves while it settles leaves no trace in either storage."""
    for process in (one, two):
        process.primary.down = True
    await one.come("a")
    await place.turn(1)
    one.primary.down = False
    await place.turn(1)
    assert not one.failover.degraded
    await one.failover.leave("one")
    assert place.primary.documents == {}
    assert place.fallback.documents == {}
    assert await two.sees() == []


@pytest.mark.rule("PS11")
async def test_closed(one: SwitchableProcess) -> None:
    await one.failover.close()
    await one.failover.close()
    with pytest.raises(PresenceError, match="closed"):
        await one.beat()
