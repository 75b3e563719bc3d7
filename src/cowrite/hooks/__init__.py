"""What a host application wants to be told of: a class with a method for each.

::

    from cowrite import Settings, create_app
    from cowrite.hooks import Committed, Hooks

    class Index(Hooks):
        async def committed(self, event: Committed) -> None:
            await search.refresh(event.document_id)

    app = create_app(Settings(secret=...), hooks=Index())
"""

from __future__ import annotations

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
from cowrite.hooks.hooks import Hooks

__all__ = [
    "Changed",
    "Committed",
    "Connected",
    "Disconnected",
    "Event",
    "Evicted",
    "Hooks",
    "Loaded",
    "PresenceChanged",
    "VersionCreated",
]
