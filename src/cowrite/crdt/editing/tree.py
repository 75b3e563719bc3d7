"""Trees of elements and texts, as rich text editors keep their documents (ProseMirror, Tiptap, BlockNote).

A node is written as in operations: ``{"$xml": "paragraph", "attrs": {}, "children": [{"$xmltext": [{"insert": "Hello"}]}]}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from pycrdt import _pycrdt as engine

from cowrite.crdt.building import Builder
from cowrite.crdt.editing.document import EditableDocument
from cowrite.crdt.editing.text import EditableText
from cowrite.crdt.editing.values import check_node
from cowrite.crdt.shared_types import Handle, Reader
from cowrite.crdt.values import Json

_Text = TypeVar("_Text", bound=EditableText)


class EditableTree:
    """A tree: nodes in an order, in which other nodes may be."""

    def __init__(self, document: EditableDocument, handle: Handle, told: Callable[[], None]) -> None:
        self._document = document
        self._handle = handle
        self._told = told
        self._observer = document.observe(handle.observe_deep, self._changed)

    def __len__(self) -> int:
        return int(self._document.read(lambda reader: self._handle.len(reader.txn)))

    def nodes(self) -> list[Json]:
        """All of it as JSON. A copy: changing it changes nothing."""
        return self._document.read(lambda reader: reader.children(self._handle))

    def insert_node(self, index: int, node: Json) -> None:
        """Insert a node before the one at an index. Raises ``IndexError``, and ``ValueError`` for what cannot be stored."""
        self._check(index)
        check_node(node)
        self._document.write(lambda txn: Builder(txn).insert_node(self._handle, index, node, "the node", 0))

    def delete(self, start: int, stop: int) -> None:
        """Delete nodes, from one index up to, and without, another one. Raises ``IndexError``."""
        self._check(start, stop)
        if start < stop:
            self._document.write(lambda txn: self._handle.remove_range(txn, start, stop - start))

    def insert_text(self, kind: type[_Text], index: int, tag: str, text: str, attributes: Mapping[str, Json] | None) -> _Text:
        """Insert an element with a text in it, and give that text. Raises what :meth:`insert_node` raises."""
        children = [{"$xmltext": [{"insert": text}] if text else []}]
        self.insert_node(index, {"$xml": tag, "attrs": dict(attributes or {}), "children": children})
        return self.text_in(kind, index)

    def text_in(self, kind: type[_Text], index: int) -> _Text:
        """The first text in the node at an index, at any depth. Raises ``IndexError``, and ``LookupError`` if there is none."""
        if not 0 <= index < len(self):
            raise IndexError(f"there is no node {index} in a tree of {len(self)}")
        found = self._document.read(lambda reader: next(_texts(reader, self._handle.get(reader.txn, index)), None))
        if found is None:
            raise LookupError(f"there is no text in node {index}")
        return kind(self._document, found, _nobody, nested=True)

    def texts_in(self, kind: type[_Text]) -> list[tuple[int, _Text]]:
        """All texts in it, at any depth and in their order, each with the index of the node that it is in."""
        found = self._document.read(
            lambda reader: [
                (index, text) for index, node in enumerate(reader.nodes(self._handle)) for text in _texts(reader, node)
            ]
        )
        return [(index, kind(self._document, text, _nobody, nested=True)) for index, text in found]

    def _check(self, *indexes: int) -> None:
        for index in indexes:
            if not 0 <= index <= len(self):
                raise IndexError(f"there is no place {index} in a tree of {len(self)} nodes")

    def _changed(self, _: object) -> None:
        self._told()


def _texts(reader: Reader, node: Handle) -> Iterator[Handle]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, engine.XmlText):
            yield one
        else:
            waiting += reversed(reader.nodes(one))


def _nobody(_: object) -> None:
    """The tree tells of all that is in it."""
