"""The conversation for each language that is spoken over sockets."""

from __future__ import annotations

from cowrite.transports.json_connection import JsonConnection, MeteredWire
from cowrite.transports.services import Connection, Services
from cowrite.transports.upgrade import Accepted, Language
from cowrite.transports.yjs import YjsConnection


def connection_for(wire: MeteredWire, accepted: Accepted, services: Services) -> Connection:
    """The connection of a socket that was let in."""
    kind = JsonConnection if accepted.language is Language.JSON else YjsConnection
    return kind(wire, accepted, services)
