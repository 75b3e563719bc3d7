"""The tables, their history and their page."""

from __future__ import annotations

import asyncio
import io
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.schema import ExecutableDDLElement

import cowrite.stores.migrations
from cowrite.core.ports import StoreCorrupt
from cowrite.core.records import Checkpoint, Entry
from cowrite.crdt.operations import ContentOperation, OperationType
from cowrite.stores import StoreOutdated, StoreSetupError, open_store
from cowrite.stores.sqlalchemy.schema import NEWEST
from cowrite.stores.sqlalchemy.schema_page import schema_page
from cowrite.stores.sqlalchemy.tables import VERSION_TABLE, metadata
from cowrite.testing.records import (
    fill,
    make_change,
    make_entry,
    make_operation,
    make_quarantined,
    make_submitted,
    new_id,
    write,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schema.md"
SCRIPTS = ScriptDirectory(str(Path(cowrite.stores.migrations.__file__).parent))
SPECIFIED = {
    "content_operations": {
        "id": "VARCHAR(36)",
        "document_id": "VARCHAR(255)",
        "operation_type": "VARCHAR(6)",
        "position": "JSON",
        "content": "TEXT",
        "author_id": "VARCHAR(255)",
        "timestamp": "BIGINT",
        "vector_clock": "JSON",
    },
    "collaboration_sessions": {
        "session_id": "VARCHAR(36)",
        "user_id": "VARCHAR(255)",
        "document_id": "VARCHAR(255)",
        "last_active": "TIMESTAMP",
        "metadata": "JSON",
    },
}


@pytest.fixture
async def migrated(tmp_path: Path) -> Path:
    """A database that was made by the migrations."""
    path = tmp_path / "migrated.db"
    await (await open_store(f"sqlite:///{path}")).close()
    return path


def sql(path: Path, statement: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.rule("ST27")
def test_specified_tables() -> None:
    """The specification's tables have its columns under its names, with ids wide enough for the API's 255 characters."""
    for name, columns in SPECIFIED.items():
        found = metadata.tables[name].columns
        assert {column: found[column].type.compile(dialect=sqlite.dialect()) for column in columns} == columns
        assert [column.name for column in found if column.primary_key] == [next(iter(columns))]


@pytest.mark.rule("ST28")
def test_migrations_make_the_tables(migrated: Path) -> None:
    """A database that was migrated from nothing has exactly the tables of ``tables.py``: Alembic finds no difference."""
    engine = create_engine(f"sqlite:///{migrated}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


@pytest.mark.rule("ST28")
def test_migrations_make_the_same_sql(migrated: Path, tmp_path: Path) -> None:
    """The same with what Alembic does not compare: checks, names, the order of columns, WITHOUT ROWID, the first rows."""
    created = tmp_path / "created.db"
    engine = create_engine(f"sqlite:///{created}")
    metadata.create_all(engine)
    engine.dispose()
    listing = f"SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> '{VERSION_TABLE}' ORDER BY name"
    by_migrations, by_tables = (
        [(name, in_one_line(statement)) for name, statement in sql(path, listing)] for path in (migrated, created)
    )
    assert by_migrations == by_tables
    for name in metadata.tables:
        assert sql(migrated, f"SELECT * FROM {name}") == sql(created, f"SELECT * FROM {name}")


def in_one_line(statement: str) -> str:
    return re.sub(r"\s*([(),])\s*", r"\1 ", " ".join(statement.split()))


@pytest.mark.rule("ST28")
@pytest.mark.parametrize("kind", ["postgresql", "mysql", "mariadb"])
def test_migrations_for_servers(kind: str) -> None:
    """The migrations say the same as ``tables.py`` on database servers too, with collations, types and comments."""
    output = io.StringIO()
    context = MigrationContext.configure(dialect_name=kind, opts={"as_sql": True, "output_buffer": output})
    with Operations.context(context):
        for script in reversed(list(SCRIPTS.walk_revisions())):
            script.module.upgrade()
    by_migrations = [" ".join(statement.split()) for statement in output.getvalue().split(";\n") if statement.strip()]
    by_tables: set[str] = set()

    def collect(statement: ExecutableDDLElement, _parameters: object) -> None:
        by_tables.add(" ".join(str(statement.compile(dialect=context.dialect)).split()))

    metadata.create_all(MockConnection(context.dialect, collect))
    assert in_the_end(by_migrations) == by_tables


def in_the_end(statements: Sequence[str]) -> set[str]:
    """What is left of statements that make, change and drop tables: as if all had been made at once."""
    left: list[str] = []
    for statement in statements:
        match statement.split():
            case ["ALTER", "TABLE", table, "ADD", "COLUMN", *_]:
                column = statement.partition(" ADD COLUMN ")[2]
                left = [with_column(one, column) if one.startswith(f"CREATE TABLE {table} ") else one for one in left]
            case ["ALTER", "TABLE", table, "RENAME", "TO", name]:
                left = [re.sub(rf"^(CREATE TABLE|COMMENT ON \w+) {table}\b", rf"\1 {name}", one) for one in left]
            case ["ALTER", "TABLE", table, "COMMENT", *_]:
                comment = statement.partition(" COMMENT ")[2]
                made = f"CREATE TABLE {table} "
                left = [re.sub(r"\)COMMENT='.*'$", f")COMMENT={comment}", one) if one.startswith(made) else one for one in left]
            case ["ALTER", "TABLE", _, "DROP", "CONSTRAINT", *_] | ["CREATE", "INDEX", "fk_content_operations_document_id", *_]:
                pass  # of a table that goes; what MySQL makes by itself
            case ["DROP", "TABLE", table]:
                left = [one for one in left if not re.match(rf"(CREATE TABLE|COMMENT ON \w+) {table}\b", one)]
            case ["DROP", "INDEX", name, *_]:
                left = [one for one in left if not re.match(rf"CREATE (UNIQUE )?INDEX {name} ", one)]
            case ["COMMENT", "ON", "TABLE", table, "IS", *_]:
                left = [one for one in left if not one.startswith(f"COMMENT ON TABLE {table} ")]
                left.append(statement)
            case _:
                left.append(statement)
    return set(left)


def with_column(created: str, column: str) -> str:
    """Behind the other columns."""
    before, constraint, after = created.partition(", CONSTRAINT ")
    return f"{before}, {column}{constraint}{after}"


@pytest.mark.rule("ST28")
def test_downgrade_leaves_nothing(migrated: Path) -> None:
    """The way back takes away what the way there has made."""
    engine = create_engine(f"sqlite:///{migrated}")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        for script in SCRIPTS.walk_revisions():
            script.module.downgrade()
    engine.dispose()
    assert sql(migrated, "SELECT name FROM sqlite_master WHERE sql IS NOT NULL") == [(VERSION_TABLE,)]


@pytest.mark.rule("ST29")
def test_newest_version(migrated: Path) -> None:
    """The program knows which version file is the newest, and the database has it."""
    assert SCRIPTS.get_heads() == [NEWEST]
    assert sql(migrated, f"SELECT version_num FROM {VERSION_TABLE}") == [(NEWEST,)]


@pytest.mark.rule("ST29")
async def test_newer_database(migrated: Path) -> None:
    """A database of a newer program is not touched, and one line says so."""
    sql(migrated, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreSetupError, match=r"version 9999, which this program does not know .* newer cowrite") as caught:
        await open_store(f"sqlite:///{migrated}")
    assert "\n" not in str(caught.value)
    assert sql(migrated, f"SELECT version_num FROM {VERSION_TABLE}") == [("9999",)]


@pytest.mark.rule("ST29")
async def test_not_upgraded_when_told_so(tmp_path: Path) -> None:
    """With ``upgrade=False`` tables that are missing or old are an error, and nothing is changed."""
    path = tmp_path / "new.db"
    with pytest.raises(StoreOutdated, match=r"has no tables yet, and 0006 is needed; `cowrite serve` makes"):
        await open_store(f"sqlite:///{path}", upgrade=False)
    assert sql(path, "SELECT name FROM sqlite_master") == []
    storage = await open_store(f"sqlite:///{path}")
    await fill(storage.store, "doc", number=1)
    await storage.close()
    sql(path, f"UPDATE {VERSION_TABLE} SET version_num = '0000'")
    with pytest.raises(StoreOutdated, match=r"has version 0000 of the tables, and 0006 is needed"):
        await open_store(f"sqlite:///{path}", upgrade=False)
    sql(path, f"UPDATE {VERSION_TABLE} SET version_num = '{NEWEST}'")
    storage = await open_store(f"sqlite:///{path}", upgrade=False)
    assert (await storage.store.heads(["doc"]))["doc"].offset == 1
    await storage.close()


@pytest.mark.rule("ST49")
async def test_upgrade_from_0001(tmp_path: Path) -> None:
    """A database of the first version is upgraded when it is opened: all that it holds is kept, and the new tables work."""
    path = tmp_path / "old.db"
    entries = [make_entry(offset, claims=(7,)) for offset in range(1, 6)]
    storage = await open_store(f"sqlite:///{path}")
    await write(storage.store, "doc", *entries)
    await storage.store.save_checkpoint("doc", Checkpoint(3, entries[2].id, b"state", {}))
    async with storage.store.writing([]) as transaction:
        await transaction.quarantine([make_quarantined("doc")])
    await storage.close()
    sql(path, "INSERT INTO collaboration_sessions VALUES ('s', 'ana', 'doc', '2026-01-01', '{}')")
    kept = f"SELECT name FROM sqlite_master WHERE type = 'table' AND name <> '{VERSION_TABLE}'"
    await asyncio.to_thread(downgrade, path, to="0001")
    before = {name: sql(path, f"SELECT * FROM {name}") for (name,) in sql(path, kept)}
    assert len(before) == 7
    assert all(before.values())
    assert len(before["documents"][0]) == 8
    with pytest.raises(StoreOutdated, match="has version 0001"):
        await open_store(f"sqlite:///{path}", upgrade=False)
    storage = await open_store(f"sqlite:///{path}")
    loaded = await storage.store.load("doc")
    assert loaded is not None
    assert (loaded.head.offset, len(loaded.entries)) == (5, 2)
    assert await storage.store.entries("doc", start=1, limit=9) == tuple(replace(entry, claims=()) for entry in entries)
    async with storage.store.writing(["doc"]) as transaction:
        newest = make_entry(6)
        await transaction.append("doc", [newest], [make_submitted("doc", newest)])
    assert await storage.access.change(make_change()) == 1
    assert await storage.directory.delete("doc", make_change())
    await storage.close()
    assert sql(path, "PRAGMA foreign_key_check") == []
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.rule("ST49")
async def test_upgrades_lose_nothing(tmp_path: Path) -> None:
    """What was upgraded and is brought back to the first version is what it was, row by row."""
    path = tmp_path / "old.db"
    storage = await open_store(f"sqlite:///{path}")
    for name in ("b", "a", "empty"):
        entries = [make_entry(offset, author=name, claims=(7,), update=bytes(offset)) for offset in range(1, 6)]
        await write(storage.store, name, *(entries if name != "empty" else ()))
    await storage.close()
    await asyncio.to_thread(downgrade, path, to="0001")
    tables = [name for (name,) in sql(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    before = {name: sql(path, f"SELECT * FROM {name} ORDER BY 1, 2") for name in tables if name != VERSION_TABLE}
    assert len(before["updates"]) == len(before["content_operations"]) == 10
    await (await open_store(f"sqlite:///{path}")).close()
    assert len(sql(path, "SELECT * FROM updates")) == 10
    await asyncio.to_thread(downgrade, path, to="0001")
    assert {name: sql(path, f"SELECT * FROM {name} ORDER BY 1, 2") for name in before} == before


@pytest.mark.rule("HS2")
async def test_old_entries_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries of before the upgrade know how much they insert and delete, as new ones do; what is damaged stays damaged, and
    keeps nobody from the other documents. Many rows and large ones are copied in parts.
    """
    script = SCRIPTS.get_revision("0005").module
    monkeypatch.setattr(script, "BATCH_ROWS", 3)
    monkeypatch.setattr(script, "BATCH_BYTES", 1000)
    monkeypatch.setattr(script, "PAGE_ROWS", 2)
    operations = [
        make_operation(content="aé😀"),
        make_operation(content=["a", "b"]),
        make_operation(content="entry", position=("map", "key")),
        make_operation(content={"embed": 1}),
        make_operation(type=OperationType.DELETE, content=None, length=9),
        make_operation(type=OperationType.DELETE, content=None, length=None),
        make_operation(type=OperationType.FORMAT, content=None),
    ]
    path = tmp_path / "old.db"
    storage = await open_store(f"sqlite:///{path}")
    mixed = [*((one,) for one in operations), tuple(operations), ()]
    entries = [make_entry(offset, operations=some, update=bytes(600)) for offset, some in enumerate(mixed, 1)]
    other_ids = [make_operation(id=f"{number}", content="ab") for number in range(2)]
    await write(storage.store, "doc", *(replace(entry, operations=tuple(with_new_ids(entry))) for entry in entries))
    odd = [make_entry(1, id="x", group="not a UUID......", operations=tuple(other_ids)), make_entry(2)]
    await write(storage.store, "odd", *odd)
    await write(storage.store, "bad", make_entry(1), make_entry(2))
    expected = {name: await storage.history.authored(name, after=0, limit=99) for name in ("doc", "odd")}
    assert [(one.inserted, one.deleted) for one in expected["doc"]] == [
        *((4, 0), (2, 0), (1, 0), (1, 0), (0, 9), (0, 1), (0, 0)),
        *((8, 10), (0, 0)),
    ]
    kept = await storage.store.entries("odd", start=1, limit=9)
    await storage.close()
    await asyncio.to_thread(downgrade, path, to="0004")
    sql(path, "UPDATE updates SET ranges = '[[1]]' WHERE document_id = 'bad' AND entry_offset = 2")
    sql(path, "UPDATE content_operations SET position = '[' WHERE document_id = 'bad'")
    storage = await open_store(f"sqlite:///{path}")
    assert {name: await storage.history.authored(name, after=0, limit=99) for name in expected} == expected
    assert await storage.store.entries("odd", start=1, limit=9) == kept
    with pytest.raises(StoreCorrupt, match="'bad' at offset 2"):
        await storage.history.authored("bad", after=0, limit=9)
    await storage.close()


def with_new_ids(entry: Entry) -> list[ContentOperation]:
    return [replace(operation, id=new_id()) for operation in entry.operations]


def downgrade(path: Path, *, to: str) -> None:
    """Bring a database back to what an older version of the program made."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        for script in SCRIPTS.iterate_revisions(NEWEST, to):
            script.module.downgrade()
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{to}'"))
    engine.dispose()


@pytest.mark.rule("ST29")
async def test_tables_of_another_program(tmp_path: Path) -> None:
    """A database in which somebody else has a table of such a name is left alone; other tables beside cowrite's are no harm."""
    path = tmp_path / "host.db"
    sql(path, "CREATE TABLE invoices (id INTEGER)")
    sql(path, "CREATE TABLE alembic_version (version_num TEXT)")
    await (await open_store(f"sqlite:///{path}")).close()
    other = tmp_path / "other.db"
    sql(other, "CREATE TABLE documents (id INTEGER)")
    with pytest.raises(StoreSetupError, match=r"table 'documents' .* not cowrite's"):
        await open_store(f"sqlite:///{other}")
    assert sql(other, "SELECT name FROM sqlite_master") == [("documents",)]


@pytest.mark.rule("ST30")
async def test_opened_by_several_at_once(tmp_path: Path) -> None:
    """Several processes may open a new file at the same time: one makes the tables, the others find them."""
    opened = await asyncio.gather(*(open_store(f"sqlite:///{tmp_path}/deep/er/new.db") for _ in range(5)))
    for storage in opened:
        await fill(storage.store, "doc", number=1)
    assert (await opened[0].store.heads(["doc"]))["doc"].offset == 5
    for storage in opened:
        await storage.close()


@pytest.mark.rule("ST31")
def test_page() -> None:
    """``docs/reference/schema.md`` is the page that ``schema_page`` writes: every table and column, each with its meaning."""
    assert PAGE.read_text() == schema_page()
    for table in metadata.tables.values():
        assert table.comment
        for column in table.columns:
            assert column.comment
            assert f"| `{column.name}` |" in schema_page()
