"""The conversation for each language that is spoken over sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from cowrite.transports.hocuspocus import HocuspocusConnection
from cowrite.transports.json_connection import JsonConnection, MeteredWire
from cowrite.transports.services import Connection, Services
from cowrite.transports.upgrade import Accepted, Language
from cowrite.transports.yjs import YjsConnection


def connection_for(
    wire: MeteredWire,
    accepted: Accepted,
    services: Services,
    *,
    throttle: Callable[[bool], None],
    arriving: Callable[[], bool] = lambda: False,
) -> Connection:
    """The connection of a socket that was let in. ``throttle``: see :class:`Lane`. ``arriving``: whether half a message has
    come, where that is known.
    """
    match accepted.language:
        case Language.YJS:
            return YjsConnection(wire, accepted, services, throttle=throttle)
        case Language.JSON:
            return JsonConnection(wire, accepted, services, throttle=throttle)
        case Language.HOCUSPOCUS:
            return HocuspocusConnection(wire, accepted, services, throttle=throttle, arriving=arriving)
        case _:
            assert_never(accepted.language)
