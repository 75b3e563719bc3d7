"""Unmodified y-websocket providers, versions 2 and 3, in Node against a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cowrite.tokens import generate_secret, issue
from demo_server import DemoServer
from node_program import LedProgram, install

pytestmark = pytest.mark.timeout(120)  # the first run installs the packages

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "providers"
ACK_PROTOCOL = "cowrite.ack.v1"
VERSIONS = pytest.mark.parametrize(("one", "other"), [(2, 3), (3, 2), (3, 3)])


@pytest.fixture(scope="module")
def packages() -> Path:
    return install(HERE / "providers", CACHE, HERE / "led.mjs") / "providers.mjs"


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with DemoServer(tmp_path_factory.mktemp("server")) as server:
        yield server
        server.stop()
    assert server.errors() == []


@pytest.fixture(scope="module")
def process(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedProgram]:
    with closing(LedProgram(packages, tmp_path_factory.mktemp("node") / "complaints")) as one:
        yield one


@pytest.fixture
def providers(process: LedProgram) -> Iterator[LedProgram]:
    with process.lent() as one:
        yield one


@dataclass(frozen=True, slots=True)
class Rooms:
    """Opens providers in rooms of a server."""

    server: DemoServer
    providers: LedProgram

    def open(self, provider: str, version: int, room: str, **options: Any) -> None:
        """Open a provider and wait until it is in step with the server."""
        url = f"{self.server.url.replace('http', 'ws')}yjs"
        self.providers("open", provider, version=version, url=url, room=room, **options)
        self.providers("synced", provider)


@pytest.fixture
def rooms(shared_server: DemoServer, providers: LedProgram) -> Rooms:
    return Rooms(shared_server, providers)


@pytest.fixture
def room() -> str:
    return f"room-{uuid.uuid4()}"


@pytest.mark.rule("PG17")
@VERSIONS
def test_providers_converge(rooms: Rooms, providers: LedProgram, room: str, one: int, other: int) -> None:
    """What each types is in the other's text, and in that of whoever comes later."""
    rooms.open("ana", one, room)
    providers("insert", "ana", index=0, text="Hello")
    rooms.open("bo", other, room)
    providers("sees_text", "bo", text="Hello")
    providers("insert", "bo", index=5, text=" world 👋")
    providers("sees_text", "ana", text="Hello world 👋")
    for number in range(50):
        providers("insert", "ana", index=0, text=str(number % 10))
        providers("insert", "bo", index=0, text=chr(ord("a") + number % 26))
    providers("agrees", "ana", other="bo", length=len("Hello world 👋".encode("utf-16-le")) // 2 + 100)
    rooms.open("cem", one, room)
    providers("sees_text", "cem", text=providers("text", "ana"))


@pytest.mark.rule("PG17")
@VERSIONS
def test_offline_edits_merge(rooms: Rooms, providers: LedProgram, room: str, one: int, other: int) -> None:
    """What both typed while both were away is there when both are back, once and in the same order for both."""
    rooms.open("ana", one, room)
    rooms.open("bo", other, room)
    providers("insert", "ana", index=0, text="base ")
    providers("sees_text", "bo", text="base ")
    for name in ("ana", "bo"):
        providers("disconnect", name)
        providers("offline", name)
    providers("insert", "ana", index=5, text="[ana]")
    providers("insert", "bo", index=0, text="[bo]")
    for name in ("ana", "bo"):
        providers("connect", name)
    for name in ("ana", "bo"):
        providers("sees_text", name, text="[bo]base [ana]")


@pytest.mark.rule("PG18")
@VERSIONS
def test_awareness_appears_and_goes(rooms: Rooms, providers: LedProgram, room: str, one: int, other: int) -> None:
    """A user appears at the other, changes, and is gone: with a goodbye at once, and after a cut when nobody comes back."""
    rooms.open("ana", one, room, user="Ana")
    rooms.open("bo", other, room, user="Bo")
    providers("sees_users", "ana", users=["Bo"])
    providers("sees_users", "bo", users=["Ana"])
    providers("present", "bo", user="Bo the second")
    providers("sees_users", "ana", users=["Bo the second"])
    providers("disconnect", "bo")
    providers("sees_users", "ana", users=[])


@pytest.mark.rule("PG18")
def test_awareness_of_a_dead_process_goes(
    rooms: Rooms, providers: LedProgram, packages: Path, tmp_path: Path, room: str
) -> None:
    """A client that ends without a goodbye is gone from the others within seconds, not after Yjs' 30."""
    with closing(LedProgram(packages, tmp_path / "dying")) as dying:
        Rooms(rooms.server, dying).open("bo", 3, room, user="Bo")
        rooms.open("ana", 2, room, user="Ana")
        providers("sees_users", "ana", users=["Bo"])
    providers("sees_users", "ana", users=[])
    assert dying.complaints() == []


@pytest.mark.rule("PG18")
def test_a_cut_connection_comes_back_by_itself(rooms: Rooms, providers: LedProgram, room: str) -> None:
    """A provider whose connection broke reconnects, catches up and is seen again."""
    rooms.open("ana", 3, room, user="Ana")
    rooms.open("bo", 2, room, user="Bo")
    providers("sees_users", "ana", users=["Bo"])
    providers("cut", "bo")
    providers("insert", "ana", index=0, text="meanwhile")
    providers("insert", "bo", index=0, text="and here ")
    for name in ("ana", "bo"):
        providers("synced", name)
    providers("insert", "ana", index=0, text=".")
    providers("present", "bo", user="Bo again")
    providers("sees_users", "ana", users=["Bo again"])
    text = providers("text", "ana")
    providers("sees_text", "bo", text=text)
    assert sorted(text) == sorted(".meanwhileand here ")


@pytest.mark.rule("PG19")
@pytest.mark.parametrize(
    ("written", "encoded"),
    [
        ("naïve-同期-👋", quote("naïve-同期-👋")),
        ("with space", "with%20space"),
        ("folder/sub/file", "folder%2Fsub%2ffile"),
        ("50% off", "50%25%20off"),
        ("twice%2525", "twice%25%32%35"),
        ("plus+and&equals=", "plus%2Band%26equals%3D"),
        ("semi;colon:at@,!*'()", quote("semi;colon:at@,!*'()")),
    ],
)
def test_names_of_rooms(rooms: Rooms, providers: LedProgram, written: str, encoded: str) -> None:
    """A name as applications write it and the same name percent-encoded are one document; encoded twice it is another."""
    unique = uuid.uuid4()
    rooms.open("written", 2, f"{written}-{unique}")
    providers("insert", "written", index=0, text="here")
    rooms.open("encoded", 3, f"{encoded}-{unique}")
    providers("sees_text", "encoded", text="here")
    rooms.open("twice", 3, f"{quote(encoded, safe='')}-{unique}")
    assert providers("text", "twice") == ""


@pytest.mark.rule("PG20")
@pytest.mark.parametrize("version", [2, 3])
def test_no_acknowledgements_unasked(rooms: Rooms, providers: LedProgram, room: str, version: int) -> None:
    """A provider that does not offer the sub-protocol gets no message that it does not know."""
    rooms.open("stock", version, room, user="Ana")
    providers("insert", "stock", index=0, text="hello")
    rooms.open("later", 3, room)
    providers("sees_text", "later", text="hello")
    assert set(providers("types", "stock")) <= {0, 1}
    assert providers("protocols", "stock") == [""]


@pytest.mark.rule("PG20")
def test_acknowledgements_for_those_who_ask(rooms: Rooms, providers: LedProgram, room: str) -> None:
    """A provider that offers the sub-protocol gets it selected, and the count of its uploads in message 100."""
    # The stock provider has no handler for message 100 and says so; the page gives it one.
    providers.expected = {"Unable to compute message"}
    rooms.open("asking", 3, room, protocols=["something.else", ACK_PROTOCOL])
    providers("insert", "asking", index=0, text="hello")
    providers("is_told", "asking", count=2)  # its SyncStep2 and its Update
    assert providers("protocols", "asking") == [ACK_PROTOCOL]
    counts = providers("counts", "asking")
    assert counts == sorted(set(counts))


@pytest.mark.rule("TR6", "PG20")
def test_a_token_in_the_parameters(tmp_path: Path, providers: LedProgram, room: str) -> None:
    """As docs/connect.md says: a provider whose token is no good stops with 4401, and goes on with a fresh one."""
    secret = generate_secret()
    token = issue(secret, sub="ana", documents={"room-*": "write"})
    with DemoServer(tmp_path, COWRITE_SECRET=secret) as server:
        url = f"{server.url.replace('http', 'ws')}yjs"
        providers("open", "ana", version=3, url=url, room=room, params={"token": "stale"})
        assert providers("closed", "ana") == [4401]
        providers("renew", "ana", params={"token": token})
        providers("synced", "ana")
        providers("insert", "ana", index=0, text="hello")
        Rooms(server, providers).open("bo", 2, room, params={"token": token})
        providers("sees_text", "bo", text="hello")


@pytest.mark.rule("PG21")
def test_through_a_kill(tmp_path: Path, providers: LedProgram, room: str) -> None:
    """After kill -9 and a new start both come back by themselves; nothing is lost or doubled."""
    with DemoServer(tmp_path) as server:
        rooms = Rooms(server, providers)
        rooms.open("ana", 2, room)
        rooms.open("bo", 3, room)
        providers("insert", "ana", index=0, text="before")
        providers("sees_text", "bo", text="before")
        server.kill()
        for name in ("ana", "bo"):
            providers("offline", name)
        providers("insert", "bo", index=6, text=" after")
        server.start()
        for name in ("ana", "bo"):
            providers("sees_text", name, text="before after")
        rooms.open("cem", 3, room)
        assert providers("text", "cem") == "before after"
        server.stop()
    assert server.errors() == []
