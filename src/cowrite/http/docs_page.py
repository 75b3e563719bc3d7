"""``/docs``: the API for people who try it out. The only page whose scripts come from elsewhere."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Final

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.routing import Route

PATH: Final = "/docs"
_SCRIPTS: Final = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
_NO_ICON: Final = "data:,"
_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def docs_route(app: FastAPI) -> Route:
    """The page that shows the description of an application's API."""

    async def docs(request: Request) -> HTMLResponse:
        below = request.scope.get("root_path", "").rstrip("/")
        page = get_swagger_ui_html(
            openapi_url=f"{below}{app.openapi_url}",
            title=f"{app.title}: the API",
            swagger_js_url=f"{_SCRIPTS}swagger-ui-bundle.js",
            swagger_css_url=f"{_SCRIPTS}swagger-ui.css",
            swagger_favicon_url=_NO_ICON,
        )
        page.headers["content-security-policy"] = _policy(bytes(page.body).decode())
        return page

    return Route(PATH, docs, methods=["GET"], include_in_schema=False)


def _policy(page: str) -> str:
    """Its own scripts by what they are, others from one folder; it may ask this server only."""
    hashes = (base64.b64encode(sha256(script.encode()).digest()).decode() for script in _INLINE.findall(page))
    scripts = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {scripts} {_SCRIPTS}; style-src {_SCRIPTS} 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
