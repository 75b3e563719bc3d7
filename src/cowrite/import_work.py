"""What ``cowrite import`` does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar, get_args

from cowrite.archive import Archive
from cowrite.console import followed, say
from cowrite.core.errors import PeerError, RoomClosed
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.importing import Brought, Imported, Mode
from cowrite.core.ids import Ids
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import Access, Grant, InvalidId
from cowrite.core.sessions.session import Session
from cowrite.formats.diff_text import harmless
from cowrite.formats.shapes import Shape, Source
from cowrite.http.importing import YJS, ImportFormat, merge_update
from cowrite.http.refusals import Refusal
from cowrite.startup import StartError
from cowrite.stores.encoding import check_id

_ENDINGS: Final[dict[str, ImportFormat]] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".txt": "text",
    ".json": "prosemirror",
    ".yjs": "yjs",
}
_REFUSED: Final = (SubmissionRefused, HistoryRefused, RoomClosed, PeerError, Refusal, InvalidId)
"""What is wrong with one file or document; what is wrong with the database ends it all."""

T = TypeVar("T", Shape, Mode)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says."""

    paths: Sequence[Path]
    document: str | None
    prefix: str
    form: str | None
    shape: str
    root: str | None
    mode: str
    by: str


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    document_id: str
    form: ImportFormat | None
    """None: its name does not say."""


async def import_files(archive: Archive, wanted: Wanted, *, as_json: bool) -> int:
    """Import file after file, and print a line for each. Returns 1 when one of them was not imported, else 0."""
    check_id("--by", wanted.by)
    shape, mode = _chosen("--as", wanted.shape, Shape), _chosen("--mode", wanted.mode, Mode)
    if wanted.form not in (None, *get_args(ImportFormat)):
        raise StartError(f"--format is {wanted.form}; it takes one of {', '.join(get_args(ImportFormat))}")
    code = 0
    for file in followed(await asyncio.to_thread(_files, wanted), "importing"):
        name = harmless(str(file.path))
        try:
            made = await _import(archive, file, wanted, shape, mode)
        except (*_REFUSED, OSError) as refused:
            code = 1
            reason = _reason(refused)
            say(f"{name} was not imported: {reason}", _told(file) | {"imported": False, "reason": reason}, as_json=as_json)
            continue
        say(_said(name, file, made), _told(file) | {"imported": True, **asdict(made)}, as_json=as_json)
    return code


async def _import(archive: Archive, file: _File, wanted: Wanted, shape: Shape, mode: Mode) -> Imported:
    form = wanted.form or file.form
    if form is None:
        raise HistoryRefused("unknown_format", f"its name ends with none of {', '.join(_ENDINGS)}; --format says what it is")
    services = archive.parts.services
    limits = services.limits
    content = await asyncio.to_thread(_read, file.path, limits.sync_bytes if form == YJS else limits.source_bytes)
    now = services.clock.now()
    access = Access(wanted.by, Grant.WRITE, issued_at=now)
    session = Session(Ids(services.clock).new(), file.document_id, access, now)
    if form == YJS:
        return Imported(await merge_update(archive.parts.polling, session, content), "", (), None)
    brought = Brought(content, Source(form), shape, wanted.root, mode)
    return await archive.parts.past.importing.bring(session, brought)


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as opened:
        return opened.read(limit + 1)  # one more is refused where it is read


def _files(wanted: Wanted) -> list[_File]:
    """All files, by the document's id. Raises :class:`StartError` where two would become one document."""
    files = [file for path in wanted.paths for file in _within(path, wanted)]
    if wanted.document is not None:
        if len(files) != 1 or wanted.paths[0].is_dir() or wanted.prefix:
            raise StartError("--document names the document of one file; leave it out, or name one file, without --prefix")
        return [_File(files[0].path, wanted.document, files[0].form)]
    if not files:
        endings = ", ".join(sorted(_ENDINGS))
        raise StartError(f"there is nothing to import in {', '.join(map(str, wanted.paths))}: no file that ends in {endings}")
    known: dict[str, Path] = {}
    for file in files:
        if (other := known.setdefault(file.document_id, file.path)) is not file.path:
            raise StartError(f"{other} and {file.path} would both become the document {file.document_id!r}")
    return files


def _within(path: Path, wanted: Wanted) -> Iterator[_File]:
    if not path.exists():
        raise StartError(f"there is no file {path}")
    if not path.is_dir():
        yield _File(path, wanted.prefix + path.stem, _ENDINGS.get(path.suffix.lower()))
        return
    for inner in sorted(path.rglob("*")):
        parts = inner.relative_to(path)
        form = _ENDINGS.get(inner.suffix.lower())
        # What is hidden, and what the names do not say anything of, is nothing that anybody wants imported from a folder.
        if inner.is_file() and form is not None and not any(part.startswith(".") for part in parts.parts):
            yield _File(inner, wanted.prefix + parts.with_suffix("").as_posix(), form)


def _chosen(option: str, value: str, choices: type[T]) -> T:
    if value not in set(choices):
        raise StartError(f"{option} is {value}; it takes one of {', '.join(choices)}")
    return choices(value)


def _reason(refused: Exception) -> str:
    if isinstance(refused, OSError):
        return refused.strerror or str(refused)
    return str(getattr(refused, "reason", "") or refused)


def _told(file: _File) -> dict[str, object]:
    return {"file": str(file.path), "document_id": file.document_id}


def _said(name: str, file: _File, made: Imported) -> str:
    where = f"the root {made.root!r} of {file.document_id!r}" if made.root else repr(file.document_id)
    before = f"; what was before is version {made.version_id}" if made.version_id else ""
    lost = f"; without {', '.join(map(harmless, made.left_out))}, of which the text is there" if made.left_out else ""
    return f"{name} is in {where}, from offset {made.offset} on{before}{lost}"
