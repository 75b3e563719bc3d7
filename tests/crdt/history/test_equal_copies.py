"""A diff tells of no change where a copy stands for its original."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.guard import inspect
from cowrite.crdt.history.restoring import edited
from cowrite.crdt.state import get_state
from crdt.history.copying_log import CopyingLog, brave_world, random_history
from crdt.history.test_diff import filled, of_node, side
from crdt.history.test_restoring import WAYS, shows
from crdt.random_edits import seeds

ALL = ["text", "xml", "map", "array"]


def check_randomly(seed: int, roots: list[str]) -> None:
    """Each side of a diff is the document; between moments that show the same, nothing has changed."""
    log = random_history(seed, roots)
    rng = random.Random(seed)
    head = len(log.updates)
    for _ in range(4):
        start, end = sorted(rng.choices(range(head + 1), k=2))
        tree = log.told(start, end)
        before, after = get_state(log.at(start)), get_state(log.at(end))
        assert filled(side(tree, "insert")) == filled(before)
        assert filled(side(tree, "delete")) == filled(after)
        for root in tree["roots"]:
            assert not (root["changed"] and of_node(root, "insert") == of_node(root, "delete")), root
            found = changes(root)
            assert root["changed"] or {part["change"] for part in found} <= {"equal"}
            assert all(start < part["offset"] <= end for part in found if part["change"] == "delete")
    log.restore(start)
    assert not any(root["changed"] for root in log.told(start, len(log.updates))["roots"])


def changes(part: Any) -> list[Any]:
    if isinstance(part, dict):
        own = [part] if isinstance(part.get("change"), str) else []
        return own + [found for value in part.values() for found in changes(value)]
    return [found for item in part for found in changes(item)] if isinstance(part, list) else []


def check_edited(seed: int, roots: list[str]) -> None:
    """What leads from a moment to a later one, past what is there at both."""
    log = random_history(seed, roots)
    rng = random.Random(seed)
    for _ in range(3):
        start, end = sorted(rng.choices(range(len(log.updates) + 1), k=2))
        after = get_state(log.at(end))
        update = edited(log.states[start], log.document.roots, log.states[end], after, log.origins)
        there = log.at(start)
        if update is not None:
            there.commit([update], [inspect(update)])
        assert shows(there, after)


@pytest.mark.fuzz
@pytest.mark.rule("HI9", "HI10", "HI15")
@pytest.mark.parametrize("roots", WAYS, ids=["text", "xml", "map", "array", "all"])
def test_random_histories_with_restores(roots: list[str]) -> None:
    for seed in seeds(6, start=7000):
        try:
            check_randomly(seed, roots)
            check_edited(seed, roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


@pytest.mark.rule("HI9", "HI10", "HI15")
def test_some_random_histories() -> None:
    """Some of the above, so that they are counted."""
    for seed in range(7000, 7003):
        check_randomly(seed, ALL)
        check_edited(seed, ALL)


# -- what a diff tells --------------------------------------------------------------------------------------------------------


def by(offset: int) -> dict[str, Any]:
    return {"author": f"by {offset}", "created_at": offset * 3_600_000, "offset": offset}


@pytest.mark.rule("HI15")
def test_a_copy_is_no_change() -> None:
    log = brave_world()
    (root,) = log.told(1, 3)["roots"]
    assert root == {"name": "t", "kind": "text", "changed": False, "runs": [{"change": "equal", "text": "Hello brave world"}]}
    (root,) = log.told(1, 4)["roots"]
    assert root["runs"] == [
        {"change": "equal", "text": "Hello brave world"},
        {"change": "insert", "text": "!", **by(4)},
    ]
    log.edit(Text, "t", lambda typed: typed.format(6, 11, {"bold": True}))
    log.edit(Text, "t", lambda typed: typed.__delitem__(slice(8, 9)))
    (root,) = log.told(1, 6)["roots"]
    assert root["runs"] == [
        {"change": "equal", "text": "Hello "},
        {"change": "format", "text": "br", "attributes": {"bold": True}, "before": {}, **by(5)},
        {"change": "delete", "text": "a", **by(6)},
        {"change": "format", "text": "ve", "attributes": {"bold": True}, "before": {}, **by(5)},
        {"change": "equal", "text": " world"},
        {"change": "insert", "text": "!", **by(4)},
    ]


@pytest.mark.rule("HI15")
def test_what_was_typed_again_is_no_change_where_nothing_else_is() -> None:
    log = CopyingLog()
    log.edit(Text, "t", lambda typed: typed.insert(0, "abc"))
    log.edit(Text, "t", lambda typed: typed.__delitem__(slice(1, 2)))
    log.edit(Text, "t", lambda typed: typed.insert(1, "b"))
    (root,) = log.told(1, 3)["roots"]
    assert root["runs"] == [{"change": "equal", "text": "abc"}]
    (root,) = log.told(0, 3)["roots"]
    assert [run["change"] for run in root["runs"]] == ["insert", "insert", "insert"]


@pytest.mark.rule("HI15")
def test_a_tree_that_was_written_again_is_no_change() -> None:
    def write(root: XmlFragment) -> None:
        root.children.append(XmlElement("p", {"level": "1"}, [XmlText("abc"), XmlElement("br")]))

    log = CopyingLog()
    log.edit(XmlFragment, "x", write)
    log.edit(Map, "m", lambda root: root.update({"k": Map({"in": Array([1, Map()])}), "n": 1}))
    log.edit(XmlFragment, "x", lambda root: root.children.__delitem__(0))
    log.edit(XmlFragment, "x", write)
    log.edit(Map, "m", lambda root: root.update({"k": Map({"in": Array([1, Map()])}), "n": 1}))
    roots = log.told(2, 5)["roots"]
    assert not any(root["changed"] for root in roots)
    assert {part["change"] for root in roots for part in changes(root)} == {"equal"}
    assert [part.get("tag") for part in changes(roots[1]) if part.get("kind") == "element"] == ["p", "br"]


@pytest.mark.rule("HI15")
def test_what_is_not_the_same_is_told_whatever_it_is_said_to_copy() -> None:
    log = CopyingLog()
    log.edit(Text, "t", lambda typed: typed.insert(0, "abc"))
    log.edit(Text, "t", lambda typed: typed.clear())
    log.edit(Text, "t", lambda typed: typed.insert(0, "xyz"))
    ((new, start, end),), ((old, _, _),) = log.authored[2].ranges, log.authored[0].ranges
    log.authored[2] = log.authored[2]._replace(copies=[(new, start, end - start, old, 0)])
    (root,) = log.told(1, 3)["roots"]
    assert [(run["change"], run["text"]) for run in root["runs"]] == [("delete", "abc"), ("insert", "xyz")]
