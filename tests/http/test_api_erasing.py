"""Documents that are deleted for good, and histories that are forgotten."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cowrite.protocol import yjs
from cowrite.protocol.messages import SyncStep2, Update
from cowrite.testing.client import WebSocketClient, live_client
from cowrite.testing.transport_contract.server import ended, join
from cowrite.testing.yjs_client import YjsClient
from http_api import Api, api, bearer, problem, token, two_servers

DOCUMENTS = "/api/v2/documents"
PATH = f"{DOCUMENTS}/d"
WRITER = bearer(token("ana"))
ADMIN = bearer(token("root", **{"*": "admin"}))
EMPTY = b"\0"


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


def socket_of(server: Api, user: str = "ana") -> str:
    return f"{server.url.replace('http:', 'ws:')}/yjs/d?token={token(user)}"


async def typed(server: Api, text: str) -> YjsClient:
    """An editor that has typed this and has gone offline with it."""
    async with live_client(socket_of(server)) as ana:
        ana.yjs.text.insert(0, text)
        answer = await server.client.get(f"{PATH}?format=text", headers=WRITER)
        while answer.text != text:
            answer = await server.client.get(f"{PATH}?format=text", headers=WRITER)
    return ana.yjs


async def purge(server: Api) -> None:
    answer = await server.client.delete(f"{PATH}?purge=true", headers=ADMIN)
    assert answer.status_code == 204, answer.text


@pytest.mark.rule("ER2")
async def test_purge_on_request(server: Api) -> None:
    """At once, of a document that is there and of one that was deleted; nothing brings it back."""
    ana = await server.connect("d", token("ana"))
    await ana.type("secret")
    version = (await server.client.post(f"{PATH}/versions", json={}, headers=WRITER)).json()
    assert problem(await server.client.delete(f"{PATH}?purge=true", headers=WRITER)) == (403, "grant_too_low")
    await purge(server)
    gone = (410, "document_deleted")
    for path in ("", "?at=1", "/versions", f"/versions/{version['id']}", "/blame", "/activity", "/diff?from=0", "/operations"):
        assert problem(await server.client.get(PATH + path, headers=WRITER)) == gone, path
    assert problem(await ana.poll()) == gone
    undeleted = await server.client.post(f"{PATH}/undelete", headers=ADMIN)
    assert problem(undeleted) == gone
    assert undeleted.json()["detail"] == "the document was purged: nothing of it is left"
    assert problem(await server.client.delete(f"{PATH}?purge=true", headers=ADMIN)) == gone
    assert problem(await server.client.delete(f"{DOCUMENTS}/e?purge=true", headers=ADMIN)) == (404, "document_not_found")
    await server.client.post(DOCUMENTS, json={"document_id": "e"}, headers=WRITER)
    assert (await server.client.delete(f"{DOCUMENTS}/e", headers=ADMIN)).status_code == 204
    again = await server.client.delete(f"{DOCUMENTS}/e", headers=ADMIN)
    assert problem(again) == gone
    assert again.json()["detail"] == "the document was deleted; an administrator can undelete it"
    assert (await server.client.delete(f"{DOCUMENTS}/e?purge=true", headers=ADMIN)).status_code == 204
    info = await server.backend.directory.info("d")
    assert info is not None
    assert (info.head.offset, info.log_bytes) == (0, 0)


@pytest.mark.rule("ER3")
async def test_a_purged_document_is_made_again_by_an_administrator(server: Api) -> None:
    """Empty, under a new epoch."""
    ana = await server.connect("d", token("ana"))
    await ana.type("secret")
    before = (await server.client.get(PATH, headers=WRITER)).json()["epoch"]
    await server.client.delete(PATH, headers=ADMIN)
    body = {"document_id": "d"}
    for headers in (WRITER, ADMIN):
        assert problem(await server.client.post(DOCUMENTS, json=body, headers=headers)) == (410, "document_deleted")
    await purge(server)
    assert problem(await server.client.post(DOCUMENTS, json=body, headers=WRITER)) == (410, "document_deleted")
    assert problem(await server.client.get(PATH, headers=WRITER)) == (410, "document_deleted")
    made = await server.client.post(DOCUMENTS, json=body, headers=ADMIN)
    assert made.status_code == 201, made.text
    assert (made.json()["offset"], made.json()["deleted_at"]) == (0, None)
    assert made.json()["epoch"] != before
    assert problem(await server.client.post(DOCUMENTS, json=body, headers=ADMIN)) == (409, "document_exists")
    state = (await server.client.get(PATH, headers=WRITER)).json()
    assert (state["content"], state["offset"]) == ({}, 0)
    again = await server.connect("d", token("ana"))
    await again.type("new")
    assert (await server.client.get(f"{PATH}?format=text", headers=WRITER)).text == "new"


@pytest.mark.rule("ER4")
async def test_an_editor_that_was_offline_does_not_bring_back_what_was_purged(server: Api) -> None:
    """It is told so when it comes with it, with what it has typed since, or with a deletion in it."""
    editor = await typed(server, "secret")
    await purge(server)
    assert (await ended(await WebSocketClient.connect(socket_of(server)))).code == 4410
    await server.client.post(DOCUMENTS, json={"document_id": "d"}, headers=ADMIN)
    everything = yjs.encode(SyncStep2(editor.doc.get_update(EMPTY)))
    before = editor.doc.get_state()
    editor.text.insert(6, "!")
    more = yjs.encode(Update(editor.doc.get_update(before)))
    fork = YjsClient()
    fork.receive(everything)
    known = fork.doc.get_state()
    fork.text.insert(3, "another's")
    built_on = yjs.encode(Update(fork.doc.get_update(known)))
    fork = YjsClient()
    fork.receive(everything)
    known = fork.doc.get_state()
    del fork.text[0:2]
    deleted = yjs.encode(Update(fork.doc.get_update(known)))
    for frame in (everything, more, built_on, deleted):
        socket = await join(socket_of(server))
        socket.send(frame)
        assert (await ended(socket)).code == 4410
    body = struct.pack("B", len(more)) + more
    answer = await server.client.post(
        "/api/v2/realtime/operations?document_id=d",
        content=body,
        headers=WRITER | {"content-type": "application/octet-stream"},
    )
    assert problem(answer) == (410, "document_deleted")
    assert (await server.client.get(PATH, headers=WRITER)).json()["content"] == {}
    async with live_client(socket_of(server)) as fresh:
        fresh.yjs.text.insert(0, "new")
        await fresh.until(lambda: str(fresh.yjs.text) == "new")


@pytest.mark.rule("ER4")
async def test_other_processes_do_not_bring_it_back_either(tmp_path: Path) -> None:
    """Also one that has had the document open all the time."""
    async with two_servers(tmp_path) as (one, other):
        editor = await typed(one, "secret")
        async with live_client(socket_of(other, "ben")) as ben:
            await ben.until(lambda: str(ben.yjs.text) == "secret")
            await purge(one)
            await one.client.post(DOCUMENTS, json={"document_id": "d"}, headers=ADMIN)
            ben.yjs.text.insert(0, "more ")
            await ben.until(lambda: ben.socket.ended is not None)
            assert ben.socket.ended is not None
            assert ben.socket.ended.code in {4410, 4506}
        code = 4505
        while code == 4505:  # "come back": the other process is opening it anew
            async with live_client(socket_of(other)) as again:
                again.socket.send(yjs.encode(SyncStep2(editor.doc.get_update(EMPTY))))
                await again.until(lambda: again.socket.ended is not None)
            assert again.socket.ended is not None
            code = again.socket.ended.code or 0
        assert code == 4410
        for server in (one, other):
            assert (await server.client.get(PATH, headers=WRITER)).json()["content"] == {}


@pytest.mark.rule("ER1")
async def test_who_is_there_when_history_is_forgotten_goes_on(server: Api) -> None:
    async with live_client(socket_of(server)) as ana:
        for word in ("one ", "two ", "three "):
            ana.yjs.text.insert(0, word)
            while word not in (await server.client.get(f"{PATH}?format=text", headers=WRITER)).text:
                pass
        done = await server.client.delete(f"{PATH}/history?before=3", headers=ADMIN)
        assert done.json() == {"first_offset": 4}
        assert (await server.client.delete(f"{PATH}/history?before=3", headers=ADMIN)).json() == {"first_offset": 4}
        ana.yjs.text.insert(0, "four ")
        async with live_client(socket_of(server, "ben")) as ben:
            await ben.until(lambda: str(ben.yjs.text) == "four three two one ")
        assert ana.socket.ended is None
    assert (await server.client.get(f"{PATH}?format=text", headers=WRITER)).text == "four three two one "
    assert (await server.client.get(f"{PATH}?at=4&format=text", headers=WRITER)).text == "four three two one "
    assert (await server.client.get(f"{PATH}?at=3&format=text", headers=WRITER)).text == "three two one "
    assert problem(await server.client.get(f"{PATH}?at=2", headers=WRITER)) == (410, "history_forgotten")
    activity = (await server.client.get(f"{PATH}/activity", headers=WRITER)).json()
    assert [(one["first_offset"], one["last_offset"]) for one in activity["activity"]] == [(4, 4)]


@pytest.mark.rule("ER5")
async def test_writing_goes_on_when_all_was_forgotten(server: Api) -> None:
    """For those who were there and those who come, with the last operation as the base; nothing of it but its id is told."""
    ana = await server.connect("d", token("ana"))
    await ana.type("a")
    await ana.type("b")
    assert (await server.client.delete(f"{PATH}/history?before=2", headers=ADMIN)).json() == {"first_offset": 3}
    read = (await server.client.get(PATH, headers=WRITER)).json()
    assert read["head"] == ana.head
    ben = await server.connect("d", token("ben"))
    assert ben.answer["head"] == ana.head
    insert = {"type": "insert", "position": ["body", 0], "content": "c"}
    for member in (ben, ana):
        answer = await member.write(insert, base=read["head"])
        assert answer.status_code == 200, answer.text
    assert (await server.client.get(f"{PATH}?format=text", headers=WRITER)).text in {"ccba", "ccab"}
