"""An index of sessions by their end: every process looks twice a second which have ended."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(op.f("ix_sessions_ended_at"), "sessions", ["ended_at"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_index(op.f("ix_sessions_ended_at"), table_name="sessions")
