"""The history of the tables, run by Alembic. A version file is never changed once it has been released."""
