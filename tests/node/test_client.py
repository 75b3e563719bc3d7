"""The built @cowrite/client in Node against real servers, beside the stock y-websocket provider."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from between import Between
from cowrite.tokens import generate_secret, issue
from demo_server import DemoServer
from node_clients import Clients, client_program
from timing import MS

pytestmark = pytest.mark.timeout(120)  # the first run installs the packages


@pytest.fixture(scope="session")
def packages() -> Path:
    """A folder with the program, its packages and the client as it is published."""
    return client_program()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with DemoServer(tmp_path_factory.mktemp("server")) as one:
        yield one
        one.stop()
    assert one.errors() == []


@pytest.fixture(scope="module")
def process(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with closing(Clients(packages, tmp_path_factory.mktemp("node") / "complaints")) as one:
        yield one


@pytest.fixture
def clients(process: Clients) -> Iterator[Clients]:
    with process.lent() as one:
        yield one
    assert one("unhandled") == []


@pytest.fixture
def room() -> str:
    return f"room {uuid.uuid4()}/ü"


@pytest.mark.rule("CI1", "CI30")
def test_converges_with_a_stock_provider(server: DemoServer, clients: Clients, room: str) -> None:
    """What each types is in the other's text, and who is there is seen on both sides."""
    clients("open", "ana", kind="cowrite", url=server.url, room=room)
    clients("open", "bo", kind="stock", url=server.url, room=room)
    for name in ("ana", "bo"):
        clients("synced", name)
    for number in range(50):
        clients("insert", "ana", index=0, text=str(number % 10))
        clients("insert", "bo", index=0, text=chr(ord("a") + number % 26))
    clients("agree", names=["ana", "bo"], length=100)
    clients("saved", "ana")
    assert clients("unsaved", "ana") == 0
    clients("present", "ana", user="Ana")
    clients("present", "bo", user="Bo")
    clients("sees_users", "ana", users=["Bo"])
    clients("sees_users", "bo", users=["Ana"])
    clients("destroy", "ana")
    clients("sees_users", "bo", users=[])


@pytest.mark.rule("CI1", "CI10", "CI12", "CI13", "CI30")
@pytest.mark.parametrize("sockets", ["refuse", "swallow"])
def test_falls_back_and_climbs_back(server: DemoServer, clients: Clients, room: str, sockets: Any) -> None:
    """Where no WebSocket gets through it is polling within 3 s, and a WebSocket again once one does; typing goes on."""
    clients("open", "bo", kind="stock", url=server.url, room=room)
    clients("present", "bo", user="Bo")
    with Between(server.port, sockets=sockets) as between:
        clients("open", "ana", kind="cowrite", url=between.url, room=room)
        clients("goes_by", "ana", transport="polling")
        (change,) = clients("events", "ana", event="transport")
        assert change["at"] < 3000 * MS * 1000
        clients("present", "ana", user="Ana")
        clients("insert", "ana", index=0, text="Hello")
        clients("saved", "ana")
        clients("sees_text", "bo", text="Hello")
        clients("insert", "bo", index=5, text=" world")
        clients("sees_text", "ana", text="Hello world")
        clients("sees_users", "ana", users=["Bo"])
        clients("sees_users", "bo", users=["Ana"])
        between.sockets = "pass"
        length = len("Hello world")
        while clients("transport", "ana") != "websocket":
            clients("insert", "ana", index=0, text="a")
            clients("insert", "bo", index=0, text="b")
            length += 2
            time.sleep(20 * MS)
        clients("insert", "ana", index=0, text="!")
        clients("agree", names=["ana", "bo"], length=length + 1)
        clients("saved", "ana")
        assert [one["transport"] for one in clients("events", "ana", event="transport")] == ["polling", "websocket"]
        clients("sees_users", "bo", users=["Ana"])
        clients("sees_users", "ana", users=["Bo"])


@pytest.mark.rule("CI1", "CI11", "CI30")
def test_a_cut_connection_comes_back(server: DemoServer, clients: Clients, room: str) -> None:
    """What was typed while there was no connection is there afterwards, once; and each sees the other again."""
    with Between(server.port) as between:
        clients("open", "ana", kind="cowrite", url=between.url, room=room)
        clients("open", "bo", kind="stock", url=server.url, room=room)
        clients("synced", "ana")
        clients("present", "ana", user="Ana")
        clients("sees_users", "bo", users=["Ana"])
        clients("present", "bo", user="Bo")
        clients("quiet", "bo")
        clients("sees_users", "ana", users=["Bo"])
        between.cut()
        clients("insert", "ana", index=0, text="meanwhile")
        clients("sees_text", "bo", text="meanwhile")
        clients("saved", "ana")
        clients("sees_users", "bo", users=["Ana"])
        clients("sees_users", "ana", users=["Bo"])


@pytest.mark.rule("CI4")
def test_saved_means_on_disk(tmp_path: Path, clients: Clients, room: str) -> None:
    """What is called saved is there after the server is killed at that moment; what was typed meanwhile comes after it."""
    with DemoServer(tmp_path) as server:
        clients("open", "ana", kind="cowrite", url=server.url, room=room)
        clients("synced", "ana")
        for number in range(20):
            clients("insert", "ana", index=0, text=f"{number} ")
        assert clients("unsaved", "ana") > 0
        clients("saved", "ana")
        server.kill()
        text = clients("text", "ana")
        clients("becomes", "ana", status="disconnected")
        clients("insert", "ana", index=0, text="offline ")
        assert clients("unsaved", "ana") == 1
        clients("disconnect", "ana")
        server.start()
        clients("open", "bo", kind="stock", url=server.url, room=room)
        clients("sees_text", "bo", text=text)
        clients("connect", "ana")
        clients("saved", "ana")
        clients("sees_text", "bo", text=f"offline {text}")
        server.stop()
    assert server.errors() == []


@pytest.mark.rule("CI11", "CI20", "CI30")
def test_through_a_kill(tmp_path: Path, clients: Clients, room: str) -> None:
    """A client of a server that was killed and has forgotten all sessions comes back by itself."""
    with DemoServer(tmp_path) as server:
        clients("open", "ana", kind="cowrite", url=server.url, room=room)
        clients("open", "op", kind="operations", url=server.url, room=room)
        clients("synced", "ana")
        clients("synced", "op")
        clients("insert", "ana", index=0, text="before")
        clients("sees_text", "op", text="before")
        server.kill()
        clients("becomes", "ana", status="disconnected")
        clients("becomes", "op", status="disconnected")
        clients("insert", "ana", index=6, text=" after")
        clients("submit_later", "op", index=0, text="> ")
        server.start()
        clients("sees_text", "ana", text="> before after")
        clients("sees_text", "op", text="> before after")
        clients("saved", "op")
        assert len(clients("log", "op")) == len(set(clients("log", "op")))
        server.stop()
    assert server.errors() == []


SECRET = generate_secret()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    """A server that checks tokens."""
    with DemoServer(tmp_path_factory.mktemp("strict"), COWRITE_SECRET=SECRET) as one:
        yield one
        one.stop()
    assert one.errors() == []


def token(user: str, grant: str = "write", *, document: str = "*", ttl: int = 600) -> str:
    return issue(SECRET, sub=user, documents={document: grant}, ttl=ttl)


@pytest.mark.rule("CI21", "CI22")
@pytest.mark.parametrize("sockets", ["pass", "refuse"])
def test_tokens_are_renewed(strict: DemoServer, clients: Clients, room: str, sockets: Any) -> None:
    """A session is prolonged with a new token before it ends; nobody notices."""
    with Between(strict.port, sockets=sockets) as between:
        tokens = [token("ana", ttl=seconds) for seconds in (8, 15, 600)]
        clients("open", "ana", kind="cowrite", url=between.url, room=room, tokens=tokens)
        clients("open", "bo", kind="stock", url=strict.url, room=room, tokens=tokens[2:])
        clients("synced", "ana")
        began, length = time.monotonic(), 0
        while clients("asked", "ana") < 3:
            assert time.monotonic() - began < 20_000 * MS
            clients("insert", "ana", index=0, text="x")
            length += 1
            time.sleep(100 * MS)
        clients("insert", "ana", index=0, text="x")
        clients("agree", names=["ana", "bo"], length=length + 1)
        clients("saved", "ana")
        assert [one["status"] for one in clients("events", "ana", event="status")] == ["connected"]
        assert clients("events", "ana", event="error") == []


@pytest.mark.rule("CI20", "CI23")
def test_a_token_function_that_throws(strict: DemoServer, clients: Clients, room: str) -> None:
    """It is one event, and is called again."""
    clients("open", "ana", kind="cowrite", url=strict.url, room=room, tokens=[token("ana")], throws=2)
    clients("synced", "ana")
    errors = clients("events", "ana", event="error")
    assert [(one["kind"], "the token service is down" in one["message"]) for one in errors] == [("token", True)] * 2
    assert clients("asked", "ana") == 3


@pytest.mark.rule("CI15", "CI24")
def test_a_bad_token_ends_it(strict: DemoServer, clients: Clients, room: str) -> None:
    """Without a valid token, and without a grant, the client says so once and does not come back."""
    elsewhere = token("ana", document="other")
    for name, shown, code in (("ana", "stale", 4401), ("bo", elsewhere, 4403)):
        clients("open", name, kind="cowrite", url=strict.url, room=room, tokens=[shown])
        (failed,) = clients("tells", name, event="authenticationFailed")
        assert failed["code"] == code
    time.sleep(1500 * MS)
    for name in ("ana", "bo"):
        assert clients("asked", name) == 1
        assert [one["kind"] for one in clients("events", name, event="error")] == ["refused"]
        assert clients("status", name) == "disconnected"


@pytest.mark.rule("CI15", "CI24")
@pytest.mark.parametrize("sockets", ["pass", "refuse"])
def test_a_revoked_session_ends(strict: DemoServer, clients: Clients, room: str, sockets: Any) -> None:
    """A grant that is revoked ends the connection for good."""
    with Between(strict.port, sockets=sockets) as between:
        clients("open", "ana", kind="cowrite", url=between.url, room=room, tokens=[token("ana")])
        clients("synced", "ana")
        body = json.dumps({"document_id": room, "user_id": "ana", "grant": None}).encode()
        headers = {"authorization": f"Bearer {token('bo', 'admin')}", "content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{strict.url}api/v2/realtime/grants", body, headers), timeout=10).close()
        (failed,) = clients("tells", "ana", event="authenticationFailed")
        assert failed["code"] == 4403
        time.sleep(1000 * MS)
        assert clients("asked", "ana") == 1
        assert clients("status", "ana") == "disconnected"


@pytest.mark.rule("CI5")
@pytest.mark.parametrize("sockets", ["pass", "refuse"])
def test_a_reader_keeps_its_edits(strict: DemoServer, clients: Clients, room: str, sockets: Any) -> None:
    """Who may only read goes on reading; what is typed all the same stays there and is never called saved."""
    with Between(strict.port, sockets=sockets) as between:
        clients("open", "bo", kind="cowrite", url=strict.url, room=room, tokens=[token("bo")])
        clients("insert", "bo", index=0, text="for all")
        clients("open", "ana", kind="cowrite", url=between.url, room=room, tokens=[token("ana", "read")])
        clients("sees_text", "ana", text="for all")
        assert clients("read_only", "ana")
        clients("insert", "ana", index=0, text="mine: ")
        clients("insert", "bo", index=7, text="!")
        clients("sees_text", "ana", text="mine: for all!")
        assert clients("unsaved", "ana") == 1
        assert clients("text", "bo") == "for all!"


@pytest.mark.rule("CI44")
@pytest.mark.parametrize("sockets", ["pass", "refuse"])
def test_what_clients_without_yjs_tell_of_themselves(server: DemoServer, clients: Clients, room: str, sockets: Any) -> None:
    """Each sees the other's cursor, by a socket and by polling, also after the connection has come anew."""
    with Between(server.port, sockets=sockets) as between:
        for name, url in (("ana", server.url), ("bo", between.url)):
            clients("open", name, kind="operations", url=url, room=room)
            clients("synced", name)
        (first,) = clients("submit", "ana", index=0, text="x")
        assert first
        clients("tell", "ana", about={"cursor": 1, "data": {"typing": True}})
        clients("tell", "bo", about={"cursor": 2})
        clients("sees_cursor", "ana", cursor=2)
        clients("sees_cursor", "bo", cursor=1)
        between.cut()
        clients("tell", "bo", about={"cursor": 3})
        clients("sees_cursor", "ana", cursor=3)


@pytest.mark.rule("CI40", "CI41", "CI42")
@pytest.mark.parametrize("sockets", ["pass", "refuse"])
def test_operations_and_yjs_in_one_document(server: DemoServer, clients: Clients, room: str, sockets: Any) -> None:
    """A client without Yjs and two with it edit one document; all end with the same text, and each operation is told once."""
    with Between(server.port, sockets=sockets) as between:
        clients("open", "ana", kind="cowrite", url=server.url, room=room)
        clients("insert", "ana", index=0, text="start")
        clients("saved", "ana")
        clients("open", "op", kind="operations", url=between.url, room=room)
        clients("open", "bo", kind="stock", url=server.url, room=room)
        clients("sees_text", "op", text="start")
        length = len("start")
        for number in range(20):
            clients("submit_later", "op", index=0, text=f"{number % 10}")
            clients("insert", "ana", index=0, text="a")
            clients("insert", "bo", index=0, text="b")
            length += 3
        clients("saved", "op")
        if sockets == "pass":
            clients("goes_by", "op", transport="websocket")
            between.cut()
        (committed,) = clients("submit", "op", index=0, text=">")
        clients("agree", names=["ana", "bo", "op"], length=length + 1)
        log = clients("log", "op")
        assert len(log) == len(set(log))
        assert committed in log


@pytest.mark.rule("CI31")
@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_slow_link(server: DemoServer, clients: Clients, room: str, transport: str) -> None:
    """Where everything takes its time, edits of both sides arrive at the other one, by the transport that there is."""
    with Between(server.port, sockets="pass" if transport == "websocket" else "refuse", delay=0.025) as between:
        for name in ("ana", "bo"):
            clients("open", name, kind="cowrite", url=between.url, room=room)
        for name in ("ana", "bo"):
            clients("goes_by", name, transport=transport)
        for number in range(5):
            clients("insert", "ana", index=0, text="a")
            clients("insert", "bo", index=0, text="b")
            clients("agree", names=["ana", "bo"], length=2 * number + 2)
        clients("saved", "ana")
        assert {clients("transport", name) for name in ("ana", "bo")} == {transport}


@pytest.mark.rule("CI10", "CI30")
def test_two_seconds_of_latency(server: DemoServer, clients: Clients, room: str) -> None:
    """On a link that takes 2 s to answer, typing goes on, and everything arrives."""
    with Between(server.port, delay=1.0) as between:
        clients("open", "ana", kind="cowrite", url=between.url, room=room)
        clients("open", "bo", kind="stock", url=server.url, room=room)
        clients("synced", "ana")
        clients("insert", "ana", index=0, text="slowly")
        clients("sees_text", "bo", text="slowly")
        clients("insert", "bo", index=6, text=", but surely")
        clients("sees_text", "ana", text="slowly, but surely")
        clients("saved", "ana")


@pytest.mark.rule("LM10")
def test_a_full_document(tmp_path: Path, clients: Clients, room: str) -> None:
    """Who has more than the document may hold is told so and stays; once somebody has made room everybody has the same."""
    with DemoServer(tmp_path, COWRITE_LIMIT_DOCUMENT_BYTES="4000") as server:
        clients("open", "ana", kind="cowrite", url=server.url, room=room)
        clients("open", "bo", kind="stock", url=server.url, room=room)
        for name in ("ana", "bo"):
            clients("synced", name)
        clients("insert", "bo", index=0, text="b" * 3000)
        clients("sees_text", "ana", text="b" * 3000)
        clients("insert", "ana", index=0, text="a" * 2000)
        (told,) = clients("tells", "ana", event="error")
        assert told["kind"] == "denied"
        assert "the document is full: it may have 4000 bytes" in told["message"]
        clients("insert", "bo", index=3000, text="c" * 500)
        clients("sees_text", "ana", text="a" * 2000 + "b" * 3000 + "c" * 500)
        assert clients("text", "bo") == "b" * 3000 + "c" * 500
        assert clients("unsaved", "ana") == 1
        clients("delete", "ana", index=2000, length=1000)
        clients("sees_text", "bo", text="b" * 2000 + "c" * 500)
        clients("delete", "bo", index=0, length=1000)
        clients("agree", names=["ana", "bo"], length=3500)
        clients("saved", "ana")
        assert clients("status", "ana") == "connected"
        assert len(clients("events", "ana", event="error")) == 1
