"""The supervisor of several workers while a worker takes its time to be started. Its workers are real ones."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cowrite.settings import Settings
from cowrite.supervisor import _Supervisor
from timing import MS

SOON = 25_000 * MS


class SlowStart:
    """Processes are made as ever; of the first one, who has asked for it hears later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._make = asyncio.create_subprocess_exec
        self._hold_next = True
        self.made = asyncio.Event()
        """The one that is held is there."""
        self.go = asyncio.Event()
        monkeypatch.setattr(asyncio, "create_subprocess_exec", self._create)

    async def _create(self, *arguments: Any, **options: Any) -> Process:
        held, self._hold_next = self._hold_next, False
        process = await self._make(*arguments, **options)
        if held:
            self.made.set()
            await self.go.wait()
        return process


@contextmanager
def supervisor(folder: Path) -> Iterator[_Supervisor]:
    """Of one worker, which is not started yet."""
    settings = Settings(_env_file=None, workers=1, port=0, data_dir=folder, drain_seconds=0)  # type: ignore[call-arg]
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield _Supervisor(settings, [opened], demo=True, ready="")


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(10 * MS)


@pytest.mark.rule("WK12")
async def test_a_place_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP's successor is ready before the process that takes the place of a dead one is there."""
    with supervisor(tmp_path) as made:
        await made._start()
        made._serving = True
        slow, first = SlowStart(monkeypatch), made._current[1]
        first.kill()
        async with asyncio.timeout(SOON):
            await slow.made.wait()
        made._replace()
        await until(lambda: made._current[1] is not first)
        successor = made._current[1]
        slow.go.set()
        await until(lambda: made._replacing is None and made._living == {successor})
        assert made._current == {1: successor}
        made._stop()
        await until(made._over.is_set)
    assert not made._failed


@pytest.mark.rule("WK12")
async def test_it_is_told_to_stop_while_a_worker_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with supervisor(tmp_path) as made:
        slow = SlowStart(monkeypatch)
        starting = asyncio.ensure_future(made._start())
        async with asyncio.timeout(SOON):
            await slow.made.wait()
        made._stop()
        assert not made._over.is_set(), "a process is left"
        slow.go.set()
        await starting
        await until(made._over.is_set)
        assert not made._living
    assert not made._failed
