"""What clients without a CRDT submitted; sessions, changes of access and used tokens; deletion of documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
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
DIGEST = _bytewise(64)
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
JSON = sa.JSON(none_as_null=True).with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def _access_level(constraint: str) -> sa.Enum:
    return sa.Enum("read", "comment", "write", "admin", name=op.f(constraint), native_enum=False, create_constraint=True)


def upgrade() -> None:
    """Make the tables, and the column for deletion."""
    op.add_column(
        "documents",
        sa.Column(
            "deleted_at",
            sa.BigInteger(),
            nullable=True,
            comment="When it was deleted, in milliseconds since 1970; null: it is not.",
        ),
    )
    op.create_table(
        "submitted",
        sa.Column("id", UUID, nullable=False, comment="Id of the operation, given by the client."),
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("author_id", ID, nullable=False, comment="Who submitted it."),
        sa.Column("session_id", UUID, nullable=False, comment="The session in which it was submitted."),
        sa.Column(
            "entry_offset",
            sa.BigInteger(),
            nullable=False,
            comment="Offset of the entry that it made; of the head, if it made none.",
        ),
        sa.Column("digest", DIGEST, nullable=False, comment="SHA-256 of what was submitted, in hexadecimal."),
        sa.Column(
            "result",
            JSON,
            nullable=False,
            comment="What it became: the ids of its rows in content_operations, in order; none, one or more.",
        ),
        sa.Column(
            "update_bytes",
            BYTES,
            nullable=True,
            comment="The Yjs update (v1) that was made for it; null: that of its entry; empty: there was none.",
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it was committed, in milliseconds since 1970."),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_submitted_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submitted")),
        comment="Operations that clients without a CRDT submitted, written with the log; "
        "one that is sent again is answered from here.",
    )
    op.create_index(
        op.f("ix_submitted_session_id_document_id_entry_offset"),
        "submitted",
        ["session_id", "document_id", "entry_offset"],
        unique=False,
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", UUID, nullable=False, comment="Id of the session (UUIDv7)."),
        sa.Column("document_id", ID, nullable=False, comment="The document that it is in."),
        sa.Column("user_id", ID, nullable=False, comment="Whose session it is."),
        sa.Column("name", TEXT, nullable=True, comment="Name to show."),
        sa.Column("colour", TEXT, nullable=True, comment="Colour of cursor and name."),
        sa.Column(
            "access_level",
            _access_level("ck_sessions_access_level"),
            nullable=False,
            comment="What the session may do: read, comment, write or admin, each with those before it.",
        ),
        sa.Column("issued_at", sa.BigInteger(), nullable=False, comment="When that was decided, in milliseconds since 1970."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it began, in milliseconds since 1970."),
        sa.Column("expires_at", sa.BigInteger(), nullable=False, comment="When it ends by itself, in milliseconds since 1970."),
        sa.Column(
            "ended_at",
            sa.BigInteger(),
            nullable=True,
            comment="When it was ended, in milliseconds since 1970; null: it was not.",
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
        comment="Users' stays in documents, and what they may do there.",
    )
    op.create_table(
        "access_changes",
        sa.Column(
            "revision",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Place among all changes: 1, 2, 3 … without gaps.",
        ),
        sa.Column("id", UUID, nullable=False, comment="Id of the change (UUIDv7)."),
        sa.Column("document_id", ID, nullable=True, comment="The document; null: all."),
        sa.Column("user_id", ID, nullable=True, comment="The user; null: everybody."),
        sa.Column("session_id", UUID, nullable=True, comment="The session; null: all."),
        sa.Column(
            "access_level",
            _access_level("ck_access_changes_access_level"),
            nullable=True,
            comment="What they may do from then on: read, comment, write or admin; null: nothing.",
        ),
        sa.Column(
            "restores",
            sa.Boolean(),
            nullable=False,
            comment="Whether what was granted at first holds again; access_level is null.",
        ),
        sa.Column("reason", TEXT, nullable=True, comment="Why, for people."),
        sa.Column("changed_by", ID, nullable=False, comment="Who changed it."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When, in milliseconds since 1970."),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_access_changes")),
        sa.UniqueConstraint("id", name=op.f("uq_access_changes_id")),
        comment="Grants that were changed or revoked: each overrides every access that was decided before. "
        "Rows are only ever added.",
    )
    op.create_table(
        "access_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="Always 1."),
        sa.Column(
            "revision", sa.BigInteger(), nullable=False, comment="The last revision in access_changes; 0: there is none."
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_head")),
        comment="One row. Whoever adds a change locks it; whoever commits edits shares it, so that no change comes between.",
    )
    op.execute("INSERT INTO access_head (id, revision) VALUES (1, 0)")
    op.create_table(
        "used_tokens",
        sa.Column("jti", UUID, nullable=False, comment="Id of the token."),
        sa.Column("expires_at", sa.BigInteger(), nullable=False, comment="When it expires, in milliseconds since 1970."),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_used_tokens")),
        comment="Session tokens for a single use that were used. A row may go when its token has expired.",
    )
    op.create_index(op.f("ix_used_tokens_expires_at"), "used_tokens", ["expires_at"], unique=False)


def downgrade() -> None:
    """Drop them, with everything in them; documents that were deleted are there again."""
    op.drop_index(op.f("ix_used_tokens_expires_at"), table_name="used_tokens")
    op.drop_table("used_tokens")
    op.drop_table("access_head")
    op.drop_table("access_changes")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_submitted_session_id_document_id_entry_offset"), table_name="submitted")
    op.drop_table("submitted")
    op.drop_column("documents", "deleted_at")
