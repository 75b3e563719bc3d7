"""A server that logs all that it can, and what of a session of everything is not to be found in it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import uvicorn

from cowrite.app import create_app
from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.hocuspocus import Authenticate, HocuspocusDialect, Message, Stateless
from cowrite.protocol.messages import AwarenessUpdate, SyncStep1
from cowrite.settings import Settings
from cowrite.stores.memory import memory_storage
from cowrite.testing.client import TEXT, WebSocketClient
from cowrite.testing.transport_contract.operations import JsonClient
from cowrite.testing.transport_contract.provider import Provider, update
from cowrite.testing.transport_contract.server import EMPTY_STATE_VECTOR, edit, ended, join
from cowrite.tokens import generate_secret, issue
from demo_server import DemoServer
from http_api import REALTIME, SECRET, bearer, insert, token
from live_server import serving
from valkey_server import ValkeyServer

TEXT_MARK = "Zimtschnecke"
"""Stands in everything that people write, point at and tell one another."""
PASSWORD = "Moosrose77"
COOKIE = "Keksdose88"


class Session:
    """Somebody who does everything that can be done, right and wrong, and remembers with which tokens."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url.rstrip("/")
        self.sockets = self.url.replace("http", "ws", 1)
        self.tokens = {
            name: issue(secret, sub=name, documents={"*": grant}) for name, grant in (("ana", "admin"), ("rea", "read"))
        }
        self.tokens["forged"] = issue(generate_secret(), sub="eve", documents={"*": "write"})
        self.tokens["opaque"] = "Wunschkonzert99"

    async def everything(self) -> None:
        cookies = {"cookie": f"session={COOKIE}"}
        async with httpx.AsyncClient(base_url=self.url, headers=cookies, timeout=30, trust_env=False) as client:
            await self.by_http(client)
        await self.by_yjs()
        await self.by_json()
        await self.by_hocuspocus()

    async def by_http(self, client: httpx.AsyncClient) -> None:
        asked = {"document_id": "d", "session_token": self.tokens["ana"]}
        admitted = (await client.post(f"{REALTIME}/connect", json=asked)).json()
        access = self.tokens["access"] = admitted["access_token"]
        write = {"document_id": "d", "operations": [insert(TEXT_MARK)], "base": None}
        told = {"document_id": "d", "cursor": TEXT_MARK, "data": {TEXT_MARK: TEXT_MARK}}
        for shown in (access, *self.tokens.values()):
            for answer in (
                await client.post(f"{REALTIME}/operations", json=write, headers=bearer(shown)),
                await client.post(f"{REALTIME}/presence", json=told | {"access_token": shown}),
                await client.get(f"{REALTIME}/poll", params={"document_id": "d", "access_token": shown}),
                await client.get("/api/v2/documents/d", params={"access_token": shown, "format": "text"}),
                await client.post(f"{REALTIME}/refresh", json={"access_token": shown, "session_token": shown}),
            ):
                assert answer.status_code in {200, 204, 401, 403}, answer.text
        bad: dict[str, object] = {"operations": [{"type": TEXT_MARK, "position": [TEXT_MARK], "content": TEXT_MARK}]}
        for body in (
            json.dumps(write | bad),
            json.dumps(write | {TEXT_MARK: TEXT_MARK}),
            f"{{{TEXT_MARK}",
            TEXT_MARK * 100_000,
        ):
            answer = await client.post(f"{REALTIME}/operations?access_token={access}", content=body)
            assert 400 <= answer.status_code < 500
        binary = {"content-type": "application/octet-stream"} | bearer(access)
        answer = await client.post(f"{REALTIME}/operations?document_id=d", content=TEXT_MARK.encode(), headers=binary)
        assert answer.status_code == 400
        assert (await client.post(f"{REALTIME}/disconnect", content=access)).status_code == 204

    async def by_yjs(self) -> None:
        caret = yjs.encode(AwarenessUpdate((AwarenessEntry(7, 1, json.dumps({"name": TEXT_MARK})),)))
        for name in ("ana", "rea"):
            socket = await join(f"{self.sockets}/yjs/d?token={self.tokens[name]}", headers={"cookie": f"session={COOKIE}"})
            for frame in (edit(TEXT_MARK)[0], caret, yjs.encode(SyncStep1(EMPTY_STATE_VECTOR))):
                socket.send(frame)
            await socket.receive()
            await socket.close()
        spoilt = [b"\x00\x02" + bytes([len(TEXT_MARK)]) + TEXT_MARK.encode(), b"\x01" + TEXT_MARK.encode(), TEXT_MARK.encode()]
        spoilt += [edit(TEXT_MARK)[0][:-2], b"\x63" + TEXT_MARK.encode()]
        for frame in spoilt:
            socket = await join(f"{self.sockets}/yjs/d?token={self.tokens['ana']}")
            for _ in range(5):
                socket.send(frame)
            await ended(socket)
        for name in ("forged", "opaque"):
            await ended(await WebSocketClient.connect(f"{self.sockets}/yjs/d?token={self.tokens[name]}"))

    async def by_json(self) -> None:
        client = await JsonClient.connect(self.sockets, "d", self.tokens["ana"])
        client.write(insert(TEXT_MARK), request=TEXT_MARK)
        await client.expect("acknowledged")
        client.send({"type": "presence", "cursor": TEXT_MARK})
        for message in ({"type": "refresh", "access_token": self.tokens["forged"]}, {"type": TEXT_MARK, TEXT_MARK: TEXT_MARK}):
            client.send(message)
        await ended(client.socket)
        for text in (TEXT_MARK, json.dumps({"type": "hello", "access_token": self.tokens["forged"], "document_id": "d"})):
            socket = await WebSocketClient.connect(f"{self.sockets}{REALTIME}/ws?token={self.tokens['opaque']}")
            socket.send(text.encode(), kind=TEXT)
            await ended(socket)

    async def by_hocuspocus(self) -> None:
        provider = await Provider.enter(self.sockets, "d", token=self.tokens["ana"])
        said: tuple[Message, ...] = (
            update(TEXT_MARK),
            Stateless(TEXT_MARK),
            AwarenessUpdate((AwarenessEntry(8, 1, json.dumps({"name": TEXT_MARK})),)),
            Authenticate(self.tokens["forged"], "4.8.0"),
        )
        for message in said:
            provider.say(message, "d")
        provider.socket.send(HocuspocusDialect("d").encode(Stateless(TEXT_MARK))[:-3])
        provider.socket.send(TEXT_MARK.encode())
        await ended(provider.socket)


@pytest.mark.rule("CL17", "CL19", "HT13")
async def test_nothing_secret_in_the_log(tmp_path: Path) -> None:
    """Neither tokens and passwords nor what people write: of requests, connections, refusals, failures and the stop."""
    secret, other = generate_secret(), generate_secret()
    valkey = ValkeyServer(tmp_path, "--requirepass", PASSWORD)
    valkey.start()
    try:
        settings = {
            "COWRITE_SECRET": f"{secret},{other}",
            "COWRITE_JWT_SECRET": PASSWORD * 4,
            "COWRITE_REDIS_URL": valkey.url.replace("//", f"//:{PASSWORD}@"),
            "COWRITE_LOG_LEVEL": "debug",
        }
        with DemoServer(tmp_path, demo=False, **settings) as server:
            session = Session(server.url, secret)
            await session.everything()
            valkey.kill()  # what is said of that names the server
            await session.by_yjs()
            server.stop()
    finally:
        valkey.kill()
    log = server.written
    for told in ("session opened", "token refused", "connection closed", "uvicorn", "stopped", f"127.0.0.1:{valkey.port}"):
        assert told in log, "it logs that much"
    session.tokens |= {"a secret": secret, "another": other}
    for name, value in session.tokens.items():
        for written in (value, quote(value), *value.split(".")[2:]):
            assert written not in log, name
    for value in (TEXT_MARK, PASSWORD, COOKIE):
        assert value not in log, next(line for line in log.splitlines() if value in line)


@pytest.mark.rule("CL19")
@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_nothing_secret_in_the_log_of_another_server(caplog: pytest.LogCaptureFixture, http: str) -> None:
    """An application that others serve, whose server logs each address: it finds no token in it."""
    settings = Settings(_env_file=None, secret=SECRET)  # type: ignore[call-arg,arg-type]
    app = create_app(settings, storage=memory_storage())
    config = uvicorn.Config(app, http=http, ws="websockets-sansio", lifespan="on", log_config=None)
    session_token = token("ana")
    with caplog.at_level(logging.INFO):
        async with serving(config, app.state.cowrite) as url:
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                for query in (
                    f"document_id=d&access_token={session_token}&wait=0",
                    f"access%5Ftoken={session_token}&document_id=d",
                ):
                    assert (await client.get(f"{REALTIME}/poll?{query}")).status_code == 200
                assert (await client.get(f"{REALTIME}/poll?document_id=d&access_token=Wunschkonzert")).status_code == 401
            await (await join(f"{url.replace('http', 'ws', 1)}/yjs/d?token={session_token}")).close()
    log = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx")  # which is the client
    assert f'"GET {REALTIME}/poll?document_id=d&wait=0 HTTP/1.1" 200' in log
    assert '"WebSocket /yjs/d" [accepted]' in log
    assert session_token not in log
    assert "Wunschkonzert" not in log
