"""The thread in which pasts are looked at."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest

from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.turns import MAX_WAITING_OF_ONE
from cowrite.core.history.worker import HistoryWorker


class Gate:
    """Work that waits until it may go on."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.done: list[str] = []

    def work(self, name: str) -> Callable[[], str]:
        def work() -> str:
            assert self.opened.wait(10)
            assert threading.current_thread() is not threading.main_thread()
            self.done.append(name)
            return name

        return work


@pytest.mark.rule("HV13")
async def test_documents_are_served_in_turn() -> None:
    """Whoever asks much about one document keeps nobody waiting who asks about another."""
    worker, gate = HistoryWorker(), Gate()
    names = [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2"), ("c", "c1")]
    waiting = [asyncio.ensure_future(worker.run(document, gate.work(name))) for document, name in names]
    await asyncio.sleep(0)
    gate.opened.set()
    assert await asyncio.gather(*waiting) == [name for _, name in names]
    assert gate.done == ["a1", "a2", "b1", "c1", "a3", "b2"]
    await worker.close()


@pytest.mark.rule("HV13")
async def test_when_too_many_wait_more_are_refused() -> None:
    worker, gate = HistoryWorker(max_waiting=2), Gate()
    waiting = [asyncio.ensure_future(worker.run("a", gate.work(str(number)))) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(HistoryRefused, match="later") as caught:
        await worker.run("b", gate.work("refused"))
    assert caught.value.code == "overloaded"
    gate.opened.set()
    await asyncio.gather(*waiting)
    assert await worker.run("b", gate.work("now")) == "now"
    await worker.close()


@pytest.mark.rule("HV13")
async def test_who_asks_much_about_one_document_takes_nobody_elses_place() -> None:
    worker, gate = HistoryWorker(), Gate()
    waiting = [asyncio.ensure_future(worker.run("a", gate.work(str(number)))) for number in range(MAX_WAITING_OF_ONE + 1)]
    await asyncio.sleep(0)
    with pytest.raises(HistoryRefused):
        await worker.run("a", gate.work("refused"))
    other = asyncio.ensure_future(worker.run("b", gate.work("other")))
    for one in waiting:
        one.cancel()
    await asyncio.sleep(0)
    again = asyncio.ensure_future(worker.run("a", gate.work("again")))
    await asyncio.sleep(0)
    gate.opened.set()
    assert (await other, await again) == ("other", "again")
    assert gate.done == ["0", "other", "again"], "those who gave up take no place"
    await worker.close()


@pytest.mark.rule("HV13")
async def test_what_nobody_waits_for_is_not_begun() -> None:
    worker, gate = HistoryWorker(), Gate()
    first, second, third = (asyncio.ensure_future(worker.run("a", gate.work(name))) for name in ("1", "2", "3"))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.sleep(0)
    gate.opened.set()
    assert await third == "3"
    assert gate.done == ["1", "3"], "the one that was running came to its end"
    await worker.close()


@pytest.mark.rule("HV13")
async def test_what_the_work_raises_is_raised() -> None:
    worker = HistoryWorker()
    with pytest.raises(ZeroDivisionError):
        await worker.run("a", lambda: 1 // 0)
    gate = threading.Event()
    left = asyncio.ensure_future(worker.run("a", lambda: 1 // int(not gate.wait(10))))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await worker.run("a", lambda: 1) == 1
    await worker.close()


@pytest.mark.rule("HV13")
async def test_who_waits_at_the_end_is_told() -> None:
    worker, gate = HistoryWorker(), Gate()
    first, second = (asyncio.ensure_future(worker.run("a", gate.work(name))) for name in ("1", "2"))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(worker.close())
    await asyncio.sleep(0)
    gate.opened.set()
    await closing
    assert await first == "1"
    with pytest.raises(asyncio.CancelledError):
        await second


@pytest.mark.rule("HV13")
async def test_who_asks_after_the_end_is_refused() -> None:
    worker = HistoryWorker()
    await worker.close()
    for _ in range(2):
        with pytest.raises(HistoryRefused, match="stopping") as caught:
            await worker.run("a", lambda: 1)
        assert caught.value.code == "overloaded"


@pytest.mark.rule("HV13")
@pytest.mark.parametrize("collected", [True, False])
async def test_cycles_are_not_looked_for_while_it_works(collected: bool) -> None:
    worker = HistoryWorker()
    before = gc.isenabled()
    try:
        (gc.enable if collected else gc.disable)()
        assert await worker.run("a", gc.isenabled) is False
        assert gc.isenabled() is collected
        with pytest.raises(ZeroDivisionError):
            await worker.run("a", lambda: 1 // 0)
        assert gc.isenabled() is collected
    finally:
        (gc.enable if before else gc.disable)()
        await worker.close()
