"""Stock editors of every dialect in a document that is damaged in a real server's SQLite file, and when it is mended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from between import Between
from demo_server import DemoServer
from node_clients import Clients, client_program
from node_program import LedProgram, install

pytestmark = pytest.mark.timeout(180)  # the first run installs the packages

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache"
STOCK_YJS = "y2", "y3"
STOCK_HOCUSPOCUS = "h2", "h3", "h4"
OWN_YJS = "cowrite", "cowrite polls"
OWN_JSON = "operations", "operations polls"


def program(name: str) -> Path:
    return install(HERE / name, CACHE / name, HERE / "led.mjs") / f"{name}.mjs"


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[LedProgram, LedProgram, LedProgram]]:
    """y-websocket, Hocuspocus, and @cowrite/client."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(closing(LedProgram(program("providers"), tmp_path / "yjs"))),
            stack.enter_context(closing(LedProgram(program("hocuspocus"), tmp_path / "hocuspocus"))),
            stack.enter_context(closing(Clients(client_program(), tmp_path / "client"))),
        )


def turn_a_byte(file: Path, offset: int, *, epoch: str | None = None) -> None:
    """Or back again; under another epoch, as a backup that was restored."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("BEGIN IMMEDIATE")  # who has read before another wrote may not write
        (update,) = database.execute("SELECT update_bytes FROM updates WHERE entry_offset = ?", (offset,)).fetchone()
        turned = bytes([*update[:-1], update[-1] ^ 1])
        database.execute("UPDATE updates SET update_bytes = ? WHERE entry_offset = ?", (turned, offset))
        if epoch is not None:
            database.execute("UPDATE documents SET epoch = ?", (epoch,))


def stored(file: Path) -> list[list[Any]]:
    with closing(sqlite3.connect(file)) as database:
        return [database.execute(f"SELECT * FROM {table}").fetchall() for table in ("documents", "updates", "checkpoints")]


@dataclass(frozen=True, slots=True)
class People:
    """Everybody in the document, with the program that each is in."""

    yjs: LedProgram
    hocuspocus: LedProgram
    clients: LedProgram

    def open(self, server: DemoServer, polling: str) -> None:
        """``polling``: the server's address where no WebSockets get through."""
        sockets = server.url.replace("http", "ws")
        for name in STOCK_YJS:
            self.yjs("open", name, version=int(name[1]), url=f"{sockets}yjs", room="doc", user="Y")
        for name in STOCK_HOCUSPOCUS:
            self.hocuspocus("open", name, version=int(name[1]), url=f"{sockets}hocuspocus", name="doc", user="H")
        for kind in OWN_YJS[0], OWN_JSON[0]:
            self.clients("open", kind, kind=kind, url=server.url, room="doc")
            self.clients("open", f"{kind} polls", kind=kind, url=polling, room="doc")
        for name in OWN_YJS:
            self.clients("synced", name)
            self.clients("present", name, user="C")

    def each(self, call: str, *, yjs: bool = False, **options: Any) -> list[Any]:
        """Of everybody; ``yjs``: who has a Yjs document."""
        own = OWN_YJS if yjs else (*OWN_YJS, *OWN_JSON)
        groups = (self.yjs, STOCK_YJS), (self.hocuspocus, STOCK_HOCUSPOCUS), (self.clients, own)
        return [process(call, name, **options) for process, names in groups for name in names]


@pytest.mark.rule("RE51", "RE52", "RE53", "CI45")
def test_editors_in_a_damaged_document(tmp_path: Path, processes: tuple[LedProgram, LedProgram, LedProgram]) -> None:
    """They read, see one another, are told that they may not write, keep what they type, and bring it along in the end."""
    people = People(*processes)
    with DemoServer(tmp_path) as server:
        write_and_damage(server, people.hocuspocus)
        before = stored(server.database)
        server.start()
        with Between(server.port, sockets="refuse") as between:
            people.open(server, between.url)
            people.each("sees_text", text="twoone")
            people.yjs("sees_users", "y2", users=["C", "C", "H", "H", "H", "Y"])
            assert [people.clients("read_only", name) for name in (*OWN_YJS, *OWN_JSON)] == [True] * 4
            # Version 2 does not say what it was told.
            assert [people.hocuspocus("scope", name) for name in STOCK_HOCUSPOCUS[1:]] == ["readonly"] * 2
            people.each("insert", yjs=True, index=0, text="!")
            for name in STOCK_YJS:
                people.yjs("is_denied", name)
            assert people.each("text", yjs=True) == ["!twoone"] * 7, "each has its own alone"
            assert [people.hocuspocus("unsynced", name) > 0 for name in STOCK_HOCUSPOCUS] == [True] * 3
            assert [people.clients("unsaved", name) for name in OWN_YJS] == [1, 1]
            assert stored(server.database) == before

            turn_a_byte(server.database, 3, epoch="00000000-0000-0000-0000-000000000000")
            people.yjs("agrees", "y2", other="y3", length=len("!" * 7 + "onetwothree"))
            people.each("sees_text", text=people.yjs("text", "y2"))
            for process, names in (people.hocuspocus, STOCK_HOCUSPOCUS), (people.clients, OWN_YJS):
                for name in names:
                    process("saved", name)
            assert [people.clients("read_only", name) for name in OWN_YJS] == [False] * 2
        assert people.clients("unhandled") == []
        assert [line for line in server.errors() if "damaged" not in line] == []
    told = "the document is damaged in the database behind offset 2"
    assert [told in line for line in people.yjs.complaints()] == [False, True] * 2, "what the provider makes of it, and why"
    assert people.hocuspocus.complaints() == people.clients.complaints() == []


def write_and_damage(server: DemoServer, hocuspocus: LedProgram) -> None:
    """Three entries, of which the last is damaged when the server has stopped."""
    hocuspocus("open", "first", version=4, url=f"{server.url.replace('http', 'ws')}hocuspocus", name="doc")
    for word in ("one", "two", "three"):
        hocuspocus("insert", "first", index=0, text=word)
        hocuspocus("saved", "first")
    hocuspocus("destroy", "first")
    server.stop()
    turn_a_byte(server.database, 3)
