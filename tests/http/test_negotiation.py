"""Sessions over HTTP: who is let in, with what, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from cowrite.core.clock import SystemClock
from cowrite.testing.transport_contract.server import ended, join
from cowrite.tokens import issue
from http_api import REALTIME, SECRET, Api, api, bearer, insert, problem, token


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


@pytest.mark.rule("HT1")
async def test_connect(server: Api) -> None:
    """The answer has all that a client needs: who it is, what it may do, how to go on, where the document stands."""
    ana = await server.connect("a/ö", token("ana"))
    typed = await ana.type("hello")
    answer = (await server.connect("a/ö", token("bob", **{"a/*": "comment"}))).answer
    assert set(answer) == {
        *(
            "session_id",
            "access_token",
            "expires_at",
            "session_expires_at",
            "document_id",
            "grant",
            "read_only",
            "user",
            "transports",
            "head",
        ),
        *("offset", "epoch", "batch_interval_ms", "heartbeat_interval_ms", "server"),
    }
    assert (answer["document_id"], answer["grant"], answer["server"]) == ("a/ö", "comment", "ok")
    assert answer["user"] == {"id": "bob", "name": "Bob", "colour": None}
    assert (answer["head"], answer["offset"]) == (typed["head"], 1)
    assert SystemClock().now() < answer["expires_at"] <= answer["session_expires_at"]
    host = server.url.removeprefix("http://")
    urls = {one["name"]: one["url"] for one in answer["transports"]}
    assert urls == {
        "websocket": f"ws://{host}/api/v2/realtime/ws",
        "yjs": f"ws://{host}/yjs/a%2F%C3%B6",
        "hocuspocus": f"ws://{host}/hocuspocus",
        "polling": f"http://{host}/api/v2/realtime/poll?document_id=a%2F%C3%B6",
    }
    polled = await server.client.get(urls["polling"], headers=bearer(answer["access_token"]))
    assert polled.json()["head"] == typed["head"]


@pytest.mark.rule("HT2", "HP27")
async def test_transports_in_order(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets come first, unless they did not work for this client or the server has too many of them."""

    async def order(*failed: str) -> list[str]:
        return [one["name"] for one in (await server.connect("d", token("ana"), failed=list(failed))).answer["transports"]]

    assert await order() == ["websocket", "yjs", "hocuspocus", "polling"]
    assert await order("websocket") == ["polling", "websocket", "yjs", "hocuspocus"]
    assert await order("polling") == ["websocket", "yjs", "hocuspocus", "polling"]
    monkeypatch.setattr(type(server.backend.load), "crowded", True)
    assert await order() == ["polling", "websocket", "yjs", "hocuspocus"]
    assert await order("polling") == ["websocket", "yjs", "hocuspocus", "polling"]


@pytest.mark.rule("HT3", "WK20")
async def test_no_more_than_it_can_take(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its limit, and while it stops, the server answers 503 and says when to come again."""
    monkeypatch.setattr(type(server.backend.load), "accepts", False)
    answer = await server.client.post(f"{REALTIME}/connect", json={"document_id": "d", "session_token": token("ana")})
    assert problem(answer) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) > 0
    server.runtime.refuse_connections()
    for path in (f"{REALTIME}/poll?document_id=d", "/api/v2/documents"):
        refused = await server.client.get(path)
        assert problem(refused) == (503, "draining")
        assert int(refused.headers["retry-after"]) > 0


@pytest.mark.rule("HT4")
async def test_tokens_that_open_nothing(server: Api) -> None:
    """Whatever is wrong with a token, the answer is the same; and a genuine one without a grant is told from it."""
    now = SystemClock().now()
    expired = issue(SECRET, sub="ana", documents={"*": "write"}, now=now - 2 * 3600 * 1000)
    other = token("ana")[:-4] + "AAAA"
    answers = []
    for bad in (None, "", "x", expired, other, token("ana")[:-1], "a.b.c", "é" * 10):
        answer = await server.client.post(f"{REALTIME}/connect", json={"document_id": "d", "session_token": bad})
        assert problem(answer) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        answers.append({name: value for name, value in answer.json().items() if name != "request_id"})
    assert all(answer == answers[0] for answer in answers)
    known = await server.client.post(f"{REALTIME}/connect", json={"document_id": "d", "session_token": token("ana", e="read")})
    assert problem(known) == (403, "forbidden")


@pytest.mark.rule("HT4")
async def test_the_right_document_only(server: Api) -> None:
    """An access token is for its document; every route looks."""
    ana = await server.connect("d", token("ana"))
    for answer in (
        await server.client.get(f"{REALTIME}/poll?document_id=e", headers=ana.headers),
        await ana.write(insert("x"), document_id="e"),
        await server.client.get("/api/v2/documents/e", headers=ana.headers),
        await server.client.post(f"{REALTIME}/presence", json={"document_id": "e", "data": None}, headers=ana.headers),
    ):
        assert problem(answer) == (403, "forbidden")


@pytest.mark.rule("HT5")
async def test_where_a_token_may_be(server: Api) -> None:
    """In the header, in the body, in the query; the header counts before the others."""
    ana = await server.connect("d", token("ana"))
    access = ana.answer["access_token"]
    poll = f"{REALTIME}/poll?document_id=d"
    assert (await server.client.get(f"{poll}&access_token={access}")).status_code == 200
    assert (await server.client.get(poll, headers={"authorization": f"bearer {access}"})).status_code == 200
    assert (await server.client.get(f"{poll}&access_token={access}", headers=bearer("x"))).status_code == 401
    basic = {"authorization": "Basic eDp5"}
    assert (await server.client.get(f"{poll}&access_token={access}", headers=basic)).status_code == 200
    body = {"document_id": "d", "operations": [insert("x")], "base": None, "access_token": access}
    assert (await server.client.post(f"{REALTIME}/operations", json=body)).status_code == 200
    assert (await server.client.get("/api/v2/documents/d", headers=bearer(token("bob")))).status_code == 200


@pytest.mark.rule("HT6")
async def test_single_use(server: Api) -> None:
    """A token for a single use opens one session, and nothing else."""
    once = issue(SECRET, sub="ana", documents={"*": "write"}, single_use=True)
    assert problem(await server.client.get("/api/v2/documents/d", headers=bearer(once))) == (403, "forbidden")
    await server.connect("d", once)
    again = await server.client.post(f"{REALTIME}/connect", json={"document_id": "d", "session_token": once})
    assert problem(again) == (401, "unauthorized")


@pytest.mark.rule("HT7")
async def test_refresh(server: Api) -> None:
    """An access token is exchanged for a newer one of the same session; with another user's session token it is not."""
    ana = await server.connect("d", token("ana"))
    first = ana.answer["access_token"]
    answer = await server.client.post(f"{REALTIME}/refresh", json={"access_token": first})
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in ("session_id", "document_id", "grant", "user")} == {
        name: ana.answer[name] for name in ("session_id", "document_id", "grant", "user")
    }
    in_header = await server.client.post(
        f"{REALTIME}/refresh", json={"session_token": token("ana", d="read")}, headers=bearer(first)
    )
    assert (in_header.json()["session_id"], in_header.json()["grant"]) == (ana.answer["session_id"], "read")
    other = await server.client.post(f"{REALTIME}/refresh", json={"session_token": token("bob")}, headers=bearer(first))
    assert problem(other) == (403, "forbidden")
    bodies: list[dict[str, str]] = [{}, {"access_token": "x"}, {"access_token": token("ana")}]
    for body in bodies:
        assert problem(await server.client.post(f"{REALTIME}/refresh", json=body)) == (401, "unauthorized")


@pytest.mark.rule("HT8")
@pytest.mark.parametrize("form", ["header", "json", "text"])
async def test_disconnect(server: Api, form: str) -> None:
    """The session ends and its user is gone for the others, also by what a page can send when it is left (sendBeacon)."""
    ana, bob = await server.connect("d", token("ana")), await server.connect("d", token("bob"))
    await ana.type("x")
    assert len((await ana.poll()).json()["presence"]) == 1
    assert len((await bob.poll()).json()["presence"]) == 2
    access = ana.answer["access_token"]
    sent = {
        "header": {"headers": ana.headers},
        "json": {"json": {"access_token": access}},
        "text": {"content": f'{{"access_token": "{access}"}}', "headers": {"content-type": "text/plain;charset=UTF-8"}},
    }[form]
    for _ in range(2):
        gone = await server.client.post(f"{REALTIME}/disconnect", **sent)  # type: ignore[arg-type]
        assert (gone.status_code, gone.content) == (204, b"")
    assert [one["user"]["id"] for one in (await bob.poll()).json()["presence"]] == ["bob"]
    assert problem(await server.client.post(f"{REALTIME}/refresh", json={"access_token": access})) == (401, "unauthorized")
    for unreadable in (b"", b"x", b"{", b"{}"):
        refused = await server.client.post(f"{REALTIME}/disconnect", content=unreadable)
        assert problem(refused) in {(401, "unauthorized"), (400, "malformed_json")}


@pytest.mark.rule("HT9")
async def test_changed_grants(server: Api) -> None:
    """An administrator changes what others may do, by user or session: at once, and until it is restored."""
    root = await server.connect("d", token("root", d="admin"))
    ana = await server.connect("d", token("ana"))

    async def change(**fields: object) -> httpx.Response:
        return await server.client.post(f"{REALTIME}/grants", json={"document_id": "d"} | fields, headers=root.headers)

    assert (await ana.write(insert("a"))).status_code == 200
    assert (await change(user_id="ana", grant="read", reason="a test")).json() == {"revision": 1}
    assert problem(await ana.write(insert("b"))) == (403, "grant_too_low")
    assert (await ana.poll()).status_code == 200
    assert (await change(session_id=ana.answer["session_id"], grant=None)).json() == {"revision": 2}
    for refused in (await ana.poll(), await ana.write(insert("b"))):
        assert problem(refused) == (403, "forbidden")
    assert (await change(user_id="ana", grant="restore")).json() == {"revision": 3}
    assert (await ana.write(insert("b"))).status_code == 200


@pytest.mark.rule("HT10")
async def test_who_may_change_grants(server: Api) -> None:
    """The administrator of a document changes that document; to leave it out takes a grant for the pattern ``*``."""
    one = bearer(token("one", **{"d": "admin", "e*": "admin"}))
    of_all = bearer(token("all", **{"*": "admin"}))
    writer = bearer(token("ana"))

    async def change(headers: dict[str, str], **fields: object) -> httpx.Response:
        return await server.client.post(f"{REALTIME}/grants", json={"user_id": "x", "grant": None} | fields, headers=headers)

    assert (await change(one, document_id="d")).status_code == 200
    assert problem(await change(one)) == (403, "forbidden")
    assert problem(await change(one, document_id="f")) == (403, "forbidden")
    assert problem(await change(writer, document_id="d")) == (403, "grant_too_low")
    assert problem(await change(writer)) == (403, "grant_too_low")
    assert problem(await change({}, document_id="d")) == (401, "unauthorized")
    assert (await change(of_all)).status_code == 200
    assert (await change(of_all, document_id="d")).status_code == 200
    assert problem(await change(of_all, user_id=None)) == (422, "unprocessable_entity")
    assert problem(await change(of_all, document_id="")) == (422, "bad_document_id")
    assert problem(await change(of_all, session_id="x")) == (422, "unprocessable_entity")
    assert problem(await change(of_all, grant="all")) == (422, "unprocessable_entity")


@pytest.mark.rule("HT9")
async def test_sockets_hear_of_it(server: Api) -> None:
    """A socket whose access is revoked is closed."""
    socket = await join(f"{server.url.replace('http', 'ws', 1)}/yjs/d?token={token('ana')}")
    await server.client.post(
        f"{REALTIME}/grants", json={"document_id": "d", "user_id": "ana", "grant": None}, headers=bearer(token("r", d="admin"))
    )
    assert (await ended(socket)).code == 4403


@pytest.mark.rule("HT11")
async def test_demo() -> None:
    """In the demo everything works without a token, but what needs an administrator; a token that is sent is checked."""
    async with api(demo=True) as server:
        guest = await server.connect("d")
        assert guest.answer["user"]["id"].startswith("guest-")
        write = {"document_id": "d", "operations": [insert("x")], "base": None}
        assert (await server.client.post(f"{REALTIME}/operations", json=write)).status_code == 200
        assert (await server.client.get(f"{REALTIME}/poll?document_id=d")).json()["offset"] == 1
        told = await server.client.post(f"{REALTIME}/presence", json={"document_id": "d", "data": {"x": 1}})
        assert told.status_code == 204
        assert (await server.client.get("/api/v2/documents/d?format=text")).text == "x"
        assert len((await server.client.get("/api/v2/documents")).json()["documents"]) == 1
        assert problem(await server.client.delete("/api/v2/documents/d")) == (403, "grant_too_low")
        assert problem(await server.client.get("/api/v2/documents/d", headers=bearer("x"))) == (401, "unauthorized")


@pytest.mark.rule("HT12")
async def test_ids_that_no_document_has(server: Api) -> None:
    """A bad id is told as such, whoever asks and wherever it stands."""
    for bad in ("", "a" * 256, "a\0b"):
        answer = await server.client.post(f"{REALTIME}/connect", json={"document_id": bad, "session_token": token("ana")})
        assert problem(answer) == (422, "bad_document_id")
        answer = await server.client.get(f"{REALTIME}/poll", params={"document_id": bad})
        assert problem(answer) == (422, "bad_document_id")
    for field, value in (("document_id", 1), ("surprise", 1), ("failed", "websocket"), ("client", [])):
        body: dict[str, object] = {"document_id": "d", "session_token": token("ana"), field: value}
        answer = await server.client.post(f"{REALTIME}/connect", json=body)
        assert problem(answer) == (422, "unprocessable_entity")


@pytest.mark.rule("HT13")
async def test_tokens_are_not_logged(server: Api, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Neither session tokens nor access tokens are written into the log."""
    ana = await server.connect("d", secret := token("ana"), client={"name": "test", "more": secret})
    await ana.poll()
    await server.client.get(f"{REALTIME}/poll?document_id=d&access_token={ana.answer['access_token']}")
    await server.client.post(f"{REALTIME}/disconnect", content=ana.answer["access_token"])
    out = "".join(capfd.readouterr()) + caplog.text
    assert "session opened" in out
    assert secret not in out
    assert ana.answer["access_token"] not in out


@pytest.mark.rule("HT14")
async def test_a_document_that_was_never_written_has_no_epoch(server: Api) -> None:
    """Until the first write there is no history, and coming in makes none."""

    async def come(user: str) -> tuple[str | None, int, str]:
        body = {"document_id": "d", "session_token": token(user)}
        connected = (await server.client.post(f"{REALTIME}/connect", json=body)).json()
        return connected["head"], connected["offset"], connected["epoch"]

    assert await come("ana") == (None, 0, "")
    assert await server.backend.directory.info("d") is None
    member = await server.connect("d", token("ana"))
    await member.type("x")
    head, offset, epoch = await come("ben")
    assert (head, offset) == (member.head, 1)
    assert epoch
    assert await come("cem") == (head, offset, epoch)
