"""The supervisor of several workers while a worker takes its time to be started. Its workers are real ones."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cowrite.settings import Settings
from cowrite.supervisor import _Supervisor
from timing import MS

SOON = 25_000 * MS


class SlowStart:
    """Processes are made as ever; of one that is held who has asked for it hears later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._make = asyncio.create_subprocess_exec
        self.hold_next = False
        self.made = asyncio.Event()
        """The one that is held is there."""
        self.go = asyncio.Event()
        monkeypatch.setattr(asyncio, "create_subprocess_exec", self._create)

    async def _create(self, *arguments: Any, **options: Any) -> Process:
        held, self.hold_next = self.hold_next, False
        process = await self._make(*arguments, **options)
        if held:
            self.made.set()
            await self.go.wait()
        return process


@asynccontextmanager
async def supervisor(folder: Path) -> AsyncIterator[_Supervisor]:
    """Of one worker, which is ready; it is told to stop at last, and every process ends."""
    settings = Settings(_env_file=None, workers=1, port=0, data_dir=folder, drain_seconds=0)  # type: ignore[call-arg]
    with socket.create_server(("127.0.0.1", 0)) as opened:
        made = _Supervisor(settings, [opened], demo=True)
        await made._start()
        made._serving = True
        yield made
        made._stop()
        await asyncio.wait_for(made._over.wait(), SOON)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(10 * MS)


@pytest.mark.rule("WK12")
async def test_a_place_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP's successor is ready before the process that takes the place of a dead one is there."""
    async with supervisor(tmp_path) as made:
        slow, first = SlowStart(monkeypatch), made._current[1]
        slow.hold_next = True
        first.kill()
        async with asyncio.timeout(SOON):
            await slow.made.wait()
        made._replace()
        await until(lambda: made._current[1] is not first)
        successor = made._current[1]
        slow.go.set()
        await until(lambda: made._replacing is None and made._living == {successor})
        assert made._current == {1: successor}
    assert not made._failed


@pytest.mark.rule("WK12")
async def test_it_is_told_to_stop_while_a_worker_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with supervisor(tmp_path) as made:
        slow = SlowStart(monkeypatch)
        slow.hold_next = True
        made._replace()
        async with asyncio.timeout(SOON):
            await slow.made.wait()
        made._stop()
        slow.go.set()
        await until(lambda: made._replacing is None)
    assert not made._failed
