"""The tables, the same on every database; ``docs/reference/schema.md`` is made from the comments here.

JSON columns take and give JSON text, encoded by ``cowrite.stores.encoding``: the engines are made so that SQLAlchemy passes it
on as it is. What people or Yjs clients wrote stands in ``TEXT`` as JSON, where U+0000 is escaped: PostgreSQL cannot keep
it otherwise.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    JSON,
    TIMESTAMP,
    BigInteger,
    Boolean,
    Column,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from cowrite.core.grant import Grant
from cowrite.core.records import VersionKind
from cowrite.stores.encoding import DIGEST_LENGTH, MAX_ID, MAX_UUID
from cowrite.stores.packing import MAX_PACKED_ID


def _bytewise(length: int) -> TypeEngine[str]:
    """Text that compares by its bytes and does not ignore trailing blanks: 'a', 'A', 'á' and 'a ' are four values."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


ID = _bytewise(MAX_ID)
"""Names that the host application gives: documents, users. 255 characters of any Unicode."""
UUID = _bytewise(MAX_UUID)
"""Ids in the text form of a UUID."""
PACKED_ID = LargeBinary(MAX_PACKED_ID).with_variant(mysql.VARBINARY(MAX_PACKED_ID), "mysql", "mariadb")
"""The same in 16 bytes, where there is one in every entry; see :func:`cowrite.stores.packing.pack_id`."""
BYTES = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_LONG_TEXT = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
TEXT = Text().with_variant(_LONG_TEXT, "mysql", "mariadb")
# MariaDB and MySQL take no half of a surrogate pair in JSON, and MySQL puts members into another order.
JSON_TEXT = JSON(none_as_null=True).with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
# TIMESTAMP begins in the first second of 1970 there, and ends in 2038.
TIME = TIMESTAMP(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
MILLISECONDS, DIGEST = BigInteger(), _bytewise(DIGEST_LENGTH)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

VERSION_TABLE = "cowrite_schema"
"""Alembic's table with the version of the tables; not its usual name, which the host application's own migrations may have."""


def _access_level(*, nullable: bool, comment: str) -> Column[str]:
    # Not a type of the database's own: two tables have it, and a type may be made only once.
    level = Enum(*(grant.value for grant in Grant), name="access_level", native_enum=False, create_constraint=True)
    return Column("access_level", level, nullable=nullable, comment=comment)


def _document_id() -> Column[str]:
    return Column("document_id", ID, ForeignKey("documents.document_id"), nullable=False, comment="The document.")


documents = Table(
    "documents",
    metadata,
    Column("document_id", ID, primary_key=True, comment="Name of the document, given by the host application."),
    Column(
        "epoch", UUID, nullable=False, comment="Which log this is; a new one means that offsets of the old one say nothing."
    ),
    Column("head_offset", BigInteger, nullable=False, comment="Offset of the last committed entry; 0 for the empty document."),
    Column("head_entry_id", UUID, nullable=False, comment="Id of the entry at head_offset; empty at 0."),
    Column(
        "first_offset",
        BigInteger,
        nullable=False,
        comment="Offset of the oldest entry that is kept; 1 until history is forgotten.",
    ),
    Column("log_bytes", BigInteger, nullable=False, comment="Bytes of all updates of the log up to the head."),
    Column("created_at", MILLISECONDS, nullable=False, comment="When the row was made, in milliseconds since 1970."),
    Column("updated_at", MILLISECONDS, nullable=False, comment="When the head was last moved, in milliseconds since 1970."),
    Column(
        "deleted_at", MILLISECONDS, nullable=True, comment="When it was deleted, in milliseconds since 1970; null: it is not."
    ),
    Column(
        "number",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="A short name for it in the tables that have a row for every edit: 1, 2, 3 …",
    ),
    Column(
        "purged_at", MILLISECONDS, nullable=True, comment="When it was purged, in milliseconds since 1970; null: it was not."
    ),
    Index(None, "number", unique=True),
    sqlite_with_rowid=False,
    comment="One row for each document that was ever written to: the head of its log. Writers lock this row.",
)

updates = Table(
    "updates",
    metadata,
    Column("document_number", BigInteger, ForeignKey("documents.number"), nullable=False, comment="Number of the document."),
    Column("entry_offset", BigInteger, nullable=False, comment="Place in the document's log: 1, 2, 3 … without gaps."),
    Column("entry_id", PACKED_ID, nullable=False, comment="Id of the entry (UUIDv7), its 16 bytes."),
    Column(
        "group_id",
        PACKED_ID,
        nullable=False,
        comment="Id of the group commit that wrote it, 16 bytes; tells whether a doubtful COMMIT happened.",
    ),
    Column("author_id", ID, nullable=False, comment="Who made it."),
    Column("created_at", MILLISECONDS, nullable=False, comment="When it was committed, in milliseconds since 1970."),
    Column(
        "ranges",
        BYTES,
        nullable=False,
        comment="Structs that it brought: for each range Yjs client, first clock and length, as varUint of lib0.",
    ),
    Column("checksum", BigInteger, nullable=False, comment="CRC-32 of update_bytes."),
    Column("log_bytes", BigInteger, nullable=False, comment="Bytes of all updates of the log up to and with this one."),
    Column(
        "inserted",
        BigInteger,
        nullable=False,
        comment="What its operations insert: UTF-16 units, embedded values, items, nodes, entries.",
    ),
    Column("deleted", BigInteger, nullable=False, comment="How much its operations delete, in the same units."),
    Column("cause", TEXT, nullable=True, comment="Why the server made it, as a JSON object; null: an edit of a client's."),
    Column("copies", BYTES, nullable=True, comment="Pieces that the cause brought back, five varUint of lib0 for each."),
    # The last one: what stands behind many bytes is slow to read.
    Column("update_bytes", BYTES, nullable=False, comment="The Yjs update (v1): what was new at this offset."),
    PrimaryKeyConstraint("document_number", "entry_offset"),
    sqlite_with_rowid=False,
    comment="The log: the truth about every document. Rows are only ever added, until history is forgotten.",
)

content_operations = Table(
    "content_operations",
    metadata,
    Column("id", UUID, primary_key=True, comment="Id of the operation: the client's own, or a UUIDv7."),
    _document_id(),
    Column(
        "operation_type",
        Enum("insert", "delete", "format", name="operation_type", create_constraint=True),
        nullable=False,
        comment="What happens: insert, delete or format.",
    ),
    Column(
        "position",
        JSON_TEXT,
        nullable=False,
        comment="Path to the place: root, child indexes or keys, then a UTF-16 index or a key.",
    ),
    Column(
        "content", TEXT, nullable=True, comment="What is inserted, as JSON (a text is a JSON string, so U+0000 is escaped)."
    ),
    Column("author_id", ID, nullable=False, comment="Who made it."),
    Column("timestamp", MILLISECONDS, nullable=False, comment="When it was committed, in milliseconds since 1970."),
    Column(
        "vector_clock",
        JSON_TEXT,
        nullable=False,
        comment="Yjs clients that its entry changed, with their clocks after it, and the offset.",
    ),
    Column("entry_offset", BigInteger, nullable=False, comment="Offset of the entry that it belongs to."),
    Column("sequence", Integer, nullable=False, comment="Its place among the operations of that entry, from 0."),
    Column("length", BigInteger, nullable=True, comment="How many units a delete or format covers."),
    Column("attributes", JSON_TEXT, nullable=True, comment="Formatting: an object of attribute names and values."),
    Column(
        "document_number",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="Number of the document: an index with its name would take as many bytes as the text.",
    ),
    Index(None, "document_number", "entry_offset", "sequence", unique=True),
    comment="The log as JSON operations, written in the same transaction as the updates that they were derived from.",
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _document_id(),
    Column("entry_offset", BigInteger, nullable=False, comment="The offset whose state this is."),
    Column("entry_id", UUID, nullable=False, comment="Id of the entry at that offset."),
    Column("state", BYTES, nullable=False, comment="The whole state as one Yjs update (v1), zlib."),
    Column("checksum", BigInteger, nullable=False, comment="CRC-32 of state as stored."),
    Column("size", BigInteger, nullable=False, comment="Bytes of state as stored."),
    Column(
        "roots", JSON_TEXT, nullable=False, comment="What each root is: an object of root names and text, map, array or xml."
    ),
    Column("log_bytes", BigInteger, nullable=False, comment="Bytes of all updates of the log up to that offset."),
    Column("created_at", MILLISECONDS, nullable=False, comment="When it was saved, in milliseconds since 1970."),
    PrimaryKeyConstraint("document_id", "entry_offset"),
    comment="Encoded states, so that opening a document does not replay its whole log. "
    "All can be deleted without loss, but the oldest one where history was forgotten: that is the document as it was there.",
)

clients = Table(
    "clients",
    metadata,
    _document_id(),
    Column("client_id", BigInteger, nullable=False, comment="A Yjs client id."),
    Column("author_id", ID, nullable=False, comment="Who wrote with it first; it is theirs for good."),
    PrimaryKeyConstraint("document_id", "client_id"),
    sqlite_with_rowid=False,
    comment="Whose the Yjs clients of a document are.",
)

retired_clients = Table(
    "retired_clients",
    metadata,
    _document_id(),
    Column("client_id", BigInteger, nullable=False, comment="A Yjs client id."),
    PrimaryKeyConstraint("document_id", "client_id"),
    sqlite_with_rowid=False,
    comment="The Yjs clients that wrote what was deleted for good: nothing is taken from them any more.",
)

erasures = Table(
    "erasures",
    metadata,
    Column("document_id", ID, ForeignKey("documents.document_id"), primary_key=True, comment="The document."),
    Column("id", UUID, nullable=False, comment="Id of the erasure (UUIDv7)."),
    Column("until_offset", BigInteger, nullable=False, comment="The last entry that goes."),
    Column("rows_gone", Boolean, nullable=False, comment="Whether all rows are gone, and only the files are to be scrubbed."),
    sqlite_with_rowid=False,
    comment="What was forgotten or purged and is not gone altogether: it is out of sight, and goes a few rows at a time.",
)

versions = Table(
    "versions",
    metadata,
    Column("id", UUID, primary_key=True, comment="Id of the version (UUIDv7)."),
    _document_id(),
    Column("entry_offset", BigInteger, nullable=False, comment="The last entry that it has; 0: the empty document."),
    Column(
        "kind",
        Enum(*(kind.value for kind in VersionKind), name="version_kind", native_enum=False, create_constraint=True),
        nullable=False,
        comment="What made it: named (somebody), automatic (a pause in editing), restore (what was there before one).",
    ),
    Column("author_id", ID, nullable=False, comment="Who made it; of an automatic one, the author of the entry."),
    Column("created_at", MILLISECONDS, nullable=False, comment="When it was made, in milliseconds since 1970."),
    Column("name", ID, nullable=True, comment="Its name."),
    Column("note", TEXT, nullable=True, comment="What somebody had to say about it."),
    Index(None, "document_id", "entry_offset"),
    comment="Moments of documents' histories that were marked: pointers into the log, no copies.",
)

quarantined_updates = Table(
    "quarantined_updates",
    metadata,
    Column("id", UUID, primary_key=True, comment="Id of the row (UUIDv7)."),
    Column("document_id", ID, nullable=False, index=True, comment="The document that it was meant for."),
    Column("author_id", ID, nullable=False, comment="Who sent it."),
    Column("created_at", MILLISECONDS, nullable=False, comment="When it was put here, in milliseconds since 1970."),
    Column("reason", TEXT, nullable=False, comment="Why it could not be committed."),
    Column("update_bytes", BYTES, nullable=False, comment="The Yjs update (v1) as it came."),
    comment="Updates that were accepted and could not be committed: for people to look at, never applied.",
)

submitted = Table(
    "submitted",
    metadata,
    Column("id", UUID, primary_key=True, comment="Id of the operation, given by the client."),
    _document_id(),
    Column("author_id", ID, nullable=False, comment="Who submitted it."),
    Column("session_id", UUID, nullable=False, comment="The session in which it was submitted."),
    Column(
        "entry_offset", BigInteger, nullable=False, comment="Offset of the entry that it made; of the head, if it made none."
    ),
    Column("digest", DIGEST, nullable=False, comment="SHA-256 of what was submitted, in hexadecimal."),
    Column(
        "result",
        JSON_TEXT,
        nullable=False,
        comment="What it became: the ids of its rows in content_operations, in order; none, one or more.",
    ),
    Column(
        "update_bytes",
        BYTES,
        nullable=True,
        comment="The Yjs update (v1) that was made for it; null: that of its entry; empty: there was none.",
    ),
    Column("created_at", MILLISECONDS, nullable=False, comment="When it was committed, in milliseconds since 1970."),
    Index(None, "session_id", "document_id", "entry_offset"),
    comment="Operations that clients without a CRDT submitted, written with the log; "
    "one that is sent again is answered from here.",
)

collaboration_sessions = Table(
    "collaboration_sessions",
    metadata,
    Column("session_id", UUID, primary_key=True, comment="Id of the session (UUIDv7)."),
    Column("user_id", ID, nullable=False, comment="Whose session it is."),
    Column("document_id", ID, nullable=False, index=True, comment="The document that it is in."),
    Column("last_active", TIME, nullable=False, index=True, comment="When it was last heard of (UTC)."),
    Column("metadata", JSON_TEXT, nullable=True, comment="Name, colour, cursor and what else the session tells, as an object."),
    comment="Who is in which document, where presence is kept in the database.",
)

presence_processes = Table(
    "presence_processes",
    metadata,
    Column("process_id", ID, primary_key=True, comment="The process."),
    Column(
        "seen_at",
        MILLISECONDS,
        nullable=False,
        comment="When it was last heard of, in milliseconds since 1970 by the database's own clock.",
    ),
    comment="Which processes live: what one wrote to collaboration_sessions counts for as long as it is heard of.",
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", UUID, primary_key=True, comment="Id of the session (UUIDv7)."),
    Column("document_id", ID, nullable=False, comment="The document that it is in."),
    Column("user_id", ID, nullable=False, comment="Whose session it is."),
    Column("name", TEXT, nullable=True, comment="Name to show."),
    Column("colour", TEXT, nullable=True, comment="Colour of cursor and name."),
    _access_level(nullable=False, comment="What the session may do: read, comment, write or admin, each with those before it."),
    Column("issued_at", MILLISECONDS, nullable=False, comment="When that was decided, in milliseconds since 1970."),
    Column("created_at", MILLISECONDS, nullable=False, comment="When it began, in milliseconds since 1970."),
    Column("expires_at", MILLISECONDS, nullable=False, comment="When it ends by itself, in milliseconds since 1970."),
    Column(
        "ended_at",
        MILLISECONDS,
        nullable=True,
        index=True,
        comment="When it was ended, in milliseconds since 1970; null: it was not.",
    ),
    comment="Users' stays in documents, and what they may do there.",
)

access_changes = Table(
    "access_changes",
    metadata,
    Column(
        "revision",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Place among all changes: 1, 2, 3 … without gaps.",
    ),
    Column("id", UUID, nullable=False, unique=True, comment="Id of the change (UUIDv7)."),
    Column("document_id", ID, nullable=True, comment="The document; null: all."),
    Column("user_id", ID, nullable=True, comment="The user; null: everybody."),
    Column("session_id", UUID, nullable=True, comment="The session; null: all."),
    _access_level(nullable=True, comment="What they may do from then on: read, comment, write or admin; null: nothing."),
    Column("restores", Boolean, nullable=False, comment="Whether what was granted at first holds again; access_level is null."),
    Column("reason", TEXT, nullable=True, comment="Why, for people."),
    Column("changed_by", ID, nullable=False, comment="Who changed it."),
    Column("created_at", MILLISECONDS, nullable=False, comment="When, in milliseconds since 1970."),
    comment="Grants that were changed or revoked: each overrides every access that was decided before. "
    "Rows are only ever added.",
)

access_head = Table(
    "access_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="Always 1."),
    Column("revision", BigInteger, nullable=False, comment="The last revision in access_changes; 0: there is none."),
    comment="One row. Whoever adds a change locks it; whoever commits edits shares it, so that no change comes between.",
)
event.listen(access_head, "after_create", DDL("INSERT INTO access_head (id, revision) VALUES (1, 0)"))  # type: ignore[no-untyped-call]

used_tokens = Table(
    "used_tokens",
    metadata,
    Column("jti", UUID, primary_key=True, comment="Id of the token."),
    Column("expires_at", MILLISECONDS, nullable=False, index=True, comment="When it expires, in milliseconds since 1970."),
    comment="Session tokens for a single use that were used. A row may go when its token has expired.",
)
