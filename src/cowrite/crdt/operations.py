"""Content operations: the JSON face of a document's changes.

An operation inserts, deletes or formats at a position. ``spec/parts/operations.md`` fixes each shape; in short:

==========================  ===========================================  =================================================
change                      position                                     fields
==========================  ===========================================  =================================================
text                        path of the text, index                      insert ``"abc"``, attributes
value or type in a text     path of the text, index                      insert ``{"embed": value}``, attributes; one unit
items of an array           path of the array, index                     insert ``[item, …]``
nodes of an XML tree        path of the parent, index                    insert ``[node, …]``
entry of a map              path of the map, key                         insert any value; delete without length
range of any of the first 4  path, index                                 delete with length
text formatting             path of the text, index                      format with length and attributes (null removes)
XML attributes              the node's own path                          format with length 1 and attributes (null removes)
==========================  ===========================================  =================================================
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, TypeAlias

from cowrite.crdt.text_index import is_unicode
from cowrite.crdt.values import MAX_DEPTH, MAX_SAFE_INTEGER, Json

Position: TypeAlias = tuple[str | int, ...]
"""Path: root name, child indexes or keys, then an index in UTF-16 code units or a map key."""

MAX_ID_LENGTH = 36
MAX_AUTHOR_LENGTH = 255
MAX_STEPS = MAX_DEPTH + 2
"""How long a position may be."""


class OperationType(StrEnum):
    """The three things that can happen to content."""

    INSERT = "insert"
    DELETE = "delete"
    FORMAT = "format"


class OperationInvalid(ValueError):
    """An operation that cannot be taken. Nothing of its batch has been applied.

    ``code`` is stable: ``field`` (a field is missing, unknown or malformed), ``value`` (the content has no meaning), ``root``
    (there is no such root, or no operations reach it), ``path`` (nothing is there), ``kind`` (what is there takes no such
    operation), ``range`` (index or length beyond the end), ``surrogate`` (inside one character), ``unsupported``.
    ``field`` names the field, ``index`` the operation's place in its batch.
    """

    def __init__(self, code: str, reason: str, *, field: str | None = None, index: int | None = None) -> None:
        place = "" if index is None else f"operation {index}: "
        super().__init__(place + (f"{field}: " if field else "") + reason)
        self.code = code
        self.reason = reason
        self.field = field
        self.index = index

    def at(self, index: int) -> OperationInvalid:
        """The same, said of the operation at ``index`` of a batch."""
        return OperationInvalid(self.code, self.reason, field=self.field, index=index)


@dataclass(frozen=True, slots=True)
class OperationDraft:
    """An operation before it is given an id and an author: derived from an update, or sent by a client."""

    type: OperationType
    position: Position
    """Path: root name, child indexes or keys, then an index in UTF-16 code units or a map key."""
    content: Json = None
    """Insert only: ``str`` for text, ``{"embed": …}`` in text, ``list`` of items or nodes, any JSON for a key."""
    length: int | None = None
    """Delete and format of a range: how many units."""
    attributes: Mapping[str, Json] | None = None
    """Format: what to set (None removes). Insert in a text: exactly these; absent = those of the unit before it."""

    def to_json(self) -> dict[str, Json]:
        """The JSON form. Lists and objects inside are shared with the operation, not copied."""
        return _shape(self)

    @classmethod
    def from_json(cls, value: Json) -> OperationDraft:
        """Read an operation that a client sends. Fields that the server gives (author, time …) may be there, and are ignored.

        Raises :class:`OperationInvalid` (``field``). Whether the document has such a place is not looked at, nor what
        the content means.
        """
        fields = _object(value)
        _no_others(fields, _DRAFT_FIELDS | _SERVER_FIELDS)
        return cls(*_read_shape(fields))


@dataclass(frozen=True, slots=True)
class ContentOperation:
    """An operation as committed; the specification's ``ContentOperation``."""

    id: str
    type: OperationType
    position: Position
    author: str
    created_at: int
    """Milliseconds since 1970."""
    vector_clock: Mapping[str, int]
    """The Yjs clients that its entry changed, with their clocks after it, and the entry's ``offset``."""
    content: Json = None
    length: int | None = None
    attributes: Mapping[str, Json] | None = None

    def to_json(self) -> dict[str, Json]:
        """The JSON form. Lists and objects inside are shared with the operation, not copied."""
        return {
            "id": self.id,
            **_shape(self),
            "author": self.author,
            "created_at": self.created_at,
            "vector_clock": dict(self.vector_clock),
        }

    @classmethod
    def from_json(cls, value: Json) -> ContentOperation:
        """Read the JSON form, strictly. Raises :class:`OperationInvalid` (``field``)."""
        fields = _object(value)
        _no_others(fields, _DRAFT_FIELDS | _SERVER_FIELDS)
        for name in sorted(_SERVER_FIELDS - fields.keys()):
            _refuse(name, "it is missing")
        kind, position, content, length, attributes = _read_shape(fields)
        return cls(
            id=check_id(fields["id"]),
            type=kind,
            position=position,
            author=_name(fields["author"], "author", MAX_AUTHOR_LENGTH),
            created_at=_count(fields["created_at"], "created_at", 0),
            vector_clock=_vector_clock(fields["vector_clock"]),
            content=content,
            length=length,
            attributes=attributes,
        )


_DRAFT_FIELDS = frozenset(("type", "position", "content", "length", "attributes"))
_SERVER_FIELDS = frozenset(("id", "author", "created_at", "vector_clock"))


def check_id(value: Json) -> str:
    """Return an operation's id: 1 to 36 characters, no NUL, no lone surrogate. Raises :class:`OperationInvalid` (``field``)."""
    return _name(value, "id", MAX_ID_LENGTH)


def _shape(operation: OperationDraft | ContentOperation) -> dict[str, Json]:
    shape: dict[str, Json] = {"type": operation.type.value, "position": list(operation.position)}
    if operation.type is OperationType.INSERT:
        shape["content"] = operation.content
    if operation.length is not None:
        shape["length"] = operation.length
    if operation.attributes is not None:
        shape["attributes"] = dict(operation.attributes)
    return shape


# -- reading ------------------------------------------------------------------------------------------------------------------


def _read_shape(fields: Mapping[str, Json]) -> tuple[OperationType, Position, Json, int | None, Mapping[str, Json] | None]:
    for name in ("type", "position"):
        if name not in fields:
            _refuse(name, "it is missing")
    if not isinstance(fields["type"], str) or fields["type"] not in _READERS:
        _refuse("type", "it is none of insert, delete and format")
    kind = OperationType(fields["type"])
    position = _position(fields["position"])
    content, length, attributes = _READERS[kind](fields, position)
    return kind, position, content, length, attributes


_Rest: TypeAlias = tuple[Json, int | None, Mapping[str, Json] | None]


def _insert(fields: Mapping[str, Json], position: Position) -> _Rest:
    _needs(fields, "content")
    _takes_no(fields, "length", "an insert")
    if len(position) < 2:
        _refuse("position", "a root's name alone is no place; an index or a key follows")
    content = fields["content"]
    if isinstance(position[-1], str):
        _takes_no(fields, "attributes", "an entry")
        return content, None, None
    if isinstance(content, str) or (isinstance(content, dict) and content.keys() == {"embed"}):
        if not content:
            _refuse("content", "there is nothing to insert")
        if isinstance(content, str) and not is_unicode(content):
            _refuse("content", "it holds half of a surrogate pair, which is no Unicode text")
        return content, None, _attributes(fields["attributes"]) if "attributes" in fields else None
    if not isinstance(content, list):
        _refuse("content", 'at an index it is a string, {"embed": …} or a list of items')
    if not content:
        _refuse("content", "there is nothing to insert")
    _takes_no(fields, "attributes", "an insert of items")
    return content, None, None


def _delete(fields: Mapping[str, Json], position: Position) -> _Rest:
    for name in ("content", "attributes"):
        _takes_no(fields, name, "a delete")
    if isinstance(position[-1], int):
        return None, _length(fields), None
    _takes_no(fields, "length", "the delete of an entry")
    return None, None, None


def _format(fields: Mapping[str, Json], position: Position) -> _Rest:
    _takes_no(fields, "content", "a format")
    _needs(fields, "attributes")
    attributes = _attributes(fields["attributes"])
    if not attributes:
        _refuse("attributes", "there is nothing to set or remove")
    return None, _length(fields), attributes


_READERS = {OperationType.INSERT: _insert, OperationType.DELETE: _delete, OperationType.FORMAT: _format}


def _object(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        _refuse(None, "an operation is a JSON object")
    return value


def _no_others(fields: Mapping[str, Json], known: Collection[str]) -> None:
    for name in fields:
        if name not in known:
            _refuse(str(name), "an operation has no such field")


def _needs(fields: Mapping[str, Json], name: str) -> None:
    if name not in fields:
        _refuse(name, "it is missing")


def _takes_no(fields: Mapping[str, Json], name: str, what: str) -> None:
    if fields.get(name) is not None:
        _refuse(name, f"{what} has none")


def _position(value: Json) -> Position:
    if not isinstance(value, list) or not value:
        _refuse("position", "it is a list that begins with the name of a root")
    if len(value) > MAX_STEPS:
        _refuse("position", f"it leads deeper than {MAX_DEPTH} levels")
    if not isinstance(value[0], str):
        _refuse("position[0]", "a root's name is a string")
    return tuple(_step(step, f"position[{at}]") for at, step in enumerate(value))


def _step(value: Json, field: str) -> str | int:
    if not isinstance(value, str):
        return _count(value, field, 0)
    if not is_unicode(value):
        _refuse(field, "it holds half of a surrogate pair, which is no Unicode text")
    return value


def _length(fields: Mapping[str, Json]) -> int:
    _needs(fields, "length")
    return _count(fields["length"], "length", 1)


def _count(value: Json, field: str, least: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # in JSON 3.0 is 3, and some languages write all numbers so
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_SAFE_INTEGER:
        _refuse(field, f"it is an integer from {least} to 2^53 - 1")
    return value


def _attributes(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        _refuse("attributes", "it is an object of names and values")
    for name in value:
        if not isinstance(name, str) or not is_unicode(name):
            _refuse("attributes", "a name holds half of a surrogate pair, which is no Unicode text")
    return value


def _vector_clock(value: Json) -> Mapping[str, int]:
    if not isinstance(value, dict):
        _refuse("vector_clock", "it is an object of client ids and clocks")
    return {key: _count(clock, f"vector_clock.{key}", 0) for key, clock in value.items()}


def _name(value: Json, field: str, limit: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        _refuse(field, f"it is a string of 1 to {limit} characters")
    if "\0" in value or not is_unicode(value):
        _refuse(field, "it holds U+0000 or half of a surrogate pair")
    return value


def _refuse(field: str | None, reason: str) -> NoReturn:
    raise OperationInvalid("field", reason, field=field)
