"""Webhooks of a whole server, started as people start it, and the commands on what was given up."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from cowrite.app import create_app
from cowrite.cli import app as commands
from cowrite.core.event_types import ContentFormat
from cowrite.core.operations.reading import DocumentReader
from cowrite.core.ports import News, StoreCorrupt
from cowrite.core.rooms.replicas import Committed
from cowrite.core.rooms.room import Room
from cowrite.crdt.errors import EngineFault
from cowrite.runtime import Runtime
from cowrite.settings import Settings, SettingsError, load_settings
from cowrite.startup import StartError
from cowrite.stores import open_store
from cowrite.stores.backups import back_up, restore
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.memory import memory_storage
from cowrite.stores.memory.webhooks import MemoryWebhookLog
from cowrite.testing.records import fill, make_entry, write
from cowrite.testing.transport_contract.server import everybody_writes
from cowrite.webhooks.content import ContentReader
from test_app import client_of
from test_app import write as type_into
from timing import MS
from webhook_receiver import WEBHOOK_SECRET, says, webhook_receiver
from webhooks.test_webhook_sender import QUICK, never, sending, until


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, webhook_secret=WEBHOOK_SECRET, **values)  # type: ignore[call-arg, arg-type]


@pytest.mark.rule("WH2", "WH3")
async def test_a_server_tells(tmp_path: Path) -> None:
    with webhook_receiver() as receiver:
        wanted = settings(webhook_url=receiver.url, webhook_pause=0.05, data_dir=tmp_path)
        storage = await open_store(f"sqlite:///{tmp_path / 'cowrite.sqlite3'}")
        app = create_app(wanted, storage=storage, authorize=everybody_writes)
        runtime: Runtime = app.state.cowrite
        async with app.router.lifespan_context(app), client_of(app) as client:
            await type_into(runtime, "hello")
            await until(lambda: receiver.of("doc"))
            backend = runtime.backend()
            assert backend is not None
            info = await backend.directory.info("doc")
            assert info is not None
            await backend.past.versions.mark(await backend.past.moments.at(info, 1), "ana", name="one")
            await until(lambda: len(receiver.of("doc")) == 2)
            await backend.deletion.delete("doc", "root")
            await until(lambda: len(receiver.of("doc")) == 3)
            types = [told["type"] for told in receiver.of("doc")]
            assert types == ["document.changed", "version.created", "document.deleted"]
            await until(lambda: runtime.figures()["cowrite_webhooks_delivered_total"] == 3)
            figures = (await client.get("/metrics")).text
            assert 'cowrite_webhooks_delivered_total{worker="1"} 3.0' in figures
            assert 'cowrite_webhooks_stopped{worker="1"} 0.0' in figures


@pytest.mark.rule("WH2", "WH11")
async def test_storage_in_memory() -> None:
    """It tells as any other, sends again what was not received, and says at the start what a restart loses."""
    with webhook_receiver() as receiver, capture_logs() as logs:
        receiver.answer = lambda one: (500 if len(receiver.received) == 1 else 204, {}, b"")
        given = settings(webhook_url=receiver.url, webhook_pause=0.0)
        app = create_app(given, storage=memory_storage(), authorize=everybody_writes)
        async with app.router.lifespan_context(app):
            assert [one["log_level"] for one in logs if "kept in memory" in one["event"]] == ["warning"]
            await type_into(app.state.cowrite, "hello")
            await until(lambda: receiver.accepted)
        first, second = receiver.received
        assert (first.id, first.body) == (second.id, second.body)
        assert (second.data["after"], second.data["offset"]) == (0, 1)


@pytest.mark.rule("WH12")
async def test_what_documents_say() -> None:
    """Where it was asked for, in the form that was asked for; of what is too large there is where to read it."""
    with webhook_receiver() as receiver:
        given = settings(webhook_url=receiver.url, webhook_pause=0.0, webhook_content="text", webhook_content_bytes=1024)
        app = create_app(given, storage=memory_storage(), authorize=everybody_writes)
        runtime: Runtime = app.state.cowrite
        async with app.router.lifespan_context(app), client_of(app) as client:
            await type_into(runtime, "hello")
            await until(lambda: receiver.of("doc"))
            (told,) = receiver.of("doc")
            content = told["data"]["content"]
            assert content == {"format": "text", "value": "hello", "path": "/api/v2/documents/doc?format=text"}
            assert (told["data"]["after"], told["data"]["offset"]) == (0, 1)
            await type_into(runtime, "x" * 2000)
            await until(lambda: receiver.of("doc")[-1]["data"]["offset"] == 2)
            content = receiver.of("doc")[-1]["data"]["content"]
            assert content["value"] is None
            read = await client.get(content["path"])
            assert len(read.text) > 2000
            parts = runtime._parts
            assert parts is not None
            services = parts.services
            given_to = (parts.storage.store, parts.registry, services.reader, services.excess.log)
            for form in ContentFormat:
                reader = ContentReader(*given_to, form, most=1 << 20)
                said = await reader.read("doc")
                assert said is not None
                read = await client.get("/api/v2/documents/doc", params={"format": form})
                shown: Any = read.json() if form in {ContentFormat.JSON, ContentFormat.PROSEMIRROR} else read.text
                shown = shown["content"] if form is ContentFormat.JSON else shown
                assert (said.value, said.head.offset) == (shown, 2), form
            # Nobody has ever written it, or nobody may read it any more.
            assert await reader.read("nothing") is None
            backend = runtime.backend()
            assert backend is not None
            await backend.deletion.delete("doc", "root")
            assert await reader.read("doc") is None


@pytest.mark.rule("WH12")
async def test_a_document_is_read_once_for_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not each time it is looked whether there is something to tell, nor when it is sent again."""
    reads: list[str] = []

    async def read(self: ContentReader, document_id: str) -> Any:
        reads.append(document_id)
        return await whole(self, document_id)

    whole = ContentReader.read
    monkeypatch.setattr(ContentReader, "read", read)
    monkeypatch.setattr("cowrite.composition.SenderTimes", lambda pause: replace(QUICK, pause=pause))
    with webhook_receiver() as receiver:
        receiver.answer = lambda one: (500 if len(receiver.received) < 3 else 204, {}, b"")
        given = settings(webhook_url=receiver.url, webhook_pause=0.0, webhook_content="text")
        app = create_app(given, storage=memory_storage(), authorize=everybody_writes)
        async with app.router.lifespan_context(app):
            await type_into(app.state.cowrite, "hello")
            await until(lambda: receiver.accepted)
            assert [one.data["content"]["value"] for one in receiver.received] == ["hello"] * 3
            parts = app.state.cowrite._parts
            for _ in range(3):
                parts.webhooks.committed(News("doc", "e", 1, ()))
                await never(lambda: len(receiver.received) > 3, seconds=0.05)
            assert reads == ["doc"]


@pytest.mark.rule("WH12")
async def test_a_document_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong: its message comes without what it says, the others with it, and the log tells once why."""
    broken = {"doc": EngineFault("the engine broke"), "other": StoreCorrupt("a gap")}

    async def committed(self: DocumentReader, room: Room, **options: Any) -> Committed:
        if room.document_id in broken:
            raise broken[room.document_id]
        return await whole(self, room, **options)

    whole = DocumentReader.committed
    monkeypatch.setattr(DocumentReader, "committed", committed)
    with webhook_receiver() as receiver, capture_logs() as logs:
        given = settings(webhook_url=receiver.url, webhook_pause=0.0, webhook_content="text")
        app = create_app(given, storage=memory_storage(), authorize=everybody_writes)
        async with app.router.lifespan_context(app):
            for name in (*broken, "third"):
                await type_into(app.state.cowrite, "hello", name)
            await until(lambda: len(receiver.accepted) == 3)
    said = {one.data["document_id"]: one.data["content"]["value"] for one in receiver.accepted}
    assert said == {"doc": None, "other": None, "third": "hello"}
    told = {
        one["document"]: one["exception"].splitlines()[-1] for one in logs if "could not be read for a webhook" in one["event"]
    }
    assert told == {name: f"{type(error).__module__}.{type(error).__name__}: {error}" for name, error in broken.items()}


@pytest.mark.rule("WH13")
async def test_the_task_that_sends_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins again, over new connections."""
    monkeypatch.setattr("cowrite.runtime._RESTART_SECONDS", MS)
    claim, failures = MemoryWebhookLog.claim, [RuntimeError("a bug")]

    async def fails_once(*arguments: Any, **options: Any) -> Any:
        if receiver.accepted and failures:
            raise failures.pop()
        return await claim(*arguments, **options)

    monkeypatch.setattr(MemoryWebhookLog, "claim", fails_once)
    with webhook_receiver() as receiver, capture_logs() as logs:
        app = create_app(
            settings(webhook_url=receiver.url, webhook_pause=0.0), storage=memory_storage(), authorize=everybody_writes
        )
        async with app.router.lifespan_context(app):
            await type_into(app.state.cowrite, "hello")
            await until(lambda: app.state.cowrite.figures()["cowrite_webhooks_delivered_total"] == 1)
            await type_into(app.state.cowrite, "again")
            await until(lambda: [one.data["offset"] for one in receiver.received] == [1, 2])
    assert "background task failed" in [one["event"] for one in logs]
    assert not failures


@pytest.mark.rule("WH11")
async def test_storage_that_cannot_keep_it() -> None:
    storage = replace(memory_storage(), webhooks=None)
    app = create_app(settings(webhook_url="http://127.0.0.1:1/"), storage=storage, authorize=everybody_writes)
    with pytest.raises(StoreSetupError, match="COWRITE_WEBHOOK_URL is set, and this storage"):
        await app.state.cowrite.start()


@pytest.mark.rule("WH1", "CL3")
def test_settings_of_webhooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def problem(**variables: str) -> str:
        for name in ("URL", "SECRET", "EVENTS", "PAUSE"):
            monkeypatch.delenv(f"COWRITE_WEBHOOK_{name}", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(f"COWRITE_WEBHOOK_{name}", value)
        with pytest.raises(SettingsError) as caught:
            load_settings()
        (line,) = caught.value.problems
        return line

    assert problem(URL="ftp://a/").startswith("COWRITE_WEBHOOK_URL is no URL that can be used: write https://host/path")
    assert problem(URL="https://a.example/").startswith("COWRITE_WEBHOOK_URL is set, but no COWRITE_WEBHOOK_SECRET")
    assert "whsec_ and 24 to 64" in problem(SECRET="whsec_c2VjcmV0")
    assert problem(EVENTS="document.moved").startswith(
        "COWRITE_WEBHOOK_EVENTS is document.moved; it takes some of document.changed"
    )
    assert "from 0 to 3600" in problem(PAUSE="-1")
    monkeypatch.delenv("COWRITE_WEBHOOK_PAUSE")
    monkeypatch.setenv("COWRITE_WEBHOOK_EVENTS", "version.created, document.deleted")
    assert load_settings().webhook_events == ("version.created", "document.deleted")
    assert load_settings().webhook_keys == ()


@pytest.mark.rule("WH5")
def test_commands(tmp_path: Path) -> None:
    """What was given up is listed, sent again by whoever runs, or dropped."""
    url = f"sqlite:///{tmp_path / 'cowrite.db'}"

    async def give_up() -> None:
        storage = await open_store(url)
        with webhook_receiver() as receiver:
            receiver.answer = says(500)
            async with sending(storage, receiver) as sender:
                for name in ("a", "b"):
                    await fill(storage.store, name, number=1)
                await until(lambda: sender.dead == 2)
        await storage.close()

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(commands, ["webhooks", *arguments, "--database-url", url])
        if isinstance(result.exception, StartError):
            return "; ".join(result.exception.problems)
        assert result.exit_code == 0, result
        return result.stdout

    asyncio.run(give_up())
    lines = run("list").splitlines()
    assert len(lines) == 2
    letters = [json.loads(line) for line in run("list", "--json").splitlines()]
    assert [line.split()[0] for line in lines] == [letter["event_id"] for letter in letters]
    assert all(line.endswith("after 4 attempts: the answer is 500") for line in lines)
    first, second = (letter["event_id"] for letter in letters)
    assert run("retry", first) == "webhooks that will be sent again, in no order: 1\n"
    assert "to be sent again" in run("list").splitlines()[0]

    async def send() -> None:
        storage = await open_store(url)
        with webhook_receiver() as receiver:
            async with sending(storage, receiver, times=QUICK) as sender:
                await until(lambda: sender.delivered == 1)
            assert [one.id for one in receiver.accepted] == [first]
        await storage.close()

    asyncio.run(send())
    assert run("drop", first).startswith(f"there is no webhook {first} that was given up")
    assert run("drop", second) == "webhooks that were dropped: 1\n"
    assert run("list") == "no webhook was given up\n"
    assert run("retry", "all") == "webhooks that will be sent again, in no order: 0\n"


@pytest.mark.rule("WH8")
async def test_a_backup_that_is_restored_tells_nothing_of_before(tmp_path: Path) -> None:
    url, copy = (f"sqlite:///{tmp_path / name}" for name in ("one.db", "two.db"))
    storage = await open_store(url)
    assert storage.webhooks is not None
    await storage.webhooks.begin()
    await fill(storage.store, "doc", number=2)
    await storage.close()
    await back_up(url, tmp_path / "backup")
    for _ in range(2):
        await restore(copy, tmp_path / "backup", replace=True)
        storage = await open_store(copy)
        with webhook_receiver() as receiver:
            async with sending(storage, receiver):
                await write(storage.store, "doc", make_entry(3))
                await until(lambda: receiver.accepted)
            assert [(told["data"]["after"], told["data"]["offset"]) for told in receiver.of("doc")] == [(2, 3)]
        await storage.close()
