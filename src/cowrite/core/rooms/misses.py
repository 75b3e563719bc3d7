"""What is done when the broker may have lost something: the store is read, and what nothing stores is asked for again."""

from __future__ import annotations

from cowrite.core.ports import Broker
from cowrite.core.presence.service import PresenceService
from cowrite.core.rooms.heads import HeadWatch
from cowrite.core.rooms.registry import Registry


def make_good(broker: Broker, heads: HeadWatch, registry: Registry, presence: PresenceService) -> None:
    """From now on, whenever the broker says so."""

    def missed(document_id: str | None) -> None:
        registry.missed(document_id)
        heads.missed(document_id)
        if document_id is None:
            presence.missed()
            if broker.reaches_others:
                registry.rejoin()

    broker.listen(missed)
