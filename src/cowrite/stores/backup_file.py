"""A backup as a file: all rows of a database in a form that every database can be filled from.

A line that names the form, then blocks: their length and CRC-32, then zlib of JSON. The first block is the header (version of
the tables, columns of each), the others are rows of one table, bytes as base64; the last one tells how many rows there are. The
SHA-256 of all of that is the end. What is cut anywhere, or altered, is therefore told before a row of it is used. (Whoever
means to can make another one with a right checksum: keep backups where nobody may write.)
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

MAGIC: Final = b"cowrite backup 1\n"
_ANY: Final = b"cowrite backup "
_BLOCK: Final = struct.Struct(">II")
_DIGEST: Final = 32
_LEVEL: Final = 3
"""Of zlib: the levels above take twice as long for a twentieth less."""
BLOCK_BYTES: Final = 1 << 20
"""A block is written when its rows have so many characters."""

Row: TypeAlias = Sequence[Any]
Columns: TypeAlias = Mapping[str, Sequence[str]]
"""By table."""


class BackupError(Exception):
    """A backup cannot be made, read or restored. The message is one line for people: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands at the beginning."""

    tables: str
    """Version of the tables."""
    program: str
    """Version of the program that made it."""
    made_at: int
    """Milliseconds since 1970."""
    columns: Columns
    binary: Columns
    """Those of them that hold bytes."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a whole backup holds."""

    header: Header
    rows: Mapping[str, int]
    """How many, by table."""
    size: int
    """Bytes of the file."""
    digest: bytes


@dataclass(slots=True)
class BackupWriter:
    """Writes a backup. :meth:`begin` may be called again: then all begins anew. Raises :class:`BackupError`."""

    file: BinaryIO
    stopped: bool = False
    """Nobody waits for it any more: whoever writes gets an error."""
    no_text: list[str] = field(default_factory=list)
    """Tables with text that is no UTF-8: question marks stand there, because what is no text could not be restored."""
    _header: Header | None = None
    _hash: Any = None
    _rows: dict[str, int] = field(default_factory=dict)

    def begin(self, header: Header) -> None:
        """Write the beginning."""
        self._header = header
        self._hash = hashlib.sha256()
        self._rows = dict.fromkeys(header.columns, 0)
        self.no_text.clear()
        try:
            self.file.seek(0)
            self.file.truncate()
        except OSError as error:
            raise not_written(error) from None
        self._write(MAGIC)
        named = {"tables": header.tables, "program": header.program, "made_at": header.made_at}
        self._block({**named, "columns": header.columns, "binary": header.binary})

    def rows(self, table: str, rows: Iterator[Row]) -> None:
        """Write rows of a table, in portions. It may be called for the same table again."""
        assert self._header is not None, "begin comes first"
        columns = self._header.columns[table]
        binary = [columns.index(name) for name in self._header.binary[table]]
        texts: list[str] = []
        size = 0
        for row in rows:
            texts.append(_encode(_told(row, binary)))
            size += len(texts[-1])
            if size >= BLOCK_BYTES:
                self._rows_block(table, texts)
                texts, size = [], 0
        if texts:
            self._rows_block(table, texts)

    def end(self) -> None:
        """Write the end; only then it is a backup."""
        self._block({"end": self._rows})
        self._write(self._hash.digest())

    def _rows_block(self, table: str, texts: Sequence[str]) -> None:
        self._rows[table] += len(texts)
        text = f'{{"table":{_encode(table)},"rows":[{",".join(texts)}]}}'
        try:
            self._packed(text.encode())
        except UnicodeEncodeError:
            self.no_text += [] if table in self.no_text else [table]
            self._packed(text.encode(errors="replace"))

    def _block(self, value: Mapping[str, Any]) -> None:
        self._packed(_encode(value).encode())

    def _packed(self, data: bytes) -> None:
        packed = zlib.compress(data, _LEVEL)
        self._write(_BLOCK.pack(len(packed), zlib.crc32(packed)) + packed)

    def _write(self, data: bytes) -> None:
        if self.stopped:
            raise BackupError("the backup was stopped; there is none")
        self._hash.update(data)
        try:
            self.file.write(data)
        except OSError as error:
            raise not_written(error) from None


def look_through(path: Path) -> Contents:
    """What a backup holds, once all of it was read and found to be as it was written. Raises :class:`BackupError`."""
    blocks = _Blocks(path)
    header, last = None, {}
    rows: dict[str, int] = {}
    for last in blocks:
        if header is None:
            header = _header_of(path, last)
            rows = dict.fromkeys(header.columns, 0)
        elif "end" not in last:
            table, portion = _portion_of(path, header, last)
            rows[table] += len(portion)
    if header is None or last.get("end") != rows:
        raise _damaged(path, "its beginning or its end is missing")
    return Contents(header, rows, path.stat().st_size, blocks.digest)


def rows_of(path: Path, contents: Contents) -> Iterator[tuple[str, list[list[Any]]]]:
    """The rows, in portions of a table each. Raises :class:`BackupError`, at the latest at the end, when it is not the file any
    more that was looked through.
    """
    blocks = _Blocks(path)
    header = contents.header
    for value in blocks:
        if "rows" in value:
            table, rows = _portion_of(path, header, value)
            binary = [header.columns[table].index(name) for name in header.binary[table]]
            try:
                portion = [_meant(row, binary) for row in rows]
            except (ValueError, TypeError):
                raise _damaged(path, f"a row of {table} has no bytes where they belong") from None
            yield table, portion
    if blocks.digest != contents.digest:
        raise _damaged(path, "it was changed while it was read")


class _Blocks:
    """The blocks of a file, each checked, and the whole at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest = b""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                yield from self._read(file)
        except OSError as error:
            raise BackupError(f"{self._path} cannot be read: {error.strerror}") from None

    def _read(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        magic = file.read(len(MAGIC))
        if magic != MAGIC:
            raise BackupError(f"{self._path} is {_other(magic)}")
        hashed = hashlib.sha256(magic)
        number, ended = 0, False
        while not ended:
            number += 1
            head = self._exactly(file, _BLOCK.size, number)
            length, checksum = _BLOCK.unpack(head)
            packed = self._exactly(file, length, number)
            if zlib.crc32(packed) != checksum:
                raise _damaged(self._path, f"block {number} is not what was written")
            hashed.update(head + packed)
            value = self._unpacked(packed, number)
            ended = "end" in value
            yield value
        self.digest = hashed.digest()
        if self._exactly(file, _DIGEST, number) != self.digest or file.read(1):
            raise _damaged(self._path, "its checksum does not match")

    def _exactly(self, file: BinaryIO, length: int, number: int) -> bytes:
        read = file.read(length)
        if len(read) < length:
            raise _damaged(self._path, f"it ends within block {number}")
        return read

    def _unpacked(self, packed: bytes, number: int) -> dict[str, Any]:
        try:
            value = json.loads(zlib.decompress(packed))
        except (zlib.error, ValueError, RecursionError) as error:
            raise _damaged(self._path, f"block {number} cannot be read ({error})") from None
        if not isinstance(value, dict):
            raise _damaged(self._path, f"block {number} is none")
        return value


def _header_of(path: Path, value: Mapping[str, Any]) -> Header:
    """The header in the first block. Whoever made the file has made its checksums, too: they say nothing of what is in it."""
    names = ("tables", "program", "made_at", "columns", "binary")
    kinds = (str, str, int, dict, dict)
    if not all(type(value.get(name)) is kind for name, kind in zip(names, kinds, strict=True)):
        raise _damaged(path, "its beginning is not that of one")
    header = Header(*(value[name] for name in names))
    for table, columns in header.columns.items():
        if not (_is_texts(columns) and _is_texts(header.binary.get(table)) and set(header.binary[table]) <= set(columns)):
            raise _damaged(path, f"its beginning does not say what table {table!r} is like")
    return header


def _portion_of(path: Path, header: Header, value: Mapping[str, Any]) -> tuple[str, list[list[Any]]]:
    table, rows = value.get("table"), value.get("rows")
    columns = header.columns.get(table) if isinstance(table, str) else None
    if columns is None or not isinstance(rows, list):
        raise _damaged(path, f"it has rows of a table {table!r}, of which its beginning says nothing")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise _damaged(path, f"a row of {table} has not as many values as it has columns")
    return str(table), rows


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def not_written(error: OSError) -> BackupError:
    """What is raised where the backup's file cannot be written."""
    return BackupError(f"the backup cannot be written: {error.strerror}; make room, or choose another place. There is none")


def _as_text(value: object) -> str:
    """Bytes that a damaged row has in the place of text."""
    if not isinstance(value, bytes):
        raise TypeError(f"a backup has no {type(value).__name__}")
    return value.decode(errors="surrogateescape")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_as_text).encode


def _told(row: Row, binary: Sequence[int]) -> list[Any]:
    told = list(row)
    for at in binary:
        if told[at] is not None:
            told[at] = base64.b64encode(_as_bytes(told[at])).decode()
    return told


def _as_bytes(value: bytes | str) -> bytes:
    """What a damaged row has as text are the bytes that it had."""
    return value if isinstance(value, bytes) else value.encode(errors="surrogateescape")


def _meant(row: list[Any], binary: Sequence[int]) -> list[Any]:
    for at in binary:
        if row[at] is not None:
            row[at] = base64.b64decode(row[at], validate=True)
    return row


def _other(magic: bytes) -> str:
    if magic.startswith(_ANY) or (magic and _ANY.startswith(magic)):
        return "a backup of another cowrite, or only the beginning of one; nothing was changed"
    return "no backup of cowrite's; nothing was changed"


def _damaged(path: Path, why: str) -> BackupError:
    return BackupError(f"{path} is not a whole backup: {why}; nothing was changed. Take another one")
