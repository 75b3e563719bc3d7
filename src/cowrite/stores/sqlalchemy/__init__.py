"""The store in a relational database, by SQLAlchemy Core."""
