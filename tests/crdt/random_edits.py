"""Random edits of everything that a Yjs client can change, by replicas that count in UTF-16. Seeded.

Other than ``yjs_replicas`` this goes for what becomes visible: formats, what is embedded, attributes, values.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.log_document import Change, LogDocument
from cowrite.crdt.text_index import utf16_length
from cowrite.crdt.utf16 import utf16_document

FUZZ = int(os.environ.get("COWRITE_FUZZ", "1"))
"""Multiplies the counts of the random tests."""

ROOTS: dict[str, Any] = {"text": Text, "xml": XmlFragment, "map": Map, "array": Array}
STRINGS = ("a", "b", "xyz", "é", "😀", "e\u0301", "漢字", "q😀r", "\0", "\n", "👩‍👩‍👧")
PLAIN: tuple[Callable[[random.Random], Any], ...] = (
    lambda rng: rng.choice((0, 1, -7, 2.5, 1e300, -0.0, 10**12, 2**53 - 1)),
    lambda rng: rng.choice((2**53, 2**60, -(2**62), math.nan, math.inf, -math.inf)),
    lambda rng: rng.choice(STRINGS),
    lambda rng: rng.choice((None, True, False, "")),
    lambda rng: rng.choice((b"", b"\x00\xff")),
    lambda rng: {"z": [1, {"y": None}], "$map": rng.choice((1, {"$$": 2})), "😀": "x"},
    lambda rng: [rng.choice(STRINGS), [], {}],
)
EMBEDS: tuple[Any, ...] = ({"image": "x.png"}, {"$text": 1}, 7, 1.5, None, True, [1, "a"], {})
NAMES = ("bold", "italic", "link", "$c")
FORMATS = (True, None, {"href": "x"}, {"href": "y"}, "v1", 3)


class RandomReplica:
    """A Yjs document of somebody who edits at random, with the updates that nobody has been given yet."""

    def __init__(self, rng: random.Random, roots: Sequence[str], client_id: int | None = None) -> None:
        self.rng = rng
        self.roots = roots
        self.doc = utf16_document(client_id)
        self.updates: list[bytes] = []
        self._receiving = False
        updates = self.updates
        self.doc.observe(lambda event: None if self._receiving else updates.append(event.update))

    def take(self) -> list[bytes]:
        taken = list(self.updates)
        self.updates.clear()
        return taken

    def receive(self, state: bytes) -> None:
        self._receiving = True
        self.doc.apply_update(state)
        self._receiving = False

    def edit(self, times: int = 1) -> None:
        """Edit some times in one transaction."""
        with self.doc.transaction():
            for _ in range(times):
                name = self.rng.choice(self.roots)
                self._edit(self.doc.get(name, type=ROOTS[name]), 0)

    def _edit(self, shared: Any, depth: int) -> None:
        if isinstance(shared, (Text, XmlText)):
            self._edit_text(shared, depth)
        elif isinstance(shared, Map):
            self._edit_map(shared, depth)
        elif isinstance(shared, Array):
            self._edit_array(shared, depth)
        elif isinstance(shared, (XmlFragment, XmlElement)):
            self._edit_xml(shared, depth)

    # -- texts ----------------------------------------------------------------------------------------------------------------

    def _edit_text(self, text: Text | XmlText, depth: int) -> None:
        rng = self.rng
        places, nested = _places(text)
        if nested and rng.random() < 0.4:
            self._edit(rng.choice(nested), depth + 1)
            return
        if isinstance(text, XmlText) and rng.random() < 0.15:
            self._edit_attributes(text)
            return
        start, end = sorted((rng.choice(places), rng.choice(places)))
        end = max(place for place in places if place <= max(end, start) and place <= start + 6)
        choice = rng.random()
        attributes = rng.choice((None, None, {}, self._format(), {**self._format(), **self._format()}))
        if choice < 0.5 or len(places) == 1:
            text.insert(start, rng.choice(STRINGS), attributes)
        elif choice < 0.7 and end > start:
            del text[start:end]
        elif choice < 0.88 and end > start:
            text.format(start, end, self._format())
        elif choice < 0.95 or depth > 2:
            text.insert_embed(start, rng.choice(EMBEDS), attributes)
        else:
            kinds: list[Callable[[], Any]] = [lambda: Map({"k": 1}), lambda: Array([1]), lambda: Text("in")]
            if isinstance(text, XmlText):
                kinds += [lambda: XmlText("in"), lambda: XmlElement("img", {"src": "x"})]
            text.insert_embed(start, rng.choice(kinds)(), attributes)

    def _format(self) -> dict[str, Any]:
        return {self.rng.choice(NAMES): self.rng.choice(FORMATS)}

    # -- XML ------------------------------------------------------------------------------------------------------------------

    def _edit_xml(self, node: XmlFragment | XmlElement, depth: int) -> None:
        rng = self.rng
        size = len(node.children)
        choice = rng.random()
        if size and choice < 0.55:
            self._edit(node.children[rng.randrange(size)], depth + 1)
        elif choice < 0.8 or not size:
            node.children.insert(rng.randrange(size + 1), self._node(0))
        elif choice < 0.9:
            start = rng.randrange(size)
            del node.children[start : min(size, start + rng.randrange(1, 3))]
        elif isinstance(node, XmlElement):
            self._edit_attributes(node)

    def _node(self, depth: int) -> XmlText | XmlElement:
        rng = self.rng
        if depth > 1 or rng.random() < 0.4:
            return XmlText(rng.choice(STRINGS))
        children = [self._node(depth + 1) for _ in range(rng.randrange(3))]
        return XmlElement(rng.choice(("paragraph", "heading")), rng.choice(({}, {"level": "1"})), children)

    def _edit_attributes(self, node: Any) -> None:
        name = self.rng.choice(("a", "b", "$x"))
        if self.rng.random() < 0.7:
            node.attributes[name] = self.rng.choice(("1", 2, True, None, {"$q": 1}, b"x"))
        elif name in node.attributes:
            del node.attributes[name]

    # -- maps and arrays ------------------------------------------------------------------------------------------------------

    def _value(self, depth: int) -> Any:
        rng = self.rng
        if rng.random() < 0.6 or depth > 2:
            return rng.choice(PLAIN)(rng)
        match rng.randrange(6):
            case 0 | 1:
                return Map({rng.choice("pq"): self._value(depth + 1)})
            case 2 | 3:
                return Array([self._value(depth + 1) for _ in range(rng.randrange(3))])
            case 4:
                return Text("in" + rng.choice(STRINGS))
            case _:
                return XmlFragment([self._node(1)])

    def _edit_map(self, shared: Map[Any], depth: int) -> None:
        rng = self.rng
        keys = list(shared.keys())
        choice = rng.random()
        if keys and choice < 0.4:
            self._edit(shared[rng.choice(keys)], depth + 1)
        elif keys and choice < 0.55:
            del shared[rng.choice(keys)]
        else:
            key = rng.choice(("a", "b", "$c", "😀"))
            shared[key] = self._value(depth)
            if choice > 0.95:
                del shared[key]

    def _edit_array(self, shared: Array[Any], depth: int) -> None:
        rng = self.rng
        size = len(shared)
        choice = rng.random()
        if size and choice < 0.4:
            self._edit(shared[rng.randrange(size)], depth + 1)
        elif size and choice < 0.55:
            start = rng.randrange(size)
            del shared[start : min(size, start + rng.randrange(1, 3))]
        else:
            shared.insert(rng.randrange(size + 1), self._value(depth))


def _places(text: Text | XmlText) -> tuple[list[int], list[Any]]:
    """Every index between two characters, and the shared types in the text."""
    places = [0]
    nested = []
    for chunk, _ in text.diff():
        if isinstance(chunk, str):
            for character in chunk:
                places.append(places[-1] + utf16_length(character))
        else:
            places.append(places[-1] + 1)
            if isinstance(chunk, (Text, XmlText, Map, Array, XmlElement)):
                nested.append(chunk)
    assert places[-1] == len(text)
    return places, nested


def commit(log: LogDocument, updates: Sequence[bytes]) -> Change | None:
    """Commit updates as the server does."""
    return log.commit(updates, [inspect(update, SYNC_LIMITS) for update in updates])


def seeds(count: int, *, start: int = 0) -> Iterator[int]:
    return iter(range(start, start + count * FUZZ))
