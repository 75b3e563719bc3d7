"""From the engine's events to operations.

While a transaction is committed, the engine tells for every shared type that existed before it what has changed, and
:class:`Watch` takes that down (the details can be read only during the call). Afterwards :func:`translate` writes it as
operations.

The order in which operations must be applied: parents before children, because the engine's paths hold in the final state; and
within a text or list from left to right, each position counted with what the operations before it have done. Everything is
sorted, because the engine's own order changes from process to process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from pycrdt import _pycrdt as engine

from cowrite.crdt.operations import OperationDraft, OperationType, Position
from cowrite.crdt.roots import RootKind
from cowrite.crdt.shared_types import (
    TEXTS,
    XML_NODES,
    Handle,
    Misfit,
    Reader,
    Transaction,
    present_attributes,
    text_units,
    units_of,
)
from cowrite.crdt.values import Json, to_json

Path: TypeAlias = "list[str | int]"
Delta: TypeAlias = Sequence[Mapping[str, Any]]
Keys: TypeAlias = Mapping[str, Mapping[str, Any]]


class Event(NamedTuple):
    """What changed in one shared type. (A named tuple: one is made for every keystroke.)"""

    path: Path
    """From the root to it: indexes and keys in the final state."""
    kind: type
    """The engine's class of it."""
    delta: Delta
    """Changes of its list or text, as the engine tells them."""
    keys: Keys
    """Changes of its entries or attributes."""


@dataclass(slots=True)
class Attention:
    """Whether anybody wants to know what changes in a document. One for all its roots."""

    heard: bool = True


@dataclass(slots=True)
class Watch:
    """Takes down what changes in one root and below."""

    root: Handle
    """The root as its kind of type."""
    entries: Handle
    """The same root as a map: an XML root's attributes are read through it."""
    kind: RootKind | None
    """None while it is unknown; then the events tell no more than that there are some."""
    cast: RootKind
    """What the engine was told that it is."""
    attention: Attention
    events: list[Event] = field(default_factory=list)
    fault: BaseException | None = None
    """What went wrong while the engine was calling (it does not pass exceptions on)."""
    subscription: engine.Subscription | None = None

    def take(self, events: Sequence[Any]) -> None:
        """Called by the engine. Must not raise."""
        if not self.attention.heard:
            return
        try:
            for event in events:
                self.events.append(_EVENT_READERS[type(event)](event))
        except BaseException as fault:  # a panic of the engine derives from BaseException; all are raised again after the call
            self.fault = fault


def _text_event(event: Any) -> Event:
    return Event(event.path, engine.Text, event.delta, {})


def _array_event(event: Any) -> Event:
    return Event(event.path, engine.Array, event.delta, {})


def _map_event(event: Any) -> Event:
    return Event(event.path, engine.Map, (), event.keys)


def _xml_event(event: Any) -> Event:
    return Event(event.path, type(event.target), event.delta, event.keys)


_EVENT_READERS: dict[type, Callable[[Any], Event]] = {
    engine.TextEvent: _text_event,
    engine.ArrayEvent: _array_event,
    engine.MapEvent: _map_event,
    engine.XmlEvent: _xml_event,
}


def translate(name: str, watch: Watch, reader: Reader) -> list[OperationDraft]:
    """Write the events of one root as operations, in the order in which they must be applied.

    Raises :class:`~cowrite.crdt.shared_types.Misfit` when something stands in it that does not belong there.
    """
    drafts: list[OperationDraft] = []
    events = watch.events
    if len(events) > 1:
        events = sorted(events, key=_order)
    for event in events:
        path, kind, delta, keys = event
        parent = None
        if path:
            parent = _parent(watch, path, reader)
            if parent is None or not _shows(parent, path[-1], watch):
                continue
        position = (name, *path)
        if kind is engine.Text or kind is engine.XmlText:
            _text_changes(position, delta, reader, drafts)
        elif delta:
            if reader.wary and kind is not engine.Array:
                reader.nodes(_child(parent, path[-1], watch, reader.txn) if path else watch.root)
            _list_changes(position, event, reader, drafts)
        if keys:
            _key_changes(position, event, parent, reader, drafts)
    return drafts


def _order(event: Event) -> tuple[int, list[tuple[bool, str | int]]]:
    return len(event.path), [(isinstance(step, str), step) for step in event.path]


# -- where it is --------------------------------------------------------------------------------------------------------------


def _parent(watch: Watch, path: Path, reader: Reader) -> Handle | None:
    """Return the type that holds the one at the end of ``path``; None when something on the way cannot be seen."""
    holder = watch.root
    for step in path[:-1]:
        if not _shows(holder, step, watch):
            return None
        holder = _child(holder, step, watch, reader.txn)
    if type(holder) in TEXTS and isinstance(path[-1], int) and text_units(holder, reader.txn) is None:
        raise Misfit("a text holds something that is no part of a text")
    return holder


def _shows(holder: Handle, step: str | int, watch: Watch) -> bool:
    """Tell whether what stands there can be seen: a list in a map cannot, nor entries of a text or an array."""
    kind = type(holder)
    if isinstance(step, int):
        return kind is not engine.Map
    return kind in (engine.Map, engine.XmlElement, engine.XmlText) or (kind is engine.XmlFragment and holder is watch.root)


def _child(holder: Handle, step: str | int, watch: Watch, txn: Transaction) -> Handle:
    kind = type(holder)
    if kind in TEXTS and isinstance(step, int):
        return _embedded(holder, step, txn)
    if kind in (engine.XmlElement, engine.XmlText) and isinstance(step, str):
        return holder.attribute(txn, step)
    if kind is engine.XmlFragment and isinstance(step, str):
        return watch.entries.get(txn, step)
    return holder.get(txn, step)


def _embedded(text: Handle, index: int, txn: Transaction) -> Handle:
    pieces = text_units(text, txn)
    if pieces is None:
        raise Misfit("a text holds something that is no part of a text")
    at = 0
    starts = {}
    for chunk, units in pieces:
        starts[at] = chunk
        at += units
    return starts[index]


# -- what it is ---------------------------------------------------------------------------------------------------------------


def _text_changes(position: Position, delta: Delta, reader: Reader, drafts: list[OperationDraft]) -> None:
    index = 0
    for change in delta:
        attributes = change.get("attributes")
        if (length := change.get("retain")) is not None:
            if attributes:
                values = {name: to_json(attributes[name]) for name in sorted(attributes)}
                drafts.append(OperationDraft(OperationType.FORMAT, (*position, index), None, length, values))
            index += length
        elif (length := change.get("delete")) is not None:
            drafts.append(OperationDraft(OperationType.DELETE, (*position, index), None, length))
        else:
            drafts.append(_insertion((*position, index), change["insert"], attributes, reader))
            index += units_of(change["insert"])


def _insertion(position: Position, value: object, attributes: Mapping[str, Any] | None, reader: Reader) -> OperationDraft:
    """Write a piece of a text as an insert. Its attributes are always said: absent would mean "inherit"."""
    if isinstance(value, str):
        reader.check_text(value)
    content = value if isinstance(value, str) else {"embed": reader.value(value)}
    values = present_attributes(attributes) if attributes else {}
    return OperationDraft(OperationType.INSERT, position, content, None, values)


def _list_changes(position: Position, event: Event, reader: Reader, drafts: list[OperationDraft]) -> None:
    if event.kind is engine.Array and reader.strays:
        raise Misfit("an array holds text")
    index = 0
    for change in event.delta:
        if (length := change.get("retain")) is not None:
            index += length
        elif (length := change.get("delete")) is not None:
            drafts.append(OperationDraft(OperationType.DELETE, (*position, index), None, length))
        else:
            values = change["insert"]
            if not values or (event.kind is not engine.Array and any(type(value) not in XML_NODES for value in values)):
                raise Misfit("something stands in an array or an XML node that does not belong there")
            content = [reader.value(value) for value in values]
            drafts.append(OperationDraft(OperationType.INSERT, (*position, index), content))
            index += len(content)


def _key_changes(position: Position, event: Event, parent: Handle, reader: Reader, drafts: list[OperationDraft]) -> None:
    if event.kind is engine.XmlFragment and parent is not None:
        return  # only elements, XML texts and XML roots have attributes that can be read
    values: dict[str, Json] = {}
    gone = []
    for key in sorted(event.keys):
        change = event.keys[key]
        if change["action"] == "delete" or (change["newValue"] is None and event.kind is not engine.Map):
            gone.append(key)
        else:
            values[key] = reader.value(change["newValue"])
    if event.kind is engine.Map or type(parent) in TEXTS:
        # In a text a node's own path means formatting, so there an attribute is written like an entry.
        drafts.extend(OperationDraft(OperationType.DELETE, (*position, key)) for key in gone)
        drafts.extend(OperationDraft(OperationType.INSERT, (*position, key), value) for key, value in values.items())
    else:
        attributes = {key: values.get(key) for key in sorted(event.keys)}
        drafts.append(OperationDraft(OperationType.FORMAT, position, None, 1, attributes))
