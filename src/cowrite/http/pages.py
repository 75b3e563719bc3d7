"""The built pages, served as files."""

from __future__ import annotations

import mimetypes
from http import HTTPStatus
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

mimetypes.init()  # here, because it reads files
mimetypes.add_type("text/javascript", ".js")  # some Windows machines say text/plain, and browsers run no such module

_FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For files whose names hold a hash of their content."""
_ASK_AGAIN: Final = "no-cache"


class Pages(StaticFiles):
    """The files of a folder. What is in its ``assets/`` may be cached for ever; the rest is asked for again each time."""

    def __init__(self, folder: Path) -> None:
        # Looked at when somebody asks, in a thread: applications are made in event loops, too.
        super().__init__(directory=folder, html=True, check_dir=False)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = _FOR_EVER if path.startswith("assets/") else _ASK_AGAIN
        return response


def page_routes(path: str, folder: Path) -> list[BaseRoute]:
    """The page in ``folder``, at ``path`` and a slash: what it is made of is asked for relative to that."""
    below = f"{path.rpartition('/')[2]}/"

    async def with_slash(request: Request) -> Response:
        # Relative, so that it leads there under any prefix; a browser takes the fragment along.
        return RedirectResponse(below, HTTPStatus.PERMANENT_REDIRECT, {"cache-control": _ASK_AGAIN})

    return [Route(path, with_slash, include_in_schema=False), Mount(path, Pages(folder))]
