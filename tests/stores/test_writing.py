"""The writing statements, as each kind of database is told them."""

from __future__ import annotations

import pytest
from sqlalchemy import Dialect, make_url

from cowrite.stores.sqlalchemy.database import insert_or_ignore
from cowrite.stores.sqlalchemy.tables import clients
from cowrite.stores.sqlalchemy.writing import Writer, Writes

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


@pytest.mark.rule("DB15")
def test_portions() -> None:
    """Nothing is lost, and what is in one table stays in its order; little is one portion, and so is nothing."""
    writes = Writes(updates=[(1,), (2,)], operations=[(n,) for n in range(7)], clients={("a", n): "ana" for n in range(2)})
    portions = writes.portions(4)
    assert [len(one.updates) + len(one.operations) + len(one.clients) for one in portions] == [4, 4, 3]
    together = Writes()
    for one in portions:
        together.add(one)
    assert together == writes
    assert writes.portions(11) == [writes]
    assert Writes().portions(4) == [Writes()]
