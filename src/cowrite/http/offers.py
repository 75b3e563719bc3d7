"""The transports that a client is offered, with their addresses, in the order in which to try them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import quote

from starlette.requests import Request

from cowrite.http.models import TransportOffer

_SOCKETS: Final = ("websocket", "yjs", "hocuspocus")
_WEBSOCKET_PROTOCOL: Final = "cowrite.v2.json"
_YJS_PROTOCOL: Final = "cowrite.ack.v1"


def offers(request: Request, document_id: str, *, failed: Collection[str], crowded: bool) -> list[TransportOffer]:
    """Sockets first, unless they did not work for this client or there are too many. What has failed comes last."""
    base = str(request.base_url).rstrip("/")
    sockets = f"ws{base.removeprefix('http')}"
    realtime = f"{base}/api/v2/realtime"
    # With the id in it: a polling client needs nothing but to add its cursor.
    query = f"document_id={quote(document_id, safe='')}"
    found = [
        TransportOffer(name="websocket", url=f"{sockets}/api/v2/realtime/ws", protocol=_WEBSOCKET_PROTOCOL),
        TransportOffer(name="yjs", url=f"{sockets}/yjs/{quote(document_id, safe='')}", protocol=_YJS_PROTOCOL),
        TransportOffer(name="hocuspocus", url=f"{sockets}/hocuspocus"),
        TransportOffer(
            name="polling",
            url=f"{realtime}/poll?{query}",
            write_url=f"{realtime}/operations",
            presence_url=f"{realtime}/presence",
        ),
    ]
    # Whoever cannot open one kind of socket cannot open the others either.
    broken = set(failed) | (set(_SOCKETS) if set(failed) & set(_SOCKETS) else set())
    late = set(_SOCKETS) if crowded and "polling" not in broken else set()
    return sorted(found, key=lambda offer: (offer.name in broken, offer.name in late))
