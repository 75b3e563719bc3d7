"""A host application's hooks, on a real server."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from structlog.testing import capture_logs

from cowrite.core.clock import SystemClock
from cowrite.core.ports import StoreUnavailable
from cowrite.core.records import VersionKind
from cowrite.hooks import (
    Changed,
    Committed,
    Connected,
    Disconnected,
    Event,
    Evicted,
    Hooks,
    Loaded,
    PresenceChanged,
    VersionCreated,
)
from cowrite.hooks.calls import HookCalls
from cowrite.http.metrics import exposition
from cowrite.stores.memory import MemoryDatabase, memory_storage
from cowrite.testing.client import WebSocketClient
from http_api import SECRET, Api, Member, api, bearer, token
from timing import MS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hooks.md"


class Everything(Hooks):
    """Keeps all that it is told."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    async def connected(self, event: Connected) -> None:
        self.told.append(event)

    async def loaded(self, event: Loaded) -> None:
        self.told.append(event)

    async def changed(self, event: Changed) -> None:
        self.told.append(event)

    async def committed(self, event: Committed) -> None:
        self.told.append(event)

    async def version_created(self, event: VersionCreated) -> None:
        self.told.append(event)

    async def presence_changed(self, event: PresenceChanged) -> None:
        self.told.append(event)

    async def disconnected(self, event: Disconnected) -> None:
        self.told.append(event)

    async def evicted(self, event: Evicted) -> None:
        self.told.append(event)

    def of(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.told if isinstance(event, kinds)]


class Slow(Hooks):
    """Hangs with the documents in ``held``, until it is let go."""

    time_limit = 60.0

    def __init__(self, *held: str) -> None:
        self.held = set(held)
        self.go = asyncio.Event()
        self.told: list[tuple[str, int]] = []
        self.versions: list[VersionCreated] = []

    async def committed(self, event: Committed) -> None:
        if event.document_id in self.held:
            await self.go.wait()
        self.told.append((event.document_id, event.offset))

    async def version_created(self, event: VersionCreated) -> None:
        self.versions.append(event)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10_000 * MS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def calls_of(server: Api) -> HookCalls:
    parts = server.runtime._parts
    assert parts is not None
    assert parts.hooks is not None
    return parts.hooks


@asynccontextmanager
async def bounded(hooks: Hooks, database: MemoryDatabase, **bounds: int) -> AsyncIterator[tuple[HookCalls, Api]]:
    """A server whose hooks have little room."""
    storage = memory_storage(database)
    async with api(storage=storage, hooks=hooks) as server:
        calls = calls_of(server)
        for name, most in bounds.items():
            setattr(calls, f"_{name}", most)
        yield calls, server


async def typed(server: Api, document_id: str, count: int = 1) -> Member:
    member = await server.connect(document_id, token("ana"))
    for number in range(count):
        await member.type(f"{number} ")
    return member


async def marked(member: Member, name: str) -> None:
    path = f"/api/v2/documents/{member.document_id}/versions"
    answer = await member.api.client.post(path, json={"name": name}, headers=member.headers)
    assert answer.status_code == 201, answer.text


@pytest.mark.rule("HK1", "HK2", "HK3", "HK8")
async def test_what_a_server_tells() -> None:
    hooks = Everything()
    async with api(hooks=hooks) as server:
        member = await typed(server, "doc", 2)
        await marked(member, "first")
        socket = await WebSocketClient.connect(f"{server.url.replace('http', 'ws', 1)}/yjs/doc?token={token('ben')}")
        await until(lambda: hooks.of(Connected))
        await until(lambda: any("ben" in getattr(event, "joined", ()) for event in hooks.of(PresenceChanged)))
        assert [(getattr(event, "offset", 0), getattr(event, "user_id", "")) for event in hooks.of(Committed)] == [
            (1, "ana"),
            (2, "ana"),
        ]
        (version,) = hooks.of(VersionCreated)
        assert isinstance(version, VersionCreated)
        assert (version.offset, version.kind, version.name) == (2, VersionKind.NAMED, "first")
        (connected,) = hooks.of(Connected)
        assert isinstance(connected, Connected)
        assert (connected.user_id, connected.transport) == ("ben", "yjs")
        figures = exposition(await server.runtime.all_figures()).decode()
        assert 'cowrite_hooks_failed_total{worker="1"} 0.0' in figures
    await socket.close()
    # What the end of the process brings is told before it ends.
    assert isinstance(hooks.told[0], Loaded)
    assert [event.user_id for event in hooks.of(Disconnected) if isinstance(event, Disconnected)] == ["ben"]
    assert hooks.of(Evicted)


@pytest.mark.rule("HK4", "HK8")
async def test_nothing_waits_for_a_hook() -> None:
    hooks = Slow("slow")
    async with api(hooks=hooks) as server:
        slow = await typed(server, "slow", 3)  # each is answered when it is stored
        await typed(server, "quick", 2)
        await until(lambda: hooks.told == [("quick", 1), ("quick", 2)])
        assert calls_of(server).waiting == 2
        assert len(calls_of(server)._tasks) == 1
        hooks.go.set()
        await until(lambda: hooks.told[2:] == [("slow", 1), ("slow", 2), ("slow", 3)])
        await slow.type("more")
    assert hooks.told[-1] == ("slow", 4)


@pytest.mark.rule("HK7")
async def test_hooks_that_fail() -> None:
    class Failing(Slow):
        time_limit = 0.05

        async def committed(self, event: Committed) -> None:
            match event.offset:
                case 1:
                    raise RuntimeError("no")
                case 2:
                    raise TimeoutError("of its own")
                case 3:
                    raise asyncio.CancelledError
                case 4:
                    await self.go.wait()
            await super().committed(event)

    hooks = Failing()
    with capture_logs() as logs:
        async with api(hooks=hooks) as server:
            await typed(server, "doc", 5)
            await until(lambda: hooks.told == [("doc", 5)])
            assert calls_of(server).failed == 4
    found = [line for line in logs if line.get("hook")]
    assert [line["event"] for line in found] == [
        "hook failed",
        "hook failed",
        "hook has cancelled itself",
        "hook took longer than its 0.05 s, and was cancelled",
    ]
    assert {(line["hook"], line["document"]) for line in found} == {("committed", "doc")}


@pytest.mark.rule("HK6")
async def test_what_finds_no_room_is_read_again() -> None:
    hooks, database = Slow("doc"), MemoryDatabase()
    async with bounded(hooks, database, of_document=2) as (calls, server):
        member = await typed(server, "doc", 6)
        await marked(member, "a")
        await marked(member, "b")
        assert calls.waiting == 4  # two entries, a range of three, and versions
        calls.tell(Evicted("doc", 0))  # nobody wants it
        database.fail_next("operations", StoreUnavailable("away"))
        database.fail_next("list_versions", StoreUnavailable("away"))
        clock = server.runtime._clock
        assert isinstance(clock, SystemClock)
        hooks.go.set()
        await until(lambda: len(hooks.versions) == 2)
        assert hooks.told == [("doc", offset) for offset in range(1, 7)]
        assert [one.name for one in hooks.versions] == ["a", "b"]
        await until(lambda: calls.waiting == 0 and not calls._documents)
        assert calls.left_out == 0


@pytest.mark.rule("HK6")
async def test_what_cannot_be_read_again_is_told_in_the_log() -> None:
    class Left(Slow):
        async def disconnected(self, event: Disconnected) -> None:
            self.told.append(("disconnected", 0))

    hooks, database = Left("doc"), MemoryDatabase()
    with capture_logs() as logs:
        async with bounded(hooks, database, of_process=1) as (calls, server):
            await typed(server, "doc", 5)
            calls.tell(Disconnected("doc", "s", "ana", 0))
            calls.tell(Disconnected("doc", "s", "ana", 0))
            assert calls.left_out == 2
            admin = bearer(await _admin(server))
            answer = await server.client.delete("/api/v2/documents/doc/history?before=3", headers=admin)
            assert answer.status_code == 200, answer.text
            hooks.go.set()
            await until(lambda: hooks.told and hooks.told[-1] == ("doc", 5))
    lines = {line["event"]: line for line in logs}
    assert lines["hooks are far behind; some things are not told"]["first"] == "disconnected"
    lost = lines["hooks are not told of entries"]
    assert (lost["first"], lost["last"], lost["reason"]) == (3, 3, "their history was forgotten")


async def _admin(server: Api) -> str:
    answer = await server.connect("doc", token("root", doc="admin"))
    found: str = answer.answer["access_token"]
    return found


@pytest.mark.rule("HK8")
async def test_a_hook_that_hangs_at_shutdown() -> None:
    hooks = Slow("doc")
    calls = HookCalls(hooks, memory_storage(), SystemClock())
    for offset in (1, 2, 3):
        calls.tell(Committed("doc", "e", offset, "ana", None, 0))
    with capture_logs() as logs:
        await calls.close(0.05)
    assert [(line["event"], line["events"]) for line in logs] == [("hooks not told at shutdown", 2)]
    calls.tell(Committed("doc", "e", 4, "ana", None, 0))  # too late
    await calls.close(0.05)
    assert hooks.told == []


@pytest.mark.rule("HK9")
def test_what_is_no_hook_is_refused() -> None:
    class Synchronous(Hooks):
        def committed(self, event: Committed) -> None:  # type: ignore[override]
            pass

    storage: Any = None
    with pytest.raises(TypeError, match="'async def'"):
        HookCalls(Synchronous(), storage, SystemClock())
    wrong: Any = Synchronous
    with pytest.raises(TypeError, match=r"derived from cowrite\.hooks\.Hooks"):
        HookCalls(wrong, storage, SystemClock())


@pytest.mark.rule("HK10")
def test_every_hook_is_on_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+? \|(.*) \|$", PAGE.read_text(), re.MULTILINE)
    told = {event.__name__: [field.name for field in fields(event)] for event in get_args(Event)}
    named = {
        name: told[name.title().replace("_", "")] for name in vars(Hooks) if inspect.iscoroutinefunction(getattr(Hooks, name))
    }
    wanted = {name: [field for field in of if field not in {"document_id", "time"}] for name, of in named.items()}
    assert {name: re.findall(r"`(\w+)`", listed) for name, listed in rows} == wanted


@pytest.mark.rule("HK2")
async def test_the_program_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/hooks.md shows runs, and is told of an edit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COWRITE_SECRET", SECRET)
    program = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(program, str(PAGE), "exec"), names)
    index = names["Index"]()
    async with api(hooks=index) as server:
        await typed(server, "doc", 2)
        await until(lambda: index.stale == {"doc": 2})
