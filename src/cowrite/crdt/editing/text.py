"""A text in a document that is edited here, in characters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, SupportsIndex
from weakref import WeakSet

from cowrite.crdt.building import Builder
from cowrite.crdt.editing.document import EditableDocument
from cowrite.crdt.editing.positions import Edit, characters, read_delta, units_before
from cowrite.crdt.editing.relative import ASSOCIATION, path_to, position_in_tree
from cowrite.crdt.shared_types import Handle, Transaction
from cowrite.crdt.text_index import utf16_length
from cowrite.crdt.values import Json, checked_text


class Gone(LookupError):
    """The place where the text stood is not in the document any more: somebody has deleted it."""


class Anchor:
    """A position in a text that stays where it is while others edit: between the same two characters, as far as they are there.

    What is inserted exactly there by others comes behind it, and what is inserted *at the anchor*, before it. Get one by
    :meth:`EditableText.anchor`.
    """

    __slots__ = ("__weakref__", "_index", "_text")

    def __init__(self, text: EditableText, index: int) -> None:
        self._text = text
        self._index = index

    def __repr__(self) -> str:
        return f"Anchor({self._index})"

    @property
    def index(self) -> int:
        """Where it is now, in characters from the beginning."""
        return self._index

    @property
    def text(self) -> EditableText:
        """The text that it is in."""
        return self._text

    def move(self, index: int) -> None:
        """Put it elsewhere in its text. Raises ``IndexError``."""
        self._index = self._text.place(index)

    def follow(self, edit: Edit) -> None:
        """Be where it is after this edit. For the text that it is in."""
        if edit.index < self._index:
            self._index = max(edit.index, self._index - len(edit.deleted)) + len(edit.inserted)


class EditableText:
    """A text. Indexes are those of the ``str`` that it is: characters (code points), neither bytes nor UTF-16 units.

    What is embedded in it (a picture, a mention) is one U+FFFC there. It never changes in the middle of a call.
    """

    def __init__(
        self, document: EditableDocument, handle: Handle, told: Callable[[list[Edit]], None], *, nested: bool = False
    ) -> None:
        """``nested``: it stands in a tree, from which somebody may delete it."""
        self._document = document
        self._handle = handle
        self._nested = nested
        self._told = told
        self._string = document.read(lambda reader: characters(handle.diff(reader.txn)))
        self._anchors: WeakSet[Anchor] = WeakSet()
        self._observer = document.observe(handle.observe, self._changed)

    def __str__(self) -> str:
        return self._now()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._now()!r}>"

    def __len__(self) -> int:
        return len(self._now())

    def __bool__(self) -> bool:
        return bool(self._now())

    def __contains__(self, part: str) -> bool:
        return part in self._now()

    def __getitem__(self, where: SupportsIndex | slice) -> str:
        return self._now()[where]

    def __delitem__(self, where: SupportsIndex | slice) -> None:
        start, stop = self._range(where)
        self.delete(start, stop)

    def __iadd__(self, text: str) -> EditableText:
        self.append(text)
        return self

    def delta(self) -> list[Json]:
        """The text with its formatting: ``[{"insert": "Hello", "attributes": {"bold": True}}, {"embed": {…}}, …]``."""
        return self._document.read(lambda reader: reader.delta(self._handle))

    def anchor(self, index: int) -> Anchor:
        """A position that moves with what others do. Raises ``IndexError``."""
        anchor = Anchor(self, self.place(index))
        self._anchors.add(anchor)
        return anchor

    def insert(self, where: int | Anchor, text: str, attributes: Mapping[str, Json] | None = None) -> None:
        """Insert before the character at an index, or at an anchor, which then stands behind what was inserted.

        ``attributes``: its formatting, such as ``{"bold": True}``; None: that of the character before it. Raises
        ``IndexError``, ``ValueError`` for a text or attributes that cannot be stored, :class:`Gone`.
        """
        index = self.place(where)
        if not text:
            return
        checked_text(text, "the text")
        if self._nested and self._handle.parent() is None:
            # What was written there would be a piece without a place, and no replica could read it, nor what is written later.
            raise _gone()
        before, units = self._string, units_before(self._string, index)
        self._document.write(
            lambda txn: Builder(txn).insert_text(self._handle, units, text, attributes, "the attributes"),
        )
        if self._string is before:
            raise _gone()
        if isinstance(where, Anchor):
            where.move(index + len(text))

    def append(self, text: str, attributes: Mapping[str, Json] | None = None) -> None:
        """Insert at the end. See :meth:`insert`."""
        self.insert(len(self._now()), text, attributes)

    def delete(self, start: int | Anchor, stop: int | Anchor) -> None:
        """Delete from one index up to, and without, another one. Raises ``IndexError``."""
        first, last = self._span(start, stop)
        if first < last:
            self._document.write(lambda txn: self._remove(txn, first, last))

    def replace(self, start: int | Anchor, stop: int | Anchor, text: str) -> None:
        """Delete what is there and insert a text instead, in one edit. Raises what :meth:`insert` raises."""
        first, last = self._span(start, stop)
        checked_text(text, "the text")
        if first == last or not text:
            self.delete(first, last)
            self.insert(first, text)
            return
        units, length = units_before(self._now(), first), utf16_length(self._now()[first:last])

        def work(txn: Transaction) -> None:
            # Inserted behind what goes: it has the formatting of that, and not of what stands before it.
            Builder(txn).insert_text(self._handle, units + length, text, None, "the attributes")
            self._handle.remove_range(txn, units, length)

        self._document.write(work)

    def format(self, start: int | Anchor, stop: int | Anchor, attributes: Mapping[str, Json]) -> None:
        """Set the formatting of a range: ``{"bold": True}``; None as a value takes it away.

        Raises ``IndexError``, and ``ValueError`` for attributes that cannot be stored.
        """
        first, last = self._span(start, stop)
        if first < last:
            units, length = units_before(self._now(), first), utf16_length(self._now()[first:last])
            self._document.write(lambda txn: Builder(txn).format(self._handle, units, length, attributes, "the attributes"))

    def place(self, where: int | Anchor) -> int:
        """The index of a place in the text. Raises ``IndexError``, and ``ValueError`` for an anchor of another text."""
        if isinstance(where, Anchor):
            if where.text is not self:
                raise ValueError("the anchor is in another text")
            return where.index
        if not 0 <= where <= len(self._now()):
            raise IndexError(f"there is no place {where} in a text of {len(self._now())} characters")
        return where

    def selection(self, anchor: int | Anchor, head: int | Anchor) -> Json:
        """A selection as editors tell one another of it in their awareness, under ``cursor``: it moves with what others do.

        Both the same: a cursor. For a text in a tree the document is looked through, which takes some milliseconds when it is
        large. Raises ``IndexError``, :class:`Gone`, and ``ValueError`` where conflicts make that too much work.
        """
        first, last = self._span(anchor, head)
        told = self._relative(first)
        return {"anchor": told, "head": told if first == last else self._relative(last)}

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _now(self) -> str:
        # The engine tells a text of its own edits, and not that what it stands in was deleted.
        if self._nested and self._string and not self._document.closed and not self._length():
            self._string = ""
            for anchor in self._anchors:
                anchor.move(0)
        return self._string

    def _length(self) -> int:
        return int(self._document.read(lambda reader: self._handle.len(reader.txn)))

    def _relative(self, index: int) -> Json:
        units = units_before(self._string, index)
        if self._nested:
            return self._relative_in_tree(units)
        return json.loads(
            self._document.read(lambda reader: self._handle.sticky_index(reader.txn, units, ASSOCIATION).to_json_string())
        )

    def _relative_in_tree(self, units: int) -> Json:
        top, path = self._document.read(lambda reader: path_to(reader, self._handle))
        root = self._document.name_of(top)
        if root is None:
            raise Gone("The text was deleted by somebody else; there is no place in it.")
        return position_in_tree(self._document.encode(), root, path, units)

    def _span(self, start: int | Anchor, stop: int | Anchor) -> tuple[int, int]:
        return self.place(start), self.place(stop)

    def _range(self, where: SupportsIndex | slice) -> tuple[int, int]:
        if isinstance(where, slice):
            start, stop, step = where.indices(len(self._string))
            if step != 1:
                raise ValueError("only a range without a step can be deleted")
            return start, max(start, stop)
        index = range(len(self._string))[where]
        return index, index + 1

    def _remove(self, txn: Transaction, first: int, last: int) -> None:
        length = utf16_length(self._string[first:last])
        self._handle.remove_range(txn, units_before(self._string, first), length)

    def _changed(self, event: Any) -> None:
        self._string, edits = read_delta(self._string, event.delta)
        for anchor in self._anchors:
            for edit in edits:
                anchor.follow(edit)
        self._told(edits)


def _gone() -> Gone:
    return Gone("The text was deleted by somebody else; what was to be inserted is nowhere.")
