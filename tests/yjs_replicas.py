"""Random schedules of replicas that edit texts, maps, arrays and XML, and exchange updates; for property tests. Seeded."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

FUZZ = int(os.environ.get("COWRITE_FUZZ", "1"))
"""Multiplies the counts of the random tests."""

WORDS = ("a", "hello ", "é", "😀", "漢字", "x" * 40, "\n", "e\u0301")
VALUES: tuple[Callable[[], Any], ...] = (
    lambda: 1,
    lambda: -(2**40),
    lambda: 1.5,
    lambda: "str",
    lambda: True,
    lambda: None,
    lambda: b"bytes",
    lambda: {"a": [1, {"b": None}], "c": "😀"},
    lambda: Map({"q": 1, "t": Text("in")}),
    lambda: Array([1, Array([])]),
    lambda: Text("tt"),
)


class Replica:
    """A Yjs document and the updates that it wrote."""

    def __init__(self, client: int) -> None:
        self.doc: Doc[Any] = Doc(client_id=client)
        self.text = self.doc.get("text", type=Text)
        self.rich = self.doc.get("rich", type=Text)
        self.array = self.doc.get("array", type=Array)
        self.map = self.doc.get("map", type=Map)
        self.xml = self.doc.get("xml", type=XmlFragment)
        self.written: list[bytes] = []
        self._remote = False
        self.doc.observe(lambda event: None if self._remote else self.written.append(event.update))

    def receive(self, other: Replica) -> None:
        self._remote = True
        self.doc.apply_update(other.doc.get_update(self.doc.get_state()))
        self._remote = False

    def edit(self, rng: random.Random) -> None:
        edits = (
            self._type,
            self._type,
            self._cut,
            self._enrich,
            self._list,
            self._list,
            self._set,
            self._set,
            self._nest,
            self._paragraph,
        )
        with self.doc.transaction():
            for _ in range(rng.choice((1, 1, 1, 3))):
                rng.choice(edits)(rng)

    def _place(self, rng: random.Random, text: Text) -> int:
        content = str(text)
        return len(content[: rng.randrange(len(content) + 1)].encode())

    def _type(self, rng: random.Random) -> None:
        self.text.insert(self._place(rng, self.text), rng.choice(WORDS))

    def _cut(self, rng: random.Random) -> None:
        first, last = sorted((self._place(rng, self.text), self._place(rng, self.text)))
        if first < last:
            del self.text[first : min(last, len(self.text))]

    def _enrich(self, rng: random.Random) -> None:
        length = len(self.rich)
        match rng.randrange(3):
            case 0:
                self.rich.insert(rng.randrange(length + 1), "rich", rng.choice((None, {"bold": True})))
            case 1:
                self.rich.insert_embed(rng.randrange(length + 1), {"image": [1.5, None]})
            case _ if length:
                self.rich.format(
                    rng.randrange(length), length, rng.choice(({"bold": True}, {"bold": None}, {"link": {"to": 1}}))
                )

    def _list(self, rng: random.Random) -> None:
        if rng.random() < 0.3 and len(self.array):
            del self.array[rng.randrange(len(self.array))]
        else:
            self.array.insert(rng.choice((0, rng.randrange(len(self.array) + 1))), rng.choice(VALUES)())

    def _set(self, rng: random.Random) -> None:
        key = rng.choice("abc")
        if rng.random() < 0.3 and key in self.map:
            del self.map[key]
        else:
            self.map[key] = rng.choice(VALUES)()

    def _nest(self, rng: random.Random) -> None:
        for nested in (self.map.get(rng.choice("abc")), *self.array):
            if isinstance(nested, Map):
                nested[rng.choice("xy")] = rng.choice(VALUES)()
            elif isinstance(nested, Array):
                nested.append(rng.choice(VALUES)())
            elif isinstance(nested, Text):
                nested += "more"

    def _paragraph(self, rng: random.Random) -> None:
        children = self.xml.children
        if len(children) and rng.random() < 0.6:
            at = rng.randrange(len(children))
            match rng.randrange(4):
                case 0:
                    del children[at]
                case 1:
                    children[at].attributes["class"] = rng.choice(("x", {"y": 1}))
                case _:
                    children[at].children.append(rng.choice((XmlText("xml"), XmlElement("b", {"k": "v"}, [XmlText("deep")]))))
        else:
            children.insert(rng.randrange(len(children) + 1), XmlElement("p", {"id": "1"}, [XmlText("par")]))


def play(rng: random.Random, *, steps: int = 30, replicas: int = 3, exchange: float = 0.25) -> list[Replica]:
    """Let replicas edit, and now and then receive what another one has."""
    clients = rng.sample(range(1, rng.choice((50, 2**32, 2**53))), replicas)
    played = [Replica(client) for client in clients]
    for _ in range(steps):
        rng.choice(played).edit(rng)
        if rng.random() < exchange:
            one, other = rng.sample(played, 2)
            one.receive(other)
    return played


def seen(update: bytes) -> dict[str, Any]:
    """What a reader sees of a document with the roots of these replicas. (Encoded states of equal documents may differ.)"""
    doc: Doc[Any] = Doc()
    doc.apply_update(update)
    return {
        "text": str(doc.get("text", type=Text)),
        "rich": [(str(part), marks) for part, marks in doc.get("rich", type=Text).diff()],
        "array": doc.get("array", type=Array).to_py(),
        "map": doc.get("map", type=Map).to_py(),
        "xml": [_seen_xml(child) for child in doc.get("xml", type=XmlFragment).children],
    }


def _seen_xml(node: Any) -> Any:
    if isinstance(node, XmlText):
        return str(node)
    return node.tag, dict(node.attributes), [_seen_xml(child) for child in node.children]
