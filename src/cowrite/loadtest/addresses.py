"""Where the server is, for each protocol, and who comes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from cowrite.loadtest.errors import PlanError
from cowrite.loadtest.plan import Plan, Protocol

_ACKNOWLEDGES: Final = {"Sec-WebSocket-Protocol": "cowrite.ack.v1"}
_OPERATIONS: Final = {"Sec-WebSocket-Protocol": "cowrite.v2.json"}
_API: Final = "/api/v2/realtime"
_DOCUMENTS: Final = "/api/v2/documents"


@dataclass(frozen=True, slots=True)
class Address:
    """Of a WebSocket."""

    url: str
    headers: dict[str, str]


class Addresses:
    """Of one server. ``token_for`` makes tokens that outlive the run, where there is a secret."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._base = plan.url.rstrip("/")
        self._sockets = self._base.replace("http", "ws", 1) if self._base.startswith("http") else self._base
        self._sources: Iterator[str] | None = itertools.cycle(plan.sources) if plan.sources else None
        self._seconds = int(plan.seconds + plan.warm_up + plan.settle) + 6 * 3600

    @property
    def acknowledges(self) -> bool:
        """Whether a y-websocket server is expected to."""
        return not self._plan.is_foreign

    @property
    def http(self) -> tuple[str, int, bool]:
        """Host, port, and whether it is encrypted."""
        address = urlsplit(self._base)
        secure = address.scheme in {"https", "wss"}
        return address.hostname or "", address.port or (443 if secure else 80), secure

    def socket(self, protocol: Protocol, document: str, token: str | None) -> Address:
        """Where somebody connects."""
        if protocol is Protocol.YJS:
            room = f"{self._sockets}{'' if self._plan.is_foreign else '/yjs'}/{quote(document, safe='')}"
            return Address(_with_token(room, token), _ACKNOWLEDGES if self.acknowledges else {})
        if protocol is Protocol.HOCUSPOCUS:
            return Address(self._sockets if self._plan.is_foreign else f"{self._sockets}/hocuspocus", {})
        return Address(f"{self._sockets}{_API}/ws", _OPERATIONS)

    def path(self, name: str) -> str:
        """Of a request about a session."""
        return f"{urlsplit(self._base).path}{_API}/{name}"

    def document_path(self, document: str) -> str:
        """Of a request for a document."""
        return f"{urlsplit(self._base).path}{_DOCUMENTS}/{quote(document, safe='')}"

    @property
    def metrics_url(self) -> str | None:
        """None for a server that is not known to have them."""
        return None if self._plan.is_foreign else f"{self._base}/metrics"

    def source(self) -> tuple[str, int] | None:
        """The address that the next socket comes from; None: the system's choice."""
        return (next(self._sources), 0) if self._sources else None

    def token_for(self, number: int) -> str | None:
        """The session token of somebody. Raises :class:`PlanError` when none can be made."""
        if self._plan.secret is None:
            return self._plan.token
        from cowrite.tokens import SecretInvalid, issue

        try:
            return issue(
                self._plan.secret,
                sub=f"load-{number}",
                name=f"Somebody {number}",
                documents={f"{self._plan.prefix}-*": "write"},
                ttl=self._seconds,
            )
        except (SecretInvalid, ValueError) as error:
            raise PlanError(f"no token can be made with that secret: {error}") from None


def _with_token(url: str, token: str | None) -> str:
    return url if token is None else f"{url}?token={quote(token, safe='')}"
