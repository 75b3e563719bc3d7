"""The description of the API says what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from http_api import api, problem

API = "/api/v2/"


@pytest.fixture
async def description() -> AsyncIterator[dict[str, Any]]:
    async with api() as server:
        yield (await server.client.get("/openapi.json")).json()


def routes(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    paths = description["paths"].items()
    return [(path, method, route) for path, methods in paths for method, route in methods.items() if path.startswith(API)]


@pytest.mark.rule("HT50")
async def test_all_routes_are_described(description: dict[str, Any]) -> None:
    """Every route under /api/v2 is there."""
    assert {(path.removeprefix(API), method) for path, method, _ in routes(description)} == {
        ("realtime/connect", "post"),
        ("realtime/refresh", "post"),
        ("realtime/disconnect", "post"),
        ("realtime/grants", "post"),
        ("realtime/poll", "get"),
        ("realtime/operations", "post"),
        ("realtime/presence", "post"),
        ("admin/overview", "get"),
        ("admin/documents", "get"),
        ("admin/document", "get"),
        ("admin/webhooks", "get"),
        ("admin/webhooks/{webhook_id}", "get"),
        ("admin/webhooks/{webhook_id}", "delete"),
        ("admin/webhooks/{webhook_id}/retry", "post"),
        ("documents", "get"),
        ("documents", "post"),
        ("documents/{document_id}", "get"),
        ("documents/{document_id}", "delete"),
        ("documents/{document_id}/undelete", "post"),
        ("documents/{document_id}/operations", "get"),
        ("documents/{document_id}/presence", "get"),
        ("documents/{document_id}/versions", "get"),
        ("documents/{document_id}/versions", "post"),
        ("documents/{document_id}/versions/{version_id}", "get"),
        ("documents/{document_id}/versions/{version_id}", "patch"),
        ("documents/{document_id}/versions/{version_id}", "delete"),
        ("documents/{document_id}/diff", "get"),
        ("documents/{document_id}/blame", "get"),
        ("documents/{document_id}/activity", "get"),
        ("documents/{document_id}/restore", "post"),
        ("documents/{document_id}/import", "post"),
        ("documents/{document_id}/undo", "post"),
        ("documents/{document_id}/history", "delete"),
    }


@pytest.mark.rule("HT50")
async def test_errors_are_described(description: dict[str, Any]) -> None:
    """Every error has the form of a problem and names its codes."""
    for path, _, route in routes(description):
        errors = {status: answer for status, answer in route["responses"].items() if status >= "400"}
        assert {"401", "503"} <= errors.keys(), path
        for status, answer in errors.items():
            schema = answer["content"]["application/problem+json"]["schema"]
            assert schema["properties"]["code"]["enum"], (path, status)
            assert schema["properties"]["status"]["const"] == int(status)
        assert route["summary"]


@pytest.mark.rule("HT50")
async def test_tokens_are_described(description: dict[str, Any]) -> None:
    """Every route but ``connect`` takes a token in the header or in the query."""
    schemes = description["components"]["securitySchemes"]
    assert (schemes["bearer"]["scheme"], schemes["query"]["name"]) == ("bearer", "access_token")
    without = [path for path, _, route in routes(description) if route.get("security") != [{"bearer": []}, {"query": []}]]
    assert without == [f"{API}realtime/connect"]


@pytest.mark.rule("HT50")
async def test_references_lead_somewhere(description: dict[str, Any]) -> None:
    """Every reference in it is resolved."""

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for part in value.values() for found in references(part)]
        return [found for part in value for found in references(part)] if isinstance(value, list) else []

    for reference in references(description):
        found: Any = description
        for step in reference.removeprefix("#/").split("/"):
            assert step in found, reference
            found = found[step]


@pytest.mark.rule("HT51")
@pytest.mark.parametrize("demo", [False, True])
async def test_other_methods(*, demo: bool) -> None:
    """A path that is there says which methods it has, in the demo too; another one is not found."""
    async with api(demo=demo) as server:
        for path, allowed in {"documents": "GET, POST", "documents/a%2Fb": "DELETE, GET", "realtime/poll": "GET"}.items():
            answer = await server.client.put(f"{API}{path}")
            assert problem(answer) == (405, "method_not_allowed")
            assert answer.headers["allow"].replace(", HEAD", "") == allowed
        for path in ("nowhere", "documents/a/b", "realtime/connect/x"):
            nowhere = await server.client.get(f"{API}{path}")
            assert problem(nowhere) == (404, "not_found")
            assert "percent-encoded as a whole: notes/1 is notes%2F1" in nowhere.json()["detail"]
