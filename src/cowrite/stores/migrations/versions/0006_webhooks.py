"""How far webhooks have told of each document, and those that were given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _bytewise(length: int) -> TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


ID, UUID = _bytewise(255), _bytewise(36)
_LONG_TEXT = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
TEXT = sa.Text().with_variant(_LONG_TEXT, "mysql", "mariadb")
JSON = sa.JSON(none_as_null=True).with_variant(_LONG_TEXT, "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "webhook_start",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="Always 1."),
        sa.Column(
            "started_at",
            sa.BigInteger(),
            nullable=False,
            comment="When, in milliseconds since 1970 by the database's own clock.",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_start")),
        comment="One row, once webhooks were sent for the first time: what was there before is not told.",
    )
    op.create_table(
        "webhook_documents",
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("epoch", UUID, nullable=False, comment="The log that was told of."),
        sa.Column(
            "entry_offset", sa.BigInteger(), nullable=False, comment="Entries up to this one were told of, or need not be."
        ),
        sa.Column("versions_at", sa.BigInteger(), nullable=False, comment="When the newest version was made that was told of."),
        sa.Column("versions_told", JSON, nullable=False, comment="Ids of the versions of the minute before, as an array."),
        sa.Column("state", sa.String(32), nullable=False, comment="What was told last: there, deleted or purged."),
        sa.Column("claimed_by", UUID, nullable=False, comment="The process that sends it; empty: none."),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False, comment="When another may, by the database's own clock."),
        sa.Column("event_id", UUID, nullable=True, comment="What is being sent (webhook-id); null: nothing."),
        sa.Column("event_type", sa.String(32), nullable=True, comment="Its type."),
        sa.Column("body", TEXT, nullable=True, comment="What is sent, JSON."),
        sa.Column("made_at", sa.BigInteger(), nullable=True, comment="When it was made, by the database's own clock."),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="How often it was sent in vain."),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="When it is sent again; null: nothing is."),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_webhook_documents")),
        comment="How far webhooks have told of each document, and the one that is on its way. Not in backups.",
    )
    op.create_index(op.f("ix_webhook_documents_due_at"), "webhook_documents", ["due_at"], unique=False)
    op.create_table(
        "webhook_dead_letters",
        sa.Column("event_id", UUID, nullable=False, comment="Its webhook-id."),
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("event_type", sa.String(32), nullable=False, comment="Its type."),
        sa.Column("body", TEXT, nullable=False, comment="What was sent, JSON."),
        sa.Column("made_at", sa.BigInteger(), nullable=False, comment="When it was made."),
        sa.Column("died_at", sa.BigInteger(), nullable=False, comment="When it was sent in vain for the last time."),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="How often it was sent in vain."),
        sa.Column("reason", TEXT, nullable=False, comment="Why, the last time."),
        sa.Column("due_at", sa.BigInteger(), nullable=True, comment="Somebody wants it sent again; null: nobody does."),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_webhook_dead_letters")),
        comment="Webhooks that were given up. Not in backups.",
    )
    op.create_index(op.f("ix_webhook_dead_letters_document_id"), "webhook_dead_letters", ["document_id"], unique=False)
    op.create_index(op.f("ix_webhook_dead_letters_due_at"), "webhook_dead_letters", ["due_at"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_index(op.f("ix_webhook_dead_letters_due_at"), table_name="webhook_dead_letters")
    op.drop_index(op.f("ix_webhook_dead_letters_document_id"), table_name="webhook_dead_letters")
    op.drop_table("webhook_dead_letters")
    op.drop_index(op.f("ix_webhook_documents_due_at"), table_name="webhook_documents")
    op.drop_table("webhook_documents")
    op.drop_table("webhook_start")
