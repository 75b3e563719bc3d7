"""The class whose methods a host application writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from cowrite.core.events import (
    Changed,
    Committed,
    Connected,
    Disconnected,
    Event,
    Evicted,
    Loaded,
    PresenceChanged,
    VersionCreated,
)


class Hooks:
    """Override what you want to be told of; what is not overridden costs nothing.

    Each call is made after the thing has happened, on the event loop of the server. Calls about one document are made one after
    the other, in the order in which things happened; documents do not wait for each other, and nothing else waits for a call:
    no edit, no acknowledgement. So a hook may wait for other services; it must not block the loop.

    A call that raises, or takes longer than ``time_limit``, is logged, and the next one is made. Every process tells of what
    happens in itself. Not promised: that each thing is told exactly once. What happens just before a process is killed is not
    told, and where a hook is far behind, entries and versions of other processes may be told here, too.
    """

    time_limit: ClassVar[float] = 30.0
    """Seconds after which a call is cancelled."""

    async def connected(self, event: Connected) -> None:
        """A connection has come into a document."""

    async def loaded(self, event: Loaded) -> None:
        """This process has read a document from the database."""

    async def changed(self, event: Changed) -> None:
        """The document shows something new. It need not be stored yet: what must not be lost belongs into :meth:`committed`.

        All changes that come while a call is made, or waits, are one call.
        """

    async def committed(self, event: Committed) -> None:
        """An entry of this process is stored; called for each of them."""

    async def version_created(self, event: VersionCreated) -> None:
        """A moment of the document was marked."""

    async def presence_changed(self, event: PresenceChanged) -> None:
        """Somebody came, went, or tells something else. Changes that come while a call is made, or waits, are one call."""

    async def disconnected(self, event: Disconnected) -> None:
        """A connection has gone."""

    async def evicted(self, event: Evicted) -> None:
        """This process serves the document from memory no longer."""


METHODS: Final[Mapping[type[Event], str]] = {
    Connected: "connected",
    Loaded: "loaded",
    Changed: "changed",
    Committed: "committed",
    VersionCreated: "version_created",
    PresenceChanged: "presence_changed",
    Disconnected: "disconnected",
    Evicted: "evicted",
}
"""The method that is called with each event."""
