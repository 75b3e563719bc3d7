"""Migrations on MariaDB and MySQL, where each statement that changes tables is for good at once.

A migration that was cut begins again from its first statement. What it has done before is passed over: tables, columns and
indexes that are there already, or are gone already. Rows that it copies are committed with the statement after them.
"""

from __future__ import annotations

from typing import Any

from alembic.ddl.base import AddColumn, RenameTable
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl
from sqlalchemy import inspect
from sqlalchemy.engine import CursorResult
from sqlalchemy.schema import CreateIndex, CreateTable, DropConstraint, DropIndex, DropTable
from sqlalchemy.sql.elements import TextClause


class _Again(MySQLImpl):
    __dialect__ = "mysql"

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> CursorResult[Any] | None:
        if not self.as_sql and self.connection is not None and self._is_done(construct):
            return None
        return super()._exec(construct, *arguments, **options)

    def _is_done(self, construct: Any) -> bool:
        assert self.connection is not None
        found = inspect(self.connection)  # a new one: it remembers what it has seen
        match construct:
            case CreateTable():
                return found.has_table(construct.element.name)
            case DropTable():
                return not found.has_table(construct.element.name)
            case AddColumn():
                return _has(found.get_columns(construct.table_name), construct.column.name)
            case CreateIndex():
                return _has(found.get_indexes(_table(construct.element)), construct.element.name)
            case DropIndex():
                return not _has(found.get_indexes(_table(construct.element)), construct.element.name)
            case RenameTable():
                # Or it has made way for the new one already, and is gone.
                return found.has_table(str(construct.new_table_name)) or not _has(
                    found.get_columns(construct.table_name), "document_id"
                )
            case DropConstraint():
                return not _has(found.get_foreign_keys(_table(construct.element)), construct.element.name)
            case TextClause() | str() if str(construct).startswith("INSERT INTO access_head"):
                return self.connection.exec_driver_sql("SELECT 1 FROM access_head").first() is not None
            case _:
                return False


class _AgainOnMariaDB(_Again, MariaDBImpl):
    __dialect__ = "mariadb"


def _table(element: Any) -> str:
    return str(element.table.name)


def _has(things: Any, name: Any) -> bool:
    return any(thing["name"] == str(name) for thing in things)
