"""A damaged document over HTTP and on sockets: a real server on a real SQLite file, with a byte of the log turned."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from cowrite.protocol import yjs
from cowrite.protocol.awareness import AwarenessEntry
from cowrite.protocol.envelope import seal, unseal
from cowrite.protocol.messages import AwarenessUpdate, QueryAwareness, SyncStep1, SyncStep2
from cowrite.stores import open_store
from cowrite.testing.client import ConnectionEnded, LiveClient, WebSocketClient, live_client
from cowrite.testing.transport_contract.operations import PATH, PROTOCOL, JsonClient
from cowrite.testing.transport_contract.server import edit
from cowrite.testing.yjs_client import YjsClient
from http_api import REALTIME, Api, Member, api, bearer, insert, problem, token
from socket_writers import until

ADMIN = bearer(token("root", **{"*": "admin"}))
WRITER = bearer(token("ana"))
DOCUMENT = "/api/v2/documents/d"
BINARY = {"content-type": "application/octet-stream", "accept": "application/octet-stream"}
EVERYTHING = "documents", "updates", "content_operations", "checkpoints", "versions", "quarantined_updates"
"""The tables of what documents hold."""


def turn_a_byte(file: Path, offset: int) -> None:
    """Or back again."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("BEGIN IMMEDIATE")  # who has read before another wrote may not write
        (update,) = database.execute("SELECT update_bytes FROM updates WHERE entry_offset = ?", (offset,)).fetchone()
        turned = bytes([*update[:-1], update[-1] ^ 1])
        database.execute("UPDATE updates SET update_bytes = ? WHERE entry_offset = ?", (turned, offset))


def stored(file: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(file)) as database:
        return {table: database.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in EVERYTHING}


@asynccontextmanager
async def server_on(file: Path) -> AsyncIterator[Api]:
    async with api(storage=await open_store(f"sqlite:///{file}")) as server:
        yield server


async def damaged(file: Path) -> tuple[list[str], str]:
    """A document "abcd" of four entries, of which the third is damaged. Returns its operations and the id of a version."""
    async with server_on(file) as server:
        ana = await server.connect("d", token("ana"))
        heads = [(await ana.type(letter, at))["head"] for at, letter in enumerate("abcd")]
        answer = await server.client.post(f"{DOCUMENT}/versions", headers=WRITER, json={"name": "early", "at": "1"})
    turn_a_byte(file, 3)
    return heads, answer.json()["id"]


@pytest.mark.rule("RE50", "RE51")
async def test_it_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    """State in every form, pages of operations, polls, and what is negotiated: each says that it is damaged."""
    heads, _ = await damaged(file := tmp_path / "cowrite.db")
    before = stored(file)
    async with server_on(file) as server:
        get = server.client.get
        for form, shows in (("text", "ab"), ("json", '"ab"'), ("html", "ab"), ("yjs", "ab")):
            answer = await get(DOCUMENT, params={"format": form}, headers=WRITER)
            assert (answer.status_code, answer.headers["cowrite-readable-offset"]) == (200, "2")
            assert shows in answer.content.decode(errors="replace")
        again = await get(DOCUMENT, params={"format": "yjs"}, headers=WRITER | {"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        past = await get(DOCUMENT, params={"at": "1", "format": "text"}, headers=WRITER)
        assert (past.text, past.headers.get("cowrite-readable-offset")) == ("a", None)
        assert problem(await get(f"{DOCUMENT}?at=3", headers=WRITER)) == (500, "document_damaged")

        for after, limit, ids, following, readable in (
            (None, 1, heads[:1], heads[0], None),
            (heads[0], 1, heads[1:2], heads[1], None),
            (None, 100, heads[:2], None, 2),
            (heads[1], 100, [], None, 2),
            ("offset:3", 100, heads[3:], None, None),
        ):
            query = {"limit": limit} | ({} if after is None else {"after": after})
            page = (await get(f"{DOCUMENT}/operations", params=query, headers=WRITER)).json()
            assert [one["id"] for one in page["operations"]] == ids
            assert (page["next"], page.get("readable_offset")) == (following, readable)

        ana = await server.connect("d", token("ana"))
        assert [ana.answer[name] for name in ("grant", "read_only", "head", "offset")] == ["read", "damaged", heads[1], 2]
        refreshed = (await server.client.post(f"{REALTIME}/refresh", json={}, headers=ana.headers)).json()
        assert (refreshed["grant"], refreshed["read_only"]) == ("read", "damaged")
        found = (await ana.poll()).json()
        assert ([one["id"] for one in found["operations"]], found["head"], found["read_only"]) == (
            heads[:2],
            heads[1],
            "damaged",
        )
        for cursor, reset in ((heads[0], False), (heads[1], False), (heads[2], True), (heads[3], True)):
            found = (await ana.poll(last_operation=cursor)).json()
            assert (found["offset"], found.get("reset", False)) == (2, reset)
        told = {"document_id": "d", "cursor": ["body", 1]}
        assert (await server.client.post(f"{REALTIME}/presence", json=told, headers=ana.headers)).status_code == 204
        (person,) = (await get(f"{DOCUMENT}/presence", headers=WRITER)).json()["presence"]
        assert person["sessions"][0]["cursor"] == ["body", 1]
        assert (await get("/healthz")).json()["damaged_documents"] == 1
        whole = await server.connect("another", token("ana"))
        assert (whole.answer["grant"], whole.answer["read_only"]) == ("write", None)
    assert stored(file) == before


@pytest.mark.rule("RE51")
async def test_a_token_that_is_renewed_by_a_process_that_had_not_opened_it(tmp_path: Path) -> None:
    """The grant is told as `read`, also where nothing of the document can be read; of one that is deleted it is as ever."""
    await damaged(file := tmp_path / "cowrite.db")
    turn_a_byte(file, 3)
    async with server_on(file) as first, server_on(file) as second:
        ana = await first.connect("d", token("ana"))
        assert ana.answer["grant"] == "write"

        async def told() -> tuple[str, str | None]:
            answer = (await second.client.post(f"{REALTIME}/refresh", json={}, headers=ana.headers)).json()
            return answer["grant"], answer["read_only"]

        turn_a_byte(file, 1)
        assert await told() == ("read", "damaged"), "nothing of it can be read"
        assert (await second.client.delete(DOCUMENT, headers=ADMIN)).status_code == 204
        assert await told() == ("write", None)
        undelete = await second.client.post(f"{DOCUMENT}/undelete", headers=ADMIN)
        assert undelete.status_code < 300, undelete.text
        turn_a_byte(file, 1)
        turn_a_byte(file, 3)
        assert await told() == ("read", "damaged")


@pytest.mark.rule("RE51", "RE52")
async def test_whatever_would_change_it_is_refused(tmp_path: Path) -> None:
    """With how far it can be read and what to do; a reader's grant is too low as ever; nothing of it has changed."""
    _, version = await damaged(file := tmp_path / "cowrite.db")
    before = stored(file)
    async with server_on(file) as server:
        ana = await server.connect("d", token("ana"))
        for method, path, body in (
            ("POST", f"{DOCUMENT}/restore", {"to": "1"}),
            ("POST", f"{DOCUMENT}/undo", {"author": "ana", "from": "0"}),
            ("POST", f"{DOCUMENT}/versions", {"name": "now"}),
            ("PATCH", f"{DOCUMENT}/versions/{version}", {"name": "renamed"}),
            ("DELETE", f"{DOCUMENT}/versions/{version}", None),
            ("DELETE", f"{DOCUMENT}/history?before=1", None),
            ("POST", f"{REALTIME}/operations", {"document_id": "d", "operations": [insert("x")], "base": None}),
        ):
            answer = await server.client.request(method, path, json=body, headers=ADMIN)
            assert problem(answer) == (500, "document_damaged"), path
            assert answer.json()["readable_offset"] == 2
            assert "cowrite export --at 2" in answer.json()["detail"]
        assert problem(await ana.write(insert("x"))) == (500, "document_damaged")
        assert problem(await exchange(ana, edit("x")[0])) == (500, "document_damaged")
        reader = await server.connect("d", token("bob", d="read"))
        assert problem(await reader.write(insert("x"))) == (500, "document_damaged")
        assert problem(await exchange(reader, edit("x")[0])) == (403, "grant_too_low")
        answer = await server.client.post(f"{DOCUMENT}/restore", json={"to": "1"}, headers=reader.headers)
        assert problem(answer) == (403, "grant_too_low")
        marks = (await server.client.get(f"{DOCUMENT}/versions?kind=named", headers=WRITER)).json()["versions"]
        assert [one["name"] for one in marks] == ["early"]
        assert stored(file) == before
        # An administrator may delete it all the same.
        assert (await server.client.delete(DOCUMENT, headers=ADMIN)).status_code == 204
        assert problem(await server.client.get(DOCUMENT, headers=WRITER)) == (410, "document_deleted")


async def exchange(member: Member, *messages: Any) -> httpx.Response:
    body = seal(one if isinstance(one, bytes) else yjs.encode(one) for one in messages)
    url = f"{REALTIME}/operations"
    return await member.api.client.post(url, params={"document_id": "d"}, content=body, headers=member.headers | BINARY)


@pytest.mark.rule("RE51", "RE52")
async def test_yjs_without_a_socket(tmp_path: Path) -> None:
    """It synchronises and is seen; whoever has read beyond the damage is given the state as it is shown."""
    await damaged(file := tmp_path / "cowrite.db")
    async with server_on(file) as server:
        ana = await server.connect("d", token("ana"))
        client = YjsClient()
        state = AwarenessUpdate((AwarenessEntry(client.client_id, 1, '{"name":"ana"}'),))
        answer = await exchange(ana, SyncStep1(b"\0"), SyncStep2(b"\0\0"), state)
        assert answer.status_code == 200
        assert not any(isinstance(yjs.decode(one), SyncStep1) for one in unseal(answer.content)), "nothing is asked for"
        for message in unseal(answer.content):
            client.receive(message)
        assert str(client.text) == "ab"
        cursor = answer.headers["cowrite-cursor"]
        process_id, epoch, offset, _ = cursor.split(":")
        assert offset == "2"
        for asked, states in ((cursor, 0), (f"{process_id}:{epoch}:4:0", 1), (None, 1)):
            query = {"document_id": "d"} | ({} if asked is None else {"cursor": asked})
            answer = await server.client.get(f"{REALTIME}/poll", params=query, headers=ana.headers | BINARY)
            found = [yjs.decode(one) for one in unseal(answer.content)]
            assert len([one for one in found if isinstance(one, SyncStep2)]) == states
            assert answer.headers["cowrite-cursor"].split(":")[2] == "2"
        ben = await server.connect("d", token("ben"))
        assert any(
            isinstance(yjs.decode(one), AwarenessUpdate) for one in unseal((await exchange(ben, QueryAwareness())).content)
        )


async def typed(client: LiveClient, text: str, offset: int) -> None:
    """Type, as the entry of this offset."""
    client.yjs.text += text
    await client.until(lambda: client.yjs.saved and client.yjs.offset == offset)


async def sees(client: LiveClient, other: LiveClient) -> None:
    await client.until(lambda: other.yjs.client_id in client.yjs.states)


async def sent_away(client: LiveClient) -> int | None:
    await client.until(lambda: client.socket.ended is not None)
    assert client.socket.ended is not None
    return client.socket.ended.code


@pytest.mark.rule("RE51", "RE53", "RE54")
async def test_sockets(tmp_path: Path) -> None:
    """Damage is met while somebody types; they come back to read and to see one another, and when it is mended, to write."""
    file = tmp_path / "cowrite.db"
    async with server_on(file) as server, server_on(file) as other:
        url, elsewhere = (f"{one.url.replace('http', 'ws')}/yjs/d?token=" for one in (server, other))
        async with live_client(elsewhere + token("ben")) as ben, live_client(url + token("ana")) as ana:
            for number, letter in enumerate("abcd", 1):
                await typed(ana, letter, number)
            await ben.until(lambda: str(ben.yjs.text) == "abcd")
            ben.yjs.text += "e"
            await ben.until(lambda: ben.yjs.saved)
            turn_a_byte(file, 5)
            ana.yjs.text += "mine"
            assert await sent_away(ana) == 4503
        await until(lambda: bool(stored(file)["quarantined_updates"]))  # it is committed after she was sent away
        before = stored(file)
        assert [row[2] for row in before["quarantined_updates"]] == ["ana"]
        async with (
            live_client(url + token("ana"), ana.yjs) as ana,
            live_client(url + token("bob", d="comment")) as bob,
            live_client(url + token("root", **{"*": "admin"})) as root,
        ):
            bot = JsonClient(await WebSocketClient.connect(f"{server.url}{PATH}".replace("http", "ws"), protocols=[PROTOCOL]))
            bot.send({"type": "hello", "access_token": token("bot"), "document_id": "d"})
            welcome = await bot.expect("welcome")
            assert [welcome[name] for name in ("grant", "read_only", "offset")] == ["read", "damaged", 4]
            assert (str(bob.yjs.text), bot.text) == ("abcd", "abcd")
            for client in (ana, root):
                client.yjs.text += "lost?"
                client.yjs.point('{"name":"somebody"}')
                await sees(bob, client)
                assert not client.yjs.saved
            bot.write(insert("lost?"), request=1)
            refused = await bot.expect("refused")
            assert [refused[name] for name in ("request", "code", "retry", "readable_offset")] == [
                1,
                "document_damaged",
                False,
                4,
            ]
            assert stored(file) == before
            turn_a_byte(file, 5)
            with closing(sqlite3.connect(file)) as database, database:
                database.execute("UPDATE documents SET epoch = ?", ("0" * 36,))
            assert await sent_away(ana) == 4505
            with pytest.raises(ConnectionEnded, match="4505"):
                await bot.expect("nothing more")
        async with live_client(url + token("ana"), ana.yjs) as ana:
            await ana.until(lambda: ana.yjs.saved)
            assert sorted(str(ana.yjs.text)) == sorted("abcde" + "mine" + "lost?")
