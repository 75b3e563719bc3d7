"""The conversation for each language that is spoken over sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cowrite.transports.hocuspocus import HocuspocusConnection
from cowrite.transports.json_connection import JsonConnection, MeteredWire
from cowrite.transports.services import Connection, Services
from cowrite.transports.upgrade import Accepted, Language
from cowrite.transports.yjs import YjsConnection

_CONNECTIONS: Final[Mapping[Language, Callable[[MeteredWire, Accepted, Services], Connection]]] = {
    Language.YJS: YjsConnection,
    Language.JSON: JsonConnection,
    Language.HOCUSPOCUS: HocuspocusConnection,
}


def connection_for(wire: MeteredWire, accepted: Accepted, services: Services) -> Connection:
    """The connection of a socket that was let in."""
    return _CONNECTIONS[accepted.language](wire, accepted, services)
