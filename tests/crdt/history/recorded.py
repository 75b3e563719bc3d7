"""A log of random edits, with its entries as history reads them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from cowrite.crdt.guard import deletes_of
from cowrite.crdt.history.attribution import Attribution, Authored
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.roots import RootKind
from cowrite.testing.model import ArrayNode, MapNode, Model, Node, TextNode, XmlNode
from cowrite.testing.yjs_writer import block, subdocument, values, write_update
from crdt.random_edits import RandomReplica, commit

Position = tuple[str | int, ...]


class RecordedLog:
    """Each entry has an author of its own: ``by 1``, ``by 2``, …; the time of entry n is n hours."""

    def __init__(self) -> None:
        self.document = LogDocument.empty()
        self.updates: list[bytes] = []
        self.states: list[bytes] = [self.document.encode()]
        self.operations: list[tuple[OperationDraft, ...]] = []
        self.authored: list[Authored] = []

    def commit(self, updates: Sequence[bytes]) -> None:
        change = commit(self.document, updates) if updates else None
        if change is not None:
            self.updates.append(change.update)
            self.states.append(self.document.encode())
            self.operations.append(change.operations)
            offset = len(self.updates)
            deletes = deletes_of(change.update)
            self.authored.append(Authored(offset, f"by {offset}", offset * 3_600_000, change.ranges, deletes=deletes))

    @property
    def attribution(self) -> Attribution:
        attribution = Attribution()
        attribution.append(self.authored)
        return attribution


def record(seed: int, roots: Sequence[str]) -> RecordedLog:
    """Let people edit at random who seldom know of one another."""
    rng = random.Random(seed)
    log = RecordedLog()
    replicas = [RandomReplica(rng, roots, rng.choice((2**20, 2**45)) + number) for number in range(3)]
    for _ in range(rng.randrange(5, 30)):
        replica = rng.choice(replicas)
        replica.edit(rng.choice((1, 1, 4)))
        if rng.random() < 0.6:
            log.commit(replica.take())
        if rng.random() < 0.4:
            replica.receive(log.document.encode())
    assert RootKind.MIXED not in log.document.roots.values(), f"seed {seed}: no editor can make a root mixed"
    return log


def record_subdocuments(seed: int) -> RecordedLog:
    """Subdocuments that come and go in an array and a map, one in each entry (pycrdt panics when it writes some of them)."""
    rng = random.Random(seed)
    log = RecordedLog()
    array: list[tuple[int, int]] = []
    entries: dict[str, tuple[int, int]] = {}
    for clock in range(rng.randrange(5, 30)):
        place: dict[str, Any]
        key = rng.choice("abc")
        if rng.random() < 0.4:
            place = {"origin": entries[key]} if key in entries else {"root": "map", "key": key}
            entries[key] = (1, clock)
        else:
            at = rng.randrange(len(array) + 1)
            place = {"origin": array[at - 1]} if at else {}
            place |= {"right": array[at]} if at < len(array) else {}
            place = place or {"root": "array"}
            array.insert(at, (1, clock))
        struct = subdocument(f"doc {clock}", {}, **place) if rng.random() < 0.6 else values(clock, **place)
        gone = {1: [(rng.randrange(clock), 1)]} if clock and rng.random() < 0.4 else {}
        log.commit([write_update([block(1, clock, struct)], gone)])
    return log


def writers(log: RecordedLog) -> dict[Position, int]:
    """For everything that can be seen at the end, by its position, the offset of the entry whose operations inserted it.

    Found by replaying the operations, without any identity of Yjs.
    """
    model = Model()
    known: dict[int, tuple[object, int]] = {}
    for offset, operations in enumerate(log.operations, 1):
        for operation in operations:
            model.apply(json.loads(json.dumps(operation.to_json())))
        for _, part in parts(model):
            known.setdefault(id(part), (part, offset))
    return {position: known[id(part)][1] for position, part in parts(model)}


def parts(model: Model) -> Iterator[tuple[Position, Any]]:
    """Every unit, item, node, entry and attribute with its position."""
    for name, root in sorted(model.roots.items()):
        yield from _within(root, (name,))


def _within(node: Node, path: Position) -> Iterator[tuple[Position, Any]]:
    entries: dict[str, Any] = {}
    if isinstance(node, MapNode):
        entries = node.entries
    elif isinstance(node, (XmlNode, TextNode)):
        entries = node.attributes or {}
    for key, entry in sorted(entries.items()):
        yield (*path, key), entry
        yield from _within(entry, (*path, key))
    if isinstance(node, (ArrayNode, XmlNode)):
        for index, item in enumerate(node.items):
            yield (*path, index), item
            yield from _within(item, (*path, index))
    if isinstance(node, TextNode):
        for index, unit in enumerate(node.units):
            yield (*path, index), unit
            if not isinstance(unit.content, str):
                yield from _within(unit.content, (*path, index))
