"""Backups: one line that says what is wrong, or rows for each column; also of what was put together with right checksums."""

from __future__ import annotations

import atexit
import hashlib
import json
import tempfile
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from cowrite.stores.backup_file import MAGIC, BackupError, BackupWriter, Header, look_through, rows_of
from cowrite.stores.sqlalchemy.copying import check_columns

MAX_BYTES: Final = 2048
_SEALED: Final = 1


@cache
def place() -> Path:
    """Where the bytes are put."""
    folder = tempfile.TemporaryDirectory(prefix="cowrite-fuzz-")
    atexit.register(folder.cleanup)
    return Path(folder.name) / "backup"


def check(data: bytes) -> None:
    """The first byte tells whether the rest is a file, or its blocks, a line of JSON each, to be sealed."""
    path = place()
    path.write_bytes(_sealed(data[1:].split(b"\n")) if data[:1] == bytes((_SEALED,)) else data[1:])
    try:
        contents = look_through(path)
        columns = contents.header.columns
        for table, rows in rows_of(path, contents):
            assert all(len(row) == len(columns[table]) for row in rows)
        check_columns(contents.header)
    except BackupError as error:
        assert str(error), "the reason is told"
        assert "\n" not in str(error)


def _sealed(blocks: list[bytes]) -> bytes:
    packed = [zlib.compress(block, 1) for block in blocks]
    whole = MAGIC + b"".join(len(one).to_bytes(4, "big") + zlib.crc32(one).to_bytes(4, "big") + one for one in packed)
    return whole + hashlib.sha256(whole).digest()


def seeds() -> Iterable[bytes]:
    header = Header("0005", "1.0", 1_790_000_000_000, {"t": ["a", "b"]}, {"t": ["b"]})
    with tempfile.TemporaryFile() as file:
        writer = BackupWriter(file)
        writer.begin(header)
        writer.rows("t", iter([["x", b"\0\1"], [None, None]]))
        writer.end()
        file.seek(0)
        yield b"\0" + file.read()
    beginning = {"tables": "0005", "program": "1", "made_at": 1, "columns": header.columns, "binary": header.binary}
    blocks = [beginning, {"table": "t", "rows": [["x", "AAE="], [None, None]]}, {"end": {"t": 2}}]
    yield b"\1" + b"\n".join(json.dumps(block).encode() for block in blocks)
