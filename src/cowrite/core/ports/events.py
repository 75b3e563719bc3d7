"""The port to whoever wants to know what happens to documents."""

from __future__ import annotations

from typing import Protocol

from cowrite.core.events import Event


class Events(Protocol):
    """Told of what happens in this process."""

    def tell(self, event: Event) -> None:
        """It has happened. Synchronous, on the event loop; takes microseconds, and never raises. Events of one document come in
        the order in which they happened.
        """
        ...


class NobodyListens:
    """Nobody wants to know."""

    def tell(self, event: Event) -> None:
        pass


class Listeners:
    """Several who want to know."""

    def __init__(self, *listeners: Events) -> None:
        self._listeners = listeners

    def tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener.tell(event)


UNHEARD: Events = NobodyListens()
