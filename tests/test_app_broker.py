"""The application and its broker: what is said of it, and which it does not start with."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from cowrite.app import create_app
from cowrite.brokers.errors import BrokerSetupError
from cowrite.brokers.local import LocalBroker
from cowrite.core.ports import StoreError
from cowrite.runtime import Runtime
from cowrite.server import serve
from cowrite.settings import Settings
from cowrite.startup import StartError
from cowrite.stores import open_store
from cowrite.stores.memory import memory_storage
from cowrite.testing.transport_contract.server import everybody_writes
from relay import talking
from valkey_server import ValkeyServer


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


class Broken(LocalBroker):
    """Should reach others, and does while it works."""

    works = True

    @property
    def reaches_others(self) -> bool:
        return self.works

    @property
    def degraded(self) -> bool:
        return not self.works


@pytest.mark.rule("BR26", "JS6")
async def test_health_and_heartbeats_tell_of_the_broker() -> None:
    broker = Broken()
    app = create_app(settings(), storage=memory_storage(), authorize=everybody_writes, broker=broker)
    runtime: Runtime = app.state.cowrite
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client, runtime.lifespan(app):
        for works in (True, False, True):
            broker.works = works
            status = "ok" if works else "degraded"
            health = (await client.get("/healthz")).json()
            assert (health["status"], health["broker"], health["store"]) == (status, status, "ok")
            services = runtime.serving()
            assert services is not None
            services.load.lag = 0.0  # of this machine
            assert services.load.status == status


@pytest.mark.rule("BR24")
async def test_a_redis_that_refuses_is_found_at_the_start(tmp_path: Path) -> None:
    """Also under another server than cowrite's own; what was opened before is closed."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"cowrite-broker\r\n")
        writer.write(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")

    storage = await open_store(f"sqlite:///{tmp_path / 'documents.db'}")
    async with talking(refuse) as url:
        app = create_app(settings(redis_url=url.replace("//", "//:sesame@")), storage=storage, authorize=everybody_writes)
        with pytest.raises(BrokerSetupError, match="refuses the user or the password"):
            await app.state.cowrite.start()
    with pytest.raises(StoreError, match="closed"):
        await storage.store.load("doc")


@pytest.mark.rule("BR24")
async def test_presence_in_redis_needs_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the host has a broker of its own; what was opened before is closed."""
    monkeypatch.setitem(sys.modules, "redis", None)  # importing it raises ImportError
    storage = await open_store(f"sqlite:///{tmp_path / 'documents.db'}")
    given = settings(redis_url="redis://127.0.0.1:1")
    app = create_app(given, storage=storage, authorize=everybody_writes, broker=LocalBroker())
    with pytest.raises(BrokerSetupError, match="the package redis is missing"):
        await app.state.cowrite.start()
    with pytest.raises(StoreError, match="closed"):
        await storage.store.load("doc")


@pytest.mark.rule("BR24")
def test_serve_does_not_start_with_a_redis_that_refuses(tmp_path: Path) -> None:
    """One line, without the password."""
    valkey = ValkeyServer(tmp_path, "--requirepass", "sesame")
    valkey.start()
    with closing(valkey), pytest.raises(StartError, match="WRONGPASS") as refused:
        serve(settings(data_dir=tmp_path / "data", port=0, redis_url=valkey.url.replace("//", "//:wrong@")), demo=True)
    (line,) = refused.value.problems
    assert "wrong" not in line
    assert "\n" not in line
