"""The tables of webhooks: how far each document was told of, and what could not be told. See ``tables.py``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, String, Table

from cowrite.stores.sqlalchemy.tables import ID, JSON_TEXT, MILLISECONDS, TEXT, UUID, metadata

MAX_WORD: Final = 32
"""Characters of an event's type, or of a document's state."""

webhook_start = Table(
    "webhook_start",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="Always 1."),
    Column("started_at", MILLISECONDS, nullable=False, comment="When, in milliseconds since 1970 by the database's own clock."),
    comment="One row, once webhooks were sent for the first time: what was there before is not told.",
)

webhook_documents = Table(
    "webhook_documents",
    metadata,
    Column("document_id", ID, primary_key=True, comment="The document."),
    Column("epoch", UUID, nullable=False, comment="The log that was told of."),
    Column("entry_offset", BigInteger, nullable=False, comment="Entries up to this one were told of, or need not be."),
    Column("versions_at", MILLISECONDS, nullable=False, comment="When the newest version was made that was told of."),
    Column("versions_told", JSON_TEXT, nullable=False, comment="Ids of the versions of the minute before, as an array."),
    Column("state", String(MAX_WORD), nullable=False, comment="What was told last: there, deleted or purged."),
    Column("claimed_by", UUID, nullable=False, comment="The process that sends it; empty: none."),
    Column("claimed_until", MILLISECONDS, nullable=False, comment="When another may, by the database's own clock."),
    Column("event_id", UUID, nullable=True, comment="What is being sent (webhook-id); null: nothing."),
    Column("event_type", String(MAX_WORD), nullable=True, comment="Its type."),
    Column("body", TEXT, nullable=True, comment="What is sent, JSON."),
    Column("made_at", MILLISECONDS, nullable=True, comment="When it was made, by the database's own clock."),
    Column("attempts", Integer, nullable=False, comment="How often it was sent in vain."),
    Column("due_at", MILLISECONDS, nullable=True, index=True, comment="When it is sent again; null: nothing is."),
    comment="How far webhooks have told of each document, and the one that is on its way. Not in backups.",
)

webhook_dead_letters = Table(
    "webhook_dead_letters",
    metadata,
    Column("event_id", UUID, primary_key=True, comment="Its webhook-id."),
    Column("document_id", ID, nullable=False, index=True, comment="The document."),
    Column("event_type", String(MAX_WORD), nullable=False, comment="Its type."),
    Column("body", TEXT, nullable=False, comment="What was sent, JSON."),
    Column("made_at", MILLISECONDS, nullable=False, comment="When it was made."),
    Column("died_at", MILLISECONDS, nullable=False, comment="When it was sent in vain for the last time."),
    Column("attempts", Integer, nullable=False, comment="How often it was sent in vain."),
    Column("reason", TEXT, nullable=False, comment="Why, the last time."),
    Column("due_at", MILLISECONDS, nullable=True, index=True, comment="Somebody wants it sent again; null: nobody does."),
    comment="Webhooks that were given up. Not in backups.",
)
