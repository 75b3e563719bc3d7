"""What a request to open a WebSocket asks for, and whether it is let through. The same for every kind of socket."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

import structlog

from cowrite.core.document_ids import is_document_id
from cowrite.core.excess import Excess
from cowrite.core.seldom import Seldom
from cowrite.protocol.thin import SUBPROTOCOL
from cowrite.transports.origins import OriginPolicy

_log = structlog.get_logger(__name__)

ACK_PROTOCOL: Final = "cowrite.ack.v1"
"""A client that offers this sub-protocol is told which of its messages are durable."""
YJS_PREFIX: Final = b"/yjs/"
HOCUSPOCUS_PATH: Final = b"/hocuspocus"
JSON_PATH: Final = b"/api/v2/realtime/ws"
_MAX_PARAMETERS: Final = 100
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """The parts of the HTTP request that count, as they came."""

    path: bytes
    """Percent-encoded, without the query and without the prefix under which the application is mounted."""
    query: bytes
    host: str | None
    origin: str | None
    protocols: tuple[str, ...]
    """The sub-protocols on offer, in the client's order."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer is an HTTP status instead of a WebSocket."""

    status: HTTPStatus
    detail: str


class Language(Enum):
    """What is spoken at an address."""

    YJS = "yjs"
    JSON = "json"
    HOCUSPOCUS = "hocuspocus"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The socket opens."""

    document_id: str | None
    """None: the address names no document; with y-websocket's protocol the socket is then closed with a code that says so."""
    token: str | None
    protocol: str | None
    """The sub-protocol to select."""
    language: Language = Language.YJS

    @property
    def acknowledges(self) -> bool:
        """The client wants acknowledgements."""
        return self.protocol == ACK_PROTOCOL


NOT_SERVING: Final = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The server is starting or stopping; try again in a moment.")


OVERLOADED: Final = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The server has as many connections as it takes; try again later.")


TOO_MANY: Final = Refused(
    HTTPStatus.TOO_MANY_REQUESTS, "There are too many connections from this address; close some, or try again later."
)


def refuse_crowded(excess: Excess, limit: str, of: str | None = None) -> Refused:
    """There is no place for one more socket (``connections``), or of this address (``address_sockets``): counted and logged."""
    excess.count(limit)
    excess.log.say(_log, "warning", "too many connections; others are refused", f"{limit} {of or ''}", limit=limit, address=of)
    return OVERLOADED if of is None else TOO_MANY


def answer(request: UpgradeRequest, origins: OriginPolicy, lines: Seldom) -> Accepted | Refused:
    """Decide on a request. ``lines``: for the log."""
    language = _language(request.path)
    if language is None:
        others = f"{HOCUSPOCUS_PATH.decode()} and {JSON_PATH.decode()}"
        detail = f"There is no WebSocket at this address; they are at /yjs/{{document_id}}, {others}."
        return Refused(HTTPStatus.NOT_FOUND, detail)
    if not origins.allows(request.origin, request.host):
        origin = request.origin
        lines.say(_log, "info", "web page refused", origin or "", origin=origin, host=request.host)
        return Refused(HTTPStatus.FORBIDDEN, "This web page may not connect; its origin belongs into COWRITE_ALLOWED_ORIGINS.")
    try:
        token = read_token(request.query)
    except ValueError:
        return Refused(HTTPStatus.BAD_REQUEST, "The query of the address cannot be read.")
    if language is Language.JSON:
        return Accepted(None, token, select_protocol(request.protocols, SUBPROTOCOL), language)
    if language is Language.HOCUSPOCUS:
        return Accepted(None, token, next(iter(request.protocols), None), language)
    document_id = read_document_id(request.path[len(YJS_PREFIX) :])
    return Accepted(document_id, token, select_protocol(request.protocols, ACK_PROTOCOL))


def _language(path: bytes) -> Language | None:
    if path.startswith(YJS_PREFIX):
        return Language.YJS
    if path in {HOCUSPOCUS_PATH, HOCUSPOCUS_PATH + b"/"}:  # some versions of the provider leave the slash
        return Language.HOCUSPOCUS
    return Language.JSON if path == JSON_PATH else None


def read_document_id(path: bytes) -> str | None:
    """Read the document's id in what follows ``/yjs/``; None when it is no id.

    Percent-encoding is undone once, and a slash is a character like any other: ``a/b`` and ``a%2Fb`` are one document. A ``%``
    that begins no escape stands for itself. An id is UTF-8, 1 to 255 characters (code points), without U+0000.
    """
    try:
        document_id = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return None
    return document_id if is_document_id(document_id) else None


def read_token(query: bytes) -> str | None:
    """The first ``token`` of the query; None without one. Raises ``ValueError`` for a query of absurdly many parts."""
    parameters = parse_qsl(
        query.decode(errors="replace"), keep_blank_values=True, errors="replace", max_num_fields=_MAX_PARAMETERS
    )
    return next((value for name, value in parameters if name == "token"), None)


def select_protocol(offered: tuple[str, ...], wanted: str) -> str | None:
    """The wanted one when it is on offer; else the first, as browsers close a socket for which none was selected."""
    if wanted in offered:
        return wanted
    return offered[0] if offered else None


def split_protocols(values: Iterable[str]) -> tuple[str, ...]:
    """Read the values of all Sec-WebSocket-Protocol headers, without what is no token (RFC 9110): it cannot be selected."""
    names = (name.strip() for value in values for name in value.split(","))
    return tuple(name for name in names if _TOKEN.fullmatch(name))
