"""What changed between two moments: each side of the tree is exactly the document at that moment."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.history.attribution import Attribution, Authored
from cowrite.crdt.history.diff import diff
from cowrite.crdt.history.items import Holder, read_items
from cowrite.crdt.history.reversing import reversed_diff
from cowrite.crdt.history.sides import Sides
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document
from cowrite.testing.model import Model, TextNode
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update
from crdt.history.recorded import RecordedLog, record, record_subdocuments
from crdt.random_edits import seeds

ALL = ["text", "xml", "map", "array"]


def compare(log: RecordedLog, start: int, end: int) -> Any:
    return diff(log.states[start], log.states[end], log.document.roots, log.attribution)


# -- one side of a diff -------------------------------------------------------------------------------------------------------


def side(tree: Any, hidden: str) -> dict[str, Any]:
    """The document as it was before (``hidden`` is insert) or after (delete)."""
    return {root["name"]: of_node(root, hidden) for root in tree["roots"] if root["kind"] != "mixed"}


def of_node(node: Any, hidden: str) -> Any:
    match node["kind"]:
        case "text":
            return {"$text": of_runs(node["runs"], hidden)}
        case "xmltext":
            return {"$xmltext": of_runs(node["runs"], hidden), "attrs": of_attributes(node, hidden)}
        case "array":
            return {"$array": [value for item in seen(node["items"], hidden) for value in of_item(item, hidden)]}
        case "map":
            entries = {key: entry for key, entry in node["entries"].items() if entry["change"] != hidden}
            return {"$map": {key: of_entry(entry, hidden) for key, entry in entries.items()}}
    children = [of_node(child, hidden) for child in seen(node["children"], hidden)]
    return {"$xml": node.get("tag"), "attrs": of_attributes(node, hidden), "children": children}


def seen(parts: Sequence[Any], hidden: str) -> list[Any]:
    return [part for part in parts if part["change"] != hidden]


def of_item(item: Any, hidden: str) -> list[Any]:
    return item["values"] if "values" in item else [of_node(item["node"], hidden)]


def of_entry(entry: Any, hidden: str) -> Any:
    if entry["change"] == "replace":
        return entry["before" if hidden == "insert" else "value"]
    return of_node(entry["node"], hidden) if "node" in entry else entry["value"]


def of_attributes(node: Any, hidden: str) -> Any:
    attributes = dict(node.get("attributes", {}))
    if hidden == "insert":
        for name, change in node.get("attribute_changes", {}).items():
            attributes.pop(name, None)
            if "before" in change:
                attributes[name] = change["before"]
    return dict(sorted(attributes.items()))


def of_runs(runs: Sequence[Any], hidden: str) -> list[Any]:
    delta: list[Any] = []
    for run in seen(runs, hidden):
        attributes = run["before"] if run["change"] == "format" and hidden == "insert" else run.get("attributes", {})
        piece = {"attributes": attributes} if attributes else {}
        if "text" not in run:
            delta.append({"embed": run["embed"] if "embed" in run else of_node(run["node"], hidden)} | piece)
        elif delta and "insert" in delta[-1] and delta[-1].get("attributes", {}) == attributes:
            delta[-1]["insert"] += run["text"]
        else:
            delta.append({"insert": run["text"]} | piece)
    return delta


# -- random histories ---------------------------------------------------------------------------------------------------------


def filled(state: dict[str, Any]) -> str:
    """Roots that hold something: what a root is that holds nothing, the tree knows sooner."""
    return json.dumps({name: root for name, root in state.items() if any(root.values())}, sort_keys=True)


def check(log: RecordedLog, start: int, end: int) -> None:
    tree = compare(log, start, end)
    before = rebuild_at(None, {}, log.updates[:start])
    after = rebuild_at(None, {}, log.updates[:end])
    assert filled(side(tree, "insert")) == filled(get_state(before))
    assert filled(side(tree, "delete")) == filled(get_state(after))
    check_reversed(tree)
    for root in tree["roots"]:
        assert root["kind"] == "mixed" or root["changed"] or of_node(root, "insert") == of_node(root, "delete")
        assert start < end or not root["changed"]
        check_offsets(root, start, end)
    if log.document.roots.get("text") is RootKind.TEXT:
        check_authors(tree, log, start, end)


def check_reversed(tree: Any) -> None:
    turned = reversed_diff(tree)
    assert side(turned, "insert") == side(tree, "delete")
    assert side(turned, "delete") == side(tree, "insert")
    assert reversed_diff(turned) == tree


def check_offsets(part: Any, start: int, end: int) -> None:
    """Whatever is a change was made by an entry in between."""
    if isinstance(part, dict):
        if part.get("change", "equal") != "equal":
            assert start < part["offset"] <= end, part
        for value in part.values():
            check_offsets(value, start, end)
    elif isinstance(part, list):
        for item in part:
            check_offsets(item, start, end)


def check_authors(tree: Any, log: RecordedLog, start: int, end: int) -> None:
    """The characters of the text that came and went, with the entries whose operations did that."""
    came, went = by_operations(log, start, end)
    runs = next(root["runs"] for root in tree["roots"] if root["name"] == "text")
    assert units_of(runs, "insert") == came
    assert units_of(runs, "delete") == went


def units_of(runs: Sequence[Any], change: str) -> Counter[tuple[str, int]]:
    return Counter(
        (unit, run["offset"]) for run in runs if run["change"] == change and "text" in run for unit in utf16_units(run["text"])
    )


def utf16_units(text: str) -> list[str]:
    data = text.encode("utf-16-le")
    return [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]


def by_operations(log: RecordedLog, start: int, end: int) -> tuple[Counter[tuple[str, int]], Counter[tuple[str, int]]]:
    model = Model()
    born: dict[int, int] = {}
    present: dict[int, Any] = {}
    kept: list[Any] = []
    came: Counter[tuple[str, int]] = Counter()
    went: Counter[tuple[str, int]] = Counter()
    for offset, operations in enumerate(log.operations[:end], 1):
        for operation in operations:
            model.apply(json.loads(json.dumps(operation.to_json())))
        root = model.roots.get("text")
        now = {id(unit): unit for unit in (root.units if isinstance(root, TextNode) else ()) if isinstance(unit.content, str)}
        kept += now.values()
        for gone in present.keys() - now.keys():
            if offset > start >= born[gone]:
                went[present[gone].content, offset] += 1
        born.update((unit, offset) for unit in now.keys() - born.keys())
        present = now
    for unit in present:
        if born[unit] > start:
            came[present[unit].content, born[unit]] += 1
    return came, went


def check_some(log: RecordedLog, seed: int, count: int) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        start, end = sorted(rng.choices(range(len(log.updates) + 1), k=2))
        check(log, start, end)


@pytest.mark.fuzz
@pytest.mark.rule("HI9", "HI10", "HI12")
@pytest.mark.parametrize(
    ("roots", "count"),
    [(["text"], 20), (["xml"], 15), (["map"], 10), (["array"], 10), (ALL, 10)],
    ids=["text", "xml", "map", "array", "all"],
)
def test_the_sides_of_a_diff_are_the_documents(roots: list[str], count: int) -> None:
    for seed in seeds(count, start=2000):
        try:
            check_some(record(seed, roots), seed, 3)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


@pytest.mark.fuzz
@pytest.mark.rule("HI9", "HI10")
def test_subdocuments_that_come_and_go() -> None:
    for seed in seeds(10, start=4000):
        try:
            check_some(record_subdocuments(seed), seed, 5)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.rule("HI9", "HI10", "HI12")
def test_two_random_histories() -> None:
    """Some of the above, so that it is counted."""
    for seed in (3, 4):
        check_some(record(seed, ALL), seed, 2)
    check_some(record(5, ["text"]), 5, 6)
    check_some(record(6, ["xml"]), 6, 6)
    check_some(record_subdocuments(7), 7, 6)


# -- what a tree looks like ---------------------------------------------------------------------------------------------------


def by(offset: int) -> dict[str, Any]:
    return {"author": f"by {offset}", "created_at": offset * 3_600_000, "offset": offset}


class Story:
    """Somebody who edits, and each time commits."""

    def __init__(self, root: str, kind: type[Any]) -> None:
        self.log = RecordedLog()
        self.doc = utf16_document(7)
        self._updates: list[bytes] = []
        updates = self._updates
        self.doc.observe(lambda event: updates.append(event.update))
        self.root = self.doc.get(root, type=kind)

    def commit(self) -> int:
        self.log.commit(list(self._updates))
        self._updates.clear()
        return len(self.log.updates)

    def told(self, start: int) -> Any:
        """The only root since then."""
        tree = compare(self.log, start, len(self.log.updates))
        check_reversed(tree)
        return tree["roots"][0]


@pytest.mark.rule("HI11")
def test_a_text() -> None:
    story = Story("t", Text)
    story.root.insert(0, "one two three 😀")
    start = story.commit()
    story.root.insert(3, "!")
    inserted = story.commit()
    del story.root[5:9]
    deleted = story.commit()
    story.root.format(0, 3, {"bold": True})
    formatted = story.commit()
    story.root.insert_embed(0, {"image": "x"})
    embedded = story.commit()
    assert story.told(start) == {
        "name": "t",
        "kind": "text",
        "changed": True,
        "runs": [
            {"change": "insert", "embed": {"image": "x"}, **by(embedded)},
            {"change": "format", "text": "one", "attributes": {"bold": True}, "before": {}, **by(formatted)},
            {"change": "insert", "text": "!", **by(inserted)},
            {"change": "equal", "text": " "},
            {"change": "delete", "text": "two ", **by(deleted)},
            {"change": "equal", "text": "three 😀"},
        ],
    }
    story.root.format(1, 4, {"bold": None})
    unformatted = story.commit()
    first, *_ = [run for run in story.told(embedded)["runs"] if run["change"] == "format"]
    assert first == {"change": "format", "text": "one", "attributes": {}, "before": {"bold": True}, **by(unformatted)}


@pytest.mark.rule("HI9", "HI10")
def test_a_string_that_grew_and_shrank() -> None:
    """The engine joins what one client wrote in one go, and what is deleted side by side."""
    story = Story("t", Text)
    story.root.insert(0, "abcdef")
    story.commit()
    del story.root[1:2]
    start = story.commit()
    story.root.insert(5, "ghi")
    grown = story.commit()
    del story.root[6:8]
    del story.root[2:3]
    story.commit()
    del story.root[1:2]
    shrunk = story.commit()
    assert story.told(start)["runs"] == [
        {"change": "equal", "text": "a"},
        {"change": "delete", "text": "c", **by(shrunk)},
        {"change": "delete", "text": "d", **by(shrunk - 1)},
        {"change": "equal", "text": "ef"},
        {"change": "insert", "text": "g", **by(grown)},
    ]


@pytest.mark.rule("HI9")
def test_parts_of_one_piece() -> None:
    """A state need not be cut where another one began or deleted: what was there, what was deleted then, what is new."""
    whole = [block(1, 0, text("abcdef", root="t"))]
    before = write_update([block(1, 0, text("abcd", root="t"))], {1: [(1, 1)]})
    sides = Sides(before, write_update(whole, {1: [(1, 1), (4, 1)]}))
    holder = Holder(read_items(write_update(whole)).root("t").pieces, {})
    parts = [(part.piece.clock, part.piece.length, part.before, part.after) for part in sides.parts(holder)]
    assert parts == [(0, 1, True, True), (1, 1, False, True), (2, 2, True, True), (4, 2, False, True)]
    (gone,) = read_items(write_update(whole, {1: [(0, 6)]})).root("t").pieces
    parts = [(part.piece.clock, part.piece.length, part.before, part.after) for part in sides.parts(Holder([gone], {}))]
    assert parts == [(0, 1, True, False), (2, 2, True, False)]


@pytest.mark.rule("HI11")
def test_an_xml_tree() -> None:
    story = Story("x", XmlFragment)
    story.root.children.append(XmlElement("p", {"kept": "k", "level": "1", "old": "o"}, [XmlText("abc")]))
    story.root.children.append(XmlElement("p", {}, [XmlText("gone")]))
    start = story.commit()
    paragraph = story.root.children[0]
    paragraph.attributes["level"] = "2"
    changed = story.commit()
    del paragraph.attributes["old"]
    removed = story.commit()
    gone = story.root.children[1].children[0]
    del gone[0:2]
    shortened = story.commit()
    del story.root.children[1]
    deleted = story.commit()
    story.root.children.append(XmlElement("h", {"new": "n"}, []))
    added = story.commit()
    plain: dict[str, Any] = {"attributes": {}, "attribute_changes": {}}
    assert story.told(start) == {
        "name": "x",
        "kind": "xml",
        "changed": True,
        **plain,
        "children": [
            {
                "change": "equal",
                "kind": "element",
                "tag": "p",
                "attributes": {"kept": "k", "level": "2"},
                "attribute_changes": {
                    "level": {"before": "1", "after": "2", **by(changed)},
                    "old": {"before": "o", **by(removed)},
                },
                "children": [{"change": "equal", "kind": "xmltext", **plain, "runs": [{"change": "equal", "text": "abc"}]}],
            },
            {
                "change": "insert",
                **by(added),
                "kind": "element",
                "tag": "h",
                "attributes": {"new": "n"},
                "attribute_changes": {},
                "children": [],
            },
            {
                "change": "delete",
                **by(deleted),
                "kind": "element",
                "tag": "p",
                **plain,
                "children": [
                    {
                        "change": "delete",
                        **by(deleted),
                        "kind": "xmltext",
                        **plain,
                        "runs": [
                            {"change": "delete", "text": "go", **by(shortened)},
                            {"change": "delete", "text": "ne", **by(deleted)},
                        ],
                    }
                ],
            },
        ],
    }


@pytest.mark.rule("HI11")
def test_a_map_and_an_array() -> None:
    story = Story("m", Map)
    story.root["list"] = Array([1, 2, 3])
    story.root["same"] = 1
    story.root["other"] = Array([1])
    story.root["gone"] = Map({"k": 1})
    start = story.commit()
    story.root["list"].insert(1, "new")
    del story.root["list"][0]
    items = story.commit()
    story.root["list"].append(Text("t"))
    nested = story.commit()
    story.root["same"] = 1
    story.commit()
    story.root["other"] = True
    replaced = story.commit()
    del story.root["gone"]
    deleted = story.commit()
    story.root["new"] = None
    added = story.commit()
    assert story.told(start) == {
        "name": "m",
        "kind": "map",
        "changed": True,
        "entries": {
            "gone": {
                "change": "delete",
                **by(deleted),
                "node": {"kind": "map", "entries": {"k": {"change": "delete", "value": 1, **by(deleted)}}},
            },
            "list": {
                "change": "equal",
                "node": {
                    "kind": "array",
                    "items": [
                        {"change": "delete", "values": [1], **by(items)},
                        {"change": "insert", "values": ["new"], **by(items)},
                        {"change": "equal", "values": [2, 3]},
                        {
                            "change": "insert",
                            **by(nested),
                            "node": {"kind": "text", "runs": [{"change": "insert", "text": "t", **by(nested)}]},
                        },
                    ],
                },
            },
            "new": {"change": "insert", "value": None, **by(added)},
            "other": {"change": "replace", "before": {"$array": [1]}, "value": True, **by(replaced)},
            "same": {"change": "equal", "value": 1},
        },
    }


@pytest.mark.rule("HI11")
def test_what_cannot_be_told() -> None:
    """Nothing is told of a root that is mixed; nobody is named for what no known entry deleted or brought."""
    log = RecordedLog()
    log.commit([write_update([block(1, 0, text("abc", root="t"), values(1, root="t"))])])
    log.commit([write_update([block(2, 0, text("X", origin=(1, 0), right=(1, 1)))], {1: [(0, 1)]})])
    roots = {"mixed": RootKind.MIXED, "t": RootKind.TEXT}
    nobody = {"author": None, "created_at": None, "offset": None}
    assert diff(log.states[1], log.states[2], roots, Attribution())["roots"] == [
        {"name": "mixed", "kind": "mixed", "changed": False},
        {
            "name": "t",
            "kind": "text",
            "runs": [
                {"change": "delete", "text": "a", **nobody},
                {"change": "insert", "text": "X", **nobody},
                {"change": "equal", "text": "bc"},
            ],
            "changed": True,
        },
    ]


@pytest.mark.rule("HI9")
def test_what_cannot_be_seen_is_left_out() -> None:
    """Text in an array, values in an XML tree and in a text, entries that were gone before."""
    structs = [text("a", root="a"), values(1, root="x"), values(1, root="t"), values(1, root="m", key="k")]
    state = write_update([block(1, 0, *structs)], {1: [(3, 1)]})
    roots = {"a": RootKind.ARRAY, "x": RootKind.XML, "t": RootKind.TEXT, "m": RootKind.MAP}
    tree = diff(state, state, roots, Attribution())
    assert [root.get("items", root.get("children", root.get("runs", root.get("entries")))) for root in tree["roots"]] == [
        [],
        {},
        [],
        [],
    ]


@pytest.mark.rule("HI10")
def test_neighbours_of_one_author_are_one_run() -> None:
    log = RecordedLog()
    log.commit([write_update([block(1, 0, text("ab", root="t"))])])
    log.commit([write_update([block(2, 0, text("X", origin=(1, 0), right=(1, 1)))])])
    attribution = Attribution()
    for entry in log.authored:
        attribution.append([entry._replace(author="a", created_at=60_000 * entry.offset)])
    (root,) = diff(log.states[0], log.states[2], {"t": RootKind.TEXT}, attribution)["roots"]
    assert root["runs"] == [{"change": "insert", "text": "aXb", "author": "a", "created_at": 120_000, "offset": 2}]


@pytest.mark.rule("HI7", "HI10")
def test_runs_of_one_author_and_what_was_brought_back() -> None:
    """As in blame: pauses of at most a minute; what a restore brought back has its first author, and says so."""
    log = RecordedLog()
    log.commit([write_update([block(1, 0, text("abcdefgh", root="t"))])])
    log.commit([write_update([block(2, 0, shared_type("map", root="m", key="k"))], {1: [(0, 3), (5, 1)]})])
    attribution = Attribution()
    attribution.append([Authored(offset, "a", 40_000 * offset, [(1, offset - 1, offset)]) for offset in range(1, 4)])
    copies = [(1, 4, 2, 1, 0), (2, 0, 1, 1, 1)]
    attribution.append([Authored(4, "a", 160_000, [(3, 0, 1)])])
    log.commit([write_update([block(3, 0, text("Z", origin=(1, 2), right=(1, 3)))])])
    attribution.append([Authored(9, "r", 400_000, [(1, 3, 6), (2, 0, 1)], copies)])
    roots = {"t": RootKind.TEXT, "m": RootKind.MAP}
    entries, text_root = diff(log.states[0], log.states[2], roots, attribution)["roots"]
    restored = {"author": "r", "created_at": 400_000, "offset": 9}
    assert text_root["runs"] == [
        {"change": "insert", "text": "d", **restored},
        {"change": "insert", "text": "e", "author": "a", "created_at": 40_000, "offset": 1, "restored": restored},
        {"change": "insert", "text": "gh", "author": None, "created_at": None, "offset": None},
    ]
    first = {"author": "a", "created_at": 80_000, "offset": 2}
    assert entries["entries"]["k"] == {
        "change": "insert",
        "node": {"kind": "map", "entries": {}},
        **first,
        "restored": restored,
    }
    (text_root,) = diff(log.states[0], log.states[1], {"t": RootKind.TEXT}, attribution)["roots"]
    assert [(run["text"], run["offset"]) for run in text_root["runs"]] == [("abc", 3), ("d", 9), ("ef", 2), ("gh", None)]
    (text_root,) = diff(log.states[0], log.states[3], {"t": RootKind.TEXT}, attribution)["roots"]
    assert [(run["text"], run["offset"]) for run in text_root["runs"]] == [("Z", 4), ("d", 9), ("e", 1), ("gh", None)]
