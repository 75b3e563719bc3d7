"""The page about the tables, from the comments in ``tables.py``.

Written anew by ``python -m cowrite.stores.sqlalchemy.schema_page > docs/reference/schema.md``; a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from sqlalchemy import Column, Table
from sqlalchemy.dialects import sqlite

from cowrite.stores.sqlalchemy.schema import NEWEST
from cowrite.stores.sqlalchemy.tables import VERSION_TABLE, metadata

_BEGINNING = f"""\
# Tables

What a cowrite database holds, version {NEWEST}. This page is made from `src/cowrite/stores/sqlalchemy/tables.py`; the types are
SQLite's. The tables are made and changed by the migrations in `src/cowrite/stores/migrations`, which the server runs when it
opens a SQLite file; the table `{VERSION_TABLE}` holds the version.

* `content_operations` and `collaboration_sessions` are those of the specification. Ids of documents and users are 255
  characters wide instead of 36, because host applications often have longer ones, and more columns stand beside the specified.
* Ids compare by their bytes: `a`, `A`, `á` and `a` with a blank behind it are four ids. They never contain U+0000.
* A column of type JSON, and `content`, holds JSON text, in which U+0000 is escaped.
* `updates` is the truth. `content_operations` says the same in another form; `checkpoints` only saves time, but the oldest one
  where history was forgotten. The entries of a document:
  `SELECT * FROM updates JOIN documents ON number = document_number WHERE document_id = …`
* An id in 16 bytes is a UUID; other ids are UTF-8 with U+0000 behind it.
* The transaction that commits an edit writes its `updates` and its `content_operations` and moves the head in `documents`: all
  of it or nothing.
"""


def schema_page() -> str:
    """The page, as Markdown."""
    return "\n".join([_BEGINNING, *(line for table in metadata.tables.values() for line in _section(table))])


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.name}\n\n{table.comment}\n"
    yield "| column | type | may be null | meaning |\n|---|---|---|---|"
    yield from map(_line, table.columns)
    yield f"\nPrimary key: {_names(table.primary_key)}."
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield f"{'Unique index' if index.unique else 'Index'}: {_names(index.columns)}."
    for key in table.foreign_key_constraints:
        yield f"{_names(key.columns)} refers to `{key.referred_table.name}`."
    yield ""


def _line(column: Column[object]) -> str:
    type_ = column.type.compile(dialect=sqlite.dialect())
    return f"| `{column.name}` | {type_} | {'yes' if column.nullable else 'no'} | {column.comment} |"


def _names(columns: Iterable[Column[object]]) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)


if __name__ == "__main__":
    sys.stdout.write(schema_page())
