"""How records look at rest. Shared by all stores, so that they take and refuse exactly the same things."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import NamedTuple

from cowrite.core.ports import DocumentDeleted, HistoryForgotten, InvalidId, StoreCorrupt, StoreRefused
from cowrite.core.records import AccessChange, Authored, Checkpoint, Entry, Head, Quarantined, SessionRecord, Submitted
from cowrite.crdt.operations import ContentOperation, OperationType, Position
from cowrite.crdt.roots import RootKind
from cowrite.crdt.values import Json

MAX_ID = 255
"""Longest document, author or session name, in Unicode characters: the width of its columns."""
MAX_UUID = 36
"""Longest id of an operation, entry, group, session, change, token or epoch, in characters."""
DIGEST_LENGTH = 64
"""Characters of a SHA-256 in hexadecimal."""
MAX_REASON = 1000
"""Longest reason of a change, in characters."""
TOKEN_MEMORY = 3_600_000
"""Milliseconds for which a used token is remembered after it has expired: clocks of processes differ."""

_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_escaping = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def check_id(what: str, value: str, *, longest: int = MAX_ID) -> str:
    """``value``, when every database can keep it: 1 to ``longest`` characters, no U+0000, no lone surrogate.

    Raises :class:`InvalidId` naming ``what``.
    """
    if not value:
        raise InvalidId(f"{what} is empty; give it 1 to {longest} characters.")
    return check_text(what, value, longest=longest)


def check_text(what: str, value: str, *, longest: int = MAX_ID) -> str:
    """As :func:`check_id`, but the empty text is allowed (an author may be nobody)."""
    if len(value) > longest:
        raise InvalidId(f"{what} has {len(value)} characters; at most {longest} are possible.")
    if "\0" in value:
        raise InvalidId(f"{what} {value!r} contains U+0000, which no database keeps in an id.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidId(f"{what} {value!r} contains half of a surrogate pair; it is not valid Unicode.") from None
    return value


def encode_json(value: Json) -> str:
    """Compact JSON text. U+0000 is escaped, and all of a text that has a lone surrogate, so every ``str`` comes back equal.

    Raises :class:`StoreRefused` for what JSON cannot say (NaN, infinities, other types) and for nesting beyond Python's stack.
    """
    try:
        text = _compact.encode(value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                return _escaping.encode(value)
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreRefused(f"A value of an operation is not JSON ({error}).") from error


def decode_json(text: str) -> Json:
    """The value of :func:`encode_json`. Raises ValueError."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


class OperationText(NamedTuple):
    """An operation with its JSON parts as text, as the columns of ``content_operations`` hold them. (A named tuple: one is made
    for every keystroke.)
    """

    id: str
    type: str
    position: str
    content: str | None
    author: str
    created_at: int
    vector_clock: str
    length: int | None
    attributes: str | None


def encode_operation(operation: ContentOperation) -> OperationText:
    """Raises :class:`InvalidId` and :class:`StoreRefused`."""
    return OperationText(
        id=check_id("The operation id", operation.id, longest=MAX_UUID),
        type=operation.type.value,
        position=_encode_position(operation.position),
        content=None if operation.content is None else encode_json(operation.content),
        author=check_text("The author", operation.author),
        created_at=operation.created_at,
        vector_clock=_encode_clocks(operation.vector_clock),
        length=operation.length,
        attributes=_encode_attributes(operation.attributes),
    )


def _encode_position(position: Position) -> str:
    """As :func:`encode_json`; sooner for an index in a root."""
    if len(position) == 2 and type(position[1]) is int and isinstance(position[0], str) and position[0].isascii():
        return f"[{encode_basestring(position[0])},{position[1]}]"
    return encode_json(position)


def _encode_clocks(clocks: Mapping[str, int]) -> str:
    """As :func:`encode_json`; sooner for the names that they have."""
    names = "".join(clocks)
    if names.isascii() and names.isalnum():
        return "{" + ",".join([f'"{name}":{clock}' for name, clock in clocks.items()]) + "}"
    return encode_json(dict(clocks))


def _encode_attributes(attributes: Mapping[str, Json] | None) -> str | None:
    if not attributes:
        return None if attributes is None else "{}"
    return encode_json(dict(attributes))


def decode_operation(stored: OperationText) -> ContentOperation:
    """The operation of :func:`encode_operation`. Raises ValueError."""
    for text in (stored.id, stored.position, stored.author, stored.vector_clock, stored.content or "", stored.attributes or ""):
        as_stored(text)
    return ContentOperation(
        id=stored.id,
        type=OperationType(stored.type),
        position=tuple(decode_json(stored.position)),
        author=stored.author,
        created_at=as_number(stored.created_at),
        vector_clock=decode_json(stored.vector_clock),
        content=None if stored.content is None else decode_json(stored.content),
        length=stored.length,
        attributes=None if stored.attributes is None else decode_json(stored.attributes),
    )


def as_stored(text: object) -> str:
    """``text``, when a database gave what can have been stored there. Raises ValueError, which does not tell it.

    SQLite gives a column what its row says, whatever the table says: bytes in the place of text, or text that is no UTF-8,
    which comes with lone surrogates.
    """
    if not isinstance(text, str):
        raise ValueError("something else stands where there was text")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("a text of it is no UTF-8") from None
    return text


def as_number(value: object) -> int:
    """``value``, when it is a number. Raises ValueError."""
    if not isinstance(value, int):
        raise ValueError("something else stands where there was a number")
    return value


def intact(data: object, checksum: object) -> bool:
    """Whether these are the bytes that were stored; a text of the same bytes is not."""
    return isinstance(data, bytes) and zlib.crc32(data) == checksum


def gap(document_id: str, offset: int) -> StoreCorrupt:
    """What is raised when that entry should be there, and is not."""
    return StoreCorrupt(
        f"The log of document {document_id!r} has a gap: offset {offset} is missing. "
        "Restore it from a backup; until then the document is only read.",
        offset=offset,
    )


def check_log(document_id: str, entries: Sequence[Entry | Authored], *, start: int, end: int) -> None:
    """Raises :class:`StoreCorrupt` unless these are exactly the entries ``start`` to ``end`` (none when ``end < start``)."""
    for offset, entry in enumerate(entries, start):
        if entry.offset != offset:
            raise gap(document_id, offset)
    if len(entries) != max(0, end - start + 1):
        raise StoreCorrupt(
            f"The log of document {document_id!r} ends at offset {start + len(entries) - 1}, but its head says {end}. "
            "Restore it from a backup; until then the document is only read.",
            offset=start + len(entries),
        )


def check_next(document_id: str, head: Head, entries: Sequence[Entry]) -> None:
    """Raises ValueError unless the entries follow the head one by one, :class:`InvalidId` for ids that cannot be kept."""
    for offset, entry in enumerate(entries, head.offset + 1):
        if entry.offset != offset:
            raise ValueError(
                f"Document {document_id!r} is at offset {offset - 1}; an entry with offset {entry.offset} cannot follow."
            )
        check_id("The entry id", entry.id, longest=MAX_UUID)
        check_id("The group id", entry.group, longest=MAX_UUID)
        check_text("The author", entry.author)


def check_appendable(document_id: str, *, deleted: bool) -> None:
    """Raises :class:`DocumentDeleted`."""
    if deleted:
        raise DocumentDeleted(f"Document {document_id!r} is deleted; take the deletion back before it is written to.")


def check_claims(claims: Mapping[int, str] | None) -> Mapping[int, str]:
    """Yjs clients and the users to whom they are to be bound; None: none. Raises :class:`InvalidId`."""
    for user in (claims or {}).values():
        check_id("The user of a Yjs client", user)
    return claims or {}


def check_offset(offset: int) -> None:
    """Raises ValueError for an offset that no log has."""
    if offset < 0:
        raise ValueError(f"An offset is 0 or more, and not {offset}.")


def check_kept(document_id: str, start: int, *, end: int, first_offset: int) -> None:
    """Raises :class:`HistoryForgotten` unless the entries from ``start`` on are all kept; ``end`` is the head."""
    if max(1, start) < first_offset and start <= end:
        raise HistoryForgotten(document_id, first_offset)


def verified(document_id: str, offset: int, update: bytes, checksum: int) -> bytes:
    """``update``, when it is what was stored. Raises :class:`StoreCorrupt`."""
    if not intact(update, checksum):
        raise StoreCorrupt(
            f"The update of document {document_id!r} at offset {offset} is damaged: its checksum does not match. "
            "Restore it from a backup; until then the document is only read.",
            offset=offset,
        )
    return update


def check_quarantined(update: Quarantined) -> None:
    """Raises :class:`InvalidId` when a text of it cannot be kept."""
    check_id("The id of a quarantined update", update.id, longest=MAX_UUID)
    check_id("The document id", update.document_id)
    check_text("The author", update.author)


def check_submitted(document_id: str, head: Head, entries: Sequence[Entry], submitted: Sequence[Submitted]) -> None:
    """Raises ValueError unless these are of this document, of its log up to ``head``, and became operations of ``entries``;
    :class:`InvalidId` for texts that cannot be kept.
    """
    operations = {(entry.offset, operation.id) for entry in entries for operation in entry.operations} if submitted else ()
    for one in submitted:
        if one.document_id != document_id or not 0 <= one.offset <= head.offset:
            raise ValueError(
                f"Operation {one.id!r} was submitted to document {one.document_id!r} at offset {one.offset}; "
                f"it cannot stand in the log of {document_id!r}, which ends at {head.offset}."
            )
        if any((one.offset, operation.id) not in operations for operation in one.operations):
            raise ValueError(f"Operation {one.id!r} cannot have become operations that do not come with it.")
        check_id("The operation id", one.id, longest=MAX_UUID)
        check_text("The author", one.author)
        check_id("The session id", one.session_id, longest=MAX_UUID)
        check_id("The digest", one.digest, longest=DIGEST_LENGTH)


def update_to_keep(one: Submitted, updates: Mapping[int, bytes]) -> bytes | None:
    """What is kept of its update: nothing (None) when the entry at its offset has the same, empty when there is none.

    ``updates`` are those of the entries that come with it.
    """
    return None if one.update is not None and one.update == updates.get(one.offset) else one.update or b""


def update_made(
    document_id: str, offset: int, kept: bytes | None, of_entry: bytes | None, checksum: int | None
) -> bytes | None:
    """The update that was made for what was submitted, from what :func:`update_to_keep` gave and the entry at its offset.

    Raises :class:`StoreCorrupt` when that entry is needed, and damaged or not there (None).
    """
    if isinstance(kept, bytes):
        return kept or None
    if kept is not None:
        raise StoreCorrupt(f"What was submitted to document {document_id!r} at offset {offset} is damaged: it is no bytes.")
    if of_entry is None or checksum is None:
        raise StoreCorrupt(
            f"The log of document {document_id!r} has a gap: offset {offset} is missing, at which an operation was submitted. "
            "Restore it from a backup."
        )
    return verified(document_id, offset, of_entry, checksum)


def check_session(session: SessionRecord) -> None:
    """Raises :class:`InvalidId` when a text of it cannot be kept."""
    check_id("The session id", session.session_id, longest=MAX_UUID)
    check_id("The document id", session.document_id)
    check_id("The user id", session.user_id)
    check_text("The name", session.name or "")
    check_text("The colour", session.colour or "")


def check_change(change: AccessChange) -> None:
    """Raises :class:`InvalidId` when a text of it cannot be kept."""
    check_id("The id of the change", change.id, longest=MAX_UUID)
    check_text("The author of the change", change.changed_by)
    if change.document_id is not None:
        check_id("The document id", change.document_id)
    if change.user_id is not None:
        check_id("The user id", change.user_id)
    if change.session_id is not None:
        check_id("The session id", change.session_id, longest=MAX_UUID)
    check_text("The reason", change.reason or "", longest=MAX_REASON)


def check_change_of(document_id: str, change: AccessChange) -> None:
    """As :func:`check_change`, of a deletion and its undoing. Raises ValueError for the change of another document."""
    check_id("The document id", document_id)
    check_change(change)
    if change.document_id != document_id:
        raise ValueError(f"The change is about document {change.document_id!r}, and not about {document_id!r}.")


def end_of_prefix(prefix: str) -> str | None:
    """The first text, in the order of code points, behind all that begin with ``prefix``; None when there is none."""
    shorter = prefix.rstrip("\U0010ffff")
    if not shorter:
        return None
    following = ord(shorter[-1]) + 1
    return shorter[:-1] + chr(0xE000 if following == 0xD800 else following)  # no text has half a surrogate pair


def printable(text: str) -> str:
    """``text`` without U+0000 and lone surrogates (a question mark stands there instead): for what only people read."""
    return text.replace("\0", "?").encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class PackedCheckpoint:
    """A checkpoint as it is stored."""

    offset: int
    entry_id: str
    state: bytes
    """zlib."""
    checksum: int
    """CRC-32 of ``state`` as stored."""
    roots: str
    """JSON: root name to kind."""


def pack_checkpoint(checkpoint: Checkpoint) -> PackedCheckpoint:
    """Compresses: call it in a thread when the state is large."""
    state = zlib.compress(checkpoint.state)
    roots = encode_json({name: kind.value for name, kind in checkpoint.roots.items()})
    return PackedCheckpoint(checkpoint.offset, checkpoint.entry_id, state, zlib.crc32(state), roots)


def unpack_checkpoint(packed: PackedCheckpoint) -> Checkpoint:
    """Decompresses: call it in a thread when the state is large. Raises ValueError when it is not what was stored."""
    if not intact(packed.state, packed.checksum):
        raise ValueError("its checksum does not match")
    try:
        state = zlib.decompress(packed.state)
    except zlib.error as error:
        raise ValueError(f"it does not decompress: {error}") from error
    return Checkpoint(packed.offset, as_stored(packed.entry_id), state, _decode_roots(as_stored(packed.roots)))


def damage_of(packed: PackedCheckpoint) -> str | None:
    """Why it cannot be unpacked; None: it can."""
    try:
        unpack_checkpoint(packed)
    except ValueError as error:
        return str(error)
    return None


def _decode_roots(text: str) -> Mapping[str, RootKind]:
    found = decode_json(text)
    if not isinstance(found, dict):
        raise ValueError("its roots are no JSON object")
    return {name: RootKind(kind) for name, kind in found.items()}


def worth_keeping(*, size: int, log_bytes: int, log_bytes_before: int) -> bool:
    """Whether a checkpoint that is no longer the newest stays.

    It does when the updates between it and the kept checkpoint before it (or the log's beginning) have at least as many bytes
    as twice its stored state. Summed over all, the kept checkpoints without the newest are never larger than half of the log.
    """
    return log_bytes - log_bytes_before >= 2 * size
