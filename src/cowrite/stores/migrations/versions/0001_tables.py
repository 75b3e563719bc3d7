"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _bytewise(length: int) -> TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


ID = _bytewise(255)
UUID = _bytewise(36)
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
JSON = sa.JSON(none_as_null=True).with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
TIME = sa.TIMESTAMP(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "collaboration_sessions",
        sa.Column("session_id", UUID, nullable=False, comment="Id of the session (UUIDv7)."),
        sa.Column("user_id", ID, nullable=False, comment="Whose session it is."),
        sa.Column("document_id", ID, nullable=False, comment="The document that it is in."),
        sa.Column("last_active", TIME, nullable=False, comment="When it was last heard of (UTC)."),
        sa.Column(
            "metadata",
            JSON,
            nullable=True,
            comment="Name, colour, cursor and what else the session tells, as an object.",
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_collaboration_sessions")),
        comment="Who is in which document, where presence is kept in the database.",
    )
    op.create_index(op.f("ix_collaboration_sessions_document_id"), "collaboration_sessions", ["document_id"], unique=False)
    op.create_index(op.f("ix_collaboration_sessions_last_active"), "collaboration_sessions", ["last_active"], unique=False)
    op.create_table(
        "documents",
        sa.Column("document_id", ID, nullable=False, comment="Name of the document, given by the host application."),
        sa.Column(
            "epoch", UUID, nullable=False, comment="Which log this is; a new one means that offsets of the old one say nothing."
        ),
        sa.Column(
            "head_offset",
            sa.BigInteger(),
            nullable=False,
            comment="Offset of the last committed entry; 0 for the empty document.",
        ),
        sa.Column("head_entry_id", UUID, nullable=False, comment="Id of the entry at head_offset; empty at 0."),
        sa.Column(
            "first_offset",
            sa.BigInteger(),
            nullable=False,
            comment="Offset of the oldest entry that is kept; 1 until history is forgotten.",
        ),
        sa.Column("log_bytes", sa.BigInteger(), nullable=False, comment="Bytes of all updates of the log up to the head."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When the row was made, in milliseconds since 1970."),
        sa.Column(
            "updated_at", sa.BigInteger(), nullable=False, comment="When the head was last moved, in milliseconds since 1970."
        ),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_documents")),
        comment="One row for each document that was ever written to: the head of its log. Writers lock this row.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "quarantined_updates",
        sa.Column("id", UUID, nullable=False, comment="Id of the row (UUIDv7)."),
        sa.Column("document_id", ID, nullable=False, comment="The document that it was meant for."),
        sa.Column("author_id", ID, nullable=False, comment="Who sent it."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it was put here, in milliseconds since 1970."),
        sa.Column("reason", TEXT, nullable=False, comment="Why it could not be committed."),
        sa.Column("update_bytes", BYTES, nullable=False, comment="The Yjs update (v1) as it came."),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantined_updates")),
        comment="Updates that were accepted and could not be committed: for people to look at, never applied.",
    )
    op.create_index(op.f("ix_quarantined_updates_document_id"), "quarantined_updates", ["document_id"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("entry_offset", sa.BigInteger(), nullable=False, comment="The offset whose state this is."),
        sa.Column("entry_id", UUID, nullable=False, comment="Id of the entry at that offset."),
        sa.Column("state", BYTES, nullable=False, comment="The whole state as one Yjs update (v1), zlib."),
        sa.Column("checksum", sa.BigInteger(), nullable=False, comment="CRC-32 of state as stored."),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="Bytes of state as stored."),
        sa.Column(
            "roots",
            JSON,
            nullable=False,
            comment="What each root is: an object of root names and text, map, array or xml.",
        ),
        sa.Column("log_bytes", sa.BigInteger(), nullable=False, comment="Bytes of all updates of the log up to that offset."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it was saved, in milliseconds since 1970."),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_checkpoints_document_id")),
        sa.PrimaryKeyConstraint("document_id", "entry_offset", name=op.f("pk_checkpoints")),
        comment="Encoded states, so that opening a document does not replay its whole log. All can be deleted without loss.",
    )
    op.create_table(
        "clients",
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("client_id", sa.BigInteger(), nullable=False, comment="A Yjs client id."),
        sa.Column("author_id", ID, nullable=False, comment="Who wrote with it first; it is theirs for good."),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_clients_document_id")),
        sa.PrimaryKeyConstraint("document_id", "client_id", name=op.f("pk_clients")),
        comment="Whose the Yjs clients of a document are.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "content_operations",
        sa.Column("id", UUID, nullable=False, comment="Id of the operation: the client's own, or a UUIDv7."),
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column(
            "operation_type",
            sa.Enum("insert", "delete", "format", name="operation_type", create_constraint=True),
            nullable=False,
            comment="What happens: insert, delete or format.",
        ),
        sa.Column(
            "position",
            JSON,
            nullable=False,
            comment="Path to the place: root, child indexes or keys, then a UTF-16 index or a key.",
        ),
        sa.Column(
            "content", TEXT, nullable=True, comment="What is inserted, as JSON (a text is a JSON string, so U+0000 is escaped)."
        ),
        sa.Column("author_id", ID, nullable=False, comment="Who made it."),
        sa.Column("timestamp", sa.BigInteger(), nullable=False, comment="When it was committed, in milliseconds since 1970."),
        sa.Column(
            "vector_clock",
            JSON,
            nullable=False,
            comment="Yjs clients that its entry changed, with their clocks after it, and the offset.",
        ),
        sa.Column("entry_offset", sa.BigInteger(), nullable=False, comment="Offset of the entry that it belongs to."),
        sa.Column("sequence", sa.Integer(), nullable=False, comment="Its place among the operations of that entry, from 0."),
        sa.Column("length", sa.BigInteger(), nullable=True, comment="How many units a delete or format covers."),
        sa.Column(
            "attributes",
            JSON,
            nullable=True,
            comment="Formatting: an object of attribute names and values.",
        ),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_content_operations_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_content_operations")),
        comment="The log as JSON operations, written in the same transaction as the updates that they were derived from.",
    )
    op.create_index(
        op.f("ix_content_operations_document_id_entry_offset_sequence"),
        "content_operations",
        ["document_id", "entry_offset", "sequence"],
        unique=True,
    )
    op.create_table(
        "updates",
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column(
            "entry_offset", sa.BigInteger(), nullable=False, comment="Place in the document's log: 1, 2, 3 … without gaps."
        ),
        sa.Column("entry_id", UUID, nullable=False, comment="Id of the entry (UUIDv7)."),
        sa.Column(
            "group_id",
            UUID,
            nullable=False,
            comment="Id of the group commit that wrote it; tells whether a doubtful COMMIT happened.",
        ),
        sa.Column("author_id", ID, nullable=False, comment="Who made it."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it was committed, in milliseconds since 1970."),
        sa.Column(
            "ranges",
            JSON,
            nullable=False,
            comment="Structs that it brought: [[Yjs client, first clock, clock after the last], …].",
        ),
        sa.Column("update_bytes", BYTES, nullable=False, comment="The Yjs update (v1): what was new at this offset."),
        sa.Column("checksum", sa.BigInteger(), nullable=False, comment="CRC-32 of update_bytes."),
        sa.Column(
            "log_bytes", sa.BigInteger(), nullable=False, comment="Bytes of all updates of the log up to and with this one."
        ),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_updates_document_id")),
        sa.PrimaryKeyConstraint("document_id", "entry_offset", name=op.f("pk_updates")),
        comment="The log: the truth about every document. Rows are only ever added.",
    )


def downgrade() -> None:
    """Drop the tables, with everything in them."""
    op.drop_table("updates")
    op.drop_index(op.f("ix_content_operations_document_id_entry_offset_sequence"), table_name="content_operations")
    op.drop_table("content_operations")
    op.drop_table("clients")
    op.drop_table("checkpoints")
    op.drop_index(op.f("ix_quarantined_updates_document_id"), table_name="quarantined_updates")
    op.drop_table("quarantined_updates")
    op.drop_table("documents")
    op.drop_index(op.f("ix_collaboration_sessions_last_active"), table_name="collaboration_sessions")
    op.drop_index(op.f("ix_collaboration_sessions_document_id"), table_name="collaboration_sessions")
    op.drop_table("collaboration_sessions")
