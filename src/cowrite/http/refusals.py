"""That the answer to a request is an error. Knows no web framework: commands that have no server need it, too."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

RETRY_SECONDS: Final = 2
"""What Retry-After says, unless more is known."""


class Refusal(Exception):
    """The answer to a request is an error. Raise it anywhere below a route."""

    def __init__(
        self, status: HTTPStatus, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.more = more


def unavailable(detail: str, *, code: str = "unavailable", seconds: int = RETRY_SECONDS, close: bool = False) -> Refusal:
    """It cannot be done now, and may be later. ``close``: there may be more that was not read, and the connection ends."""
    headers = {"retry-after": str(seconds)} | ({"connection": "close"} if close else {})
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers=headers, retry=True)
