"""When Python looks for garbage in cycles, which memory goes back to the system, and how soon threads take turns."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
from textwrap import dedent

import pytest

from cowrite.collecting import collect_seldom, collect_when_quiet, take_turns_soon
from cowrite.testing.clock import ManualClock


class Knot:
    """Knows itself."""

    def __init__(self) -> None:
        self.itself = self


def old_garbage() -> weakref.ref[Knot]:
    """A cycle that only a look at everything finds."""
    knot = Knot()
    gc.collect(1)
    gc.collect(1)
    return weakref.ref(knot)


@pytest.fixture
def by_hand() -> Iterator[None]:
    """The collector does nothing by itself; afterwards it is as it was."""
    before, on = gc.get_threshold(), gc.isenabled()
    gc.disable()
    yield
    gc.set_threshold(*before)
    (gc.enable if on else gc.disable)()


async def seconds(clock: Clock, count: int, *, busy: bool) -> None:
    """So many go by. ``busy``: this thread computes meanwhile (the clock's CPU time goes with it), else it stands still."""
    for _ in range(count):
        clock.working = busy
        clock.advance(1)
        for _ in range(3):
            await asyncio.sleep(0)


class Clock(ManualClock):
    """One whose thread may stand still while time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.working = True
        self._used = 0.0

    def advance(self, seconds: float = 0.0) -> None:
        if self.working:
            self._used += seconds
        super().advance(seconds)

    def cpu(self) -> float:
        return self._used


@pytest.mark.rule("TR42")
@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(("busy", "after"), [(False, 60), (True, 600)])
async def test_everything_is_looked_at_when_there_is_little_to_do_or_at_last(busy: bool, after: int) -> None:
    clock, garbage = Clock(), old_garbage()
    task = asyncio.create_task(collect_when_quiet(clock))
    await asyncio.sleep(0)
    await seconds(clock, after - 1, busy=busy)
    assert garbage() is not None
    await seconds(clock, 1, busy=busy)
    assert garbage() is None
    again = old_garbage()
    await seconds(clock, after - 1, busy=busy)
    assert again() is not None, "not sooner after that"
    await seconds(clock, 1, busy=busy)
    assert again() is None
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.rule("TR42")
@pytest.mark.usefixtures("by_hand")
def test_the_collector_is_on_and_looks_at_few_objects_at_a_time() -> None:
    """Where many come and stay; and left to itself it would have looked at all of them, some times."""
    looks: list[tuple[int, int]] = []

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen = info["generation"]
            looks.append((seen, sum(len(gc.get_objects(generation=younger)) for younger in range(seen + 1))))

    collect_seldom()
    assert gc.isenabled()
    assert gc.get_freeze_count()
    gc.callbacks.append(look)
    try:
        came = [[number] for number in range(50_000)]
    finally:
        gc.callbacks.remove(look)
    assert {generation for generation, _ in looks} == {0, 1}
    assert max(objects for _, objects in looks) < 10_000 < len(came)


@pytest.mark.rule("TR48")
def test_a_thread_that_computes_lets_others_go_on_soon() -> None:
    before = sys.getswitchinterval()
    try:
        take_turns_soon()
        assert sys.getswitchinterval() <= 0.001 < before
    finally:
        sys.setswitchinterval(before)


@pytest.mark.rule("TR46")
@pytest.mark.skipif(sys.platform == "win32" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_large_blocks_go_back_to_the_system() -> None:
    """After a larger one was freed, too; else most of what is freed here stays."""
    kept = subprocess.check_output((sys.executable, "-c", _FREES))
    assert int(kept) < 4
    kept = subprocess.check_output((sys.executable, "-c", _FREES.replace("give_back_large_blocks()", "")))
    assert int(kept) > 20, "this does not show it"


_FREES = dedent("""
    import psutil
    from cowrite.collecting import give_back_large_blocks

    give_back_large_blocks()
    memory = psutil.Process().memory_info
    before, large = memory().rss, b"x" * (20 << 20)
    del large
    blocks, between = [], []
    for _ in range(20):
        blocks.append(b"x" * (2 << 20))
        between.append(b"x" * 100_000)
    del blocks
    print((memory().rss - before) >> 20)
""")
