"""Run by Alembic itself; the connection comes from ``cowrite.stores.sqlalchemy.schema``, which also commits."""

from __future__ import annotations

from alembic import context

from cowrite.stores.sqlalchemy.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
