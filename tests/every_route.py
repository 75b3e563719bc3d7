"""Every address that a server answers at, found in the application itself, and what each asks of those who come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from cowrite.app import create_app
from cowrite.core.ports import Grant
from cowrite.settings import Settings
from cowrite.stores.memory import memory_storage
from http_api import SECRET, insert

REALTIME = "/api/v2/realtime"
DOCUMENTS = "/api/v2/documents"
ADMIN = "/api/v2/admin"
"""For whom all documents are open: a grant for one is none here."""
ONE = f"{DOCUMENTS}/{{document_id}}"


@dataclass(frozen=True, slots=True)
class Asks:
    """What a route asks for, and a request that is right but for its token."""

    grant: Grant | None
    """None: whoever has a session may."""
    body: dict[str, Any] | None = None
    query: dict[str, str] = field(default_factory=dict)


OPEN = frozenset(
    ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"),
)
"""Addresses without a token, all of them to be read: they tell of the server, and of no document and no person."""
GUARDED = {
    f"POST {REALTIME}/refresh": Asks(None, {}),
    f"POST {REALTIME}/disconnect": Asks(None),
    f"POST {REALTIME}/grants": Asks(Grant.ADMIN, {"document_id": "d", "user_id": "nobody", "grant": None}),
    f"GET {REALTIME}/poll": Asks(Grant.READ, query={"document_id": "d"}),
    f"POST {REALTIME}/operations": Asks(Grant.WRITE, {"document_id": "d", "operations": [insert("x")], "base": None}),
    f"POST {REALTIME}/presence": Asks(Grant.COMMENT, {"document_id": "d", "data": {"x": 1}}),
    f"GET {DOCUMENTS}": Asks(Grant.READ),
    f"POST {DOCUMENTS}": Asks(Grant.WRITE, {"document_id": "d"}),
    f"GET {ONE}": Asks(Grant.READ),
    f"DELETE {ONE}": Asks(Grant.ADMIN),
    f"POST {ONE}/undelete": Asks(Grant.ADMIN),
    f"GET {ONE}/operations": Asks(Grant.READ),
    f"GET {ONE}/presence": Asks(Grant.READ),
    f"GET {ONE}/versions": Asks(Grant.READ),
    f"POST {ONE}/versions": Asks(Grant.WRITE, {"name": "one"}),
    f"GET {ONE}/versions/{{version_id}}": Asks(Grant.READ),
    f"PATCH {ONE}/versions/{{version_id}}": Asks(Grant.WRITE, {"name": "two"}),
    f"DELETE {ONE}/versions/{{version_id}}": Asks(Grant.WRITE),
    f"GET {ONE}/diff": Asks(Grant.READ, query={"from": "offset:0"}),
    f"GET {ONE}/blame": Asks(Grant.READ),
    f"GET {ONE}/activity": Asks(Grant.READ),
    f"POST {ONE}/restore": Asks(Grant.WRITE, {"to": "offset:0"}),
    f"POST {ONE}/undo": Asks(Grant.WRITE, {"author": "reader", "from": "offset:0"}),
    f"POST {ONE}/import": Asks(Grant.WRITE, {"type": "doc", "content": []}, query={"format": "prosemirror"}),
    f"DELETE {ONE}/history": Asks(Grant.ADMIN, query={"before": "offset:1"}),
    f"GET {ADMIN}/overview": Asks(Grant.ADMIN),
    f"GET {ADMIN}/documents": Asks(Grant.ADMIN),
    f"GET {ADMIN}/document": Asks(Grant.ADMIN, query={"document_id": "d"}),
    f"GET {ADMIN}/webhooks": Asks(Grant.ADMIN),
    f"GET {ADMIN}/webhooks/{{webhook_id}}": Asks(Grant.ADMIN),
    f"POST {ADMIN}/webhooks/{{webhook_id}}/retry": Asks(Grant.ADMIN),
    f"DELETE {ADMIN}/webhooks/{{webhook_id}}": Asks(Grant.ADMIN),
}
PAGE = frozenset(("GET /admin", "MOUNT /admin"))
"""The page of administrators: files that are the same for everybody."""
CONNECT = f"POST {REALTIME}/connect"
"""Its token is in the body: it is what all others ask for."""


def application(folder: Path, *, demo: bool) -> FastAPI:
    settings = Settings(_env_file=None, secret=SECRET, data_dir=folder)  # type: ignore[call-arg,arg-type]
    return create_app(settings, demo=demo, storage=memory_storage())


def http_routes(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """Method and path of all of them; of what is mounted, ``MOUNT`` and its path; of what takes every method, ``ANY``."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:  # FastAPI's: a router that was included
            yield from http_routes(inner.routes)
        elif isinstance(route, Mount):
            yield f"MOUNT {route.path}"
        elif isinstance(route, Route):
            for method in route.methods or ("ANY",):
                if method != "HEAD":  # of those that can be got
                    yield f"{method} {route.path}"
        elif isinstance(route, WebSocketRoute):
            yield f"SOCKET {route.path}"
        else:
            yield f"UNKNOWN {route!r}"
