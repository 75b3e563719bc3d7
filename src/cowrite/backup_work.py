"""What the commands on backups do."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from cowrite.composition import database_url as url_of
from cowrite.console import busy, say
from cowrite.core.ports import StoreError
from cowrite.log import configure
from cowrite.settings import Settings, load_settings
from cowrite.startup import NO_DATABASE, StartError, prepare_folder
from cowrite.stores.backup_file import BackupError
from cowrite.stores.backups import back_up, restore
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.mending import mend_from
from cowrite.stores.opening import file_of, place_name

T = TypeVar("T")

_NOT_LOOKED_AT: Final = "whether they are what its update makes is found by `cowrite verify`"
_SLASHES: Final = (os.sep, os.altsep or os.sep)


def make_backup(data_dir: str | None, database_url: str | None, target: str, *, force: bool, as_json: bool) -> int:
    """Make a backup, and say what is in it. Returns 1 when something was damaged before, else 0."""
    url = url_of(_settings(data_dir, database_url))
    _must_be_there(_file(url))
    path = _file_at(target)
    with busy("copying"):
        made = _run(back_up(url, path, force=force))
    for line in made.copied.damaged:
        print(f"cowrite: warning: {line}; it is in the backup as it is", file=sys.stderr)
    copied = made.copied
    told = {"file": str(path), "documents": copied.documents, "entries": copied.entries, "bytes": made.size}
    line = f"{path}: {_holds(copied.documents, copied.entries)}, {made.size} bytes; read again, and whole"
    say(line, told | {"damaged": list(copied.damaged)}, as_json=as_json)
    return 1 if made.copied.damaged else 0


def restore_backup(data_dir: str | None, database_url: str | None, source: Path, *, replace: bool, as_json: bool) -> None:
    """Restore a backup, and say what was done."""
    settings = _settings(data_dir, database_url)
    url = url_of(settings)
    if settings.database_file is not None and source.exists():
        prepare_folder(settings.database_file.parent)
    with busy("restoring"):
        contents, rows = _run(restore(url, source, replace=replace))
    place = place_name(url)
    made = datetime.fromtimestamp(contents.header.made_at // 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    told = {"database": place, "made_at": contents.header.made_at, "documents": rows["documents"], "entries": rows["updates"]}
    say(f"{place[0].upper()}{place[1:]} is as it was at {made}: {_number(rows)}", told, as_json=as_json)


def repair_document(data_dir: str | None, database_url: str | None, document_id: str, source: Path, *, as_json: bool) -> int:
    """Put damaged entries back, and say which. Returns 1 when something is damaged still, else 0."""
    url = url_of(_settings(data_dir, database_url))
    _must_be_there(_file(url))
    with busy("looking"):
        done = _run(mend_from(url, source, document_id))
    back = [offset for offset, reason in done.items() if reason is None]
    left = {offset: reason for offset, reason in done.items() if reason is not None}
    if back:
        line = f"{document_id!r}: put back from {source}: {_offsets(back)}; `cowrite verify` replays what is there now"
    else:
        found = "nothing could be put back" if left else f"no entry is damaged, and none lacks operations ({_NOT_LOOKED_AT})"
        line = f"{document_id!r}: {found}; nothing was changed"
    told = [{"offset": offset, "reason": reason} for offset, reason in left.items()]
    say(line, {"document_id": document_id, "put_back": back, "damaged": told}, as_json=as_json)
    if not as_json:
        for offset, reason in left.items():
            print(f"cowrite: warning: offset {offset} of {document_id!r} is damaged still: {reason}", file=sys.stderr)
    return 1 if left else 0


def _offsets(offsets: list[int]) -> str:
    return f"offset {offsets[0]}" if len(offsets) == 1 else f"offsets {', '.join(map(str, offsets))}"


def _must_be_there(file: Path | None) -> None:
    if file is not None and not file.exists():
        # Opening it would make it.
        raise StartError(NO_DATABASE.format(file))


def _file_at(target: str) -> Path:
    """The file to write: in a folder, one named by the time. What ends in a slash is a folder, and is made if need be."""
    path = Path(target)
    if target.endswith(_SLASHES):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"the folder {path} cannot be made: {error.strerror}") from None
    return path / f"cowrite-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup" if path.is_dir() else path


@contextmanager
def restored_copy(source: Path) -> Iterator[str]:
    """The URL of a database that holds what a backup does, for as long as the block runs. It takes as much room as that."""
    with tempfile.TemporaryDirectory(prefix="cowrite-") as folder:
        url = f"sqlite:///{folder}/copy.sqlite3"
        _run(restore(url, source))
        yield url


def _number(rows: Mapping[str, int]) -> str:
    return _holds(rows["documents"], rows["updates"])


def _holds(documents: int, entries: int) -> str:
    return f"documents: {documents}, entries: {entries}"


def _settings(data_dir: str | None, database_url: str | None) -> Settings:
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    configure("error", settings.log_format)
    return settings


def _file(url: str) -> Path | None:
    try:
        return file_of(url)
    except StoreSetupError as error:
        raise StartError(str(error)) from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (BackupError, StoreSetupError, StoreError) as error:
        raise StartError(str(error)) from None
