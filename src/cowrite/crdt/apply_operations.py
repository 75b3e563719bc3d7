"""Operations of a client without a CRDT library, turned into the Yjs update that a Yjs replica would have made.

Such a client edits what it has seen: the document at its *base*, with its own later operations. So a replica is made with
exactly that, under the Yjs client id of the session; the operations are applied to it one after the other, in one transaction;
and the update that comes out merges into the document as every other one does. Concurrent edits need no further thought.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from pycrdt import _pycrdt as engine

from cowrite.crdt.building import Builder, Unsupported, checked_name
from cowrite.crdt.content import MAX_ROOT_BYTES
from cowrite.crdt.errors import raise_fault
from cowrite.crdt.even_texts import EvenTexts
from cowrite.crdt.guard import outline_of_state
from cowrite.crdt.operations import OperationDraft, OperationInvalid, OperationType
from cowrite.crdt.outline import missing
from cowrite.crdt.roots import RootKind, shows_xml
from cowrite.crdt.shared_types import SHARED_TYPES, TEXTS, Handle, Transaction, text_units
from cowrite.crdt.state_vector import decode_state_vector
from cowrite.crdt.text_index import splits_pair
from cowrite.crdt.utf16 import EngineMemory, utf16_document
from cowrite.crdt.values import InvalidValue, Json

_FRAGMENTS = (engine.XmlFragment, engine.XmlElement)
_LOOKED_AT = 20
"""Updates that are looked at one by one (7 µs each) so that a text need not be read again (100 µs for 100 000 characters)."""
_WITH_ATTRIBUTES = (engine.XmlElement, engine.XmlText)


def apply_operations(
    state: bytes,
    roots: Mapping[str, RootKind],
    operations: Sequence[OperationDraft],
    *,
    client_id: int,
    own_updates: Iterable[bytes] = (),
) -> bytes | None:
    """Make one update (v1) of operations; None when they change nothing.

    ``state`` and ``roots`` are the document at the base, as a :class:`~cowrite.crdt.log_document.LogDocument` gives them;
    ``client_id`` is the Yjs client id under which the update is made, ``own_updates`` what was made under it since the base.
    The same (client, clock) must never be given to two contents: a client id whose update was lost is not used again.

    Raises :class:`OperationInvalid` when one of the operations does not fit; nothing has happened then. Raises
    :class:`~cowrite.crdt.errors.EngineFault`.
    """
    replica = Replica(state, roots, client_id)
    replica.advance(own_updates)
    return replica.apply(operations)


class Replica:
    """A Yjs replica that is run for a client. Not usable after any exception."""

    def __init__(self, state: bytes, roots: Mapping[str, RootKind], client_id: int) -> None:
        self._document = utf16_document(client_id)
        self._engine = self._document._doc
        self._roots = dict(roots)
        self._even = EvenTexts()
        self._near = EvenTexts()
        """The nested text that the last operation was in, if it is even, by its path: after any other change that may name
        another text."""
        self._fresh: list[bytes] = []
        fresh = self._fresh
        self._memory = EngineMemory(self._document, self._document.observe(lambda event: fresh.append(event.update)))
        self.advance((state,))

    def advance(self, updates: Iterable[bytes], roots: Mapping[str, RootKind] | None = None) -> None:
        """Apply updates of others that the client has seen, and its own that came from somewhere else.

        ``roots`` are the kinds that are known after them.
        """
        self._roots.update(roots or {})
        self._near.forget()
        if not (updates := list(updates)):
            return
        txn = self._engine.create_transaction()  # one for all: each encodes what was new at its end, for nobody
        try:
            for update in updates:
                self._engine.apply_update(txn, update)
            txn.commit()
            if len(updates) > _LOOKED_AT:
                self._even.forget()
            elif self._even:
                for update in updates:
                    self._even.received(outline_of_state(update))
        except BaseException as error:
            raise_fault(error)
        finally:
            txn.drop()

    def advance_own(self, updates: Iterable[bytes]) -> None:
        """Apply what the client made itself since. What builds on something that is not here (it was made when the client
        knew more than it says now) is left out.
        """
        for update in updates:
            if not missing(outline_of_state(update), decode_state_vector(self._document.get_state())):
                self.advance((update,))

    @property
    def clock(self) -> int:
        """The next clock of its own Yjs client id: 0 when it holds nothing that was made under it."""
        return decode_state_vector(self._document.get_state()).get(self._document.client_id, 0)

    def apply(self, operations: Sequence[OperationDraft]) -> bytes | None:
        """Apply the client's own operations in one transaction. Returns the update that they make, None when they make none."""
        self._fresh.clear()
        txn = self._engine.create_transaction()
        try:
            for index, operation in enumerate(operations):
                self._apply(operation, index, txn)
            txn.commit()
        except OperationInvalid:
            raise
        except BaseException as error:
            raise_fault(error)
        finally:
            txn.drop()
        return self._fresh[0] if self._fresh else None

    def _apply(self, operation: OperationDraft, index: int, txn: Transaction) -> None:
        try:
            self._apply_one(operation, txn)
        except OperationInvalid as invalid:
            raise invalid.at(index) from None
        except Unsupported as unsupported:
            raise OperationInvalid("unsupported", unsupported.reason, field=unsupported.place, index=index) from None
        except InvalidValue as invalid:
            raise OperationInvalid("value", invalid.reason, field=invalid.place, index=index) from None

    def _apply_one(self, operation: OperationDraft, txn: Transaction) -> None:
        position = operation.position
        name = checked_name(position[0], MAX_ROOT_BYTES, "position[0]")
        near, self._near = self._near, EvenTexts()
        holder = self._root(name, operation, txn)
        if type(holder) is engine.XmlFragment:
            entries = self._engine.get_or_insert_map(txn, name)  # the attributes of an XML root; the engine shows them only so
            if len(position) == 1 and operation.type is OperationType.FORMAT:
                _set_root_attributes(entries, operation.attributes or {}, txn)
                return
            if len(position) > 2 and isinstance(position[1], str):
                holder = entries
        if len(position) == 1:
            _refuse("kind", "only the attributes of an XML root have its name alone as their place", "position")
        if len(position) == 2 and type(holder) is engine.Text and isinstance(position[1], int):
            _write_known_text(holder, operation, txn, self._even, name)
            return
        for at, step in enumerate(position[1:-1], 1):
            holder = _child(holder, step, f"position[{at}]", txn)
        if type(holder) in TEXTS and isinstance(position[-1], int):
            path = repr(position[:-1])
            self._near = near if path in near else self._near
            _write_known_text(holder, operation, txn, self._near, path)
        else:
            _write(holder, operation, txn)

    def _root(self, name: str, operation: OperationDraft, txn: Transaction) -> Handle:
        kind = self._roots.get(name) or _kind_of_new_root(operation)
        if kind is RootKind.MIXED:
            _refuse("root", f"the root {name!r} holds things that do not go together; no operation reaches it", "position[0]")
        self._roots[name] = kind
        if kind is RootKind.TEXT:
            return self._engine.get_or_insert_text(txn, name)
        if kind is RootKind.MAP:
            return self._engine.get_or_insert_map(txn, name)
        if kind is RootKind.ARRAY:
            return self._engine.get_or_insert_array(txn, name)
        return self._engine.get_or_insert_xml_fragment(txn, name)


# -- where it goes ------------------------------------------------------------------------------------------------------------


def _kind_of_new_root(operation: OperationDraft) -> RootKind:
    """What a root must be that does not exist yet: the same that everybody infers once the operation is committed."""
    position, content = operation.position, operation.content
    if operation.type is OperationType.FORMAT and len(position) == 1:
        return RootKind.XML
    if operation.type is not OperationType.INSERT or len(position) != 2:
        _refuse("root", f"there is no root {position[0]!r}", "position[0]")
    if isinstance(position[1], str):
        return RootKind.MAP
    if not isinstance(content, list):
        return RootKind.TEXT
    return RootKind.XML if shows_xml(content) else RootKind.ARRAY


def _child(holder: Handle, step: str | int, field: str, txn: Transaction) -> Handle:
    kind = type(holder)
    child: Handle = None
    if isinstance(step, str):
        if kind is engine.Map:
            child = holder.get(txn, step) if holder.has(txn, step) else None
        elif kind in (engine.XmlElement, engine.XmlText):
            child = holder.attribute(txn, step)
    elif kind in TEXTS:
        at = 0
        for chunk, units in _pieces(holder, txn):
            if at == step:
                child = chunk
            at += units
    elif kind in (*_FRAGMENTS, engine.Array) and step < holder.len(txn):
        child = holder.get(txn, step)
    if type(child) not in SHARED_TYPES:
        _refuse("path", f"no shared type is at {step!r}", field)
    return child


def _pieces(text: Handle, txn: Transaction) -> list[tuple[object, int]]:
    pieces = text_units(text, txn)
    if pieces is None:
        _refuse("kind", "this text also holds things that are no text; its positions mean nothing", "position")
    return pieces


# -- what it does -------------------------------------------------------------------------------------------------------------


def _write(holder: Handle, operation: OperationDraft, txn: Transaction) -> None:
    kind = type(holder)
    last = operation.position[-1]
    if isinstance(last, str):
        _write_entry(holder, last, operation, txn)
    elif kind in (*_FRAGMENTS, engine.Array):
        _write_list(holder, last, operation, txn)
    else:
        _refuse("kind", "a map has keys, no indexes", "position")


def _write_known_text(text: Handle, operation: OperationDraft, txn: Transaction, even: EvenTexts, name: str) -> None:
    """Reading all of a text, perhaps a whole document, for each operation would take long."""
    if name in even:
        check: Callable[[int], None] = _within(text.len(txn))
    else:
        pieces = _pieces(text, txn)
        even.note(name, pieces)
        check = partial(_check_boundary, pieces)
    _write_text(text, operation, txn, check)
    if isinstance(operation.content, str):
        even.wrote(name, operation.content)


def _write_text(text: Handle, operation: OperationDraft, txn: Transaction, check: Callable[[int], None]) -> None:
    builder = Builder(txn)
    content, attributes = operation.content, operation.attributes
    start, length = operation.position[-1], operation.length or 0
    assert isinstance(start, int), "keys are no places in a text"
    check(start)
    if operation.type is OperationType.INSERT:
        if isinstance(content, str):
            builder.insert_text(text, start, content, attributes, "attributes")
        elif isinstance(content, dict):
            depth = len(operation.position) - 1
            builder.insert_embed(text, start, content["embed"], attributes, "content.embed", depth)
        else:
            _refuse("kind", 'a text takes a string or {"embed": …}', "content")
        return
    check(start + length)
    if operation.type is OperationType.DELETE:
        text.remove_range(txn, start, length)
    else:
        builder.format(text, start, length, attributes or {}, "attributes")


def _within(size: int) -> Callable[[int], None]:
    def check(index: int) -> None:
        if index > size:
            _refuse("range", f"index {index} is beyond the end of the text, {size}", "position")

    return check


def _check_boundary(pieces: Sequence[tuple[object, int]], index: int) -> None:
    at = 0
    for chunk, units in pieces:
        if index < at + units:
            if isinstance(chunk, str) and splits_pair(chunk, index - at):
                _refuse("surrogate", f"index {index} is inside of one character", "position")
            return
        at += units
    if index > at:
        _refuse("range", f"index {index} is beyond the end of the text, {at}", "position")


def _write_list(holder: Handle, start: int, operation: OperationDraft, txn: Transaction) -> None:
    builder = Builder(txn)
    size = holder.len(txn)
    insert = builder.insert_item if type(holder) is engine.Array else builder.insert_node
    end = start + (operation.length or 0)
    if end > size:
        _refuse("range", f"index {end} is beyond the end, {size}", "position")
    if operation.type is OperationType.INSERT:
        if not isinstance(operation.content, list):
            _refuse("kind", "an array or XML node takes a list of items", "content")
        for number, item in enumerate(operation.content):
            insert(holder, start + number, item, f"content[{number}]", len(operation.position) - 1)
    elif operation.type is OperationType.DELETE:
        holder.remove_range(txn, start, end - start)
    else:
        if end - start != 1:
            _refuse("range", "the attributes of one node are set at a time: length is 1", "length")
        _set_attributes(holder.get(txn, start), operation, txn)


def _write_entry(holder: Handle, key: str, operation: OperationDraft, txn: Transaction) -> None:
    builder = Builder(txn)
    if type(holder) is engine.Map:
        there = holder.has(txn, key)
    elif type(holder) in _WITH_ATTRIBUTES:
        there = holder.attribute(txn, key) is not None
    else:
        _refuse("kind", "only maps, XML elements and XML texts have keys", "position")
    if operation.type is OperationType.INSERT:
        if type(holder) is engine.Map:
            builder.set_entry(holder, key, operation.content, "content", len(operation.position) - 1)
        else:
            builder.set_attribute(holder, key, operation.content, "content")
    elif not there:
        _refuse("path", f"nothing is at {key!r}", f"position[{len(operation.position) - 1}]")
    elif operation.type is OperationType.FORMAT:
        _set_attributes(_child(holder, key, "position", txn), operation, txn)
    elif type(holder) is engine.Map:
        holder.remove(txn, key)
    else:
        holder.remove_attribute(txn, key)


def _set_attributes(node: Handle, operation: OperationDraft, txn: Transaction) -> None:
    if type(node) not in _WITH_ATTRIBUTES:
        _refuse("kind", "only XML elements and XML texts have attributes", "position")
    for name, value in (operation.attributes or {}).items():
        Builder(txn).set_attribute(node, name, value, f"attributes.{name}")


def _set_root_attributes(entries: Handle, attributes: Mapping[str, Json], txn: Transaction) -> None:
    for name, value in attributes.items():
        if value is not None:
            Builder(txn).set_plain_entry(entries, name, value, f"attributes.{name}")
        elif entries.has(txn, name):
            entries.remove(txn, name)


def _refuse(code: str, reason: str, field: str) -> NoReturn:
    raise OperationInvalid(code, reason, field=field)
