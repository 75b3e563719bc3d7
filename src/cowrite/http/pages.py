"""The built pages, served as files."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For files whose names hold a hash of their content."""
_ASK_AGAIN: Final = "no-cache"


class Pages(StaticFiles):
    """The files of a folder. What is in its ``assets/`` may be cached for ever; the rest is asked for again each time."""

    def __init__(self, folder: Path) -> None:
        mimetypes.init()  # here, because it reads files
        mimetypes.add_type("text/javascript", ".js")  # some Windows machines say text/plain, and browsers run no such module
        super().__init__(directory=folder, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = _FOR_EVER if path.startswith("assets/") else _ASK_AGAIN
        return response
