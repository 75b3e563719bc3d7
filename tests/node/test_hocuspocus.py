"""Unmodified Hocuspocus providers, versions 2, 3 and 4, in Node against a real server."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cowrite.tokens import generate_secret, issue
from demo_server import DemoServer
from node_program import LedProgram, install

pytestmark = pytest.mark.timeout(120)  # the first run installs the packages

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "hocuspocus"
SECRET = generate_secret()
PAIRS = pytest.mark.parametrize(("one", "other"), [(2, 3), (3, 4), (4, 2)])
VERSIONS = pytest.mark.parametrize("version", [2, 3, 4])
FROM_3 = pytest.mark.parametrize("version", [3, 4])


def token(user: str, grant: str = "write", *, documents: str = "*", ttl: int = 3600) -> str:
    return issue(SECRET, sub=user, documents={documents: grant}, ttl=ttl)


@pytest.fixture(scope="module")
def program() -> Path:
    return install(HERE / "hocuspocus", CACHE, HERE / "led.mjs") / "hocuspocus.mjs"


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    folder, much = tmp_path_factory.mktemp("server"), str(8 << 20)
    with DemoServer(folder, COWRITE_SECRET=SECRET, COWRITE_LIMIT_INCOMING_BYTES=much, COWRITE_LIMIT_SYNC_BYTES=much) as server:
        yield server
        server.stop()
    assert server.errors() == []


@pytest.fixture(scope="module")
def process(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedProgram]:
    with closing(LedProgram(program, tmp_path_factory.mktemp("node") / "complaints")) as one:
        yield one


@pytest.fixture
def providers(process: LedProgram) -> Iterator[LedProgram]:
    with process.lent() as one:
        yield one


@dataclass(frozen=True, slots=True)
class Documents:
    """Opens providers at a server."""

    server: DemoServer
    providers: LedProgram

    @property
    def url(self) -> str:
        return f"{self.server.url.replace('http', 'ws')}hocuspocus"

    def open(self, provider: str, version: int, name: str, **options: Any) -> None:
        """Open a provider and wait until it is in step with the server, and saved."""
        self.begin(provider, version, name, **options)
        self.providers("synced", provider)
        self.providers("saved", provider)

    def open_unsaved(self, provider: str, version: int, name: str, **options: Any) -> None:
        """The same while the disk is not written to."""
        self.begin(provider, version, name, **options)
        self.providers("synced", provider)

    def begin(self, provider: str, version: int, name: str, **options: Any) -> None:
        self.providers("open", provider, version=version, url=self.url, name=name, **options)


@pytest.fixture
def documents(shared_server: DemoServer, providers: LedProgram) -> Documents:
    return Documents(shared_server, providers)


@pytest.fixture
def name() -> str:
    return f"naïve 同期/{uuid.uuid4()}"


@pytest.mark.rule("HP11")
@PAIRS
def test_providers_converge(documents: Documents, providers: LedProgram, name: str, one: int, other: int) -> None:
    """What each types is in the other's text and in that of whoever comes later, and all of it is saved."""
    documents.open("ana", one, name)
    providers("insert", "ana", index=0, text="Hello")
    documents.open("bo", other, name)
    providers("sees_text", "bo", text="Hello")
    for number in range(50):
        providers("insert", "ana", index=0, text=str(number % 10))
        providers("insert", "bo", index=0, text=chr(ord("a") + number % 26))
    providers("agrees", "ana", other="bo", length=105)
    for who in ("ana", "bo"):
        providers("saved", who)
    documents.open("cem", one, name)
    providers("sees_text", "cem", text=providers("text", "ana"))


@pytest.mark.rule("HP11")
@VERSIONS
def test_offline_edits_merge(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """What was typed while away is there, and saved, when the provider is back."""
    documents.open("ana", version, name)
    documents.open("bo", 4, name)
    providers("disconnect", "ana")
    providers("offline", "ana")
    providers("insert", "ana", index=0, text="[ana]")
    providers("delete", "ana", index=0, length=1)
    providers("insert", "bo", index=0, text="[bo]")
    providers("connect", "ana")
    for who in ("ana", "bo"):
        providers("synced", who)
        providers("saved", who)
    providers("agrees", "ana", other="bo", length=8)
    assert providers("lowest", "ana") == 0


@pytest.mark.rule("HP17")
@PAIRS
def test_awareness_appears_and_goes(documents: Documents, providers: LedProgram, name: str, one: int, other: int) -> None:
    """A user appears at the other, changes, and is gone with a goodbye at once."""
    documents.open("ana", one, name, user="Ana")
    documents.open("bo", other, name, user="Bo")
    providers("sees_users", "ana", users=["Bo"])
    providers("sees_users", "bo", users=["Ana"])
    providers("present", "bo", user="Bo the second")
    providers("sees_users", "ana", users=["Bo the second"])
    providers("destroy", "bo")
    providers("sees_users", "ana", users=[])


@pytest.mark.rule("HP17")
@VERSIONS
def test_a_cut_connection_leaves_no_ghost(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """Who was cut off is seen again when back; and after the next cut, without a return, is gone: the id is still theirs."""
    documents.open("ana", 4, name, user="Ana")
    documents.open("bo", version, name, user="Bo")
    providers("sees_users", "ana", users=["Bo"])
    providers("cut", "bo")
    providers("present", "bo", user="Bo again")
    providers("sees_users", "ana", users=["Bo again"])
    # What Bo knew of Ana is old news after that, by its clock, until Ana says something.
    providers("present", "ana", user="Ana again")
    providers("sees_users", "bo", users=["Ana again"])
    providers("disconnect", "bo")
    providers("sees_users", "ana", users=[])


@pytest.mark.rule("HP12")
@VERSIONS
def test_saved_means_on_disk(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """While the database is locked by somebody else others see the edit, and it does not count as saved."""
    documents.open("ana", version, name)
    documents.open("bo", 4, name)
    with closing(sqlite3.connect(documents.server.database, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        providers("insert", "ana", index=0, text="not yet")
        providers("sees_text", "bo", text="not yet")
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert providers("unsynced", "ana") == 1
            time.sleep(0.1)
        database.execute("ROLLBACK")
    providers("saved", "ana")


@pytest.mark.rule("HP12")
@VERSIONS
def test_counts_come_out_even(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """Synchronisation is forced while edits are in flight: nothing counts as saved while the disk is not written to, and in the
    end everything; the count never falls below 0.
    """
    documents.open("ana", version, name)
    with closing(sqlite3.connect(documents.server.database, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        providers("edit_and_force_sync", "ana", times=3)
        documents.open_unsaved("bo", 4, name)
        providers("sees_text", "bo", text="bababa")
        assert providers("unsynced", "ana") == 2
        database.execute("ROLLBACK")
    providers("saved", "ana")
    providers("insert", "ana", index=0, text="!")
    providers("saved", "ana")
    for _ in range(5):
        providers("edit_and_force_sync", "ana", times=1)
        if version == 2:
            # Where the disk was faster than its second message, the answer to the first is taken off the new count, and this
            # version stays below 0 until it begins anew (SyncStatuses).
            time.sleep(0.1)
            providers("force_sync", "ana")
        providers("saved", "ana")
        time.sleep(0.1)
    assert providers("unsynced", "ana") == 0
    assert providers("early", "ana") == 0
    assert providers("lowest", "ana") in ((0, -1) if version == 2 else (0,))


@pytest.mark.rule("HP13")
@VERSIONS
def test_read_only(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """A reader is told so and is in step, also after deletions; what it types is nobody's, and stays unsaved."""
    documents.open("ana", 4, name, token=token("ana"))
    providers("insert", "ana", index=0, text="Hello")
    providers("delete", "ana", index=0, length=1)
    documents.open("rea", version, name, token=token("rea", "read"))
    providers("sees_text", "rea", text="ello")
    assert providers("scope", "rea") == "readonly"
    assert providers("scope", "ana") == "read-write"
    providers("disconnect", "rea")
    providers("offline", "rea")
    providers("connect", "rea")
    providers("synced", "rea")
    providers("saved", "rea")
    providers("insert", "rea", index=0, text="no ")
    providers("insert", "ana", index=4, text="!")
    providers("sees_text", "rea", text="no ello!")
    assert providers("unsynced", "rea") == 1
    assert providers("text", "ana") == "ello!"


@pytest.mark.rule("HP6")
@VERSIONS
def test_denied(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """A token that is no good is told, with a reason that says nothing about it; others on the socket go on."""
    providers("socket", "s", version=version, url=documents.url)
    documents.begin("bad", version, name, socket="s", token="nope")
    providers("hears", "bad", event="authenticationFailed", last={"reason": "unauthorized"})
    documents.begin("other", version, name, socket="s", token=token("eve", documents="elsewhere"))
    documents.open("good", version, f"{name} 2", socket="s", token=token("ana"))
    providers("insert", "bad", index=0, text="lost")
    providers("insert", "good", index=0, text="kept")
    providers("saved", "good")
    assert providers("codes", "good") == []


@pytest.mark.rule("HP6")
@FROM_3
def test_denied_and_again(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """Who was refused may try again on the same socket, by another provider with a better token."""
    providers("socket", "s", version=version, url=documents.url)
    documents.begin("ana", version, name, socket="s", token="nope")
    providers("hears", "ana", event="authenticationFailed", last={"reason": "unauthorized"})
    providers("flip", "ana", name=name, token=token("ana"))
    providers("synced", "ana")
    providers("insert", "ana", index=0, text="at last")
    providers("saved", "ana")
    assert providers("told", "ana", event="close") == []


@pytest.mark.rule("HP25", "TR50")
def test_much_that_was_edited_offline(documents: Documents, providers: LedProgram, name: str) -> None:
    """More than twice as much as a user may have waiting arrives by one socket, which nobody closes."""
    providers("socket", "s", version=4, url=documents.url)
    names = [f"{name} {number}" for number in range(6)]
    for each in names:
        documents.open(each, 4, each, socket="s")
    providers("disconnect", names[0])
    providers("offline", names[0])
    before = providers("codes", names[0])
    for each in names:
        providers("insert", each, index=0, text="x" * 900_000)
    providers("connect", names[0])
    for each in names:
        providers("synced", each)
        providers("saved", each)
    assert providers("codes", names[0]) == before


@pytest.mark.rule("HP5")
@VERSIONS
def test_several_documents_on_one_socket(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """Each has its own text, its own people and its own end."""
    providers("socket", "s", version=version, url=documents.url)
    names = [f"{name} {number}" for number in range(5)]
    for each in names:
        documents.open(each, version, each, socket="s", user=each)
        providers("insert", each, index=0, text=each)
    documents.open("bo", 4, names[3], user="Bo")
    providers("sees_text", "bo", text=names[3])
    providers("sees_users", "bo", users=[names[3]])
    providers("sees_users", names[3], users=["Bo"])
    assert providers("unsynced", names[3]) == 0
    providers("destroy", names[3])
    providers("sees_users", "bo", users=[])
    providers("insert", names[4], index=0, text="going on ")
    providers("saved", names[4])
    assert [providers("text", each) for each in names] == [*names[:4], f"going on {names[4]}"]


@pytest.mark.rule("HP5")
def test_one_document_twice_on_one_socket(documents: Documents, providers: LedProgram, name: str) -> None:
    """Version 4 with sessionAwareness: two providers of one document share a socket, and see each other."""
    providers("socket", "s", version=4, url=documents.url)
    for who in ("ana", "bo"):
        documents.open(who, 4, name, socket="s", user=who, options={"sessionAwareness": True})
    providers("insert", "ana", index=0, text="Hello")
    providers("sees_text", "bo", text="Hello")
    providers("sees_users", "bo", users=["ana"])
    providers("detach", "ana")
    providers("insert", "bo", index=5, text=" again")
    providers("attach", "ana")
    providers("sees_text", "ana", text="Hello again")
    for who in ("ana", "bo"):
        providers("saved", who)


@pytest.mark.rule("HP9")
@VERSIONS
@pytest.mark.parametrize("shown", [True, False], ids=["token", "anonymous"])
def test_away_and_back_in_one_burst(documents: Documents, providers: LedProgram, name: str, version: int, shown: bool) -> None:
    """As React's strict mode does: the second provider is alive, saved, and never told that it was closed."""
    options = {"name": name, "token": token("ana")} if shown else {"name": name}
    providers("socket", "s", version=version, url=documents.url)
    documents.open("first", version, f"{name} first", socket="s")  # so that the socket is open, and the burst is one
    providers("open_and_flip", "ana", socket="s", user="Ana", **options)
    providers("synced", "ana")
    providers("insert", "ana", index=0, text="alive")
    providers("saved", "ana")
    documents.open("bo", 4, name)
    providers("sees_text", "bo", text="alive")
    for _ in range(3):
        providers("flip", "ana", user="Ana again", **options)
    providers("insert", "bo", index=5, text="!")
    providers("sees_text", "ana", text="alive!")
    providers("sees_users", "bo", users=["Ana again"])
    time.sleep(0.2)
    # What was under way to its predecessor reaches it, too; 2 then counts below 0.
    assert providers("unsynced", "ana") == 0 or (version == 2 and providers("unsynced", "ana") < 0)
    assert providers("told", "ana", event="close") == []


@pytest.mark.rule("HP18")
@PAIRS
def test_stateless_messages(documents: Documents, providers: LedProgram, name: str, one: int, other: int) -> None:
    """A text between applications reaches everybody in the document, its sender too, unless the sender is a reader."""
    documents.open("ana", one, name)
    documents.open("bo", other, name)
    documents.open("rea", 4, name, token=token("rea", "read"))
    documents.open("else", 4, f"{name} else")
    providers("send_stateless", "rea", payload="never")
    providers("send_stateless", "ana", payload="ping! 👋")
    for who in ("ana", "bo", "rea"):
        providers("hears", who, event="stateless", last={"payload": "ping! 👋"})
        assert len(providers("told", who, event="stateless")) == 1
    assert providers("told", "else", event="stateless") == []


@pytest.mark.rule("HP19")
@FROM_3
def test_a_token_is_renewed(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """Before a token ends the provider is asked for another one, whose grant holds from then on."""
    tokens = [token("ana", "read", ttl=4), token("ana", "write")]
    documents.open("ana", version, name, tokens=tokens)
    assert providers("scope", "ana") == "readonly"
    providers("insert", "ana", index=0, text="early ")
    providers("is_asked", "ana", times=2)
    providers("hears", "ana", event="authenticated", last={"scope": "read-write"})
    providers("insert", "ana", index=6, text="late")
    providers("saved", "ana")
    documents.open("bo", 4, name)
    providers("sees_text", "bo", text="early late")


@pytest.mark.rule("HP19")
@VERSIONS
def test_a_bad_token_shown_later(documents: Documents, providers: LedProgram, name: str, version: int) -> None:
    """Who shows a token that is no good is out of that document; how it is told depends on what its version understands."""
    documents.open("ana", version, name, tokens=[token("ana"), "nope"])
    if version == 2:  # it shows a token only when it comes
        providers("cut", "ana")
        providers("hears", "ana", event="authenticationFailed", last={"reason": "unauthorized"})
        assert providers("asked", "ana") == 2
        return
    providers("send_token", "ana")
    told = (
        ("close", {"code": 1000, "reason": "unauthorized"})
        if version == 4
        else ("authenticationFailed", {"reason": "unauthorized"})
    )
    providers("hears", "ana", event=told[0], last=told[1])


@pytest.mark.rule("HP26")
def test_a_server_that_stops(tmp_path: Path, providers: LedProgram, name: str) -> None:
    """The sockets are closed with 1012, and each provider is back by itself when the server is."""
    with DemoServer(tmp_path) as server:
        people = each_version(Documents(server, providers), name)
        server.stop()
        for person in people:
            providers("is_closed", person, code=1012)
            providers("insert", person, index=0, text="meanwhile")
        server.start()
        for person in people:
            providers("synced", person)
            providers("saved", person)
        server.stop()
    assert server.errors() == []


@pytest.mark.rule("HP23")
@VERSIONS
def test_a_paste_that_is_too_large_for_an_update_is_saved(
    documents: Documents, providers: LedProgram, name: str, version: int
) -> None:
    """The socket is closed once; the provider comes back by itself, tells all that it has, and goes on."""
    documents.open("ana", version, name)
    providers("insert", "ana", index=0, text="x" * 2_000_000)
    providers("is_closed", "ana", code=4413)
    providers("insert", "ana", index=0, text="later ")
    providers("synced", "ana")
    providers("saved", "ana")
    documents.open("bo", version, name)
    providers("agrees", "bo", other="ana", length=2_000_006)
    assert providers("codes", "ana") == [4413]


@pytest.mark.rule("HP11", "HP12")
def test_through_a_kill(tmp_path: Path, providers: LedProgram, name: str) -> None:
    """After kill -9 and a new start each comes back by itself; nothing is lost or doubled, and it is saved."""
    with DemoServer(tmp_path) as server:
        documents = Documents(server, providers)
        people = each_version(documents, name)
        for person in people:
            providers("insert", person, index=0, text="before")
            providers("saved", person)
        server.kill()
        for person in people:
            providers("offline", person)
            providers("insert", person, index=6, text=" after")
        server.start()
        for person, document in people.items():
            providers("synced", person)
            providers("saved", person)
            documents.open(f"friend of {person}", 4, document)
            assert providers("text", f"friend of {person}") == "before after"
        server.stop()
    assert server.errors() == []


def each_version(documents: Documents, name: str) -> dict[str, str]:
    """A provider of each version, with a document of its own: its name, and that of its document."""
    people = {}
    for version in (2, 3, 4):
        person = f"ana with {version}"
        people[person] = f"{name} {version}"
        documents.open(person, version, people[person])
    return people
