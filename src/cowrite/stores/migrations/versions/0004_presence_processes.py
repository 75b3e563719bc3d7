"""The leases of the processes that keep presence in the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _bytewise(length: int) -> TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "presence_processes",
        sa.Column("process_id", _bytewise(255), nullable=False, comment="The process."),
        sa.Column(
            "seen_at",
            sa.BigInteger(),
            nullable=False,
            comment="When it was last heard of, in milliseconds since 1970 by the database's own clock.",
        ),
        sa.PrimaryKeyConstraint("process_id", name=op.f("pk_presence_processes")),
        comment="Which processes live: what one wrote to collaboration_sessions counts for as long as it is heard of.",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("presence_processes")
