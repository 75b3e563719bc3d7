"""What ``/openapi.json`` says beside the routes themselves: how a request shows who sends it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

_API: Final = "/api/v2/"
_WITHOUT_TOKEN: Final = frozenset(("/api/v2/realtime/connect",))
"""Its session token is in the body."""
_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The access token that `connect` gave, or a session token for a single request. The demo needs none.",
    },
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "access_token",
        "description": "The same, where no header can be sent. Addresses are logged on the way: prefer the header.",
    },
}


def describe_tokens(app: FastAPI) -> None:
    """Let the description of an application's API tell how tokens come."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        description = made()
        description["components"]["securitySchemes"] = _SCHEMES
        for path, methods in description["paths"].items():
            if path.startswith(_API) and path not in _WITHOUT_TOKEN:
                for route in methods.values():
                    route["security"] = [{name: []} for name in _SCHEMES]
        return description

    app.openapi = openapi  # type: ignore[method-assign] # how FastAPI has it done
