"""What the commands on documents' pasts do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from cowrite.archive import Archive, open_archive
from cowrite.console import followed, say
from cowrite.core.damaged import Damaged
from cowrite.core.errors import DocumentDamaged, RoomClosed
from cowrite.core.history.diffs import DiffFormat, told
from cowrite.core.history.errors import HistoryRefused
from cowrite.core.history.verifying import Verified, verify
from cowrite.core.ids import Ids
from cowrite.core.operations.submissions import SubmissionRefused
from cowrite.core.ports import Access, Grant, Storage, StoreCorrupt, StoreError
from cowrite.core.records import ActivityGroup, Cause, CauseKind, DocumentInfo, Version
from cowrite.core.sessions.session import Session
from cowrite.formats.diff_text import diff_to_text, harmless
from cowrite.http.document_formats import Format, rendered
from cowrite.http.refusals import Refusal
from cowrite.log import configure
from cowrite.settings import Settings, load_settings
from cowrite.startup import NO_DATABASE, StartError
from cowrite.stores.encoding import check_id
from cowrite.stores.errors import StoreSetupError
from cowrite.stores.opening import file_of

_AT_ONCE: Final = 1000
_PAUSE: Final = 5 * 60_000
"""Milliseconds; the same author's edits with no longer pause between are told as one."""
_TEXT: Final = "text"

T = TypeVar("T")


def run(data_dir: str | None, database_url: str | None, work: Callable[[Archive], Awaitable[T]]) -> T:
    """Do something with the database that the settings name. Raises :class:`StartError` with a line for people."""
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    configure("error", settings.log_format)
    try:
        file = settings.database_file if settings.database_url is None else file_of(settings.database_url)
    except StoreSetupError as error:
        raise StartError(str(error)) from None
    if file is not None and not file.exists():
        # Opening it would make it.
        raise StartError(NO_DATABASE.format(file))
    return asyncio.run(_run(settings, work))


async def _run(settings: Settings, work: Callable[[Archive], Awaitable[T]]) -> T:
    try:
        async with open_archive(settings) as archive:
            return await work(archive)
    except StoreSetupError as error:
        raise StartError(str(error)) from None
    except (StoreError, HistoryRefused, SubmissionRefused, RoomClosed) as error:
        raise StartError(getattr(error, "reason", "") or str(error)) from None


# -- history ------------------------------------------------------------------------------------------------------------------


async def print_history(archive: Archive, document_id: str, limit: int, *, as_json: bool) -> int:
    """Print activity and versions, newest first, and what is damaged. Returns 1 when something is, else 0."""
    info = await archive.info(document_id)
    damage = await _damage(archive.storage, document_id)
    history = archive.storage.history
    groups = await history.activity(document_id, before=None, pause=_PAUSE, limit=limit, by_author=True)
    oldest = min((group.first_offset for group in groups), default=info.first_offset)
    left_out = oldest > info.first_offset
    # The oldest moment that can be had is behind what was forgotten.
    versions = await _versions(archive, document_id, oldest if left_out else 0)
    if as_json:
        print(_as_json(info, groups, versions, damage, complete=not left_out))
    else:
        _print_lines(groups, versions)
        if left_out:
            print(f"what was before offset {oldest} is left out; --limit takes more lines")
        if info.first_offset > 1:
            print(f"what was before offset {info.first_offset} is forgotten")
        if damage is not None:
            print(f"cowrite: warning: {damage.told}", file=sys.stderr)
    return 0 if damage is None else 1


@dataclass(frozen=True, slots=True)
class _Met:
    """The damage that opening a document meets."""

    offset: int | None
    """The entry; None: the error does not say."""
    reason: str
    told: str
    """For people: where, and what to do."""


async def _damage(storage: Storage, document_id: str) -> _Met | None:
    """What a server meets that opens the document. Raises what reading the store raises but :class:`StoreCorrupt`."""
    try:
        await storage.store.load(document_id)
    except StoreCorrupt as corrupt:
        if corrupt.offset is None or corrupt.offset <= 1:
            told = f"{DocumentDamaged().reason}. `cowrite verify` says what is wrong"
        else:
            told = Damaged(corrupt.offset - 1).told
        return _Met(corrupt.offset, str(corrupt), told)
    return None


def _print_lines(groups: Sequence[ActivityGroup], versions: list[Version]) -> None:
    for group in groups:
        while versions and versions[0].offset >= group.last_offset:
            print(_version(versions.pop(0)))
        print(_group(group))
    for version in versions:
        print(_version(version))


def _as_json(
    info: DocumentInfo, groups: Sequence[ActivityGroup], versions: Sequence[Version], damage: _Met | None, *, complete: bool
) -> str:
    """As they are stored; times are milliseconds since 1970."""
    told = {
        "document_id": info.document_id,
        "first_offset": info.first_offset,
        "complete": complete,
        "activity": [_group_told(group) for group in groups],
        "versions": [asdict(version) for version in versions],
        "damaged": None if damage is None else {"offset": damage.offset, "reason": damage.reason},
    }
    return json.dumps(told, ensure_ascii=False)


def _group_told(group: ActivityGroup) -> dict[str, object]:
    """What was brought back piece by piece is left out."""
    cause = None if group.cause is None else {k: v for k, v in asdict(group.cause).items() if k != "copies" and v is not None}
    return asdict(replace(group, cause=None)) | {"cause": cause}


async def _versions(archive: Archive, document_id: str, oldest: int) -> list[Version]:
    """All from that offset on, newest moment first."""
    found: list[Version] = []
    while True:
        before = found[-1].id if found else None
        page = await archive.storage.versions.list(document_id, before=before, limit=_AT_ONCE)
        found += [version for version in page if version.offset >= oldest]
        if len(page) < _AT_ONCE or page[-1].offset < oldest:
            return found


def _group(group: ActivityGroup) -> str:
    offsets = (
        f"{group.first_offset}" if group.first_offset == group.last_offset else f"{group.first_offset}-{group.last_offset}"
    )
    why = f"  {_why(group.cause)}" if group.cause is not None else ""
    who = f"{_span(group.began_at, group.ended_at)}  {harmless(group.author)}"
    return f"{who}  +{group.inserted} -{group.deleted}  ({offsets}){why}"


def _why(cause: Cause) -> str:
    if cause.kind is CauseKind.UNDO:
        return f"undo of {harmless(cause.author or '')}'s changes, {(cause.after or 0) + 1}-{cause.until}"
    if cause.kind is CauseKind.IMPORT:
        return f"import into {cause.root!r}"
    what = f"restore of {cause.root!r}" if cause.root is not None else "restore"
    return f"{what}, back to {cause.until}"


def _version(version: Version) -> str:
    name = f" {version.name!r}" if version.name else ""
    what = f"version{name} of offset {version.offset}, {version.kind}, by {harmless(version.author)}"
    return f"{_time(version.created_at)}  {what}: {version.id}"


def _span(began: int, ended: int) -> str:
    first, last = _time(began), _time(ended)
    if first == last:
        return first
    return f"{first[:-1]}-{last[-9:]}" if first[:10] == last[:10] else f"{first}  to  {last}"


def _time(milliseconds: int) -> str:
    """To the second, and up: as a moment it is to mean what was made then, and not what was before."""
    return datetime.fromtimestamp(-(-milliseconds // 1000), UTC).strftime("%Y-%m-%d %H:%M:%SZ")


# -- diff, restore, export ----------------------------------------------------------------------------------------------------


async def print_diff(archive: Archive, document_id: str, first: str, second: str | None, form: str, root: str | None) -> None:
    """Print what changed."""
    if form not in (_TEXT, *DiffFormat):
        raise StartError(f"--format is {form}; it takes one of {', '.join((_TEXT, *DiffFormat))}")
    moments = await archive.moment(document_id, first), await archive.moment(document_id, second)
    wanted = DiffFormat.JSON if form == _TEXT else DiffFormat(form)
    changes = await archive.parts.past.diffs.between(*moments, wanted, root)
    if form == _TEXT:
        print(diff_to_text(json.loads(changes), colours=sys.stdout.isatty()))
    else:
        print((changes if wanted is DiffFormat.HTML else told(*moments, wanted, changes)).decode())


@dataclass(frozen=True, slots=True)
class WantedRestore:
    """What is to be restored, to when, and as whose edit."""

    document_id: str
    to: str
    root: str | None
    by: str


async def restore_document(archive: Archive, wanted: WantedRestore, *, as_json: bool) -> None:
    """Restore, and say what became of it."""
    check_id("--by", wanted.by)
    document_id = wanted.document_id
    moment = await archive.moment(document_id, wanted.to)
    now = archive.parts.services.clock.now()
    access = Access(wanted.by, Grant.WRITE, issued_at=now)
    session = Session(Ids(archive.parts.services.clock).new(), document_id, access, now)
    made = await archive.parts.past.restoring.restore(session, moment, root=wanted.root)
    if made.version_id is None:
        done = f"{document_id!r} is as it was at {moment.offset} already; nothing was changed"
    else:
        done = f"{document_id!r} is as it was at {moment.offset}, from offset {made.offset} on"
        done = f"{done}; what was before is version {made.version_id}"
    told = {"document_id": document_id, "restored": moment.offset, "offset": made.offset, "version_before": made.version_id}
    say(done, told, as_json=as_json)


async def export_document(
    archive: Archive, document_id: str, at: str | None, form: str, root: str | None, output: Path | None
) -> None:
    """Write a document to a file, or to the standard output."""
    if form not in set(Format):
        raise StartError(f"--format is {form}; it takes one of {', '.join(Format)}")
    moment = await archive.moment(document_id, at)
    state = await archive.parts.past.moments.state(moment)
    try:
        content = await rendered(state, document_id, Format(form), root)
    except Refusal as refusal:
        raise StartError(str(refusal)) from None
    await asyncio.to_thread(_write, content, output, newline=form != Format.YJS)


def _write(content: bytes, output: Path | None, *, newline: bool) -> None:
    if output is None:
        sys.stdout.buffer.write(content + (b"\n" if newline and not content.endswith(b"\n") else b""))
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise StartError(f"{output} cannot be written: {error.strerror}") from None


# -- verify -------------------------------------------------------------------------------------------------------------------


async def verify_all(archive: Archive, documents: Sequence[str], *, as_json: bool) -> int:
    """Verify these documents, or all, and print a line for each. Returns 1 when something does not agree, else 0."""
    code = 0
    for document_id in followed(documents or await _all(archive.storage), "verifying"):
        found = await verify(archive.storage, document_id)
        if found is None:
            raise StartError(f"there is no document {document_id!r} in this database")
        say(_said(found), _told(found), as_json=as_json)
        code = code if found.difference is None else 1
    return code


def _told(found: Verified) -> dict[str, object]:
    differs = None if found.difference is None else {"offset": found.difference.offset, "reason": found.difference.reason}
    numbers = {"entries": found.entries, "states": found.states, "first_offset": found.first_offset}
    return {"document_id": found.document_id, "agrees": differs is None, **numbers, "difference": differs}


def _said(found: Verified) -> str:
    name = repr(found.document_id)
    if found.difference is not None:
        return f"{name} differs at offset {found.difference.offset}: {found.difference.reason}"
    forgotten = f"; what was before offset {found.first_offset} is forgotten" if found.first_offset > 1 else ""
    return f"{name} agrees: entries replayed: {found.entries}, states compared: {found.states}{forgotten}"


async def _all(storage: Storage) -> list[str]:
    found: list[str] = []
    while infos := await storage.directory.list(after=found[-1] if found else None, limit=_AT_ONCE):
        found += [info.document_id for info in infos]
    return found
