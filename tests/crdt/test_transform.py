"""Moving operations over concurrent ones: by hand where the answer is known, at random against the replica that knows it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft
from cowrite.crdt.state import get_state
from cowrite.crdt.transform import transform_operations
from cowrite.testing.model import Model
from crdt.random_edits import RandomReplica, commit, seeds
from crdt.random_operations import random_operation

A, B, C = "a", "b", "c"


def ins(at: int | str, content: Any = "xy", *path: str | int) -> dict[str, Any]:
    return {"type": "insert", "position": ["r", *path, at], "content": content}


def cut(at: int, length: int, *path: str | int) -> dict[str, Any]:
    return {"type": "delete", "position": ["r", *path, at], "length": length}


def drop(key: str, *path: str | int) -> dict[str, Any]:
    return {"type": "delete", "position": ["r", *path, key]}


def form(at: int, length: int, *path: str | int) -> dict[str, Any]:
    return {"type": "format", "position": ["r", *path, at], "length": length, "attributes": {"b": 1}}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = {
    "insert before an insert": (ins(1), ins(2), [ins(1)]),
    "insert behind an insert": (ins(3), ins(2), [ins(5)]),
    "insert behind characters of two units": (ins(3), ins(2, "😀e"), [ins(6)]),
    "insert behind items": (ins(3, [0]), ins(2, [7, 8, 9]), [ins(6, [0])]),
    "insert behind an embedded value": (ins(3), ins(2, {"embed": 1}), [ins(4)]),
    "insert before a deletion": (ins(2), cut(2, 3), [ins(2)]),
    "insert into a deletion": (ins(4), cut(2, 3), [ins(2)]),
    "insert behind a deletion": (ins(5), cut(2, 3), [ins(2)]),
    "insert and a format": (ins(5), form(2, 9), [ins(5)]),
    "delete before an insert": (cut(0, 2), ins(2), [cut(0, 2)]),
    "delete behind an insert": (cut(2, 2), ins(2), [cut(4, 2)]),
    "delete around an insert": (cut(1, 3), ins(2), [cut(4, 2), cut(1, 1)]),
    "delete before a deletion": (cut(0, 2), cut(2, 2), [cut(0, 2)]),
    "delete behind a deletion": (cut(5, 2), cut(2, 2), [cut(3, 2)]),
    "delete over a deletion's start": (cut(1, 3), cut(2, 4), [cut(1, 1)]),
    "delete over a deletion's end": (cut(3, 5), cut(2, 4), [cut(2, 2)]),
    "delete around a deletion": (cut(1, 6), cut(2, 4), [cut(1, 2)]),
    "delete of what is gone": (cut(3, 2), cut(2, 4), []),
    "format around an insert": (form(1, 3), ins(2), [form(1, 5)]),
    "format of what is partly gone": (form(1, 3), cut(2, 4), [form(1, 1)]),
    "below an insert before it": (ins(0, "x", 3), ins(3, [1]), [ins(0, "x", 4)]),
    "below an insert behind it": (ins(0, "x", 3), ins(4, [1]), [ins(0, "x", 3)]),
    "below a deletion before it": (ins(0, "x", 3), cut(1, 2), [ins(0, "x", 1)]),
    "below a deletion": (ins(0, "x", 3), cut(2, 2), []),
    "below a deletion behind it": (ins(0, "x", 3), cut(4, 2), [ins(0, "x", 3)]),
    "elsewhere": (ins(3, "x", 1), ins(0, "y", 2), [ins(3, "x", 1)]),
    "above": (ins(3, [1]), ins(0, "y", 2), [ins(3, [1])]),
    "an attribute beside a child": (ins("lang", 1, 0), ins(0, [1], 0), [ins("lang", 1, 0)]),
    "set of an entry that was set": (ins("k", 1), ins("k", 2), [ins("k", 1)]),
    "set of an entry that was deleted": (ins("k", 1), drop("k"), [ins("k", 1)]),
    "delete of an entry that was set": (drop("k"), ins("k", 2), []),
    "delete of an entry that was deleted": (drop("k"), drop("k"), []),
    "another entry": (drop("k"), drop("j"), [drop("k")]),
    "below an entry that was set": (ins(0, "x", "k"), ins("k", 2), []),
    "below a root that is gone": (ins(0), {"type": "delete", "position": ["r"]}, []),
    "below another root": (ins(0), {"type": "delete", "position": ["s"]}, [ins(0)]),
}


def drafts(operations: list[dict[str, Any]]) -> list[OperationDraft]:
    return [OperationDraft.from_json(operation) for operation in operations]


@pytest.mark.rule("OP28")
@pytest.mark.parametrize("name", CASES)
def test_one_operation_over_another(name: str) -> None:
    """Where it goes, whether it vanishes, and how it is split: parts come from right to left."""
    operation, other, expected = CASES[name]
    assert list(transform_operations(drafts([operation]), drafts([other]))) == drafts(expected)


@pytest.mark.rule("OP28")
def test_ties() -> None:
    """Two inserts at one place: which one comes first is for the caller to say."""
    ours, theirs = drafts([ins(2, "ours")]), drafts([ins(2, "theirs")])
    assert list(transform_operations(ours, theirs)) == drafts([ins(8, "ours")])
    assert list(transform_operations(ours, theirs, after_ties=False)) == ours


@pytest.mark.rule("OP29")
def test_batches_over_batches() -> None:
    """Each operation is made for the document after the one before it, on both sides."""
    ours = drafts([ins(0, "ab"), cut(3, 2), ins(6, "c")])
    theirs = drafts([ins(2, "XY"), cut(0, 1), ins(8, "Z")])
    base = Model({"r": {"$text": [{"insert": "0123456"}]}})
    for operation in (*theirs, *transform_operations(ours, theirs, after_ties=False)):
        base.apply(operation.to_json())
    other = Model({"r": {"$text": [{"insert": "0123456"}]}})
    for operation in (*ours, *transform_operations(theirs, ours)):
        other.apply(operation.to_json())
    assert base.state == other.state == {"r": {"$text": [{"insert": "abXY345c6Z"}]}}
    assert transform_operations([], theirs) == ()
    assert list(transform_operations(ours, [])) == ours


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def scene(rng: random.Random, root: str) -> tuple[LogDocument, LogDocument, list[OperationDraft]]:
    """A document at a base, and some edits later, with their operations."""
    replicas = [RandomReplica(rng, [root], 100 + number) for number in range(2)]
    head = LogDocument.empty()
    for _ in range(30):
        replicas[0].edit()
    commit(head, replicas[0].take())
    replicas[1].receive(head.encode())
    base = LogDocument.from_state(head.encode(), head.roots)
    since: list[OperationDraft] = []
    for _ in range(rng.randrange(1, 8)):
        replica = rng.choice(replicas)
        replica.edit(rng.choice((1, 3)))
        change = commit(head, replica.take())
        since += change.operations if change is not None else ()
    return base, head, since


def own_operations(rng: random.Random, base: LogDocument, root: str, deletes: bool) -> list[OperationDraft]:
    view = Model(as_json(get_state(base)))
    operations = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        operation = random_operation(rng, view, [root])
        on_list = operation is not None and isinstance(operation["position"][-1], int)
        if operation is None or (operation["type"] == "delete" and on_list) != deletes:
            continue
        view.apply(as_json(operation))
        operations.append(OperationDraft.from_json(as_json(operation)))
    return operations


def result(document: LogDocument, base: LogDocument, operations: list[OperationDraft], client_id: int) -> Any:
    """The state of a copy of ``document`` after operations that were made at ``base``."""
    copy = LogDocument.from_state(document.encode(), document.roots)
    if update := apply_operations(base.encode(), base.roots, operations, client_id=client_id):
        commit(copy, [update])
    return as_json(get_state(copy))


def bare(value: Any) -> Any:
    """A state without formatting: deleting formatted text makes the engine tidy up formats, and when it does so differs."""
    if isinstance(value, list):
        pieces: list[Any] = []
        for item in map(bare, value):
            if pieces and isinstance(item, dict) and item.keys() == {"insert"} == pieces[-1].keys():
                pieces[-1] = {"insert": pieces[-1]["insert"] + item["insert"]}
            else:
                pieces.append(item)
        return pieces
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key != "attributes"}
    return value


@pytest.mark.fuzz
@pytest.mark.rule("OP28", "OP29")
@pytest.mark.parametrize(("root", "count"), [("text", 60), ("xml", 60), ("array", 60)])
def test_deletes_are_what_the_replica_gives(root: str, count: int) -> None:
    """Batches of deletes on texts, XML trees and arrays, over whatever happened since."""
    moved = 0
    for seed in seeds(count):
        rng = random.Random(seed)
        base, head, since = scene(rng, root)
        operations = own_operations(rng, base, root, deletes=True)
        transformed = list(transform_operations(operations, since))
        moved += transformed != operations
        assert bare(result(head, head, transformed, 7)) == bare(result(head, base, operations, 7)), f"seed {seed}"
    assert moved > count // 10, "nothing had to be moved"


@pytest.mark.fuzz
@pytest.mark.rule("OP28", "OP29")
@pytest.mark.parametrize(("root", "count"), [("text", 80), ("xml", 80), ("map", 60), ("array", 60)])
def test_all_others_nearly_are(root: str, count: int) -> None:
    """Inserts, formats and entries fit the document always, and most of them are what the replica gives."""
    equal = total = 0
    for seed in seeds(count):
        rng = random.Random(seed)
        base, head, since = scene(rng, root)
        operations = own_operations(rng, base, root, deletes=False)
        transformed = list(transform_operations(operations, since))
        total += 1
        equal += bare(result(head, head, transformed, 2**40)) == bare(result(head, base, operations, 2**40))
    assert equal > 0.85 * total
