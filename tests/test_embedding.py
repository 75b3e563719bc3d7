"""cowrite inside a FastAPI application: when it starts and ends, and the example, with people who log in to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed

from cowrite import Settings, create_app, mount
from cowrite.runtime import Runtime
from cowrite.tokens import generate_secret
from example_programs import edit, example_program

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture
def collab(tmp_path: Path) -> FastAPI:
    return create_app(Settings(data_dir=tmp_path / "data", secret=SecretStr(generate_secret())))


@pytest.mark.rule("EM1", "EM2")
async def test_it_lives_within_the_lifespan_of_its_host(collab: FastAPI) -> None:
    runtime: Runtime = collab.state.cowrite
    seen: list[tuple[str, bool]] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append(("before", runtime.backend() is not None))
        yield {"pool": "open"}
        seen.append(("after", runtime.backend() is not None))

    host = FastAPI(lifespan=lifespan)
    mount(host, "/collab", collab)

    @host.get("/state")
    def state(request: Request) -> str:
        return str(request.state.pool)

    async with host.router.lifespan_context(host) as given:
        seen.append(("within", runtime.backend() is not None))
        transport = httpx.ASGITransport(_with_state(host, given))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            assert (await client.get("/collab/healthz")).json()["status"] == "ok"
            assert (await client.get("/state")).json() == "open"
            assert (await client.get("/healthz")).status_code == 404
    assert seen == [("before", False), ("within", True), ("after", False)]


def _with_state(host: FastAPI, given: Mapping[str, Any] | None) -> ASGIApp:
    """As a server calls it that has run its lifespan."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await host({**scope, "state": dict(given or {})}, receive, send)

    return app


@pytest.mark.rule("EM3")
async def test_one_that_was_mounted_without_its_lifespan_says_so(collab: FastAPI, tmp_path: Path) -> None:
    host = FastAPI()
    host.mount("/collab", collab)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://127.0.0.1") as client:
        with capture_logs() as logs:
            for _ in range(2):
                answer = await client.post("/collab/api/v2/realtime/connect", json={"document_id": "soup"})
                assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    (line,) = (entry["event"] for entry in logs if entry["log_level"] == "error")
    assert "use cowrite.mount(host, path, app)" in line
    assert not await asyncio.to_thread((tmp_path / "data").exists)


def log_in(client: httpx.Client, name: str) -> None:
    page = client.post("/login", data={"name": name})
    assert (page.status_code, page.text, page.url.path) == (200, "the editor", "/notes/first")


@pytest.mark.rule("EM4")
def test_the_fastapi_example(tmp_path: Path) -> None:
    """Who has logged in edits, who may only look only reads, and who has not logged in does not come in."""
    pages = tmp_path / "pages"
    (pages / "assets").mkdir(parents=True)
    (pages / "fastapi").mkdir()
    (pages / "fastapi" / "index.html").write_text("the editor")
    with example_program("fastapi", tmp_path, pages) as url:
        assert httpx.post(f"{url}/notes/first/token").status_code == 401
        with (
            httpx.Client(base_url=url, follow_redirects=True) as ana,
            httpx.Client(base_url=url, follow_redirects=True) as rita,
        ):
            log_in(ana, "Ana")
            log_in(rita, "Rita")
            assert ana.post("/notes/*/token").status_code == 404
            assert asyncio.run(edit(f"{url}/collab/yjs/notes/first", ana.post("/notes/first/token").text, "Hello")) == "Hello"
            for person, grant in ((ana, "write"), (rita, "read")):
                asked = {"document_id": "notes/first", "session_token": person.post("/notes/first/token").text}
                assert person.post("/collab/api/v2/realtime/connect", json=asked).json()["grant"] == grant
            assert asyncio.run(edit(f"{url}/collab/yjs/notes/first", rita.post("/notes/first/token").text, None)) == "Hello"
        with pytest.raises(ConnectionClosed):
            asyncio.run(edit(f"{url}/collab/yjs/notes/first", "wrong", None))


@pytest.mark.rule("EM5")
@pytest.mark.parametrize("page", ["embedding.md", "django.md"])
def test_what_the_docs_install_has_websockets(page: str) -> None:
    """uvicorn comes without a library for WebSockets: whoever follows a page word for word has one."""
    lines = (DOCS / page).read_text().splitlines()
    installs = [line for line in lines if line.startswith("    ") and "pip install" in line]
    assert installs
    assert [line for line in installs if "websockets" not in line.split()] == []
