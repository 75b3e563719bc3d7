"""The writing statements, as each kind of database is told them."""

from __future__ import annotations

import pytest
from sqlalchemy import Dialect, make_url

from cowrite.stores.sqlalchemy.database import insert_or_ignore
from cowrite.stores.sqlalchemy.tables import clients
from cowrite.stores.sqlalchemy.writing import Writer

KINDS = {
    "sqlite": ("INSERT INTO clients", "ON CONFLICT DO NOTHING"),
    "postgresql+asyncpg": ("INSERT INTO clients", "ON CONFLICT DO NOTHING"),
    "mysql+asyncmy": ("INSERT IGNORE INTO clients", "VALUES (%s, %s, %s)"),
    "mariadb+asyncmy": ("INSERT IGNORE INTO clients", "VALUES (%s, %s, %s)"),
}


@pytest.mark.rule("ST60")
@pytest.mark.parametrize("kind", KINDS)
def test_statements_for_each_kind_of_database(kind: str) -> None:
    """All of them compile, with the parameters in the order in which rows come; what is there already is left out."""
    dialect: Dialect = make_url(f"{kind}://").get_dialect()()
    Writer(dialect)
    statement = str(insert_or_ignore(clients, dialect).compile(dialect=dialect))
    begins, ends = KINDS[kind]
    assert statement.startswith(begins)
    assert statement.endswith(ends)
