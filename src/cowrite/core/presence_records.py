"""How a record of presence looks at rest. Shared by all storages of presence, so that they take and refuse the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from cowrite.core.ports import PresenceRecord
from cowrite.protocol.strict_json import Json

MAX_METADATA_BYTES: Final = 20_000
"""Longest JSON text of a record's metadata, in UTF-8. Of a record with more, everything but the metadata is kept."""
MAX_PROCESS: Final = 100
"""Longest name of a process, in characters."""
_MAX_SESSION: Final = 36
_MAX_ID: Final = 255
_MAX_TIME: Final = 253_402_300_799_000
"""The last second of the year 9999, in milliseconds since 1970: no database keeps more."""
_OWN: Final = ("process", "expires_at")
"""What stands beside the metadata in the same JSON object."""
_EMPTY: Final = "{}"

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
_log = structlog.get_logger(__name__)


def check_records(records: Iterable[PresenceRecord]) -> None:
    """Raises ``ValueError`` for a record that no storage can keep: the caller's mistake."""
    for record in records:
        _check_text("The session id", record.session_id, _MAX_SESSION)
        _check_text("The user id", record.user_id, _MAX_ID)
        check_document_ids([record.document_id])
        if record.process is not None:
            check_process(record.process)
        elif record.expires_at is None:
            raise ValueError(f"Session {record.session_id!r} has neither a process nor an end; it would be present for ever.")
        for time in (record.last_active, record.expires_at or 0):
            if not 0 <= time <= _MAX_TIME:
                raise ValueError(f"Session {record.session_id!r} has the time {time}, which is not one in ms since 1970.")
        for name in _OWN:
            if name in record.metadata:
                raise ValueError(f"The metadata of session {record.session_id!r} has a {name!r}; the record itself says that.")


def checked(record: PresenceRecord) -> PresenceRecord:
    """A record that was read, when it is one that could have been written: whoever reads it can write it again. Raises
    ``ValueError``: another release wrote it, or something else did.
    """
    try:
        check_records([record])
        size = len(_encoder.encode(dict(record.metadata)))
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"its metadata has {size} characters, at most {MAX_METADATA_BYTES} bytes are taken")
    except (TypeError, RecursionError) as error:
        raise ValueError(f"it is not what it should be: {error}") from None
    return record


def check_document_ids(document_ids: Iterable[str]) -> None:
    """Raises ``ValueError`` for what is no document's id."""
    for document_id in document_ids:
        _check_text("The document id", document_id, _MAX_ID)


def check_process(process: str) -> None:
    """Raises ``ValueError`` for what is no name of a process."""
    _check_text("The process", process, MAX_PROCESS)


def _check_text(what: str, value: str, longest: int) -> None:
    if not 0 < len(value) <= longest or "\0" in value:
        raise ValueError(f"{what} {value[:longest]!r} is no id: it has 1 to {longest} characters, and none is U+0000.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} {value!r} contains half of a surrogate pair; it is not valid Unicode.") from None


def encode_metadata(record: PresenceRecord) -> str:
    """The metadata as JSON text: U+0000 and half surrogate pairs escaped. Empty, with a line in the log, when it is too long
    or no JSON: better a session without a name than a session that nobody sees.
    """
    try:
        text = _encoder.encode(dict(record.metadata))
        size = len(text.encode(errors="surrogatepass"))
    except (TypeError, ValueError, RecursionError) as error:
        _log.warning("metadata of a session not kept in presence: it is no JSON", session=record.session_id, reason=str(error))
        return _EMPTY
    if size > MAX_METADATA_BYTES:
        _log.warning(
            "metadata of a session not kept in presence: it is too long",
            session=record.session_id,
            bytes=size,
            most=MAX_METADATA_BYTES,
        )
        return _EMPTY
    return text if text.isascii() or _whole(text) else json.dumps(json.loads(text), separators=(",", ":"))


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encode_with_lease(record: PresenceRecord) -> str:
    """The metadata as JSON text, and in the same object what keeps the record: ``process``, ``expires_at``."""
    kept = {name: value for name, value in zip(_OWN, (record.process, record.expires_at), strict=True) if value is not None}
    text = encode_metadata(record)
    return _encoder.encode(kept)[:-1] + ("}" if text == _EMPTY else f",{text[1:]}")


def beginning_with_lease(process: str) -> str:
    """How the text of :func:`encode_with_lease` begins for that process, and for no other."""
    return _encoder.encode({_OWN[0]: process})[:-1]


def decode_with_lease(text: str) -> tuple[str | None, int | None, Mapping[str, Json]]:
    """Process, end and metadata of :func:`encode_with_lease`. Raises ``ValueError``."""
    found = decode_object(text)
    return text_or_none(found.pop("process", None)), whole_or_none(found.pop("expires_at", None)), found


def decode_object(text: str | bytes) -> dict[str, Json]:
    """A JSON object. Raises ``ValueError``."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def text_or_none(value: Json) -> str | None:
    """``value``, when it is a text or nothing. Raises ``ValueError``."""
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{value!r} stands where a text belongs")


def whole_or_none(value: Json) -> int | None:
    """``value``, when it is a whole number or nothing. Raises ``ValueError``."""
    if value is None or type(value) is int:
        return value
    raise ValueError(f"{value!r} stands where a whole number belongs")


def as_kept(record: PresenceRecord) -> PresenceRecord:
    """The record as every storage gives it back: its metadata is a copy of its own, and empty if it was too long."""
    return replace(record, metadata=decode_object(encode_metadata(record)))


CLOCKS_APART: Final = 600_000
"""Milliseconds that the clocks of processes may differ without one taking out what has not ended for the others."""


def expired(record: PresenceRecord, now: int) -> bool:
    """Whether its own end has come, at ``now`` in milliseconds since 1970."""
    return record.expires_at is not None and record.expires_at <= now
