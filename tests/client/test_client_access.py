"""Who is let in, who may write, and what becomes of both while a program is in the document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import httpx
import pytest

from between import Between
from cowrite.client import Closed, Document, Forbidden, NotConnected, NotSaved, ReadOnly, Refused, Status, Unauthorized, connect
from cowrite.client import server as server_module
from cowrite.client.server import ServerWay
from cowrite.tokens import generate_secret, issue
from demo_server import DemoServer
from python_clients import SECRET, TRUST, change_grant, token, until
from timing import MS


@pytest.mark.rule("PY10", "PY16")
async def test_who_is_not_let_in(server: DemoServer, name: str) -> None:
    """It is told at once, with the server's words, and nothing is tried again."""
    foreign = issue(generate_secret(), sub="ana", documents={"*": "write"}, ttl=60)
    for bad in ("nonsense", foreign, None, lambda: foreign):
        with pytest.raises(Unauthorized, match="unauthorized") as refused:
            async with connect(server.url, name, token=bad):
                pass
        assert (refused.value.code, refused.value.name) == (4401, "unauthorized")
    elsewhere = issue(SECRET, sub="ana", documents={"other": "write"}, ttl=60)
    with pytest.raises(Forbidden):
        async with connect(server.url, name, token=elsewhere):
            pass


@pytest.mark.rule("PY10")
async def test_where_no_server_is(server: DemoServer, name: str, unused_tcp_port: int) -> None:
    """What was tried is told when the time is over; what is no address, at once."""
    with pytest.raises(NotConnected, match=rf"within .* s: no answer from http://127.0.0.1:{unused_tcp_port}/"):
        async with connect(f"http://127.0.0.1:{unused_tcp_port}", name, token=token(), ssl=TRUST, connect_seconds=300 * MS):
            pass
    with pytest.raises(Refused, match=r"Not Found \(not_found\)"):
        async with connect(f"{server.url}elsewhere", name, token=token()):
            pass
    for bad in ("localhost:8000", "ftp://localhost", "http://"):
        with pytest.raises(ValueError, match="is no address of a server"):
            connect(bad, name)
    async with connect(server.url.replace("http", "ws"), name, token=token()) as doc:
        await doc.saved()


@pytest.mark.rule("PY10")
async def test_what_answers_is_no_server(name: str) -> None:
    """Anything may stand at an address: a page, a proxy that knows nothing, something that closes."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<p/>"
    down = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: soon\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    for answer, said in ((page, "is no cowrite server"), (down, "HTTP status 503"), (b"", "no answer from")):

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes = answer) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            with pytest.raises(NotConnected, match=said):
                async with connect(f"http://127.0.0.1:{port}", name, ssl=TRUST, connect_seconds=300 * MS):
                    pass


@pytest.mark.rule("PY14")
async def test_who_may_only_read(server: DemoServer, name: str) -> None:
    """Writing raises, and changes nothing; reading goes on."""
    async with connect(server.url, name, token=token("ana")) as ana, connect(server.url, name, token=token("bo", "read")) as bo:
        ana.text("body").append("a")
        await until(lambda: str(bo.text("body")) == "a")
        edits: list[Callable[[], None]] = [
            lambda: bo.text("body").append("b"),
            lambda: bo.text("body").delete(0, 1),
            lambda: bo.merge(ana.encode()),
        ]
        for edit in edits:
            with pytest.raises(ReadOnly, match="the grant is 'read'"):
                edit()
        assert (bo.grant, bo.unsaved, str(bo.text("body"))) == ("read", 0, "a")
        await bo.saved()


@pytest.mark.rule("PY14")
async def test_a_grant_that_is_lowered_and_raised(server: DemoServer, name: str) -> None:
    """What was edited before the client has heard of it is not saved, says so, and is sent once it may be."""
    async with connect(server.url, name, token=token("ana")) as ana, connect(server.url, name, token=token("bo")) as bo:
        await change_grant(server.url, name, "ana", "read")
        body = ana.text("body")
        body.append("written ")
        with pytest.raises(ReadOnly, match="the grant is 'read' now"):
            await ana.saved()
        assert (ana.grant, ana.unsaved, ana.status) == ("read", 1, Status.CONNECTED)
        with pytest.raises(ReadOnly):
            body.append("more")
        bo.text("body").append("bo ")
        await bo.saved()
        await until(lambda: "bo" in str(body))
        assert "written" not in str(bo.text("body"))
        await change_grant(server.url, name, "ana", "write")
        await ana.refresh()
        assert ana.grant == "write"
        await ana.saved()
        await until(lambda: str(bo.text("body")) == str(body))


@pytest.mark.rule("PY14", "PY15")
async def test_what_is_another_users(server: DemoServer, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Edits of somebody who is there are taken from nobody else: they wait for their owner, and the grant is as it was."""
    with Between(server.port) as between:
        async with (
            connect(server.url, name, token=token("ana")),
            connect(between.url, name, token=token("ana")) as ana,
            connect(server.url, name, token=token("bo")) as bo,
        ):
            ana.text("body").append("here ")
            await ana.saved()
            between.network = False
            between.cut()
            await until(lambda: ana.status is not Status.CONNECTED)
            ana.text("body").append("late")
            bo.merge(ana.encode())
            saving = asyncio.ensure_future(bo.saved())
            await until(lambda: "the server does not take edits" in caplog.text)
            assert (bo.grant, bo.unsaved, saving.done()) == ("write", 1, False)
            between.network = True
            await ana.saved()
            await saving
            assert str(bo.text("body")) == str(ana.text("body")) == "here late"


@pytest.mark.rule("PY14", "PY15")
async def test_a_grant_that_is_revoked(server: DemoServer, name: str) -> None:
    """It ends the connection for good. Who waits is told, and what is not saved is in the exception."""

    async def program() -> None:
        async with connect(server.url, name, token=token("ana")) as ana:
            ana.text("body").append("saved ")
            await ana.saved()
            await change_grant(server.url, name, "ana", None)
            await until(lambda: ana.status is Status.CLOSED)
            ana.text("body").append("late")
            for wait in (ana.saved, ana.refresh):
                with pytest.raises(Forbidden):
                    await wait()

    with pytest.raises(NotSaved, match="revoked") as left:
        await program()
    assert left.value.edits == 1
    assert isinstance(left.value.__cause__, Forbidden)
    async with connect(server.url, name, token=token("bo")) as bo:
        assert str(bo.text("body")) == "saved "
        bo.merge(left.value.update)
        assert str(bo.text("body")) == "saved late"
        with pytest.raises(ValueError, match="Cannot decode"):
            bo.merge(b"nonsense")
    with pytest.raises(Closed):
        bo.text("other")
    with pytest.raises(Closed):
        bo.text("body").append("x")


@pytest.mark.rule("PY16")
async def test_tokens_of_a_function(server: DemoServer, name: str) -> None:
    """It is called for each session; one that fails is called again, and what it said is told."""
    calls: list[float] = []

    async def fetched() -> str:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise RuntimeError("the backend is away")
        return f" {token()}\n"

    async with connect(server.url, name, token=fetched) as doc:
        await doc.saved()
    assert len(calls) == 2

    def broken() -> str:
        raise RuntimeError("the backend is away")

    with pytest.raises(NotConnected, match="the token function gave no token: the backend is away"):
        async with connect(server.url, name, token=broken, ssl=TRUST, connect_seconds=300 * MS):
            pass


@pytest.mark.rule("PY12", "PY16")
async def test_a_session_that_is_forgotten(server: DemoServer, name: str) -> None:
    """A server that does not know the access token any more is asked for a new session, with a new token."""
    given: list[str] = []

    def make() -> str:
        given.append(token())
        return given[-1]

    way = ServerWay(server.url, name, make, None)
    async with Document(name, way) as doc:
        doc.text("body").append("a")
        await doc.saved()
        assert way._session is not None
        async with httpx.AsyncClient(verify=TRUST) as client:
            headers = {"authorization": f"Bearer {way._session.access}"}
            (await client.post(f"{server.url}api/v2/realtime/disconnect", headers=headers)).raise_for_status()
        await until(lambda: len(given) == 2)
        doc.text("body").append("b")
        await doc.saved()
    assert len(given) == 2


def _renewed(way: ServerWay, first: object) -> bool:
    return way._session is not first


@pytest.mark.rule("PY16")
async def test_sessions_are_renewed_while_the_link_stays(
    server: DemoServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An access token of a long session by itself; a session that ends with it, by a new token of the function."""
    monkeypatch.setattr(server_module, "_LONGEST_LIFE", 100 * MS)
    monkeypatch.setattr(server_module, "_AGAIN_SECONDS", (0.0, 10 * MS))
    given: list[str] = []

    def short() -> str:
        given.append(token(ttl=60))
        if len(given) == 2:
            raise RuntimeError("the backend is away")
        return given[-1]

    for make, last in ((token(), False), (token(ttl=60), True), (short, True)):
        way = ServerWay(server.url, name, make, None)
        async with Document(name, way) as doc:
            link, first = doc._live.connection._link, way._session
            assert first is not None
            assert first.last is last
            if last and not callable(make):
                await asyncio.sleep(300 * MS)
                assert way._session is first, "no better token will come"
            else:
                await until(partial(_renewed, way, first))
            assert doc._live.connection._link is link
            doc.text("body").append("x")
            await doc.saved()
    assert len(given) >= 3


@pytest.mark.rule("PY12", "PY16")
async def test_an_access_token_that_is_old_is_renewed_before_a_new_link(server: DemoServer, name: str) -> None:
    """A string cannot be renewed by itself, but for the session that goes on."""
    with Between(server.port) as between:
        way = ServerWay(between.url, name, token(), None)
        async with Document(name, way) as doc:
            first = way._session
            assert first is not None
            way._session = replace(first, renew_at=0.0)
            between.cut()
            await until(lambda: doc.status is not Status.CONNECTED)
            await until(lambda: doc.synced)
            assert way._session is not None
            assert way._session.access != first.access
            assert way._session.ticket == first.ticket
