"""History: versions, what entries insert, delete and why, documents that were purged; and fewer bytes for each edit.

``updates`` is made anew: its ids, ranges and document take a third of the bytes, and it has no second index.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _bytewise(length: int) -> TypeEngine[str]:
    return (
        sa.String(length)
        .with_variant(sa.String(length, collation="C"), "postgresql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mariadb")
    )


ID = _bytewise(255)
UUID = _bytewise(36)
PACKED_ID = sa.LargeBinary(146).with_variant(mysql.VARBINARY(146), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
JSON = sa.JSON(none_as_null=True).with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
OLD_INDEX = "ix_content_operations_document_id_entry_offset_sequence"
NEW_INDEX = "ix_content_operations_document_number_entry_offset_sequence"
CHECKPOINTS = "Encoded states, so that opening a document does not replay its whole log. "
BATCH_ROWS, BATCH_BYTES, PAGE_ROWS = 1000, 4 << 20, 50
"""How much is copied at a time, and read at once."""


def upgrade() -> None:
    """Make the tables and columns, and fill them for what is there."""
    _add_columns()
    _add_tables()
    op.rename_table("updates", "updates_0004")
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("pk_updates", "updates_0004")
    _create_updates()
    if not op.get_context().as_sql:
        _copy_updates(op.get_bind())
    op.drop_table("updates_0004")


def _add_columns() -> None:
    op.add_column(
        "documents",
        sa.Column(
            "number",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="A short name for it in the tables that have a row for every edit: 1, 2, 3 …",
        ),
    )
    op.add_column(
        "documents",
        sa.Column(
            "purged_at",
            sa.BigInteger(),
            nullable=True,
            comment="When it was purged, in milliseconds since 1970; null: it was not.",
        ),
    )
    op.add_column(
        "content_operations",
        sa.Column(
            "document_number",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="Number of the document: an index with its name would take as many bytes as the text.",
        ),
    )
    if not op.get_context().as_sql:
        _number_documents(op.get_bind())
    op.create_index(op.f("ix_documents_number"), "documents", ["number"], unique=True)
    if op.get_context().dialect.name in ("mysql", "mariadb"):
        # There the foreign key needs one, and would not let the other go.
        op.create_index(op.f("fk_content_operations_document_id"), "content_operations", ["document_id"])
    op.drop_index(op.f(OLD_INDEX), table_name="content_operations")
    op.create_index(op.f(NEW_INDEX), "content_operations", ["document_number", "entry_offset", "sequence"], unique=True)
    if op.get_context().dialect.name != "sqlite":
        oldest = "All can be deleted without loss, but the oldest one where history was forgotten: "
        op.create_table_comment("checkpoints", CHECKPOINTS + oldest + "that is the document as it was there.")


def _add_tables() -> None:
    op.create_table(
        "retired_clients",
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("client_id", sa.BigInteger(), nullable=False, comment="A Yjs client id."),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_retired_clients_document_id")),
        sa.PrimaryKeyConstraint("document_id", "client_id", name=op.f("pk_retired_clients")),
        comment="The Yjs clients that wrote what was deleted for good: nothing is taken from them any more.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "erasures",
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("id", UUID, nullable=False, comment="Id of the erasure (UUIDv7)."),
        sa.Column("until_offset", sa.BigInteger(), nullable=False, comment="The last entry that goes."),
        sa.Column(
            "rows_gone",
            sa.Boolean(),
            nullable=False,
            comment="Whether all rows are gone, and only the files are to be scrubbed.",
        ),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_erasures_document_id")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_erasures")),
        comment="What was forgotten or purged and is not gone altogether: it is out of sight, and goes a few rows at a time.",
        sqlite_with_rowid=False,
    )
    kind = sa.Enum(
        "named",
        "automatic",
        "restore",
        name=op.f("ck_versions_version_kind"),
        native_enum=False,
        create_constraint=True,
    )
    op.create_table(
        "versions",
        sa.Column("id", UUID, nullable=False, comment="Id of the version (UUIDv7)."),
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column(
            "entry_offset", sa.BigInteger(), nullable=False, comment="The last entry that it has; 0: the empty document."
        ),
        sa.Column(
            "kind",
            kind,
            nullable=False,
            comment="What made it: named (somebody), automatic (a pause in editing), restore (what was there before one).",
        ),
        sa.Column("author_id", ID, nullable=False, comment="Who made it; of an automatic one, the author of the entry."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it was made, in milliseconds since 1970."),
        sa.Column("name", ID, nullable=True, comment="Its name."),
        sa.Column("note", TEXT, nullable=True, comment="What somebody had to say about it."),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_versions_document_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        comment="Moments of documents' histories that were marked: pointers into the log, no copies.",
    )
    op.create_index(op.f("ix_versions_document_id_entry_offset"), "versions", ["document_id", "entry_offset"], unique=False)


def _create_updates() -> None:
    op.create_table(
        "updates",
        sa.Column("document_number", sa.BigInteger(), nullable=False, comment="Number of the document."),
        sa.Column(
            "entry_offset", sa.BigInteger(), nullable=False, comment="Place in the document's log: 1, 2, 3 … without gaps."
        ),
        sa.Column("entry_id", PACKED_ID, nullable=False, comment="Id of the entry (UUIDv7), its 16 bytes."),
        sa.Column(
            "group_id",
            PACKED_ID,
            nullable=False,
            comment="Id of the group commit that wrote it, 16 bytes; tells whether a doubtful COMMIT happened.",
        ),
        sa.Column("author_id", ID, nullable=False, comment="Who made it."),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="When it was committed, in milliseconds since 1970."),
        sa.Column(
            "ranges",
            BYTES,
            nullable=False,
            comment="Structs that it brought: for each range Yjs client, first clock and length, as varUint of lib0.",
        ),
        sa.Column("checksum", sa.BigInteger(), nullable=False, comment="CRC-32 of update_bytes."),
        sa.Column(
            "log_bytes", sa.BigInteger(), nullable=False, comment="Bytes of all updates of the log up to and with this one."
        ),
        sa.Column(
            "inserted",
            sa.BigInteger(),
            nullable=False,
            comment="What its operations insert: UTF-16 units, embedded values, items, nodes, entries.",
        ),
        sa.Column("deleted", sa.BigInteger(), nullable=False, comment="How much its operations delete, in the same units."),
        sa.Column(
            "cause", TEXT, nullable=True, comment="Why the server made it, as a JSON object; null: an edit of a client's."
        ),
        sa.Column("copies", BYTES, nullable=True, comment="Pieces that the cause brought back, five varUint of lib0 for each."),
        sa.Column("update_bytes", BYTES, nullable=False, comment="The Yjs update (v1): what was new at this offset."),
        sa.ForeignKeyConstraint(["document_number"], ["documents.number"], name=op.f("fk_updates_document_number")),
        sa.PrimaryKeyConstraint("document_number", "entry_offset", name=op.f("pk_updates")),
        comment="The log: the truth about every document. Rows are only ever added, until history is forgotten.",
        sqlite_with_rowid=False,
    )


# ---- what is there already -------------------------------------------------------------------------------------------------

_documents = sa.table("documents", sa.column("document_id", sa.Text()), sa.column("number", sa.BigInteger()))
_operations = sa.table(
    "content_operations",
    sa.column("document_id", sa.Text()),
    sa.column("document_number", sa.BigInteger()),
    sa.column("entry_offset", sa.BigInteger()),
    sa.column("operation_type", sa.Text()),
    sa.column("position", sa.Text()),
    sa.column("content", sa.Text()),
    sa.column("length", sa.BigInteger()),
)
_SHARED = ("entry_offset", "entry_id", "group_id", "author_id", "created_at", "ranges", "checksum", "log_bytes", "update_bytes")
_old = sa.table("updates_0004", sa.column("document_id"), *map(sa.column, _SHARED))
_new = sa.table("updates", sa.column("document_number"), *map(sa.column, (*_SHARED, "inserted", "deleted")))


def _number_documents(connection: sa.Connection) -> None:
    names = connection.execute(sa.select(_documents.c.document_id).order_by(_documents.c.document_id)).scalars().all()
    for number, name in enumerate(names, 1):
        connection.execute(sa.update(_documents).where(_documents.c.document_id == name).values(number=number))
        mine = _operations.c.document_id == name
        last = connection.execute(sa.select(sa.func.max(_operations.c.entry_offset)).where(mine)).scalar_one()
        for first in range(0, (last or -1) + 1, BATCH_ROWS):
            some = _operations.c.entry_offset.between(first, first + BATCH_ROWS - 1)
            connection.execute(sa.update(_operations).where(mine, some).values(document_number=number))


def _copy_updates(connection: sa.Connection) -> None:
    if not sa.inspect(connection).has_table("updates_0004"):
        return  # on MySQL: everything is done, but for the version of the tables
    connection.execute(sa.delete(_new))  # on MySQL: it was done, and not finished
    for name, number in _numbers(connection):
        last = 0
        while rows := _next_updates(connection, name, last):
            counts = _counts(connection, number, rows[0][0], rows[-1][0])
            connection.execute(sa.insert(_new), [_copied(number, row, counts) for row in rows])
            last = rows[-1][0]


def _next_updates(connection: sa.Connection, name: str, after: int) -> list[Any]:
    """Some of the document's rows behind that offset. No more of them are asked for than are kept in memory."""
    mine = sa.select(*(_old.c[column] for column in _SHARED)).where(_old.c.document_id == name, _old.c.entry_offset > after)
    rows: list[Any] = []
    size = 0
    while len(rows) < BATCH_ROWS and size < BATCH_BYTES:
        last = rows[-1][0] if rows else after
        some = mine.where(_old.c.entry_offset > last).order_by(_old.c.entry_offset).limit(PAGE_ROWS)
        page = connection.execute(some).all()
        rows += page
        size += sum(len(row[-1]) for row in page)
        if len(page) < PAGE_ROWS:
            break
    return rows


def _copied(number: int, row: Any, counts: dict[int, tuple[int, int]]) -> dict[str, Any]:
    values = {"document_number": number, **dict(zip(_SHARED, row, strict=True))}
    values["entry_id"], values["group_id"] = _packed_id(values["entry_id"]), _packed_id(values["group_id"])
    values["ranges"] = _packed_ranges(values["ranges"])
    values["inserted"], values["deleted"] = counts.get(values["entry_offset"], (0, 0))
    return values


def _numbers(connection: sa.Connection) -> list[tuple[str, int]]:
    rows = connection.execute(sa.select(_documents.c.document_id, _documents.c.number))
    return [(name, number) for name, number in rows.all()]


def _counts(connection: sa.Connection, number: int, first: int, last: int) -> dict[int, tuple[int, int]]:
    """By offset what the operations there insert and delete; see ``cowrite.stores.packing.units``."""
    table = _operations.c
    rows = connection.execute(
        sa.select(table.entry_offset, table.operation_type, table.position, table.content, table.length).where(
            table.document_number == number, table.entry_offset.between(first, last)
        )
    )
    counts: dict[int, tuple[int, int]] = {}
    for offset, kind, position, content, length in rows:
        inserted, deleted = counts.get(offset, (0, 0))
        if kind == "insert":
            inserted += _inserted(position, content)
        elif kind == "delete":
            deleted += 1 if length is None else length
        counts[offset] = inserted, deleted
    return counts


def _inserted(position_text: str, content_text: str | None) -> int:
    try:
        position, content = json.loads(position_text), json.loads(content_text or "null")
        at_key = isinstance(position[-1], str) if position else False
    except (ValueError, TypeError):
        return 1  # damaged: whoever opens the document is told
    if not isinstance(content, str | list) or at_key:
        return 1
    return len(content.encode("utf-16-le", "surrogatepass")) // 2 if isinstance(content, str) else len(content)


def _packed_id(text: str) -> bytes:
    try:
        packed = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        packed = b""
    if len(packed) == 16 and _id(packed) == text:
        return packed
    packed = text.encode() + b"\0"
    return packed if len(packed) != 16 else packed + b"\0"


def _id(packed: bytes) -> str:
    if len(packed) != 16:
        return packed.rstrip(b"\0").decode()
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _packed_ranges(text: str) -> bytes:
    packed = bytearray()
    try:
        numbers = [number for client, start, end in json.loads(text) for number in (client, start, end - start)]
    except (ValueError, TypeError):
        return b"\x80"  # damaged, and still to be found so: whoever opens the document is told
    for number in numbers:
        while number > 0x7F:
            packed.append(number & 0x7F | 0x80)
            number >>= 7
        packed.append(number)
    return bytes(packed)


def _ranges(packed: bytes) -> str:
    numbers, number, shift = [], 0, 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    spans = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return f"[{','.join(f'[{client},{start},{start + length}]' for client, start, length in spans)}]"


# ---- and back ----------------------------------------------------------------------------------------------------------------


def downgrade() -> None:
    """Bring ``updates`` back to how it was; versions and what is known of purged documents are dropped."""
    op.create_table(
        "updates_0004",
        sa.Column("document_id", ID, nullable=False, comment="The document."),
        sa.Column("entry_offset", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", UUID, nullable=False),
        sa.Column("group_id", UUID, nullable=False),
        sa.Column("author_id", ID, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ranges", JSON, nullable=False),
        sa.Column("update_bytes", BYTES, nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("log_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name=op.f("fk_updates_document_id")),
        sa.PrimaryKeyConstraint("document_id", "entry_offset"),
    )
    connection = op.get_bind()
    for name, number in _numbers(connection):
        for row in connection.execute(
            sa.select(*(_new.c[column] for column in _SHARED)).where(_new.c.document_number == number)
        ):
            values = {"document_id": name, **dict(zip(_SHARED, row, strict=True))}
            values["entry_id"], values["group_id"] = _id(values["entry_id"]), _id(values["group_id"])
            values["ranges"] = _ranges(values["ranges"])
            connection.execute(sa.insert(_old), values)
    op.drop_table("updates")
    op.rename_table("updates_0004", "updates")
    op.drop_index(op.f("ix_versions_document_id_entry_offset"), table_name="versions")
    op.drop_table("versions")
    op.drop_table("erasures")
    op.drop_table("retired_clients")
    op.drop_index(op.f(NEW_INDEX), table_name="content_operations")
    op.create_index(op.f(OLD_INDEX), "content_operations", ["document_id", "entry_offset", "sequence"], unique=True)
    op.drop_column("content_operations", "document_number")
    op.drop_index(op.f("ix_documents_number"), table_name="documents")
    op.drop_column("documents", "purged_at")
    op.drop_column("documents", "number")
