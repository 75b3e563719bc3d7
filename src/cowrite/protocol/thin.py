"""The messages of ``cowrite.v2.json``: JSON objects with a ``type``, one in each text message of a WebSocket.

For clients without a CRDT library. ``docs/api.md`` tells them what each field means; here is how they are read and written. Of
what a client sends only the form is checked: what an operation means is for those who apply it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cowrite.protocol.strict_json import Json, read_json

SUBPROTOCOL: Final = "cowrite.v2.json"
HEARTBEAT_SECONDS: Final = 15.0
"""How often each side lets the other know that it is there."""
_TOLD: Final = ("state", "cursor", "data")
_STATES: Final = ("active", "idle", "away")
_MAX_LABEL: Final = 255
_MAX_INTEGER: Final = 2**53 - 1
_MAX_TEXT: Final = 8192
"""Characters of a token; the longest text that a field takes."""


class MalformedMessage(ValueError):
    """A text message that is none of the protocol's. The message says what is wrong with it, for people."""


class MalformedState(MalformedMessage):
    """What a session tells about itself is not what may be told. Nothing else is wrong with the connection."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: who it is, and how far it has read."""

    access_token: str | None
    """None: it came in the address, or none is needed."""
    document_id: str | None
    """None: the one that the token is for."""
    resumes: bool
    """It has a state already, and wants only what came behind ``last_operation``."""
    last_operation: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """Operations that were made for the document at ``base``."""

    request: str | int | None
    """What the client likes, by which the answer is known."""
    operations: Json
    base: Json
    after: Json
    size: int
    """Bytes of the message."""


@dataclass(frozen=True, slots=True)
class Tell:
    """What the client tells others about itself: ``state``, ``cursor``, ``data``, or some of them."""

    told: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Asks for a heartbeat; ``echo`` comes back."""

    echo: str | int | None


@dataclass(frozen=True, slots=True)
class Renew:
    """A newer access token of the same session."""

    access_token: str


ClientMessage: TypeAlias = Hello | Write | Tell | Heartbeat | Renew


def decode(text: bytes) -> ClientMessage:
    """Read a message of a client. Raises :class:`MalformedMessage`, and nothing else whatever the bytes are."""
    try:
        message = read_json(text)
    except json.JSONDecodeError:
        raise MalformedMessage("the message is not JSON") from None
    except ValueError as error:
        raise MalformedMessage(f"the message cannot be read: {error}") from None
    if not isinstance(message, dict):
        raise MalformedMessage("the message is not a JSON object")
    kind = message.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise MalformedMessage(f"its type is none of {', '.join(_READERS)}")
    return read(message, len(text))


def _hello(message: Mapping[str, Json], _size: int) -> Hello:
    _check(message, {"type", "access_token", "document_id", "last_operation"})
    return Hello(
        access_token=_text(message, "access_token"),
        document_id=_text(message, "document_id"),
        resumes="last_operation" in message,
        last_operation=_text(message, "last_operation"),
    )


def _write(message: Mapping[str, Json], size: int) -> Write:
    _check(message, {"type", "request", "operations", "base", "after"})
    for name in ("operations", "base"):
        if name not in message:
            raise MalformedMessage(f"operations: {name} is missing")
    return Write(_label(message, "request"), message["operations"], message["base"], message.get("after"), size)


def _tell(message: Mapping[str, Json], _size: int) -> Tell:
    for name in message:
        if name not in ("type", *_TOLD):
            raise MalformedState(f"presence: it has no field {name[:50]!r}")
    if message.get("state", "active") not in _STATES:
        raise MalformedState(f"presence: state is one of {', '.join(_STATES)}")
    if not isinstance(message.get("data"), dict | None):
        raise MalformedState("presence: data is an object, or null")
    return Tell({name: message[name] for name in _TOLD if name in message})


def _heartbeat(message: Mapping[str, Json], _size: int) -> Heartbeat:
    _check(message, {"type", "echo"})
    return Heartbeat(_label(message, "echo"))


def _renew(message: Mapping[str, Json], _size: int) -> Renew:
    _check(message, {"type", "access_token"})
    token = _text(message, "access_token")
    if token is None:
        raise MalformedMessage("refresh: access_token is missing")
    return Renew(token)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Json], int], ClientMessage]]] = {
    "hello": _hello,
    "operations": _write,
    "presence": _tell,
    "heartbeat": _heartbeat,
    "refresh": _renew,
}


def _check(message: Mapping[str, Json], known: set[str]) -> None:
    for name in message:
        if name not in known:
            raise MalformedMessage(f"{message['type']}: it has no field {name[:50]!r}")


def _text(message: Mapping[str, Json], name: str) -> str | None:
    value = message.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > _MAX_TEXT):
        raise MalformedMessage(f"{message['type']}: {name} is a string of at most {_MAX_TEXT} characters")
    return value


def _label(message: Mapping[str, Json], name: str) -> str | int | None:
    value = message.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INTEGER):
        return value
    if not isinstance(value, str) or len(value) > _MAX_LABEL:
        raise MalformedMessage(f"{message['type']}: {name} is an integer, or a string of at most {_MAX_LABEL} characters")
    return value


# -- what the server sends --------------------------------------------------------------------------------------------------

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def encode(kind: str, **fields: Json) -> bytes:
    """Write a message of the server. U+0000 and half surrogate pairs are escaped."""
    return _encode({"type": kind, **fields}).encode()


def encode_value(value: Json) -> bytes:
    """Write a part of a message. As above."""
    return _encode(value).encode()


def encode_with(kind: str, encoded: Mapping[str, bytes], **fields: Json) -> bytes:
    """The same, with further fields whose JSON text is there already."""
    rest = b"".join(b',"%s":%s' % (name.encode(), value) for name, value in encoded.items())
    return encode(kind, **fields)[:-1] + rest + b"}"


def encode_operations(operations: Sequence[bytes], *, head: str | None, offset: int) -> bytes:
    """Operations as committed: JSON objects with commas between them, of one or more entries."""
    return encode_with("operations", {"operations": json_list(operations)}, head=head, offset=offset)


def json_list(parts: Sequence[bytes]) -> bytes:
    """A JSON list of parts that hold objects with commas between them, or nothing."""
    return b"[%s]" % b",".join(part for part in parts if part)
