"""What webhooks tell of. Without what else core needs: settings name these."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What a webhook tells of."""

    CHANGED = "document.changed"
    """Entries were committed since the last one."""
    DELETED = "document.deleted"
    UNDELETED = "document.undeleted"
    """It is there again, after it was deleted or purged."""
    PURGED = "document.purged"
    VERSION_CREATED = "version.created"


class ContentFormat(StrEnum):
    """In which form a webhook has what a document says; those of the API."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"
    PROSEMIRROR = "prosemirror"
