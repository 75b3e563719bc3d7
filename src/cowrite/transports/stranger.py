"""A socket of which it is not known yet whose it is: what may come until then.

Nobody can be made to answer for it, and there may be hundreds. Who logs in sends a few messages for each document before that;
so the number of messages is bounded, pings and all others together, and less is read at a time than of those who are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from picows import WSFrame

from cowrite.protocol.close_codes import CloseCode
from cowrite.transports.frame_reader import Hearer
from cowrite.transports.picows_wire import PicowsWire
from cowrite.transports.services import Services


class Stranger:
    """Counts frames on their way to a wire."""

    __slots__ = ("_left", "_services", "_wire", "is_too_much")

    def __init__(self, wire: PicowsWire, services: Services) -> None:
        self._wire = wire
        self._services = services
        self._left = services.limits.stranger_messages
        self.is_too_much = False
        """It was sent away: nothing that still comes is to be read."""

    @property
    def is_known(self) -> bool:
        """By now it is known whose socket it is."""
        return bool(self._wire.connection.user)

    def take(self, frame: WSFrame) -> None:
        """A frame, which is valid during the call only."""
        self._left -= 1
        if self._left >= 0 or self.is_known:
            self._wire.take(frame)
        elif not self.is_too_much:
            self.is_too_much = True
            self._services.excess.count("stranger_messages")
            most = self._services.limits.stranger_messages
            self._wire.connection.close(CloseCode.TOO_FAST, f"more than {most} messages before anybody has logged in")

    def fail(self, code: int, reason: str) -> None:
        """The reader cannot go on."""
        self._wire.fail(code, reason)


if TYPE_CHECKING:
    _: type[Hearer] = Stranger
