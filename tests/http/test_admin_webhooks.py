"""Webhooks that were given up, by the API: looked at, sent again and dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from cowrite.core.ports import Storage
from cowrite.stores import open_store
from cowrite.stores.memory import memory_storage
from cowrite.testing.records import fill, make_entry, new_id, write
from http_api import Api, api, bearer, problem, token
from webhook_receiver import says, webhook_receiver
from webhooks.test_webhook_sender import sending, until

WEBHOOKS = "/api/v2/admin/webhooks"


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    storage = await open_store(f"sqlite:///{tmp_path / 'cowrite.db'}")
    yield storage
    await storage.close()


async def ask(server: Api, method: str, path: str = "", **query: Any) -> httpx.Response:
    headers = bearer(token("root", **{"*": "admin"}))
    return await server.client.request(method, f"{WEBHOOKS}{path}", params=query, headers=headers)


async def page(server: Api, **query: Any) -> dict[str, Any]:
    answer = await ask(server, "GET", **query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.rule("WH5", "WH10")
async def test_what_was_given_up(storage: Storage) -> None:
    """In pages, each with what was sent; one is sent again by whoever runs, another dropped, and then there are none."""
    with webhook_receiver() as receiver:
        async with api(storage=storage) as server, sending(storage, receiver) as sender:
            assert await page(server) == {"webhooks": [], "next": None, "number": 0}
            receiver.answer = says(500)
            for name in ("a", "b", "c"):
                await fill(storage.store, name, number=1)
            await until(lambda: sender.dead == 3)
            first = await page(server, limit=2)
            rest = await page(server, limit=2, after=first["next"])
            assert (len(first["webhooks"]), len(rest["webhooks"]), rest["next"]) == (2, 1, None)
            assert (first["number"], rest["number"]) == (3, 3)
            letters = first["webhooks"] + rest["webhooks"]
            assert sorted(letter["document_id"] for letter in letters) == ["a", "b", "c"]
            one, other, third = letters
            whole = (await ask(server, "GET", f"/{one['id']}")).json()
            body = next(sent.body for sent in receiver.received if sent.id == one["id"])
            assert whole == one | {"body": body.decode()}
            assert (one["type"], one["attempts"], one["reason"]) == ("document.changed", 4, "the answer is 500")
            assert one["due_at"] is None
            assert one["made_at"] <= one["died_at"]

            # One that fails again stays, with what was wrong this time.
            receiver.answer = says(503)
            assert (await ask(server, "POST", f"/{other['id']}/retry")).status_code == 204
            async with asyncio.timeout(10):
                while (again := (await ask(server, "GET", f"/{other['id']}")).json())["attempts"] == 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert (again["attempts"], again["reason"], again["due_at"]) == (5, "the answer is 503", None)

            receiver.answer = says(204)
            assert (await ask(server, "POST", f"/{one['id']}/retry")).status_code == 204
            await until(lambda: [sent.id for sent in receiver.accepted] == [one["id"]])
            await until(lambda: sender.delivered == 1)
            for method, path in (("GET", ""), ("POST", "/retry"), ("DELETE", "")):
                assert problem(await ask(server, method, f"/{one['id']}{path}")) == (404, "webhook_not_found")
            assert (await ask(server, "DELETE", f"/{other['id']}")).status_code == 204
            assert [letter["id"] for letter in (await page(server))["webhooks"]] == [third["id"]]
            # The document whose message was given up is told of as ever.
            await write(storage.store, "a", make_entry(2))
            await until(lambda: receiver.of("a")[-1:] and receiver.of("a")[-1]["data"]["after"] == 1)


@pytest.mark.rule("WH10", "AD1")
async def test_who_may_and_what_is_none() -> None:
    """Administrators of all documents; and a storage that keeps nothing of webhooks has given none up."""
    async with api(storage=replace(memory_storage(), webhooks=None)) as server:
        for method, path in (("GET", ""), ("GET", f"/{new_id()}"), ("DELETE", f"/{new_id()}"), ("POST", f"/{new_id()}/retry")):
            headers = bearer(token("ana", **{"d*": "admin"}))
            assert problem(await server.client.request(method, f"{WEBHOOKS}{path}", headers=headers)) == (403, "forbidden")
        assert problem(await ask(server, "GET", "/all")) == (422, "unprocessable_entity")
        assert problem(await ask(server, "GET", after="x")) == (422, "unprocessable_entity")
        assert problem(await ask(server, "GET", limit=0)) == (422, "unprocessable_entity")
        assert await page(server) == {"webhooks": [], "next": None, "number": 0}
        assert problem(await ask(server, "POST", f"/{new_id()}/retry")) == (404, "webhook_not_found")
