"""Hosts that run beside cowrite, in other processes and other languages, and share a secret with it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from cowrite.tokens import generate_secret
from demo_server import DemoServer
from example_hosts import Host, flask_host, needs_php, php_host
from example_programs import edit

PAGE = "the editor"


def come_in(url: str, name: str) -> httpx.Client:
    client = httpx.Client(base_url=url, follow_redirects=True)
    page = client.post("/", data={"name": name})
    assert (page.status_code, page.text, page.url.path) == (200, PAGE, "/notes/first")
    return client


@pytest.mark.rule("TU4")
@pytest.mark.parametrize("host", [flask_host, pytest.param(php_host, marks=needs_php)])
def test_a_host_beside_cowrite(tmp_path: Path, host: Host) -> None:
    """Who has logged in edits, who may only look only reads, and who has not logged in does not come in."""
    for name in ("flask", "php"):
        (tmp_path / "pages" / name).mkdir(parents=True)
        (tmp_path / "pages" / name / "index.html").write_text(PAGE)
    (tmp_path / "pages" / "assets").mkdir()
    (tmp_path / "pages" / "assets" / "some.js").write_text("some")
    secret = generate_secret()
    with (
        DemoServer(tmp_path, demo=False, COWRITE_SECRET=secret) as server,
        host(tmp_path, tmp_path / "pages", server.url, secret) as url,
    ):
        assert httpx.post(f"{url}/notes/first/token").status_code == 401
        assert httpx.get(f"{url}/assets/some.js").text == "some"
        with closing(come_in(url, "Ana Ångström")) as ana, closing(come_in(url, "Rita")) as rita:
            told = ana.post("/notes/first/token").json()
            assert told["cowrite"] == server.url
            address = f"{server.url}yjs/notes/first"
            assert asyncio.run(edit(address, told["token"], "Hello")) == "Hello"
            assert asyncio.run(edit(address, rita.post("/notes/first/token").json()["token"], None)) == "Hello"
            for client, grant in ((ana, "write"), (rita, "read")):
                asked = {"document_id": "notes/first", "session_token": client.post("/notes/first/token").json()["token"]}
                session = httpx.post(f"{server.url}api/v2/realtime/connect", json=asked).json()
                assert (session["grant"], session["user"]["name"]) == (grant, {"write": "Ana Ångström", "read": "Rita"}[grant])
            assert ana.post("/notes/*/token").status_code == 404
            with pytest.raises(ConnectionClosed):
                asyncio.run(edit(f"{server.url}yjs/notes/second", told["token"], None))
