"""Content that does not fit where it stands: whatever a hostile or broken client puts wherever, the rest goes on as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft, OperationType
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.testing.model import Model
from cowrite.testing.yjs_writer import (
    Raw,
    binary,
    block,
    deleted,
    embed,
    mark,
    shared_type,
    subdocument,
    text,
    values,
    write_update,
)

CONTENTS: dict[str, Callable[..., bytes]] = {
    "text": lambda **place: text("ab", **place),
    "emoji": lambda **place: text("a😀b", **place),
    "embed": lambda **place: embed({"image": 1}, **place),
    "string embed": lambda **place: embed("three", **place),
    "mark": lambda **place: mark("bold", True, **place),
    "values": lambda **place: values(1, "😀", **place),
    "undefined": lambda **place: values(..., **place),
    "bytes": lambda **place: binary(b"\x01", **place),
    "array": lambda **place: shared_type("array", **place),
    "map": lambda **place: shared_type("map", **place),
    "type text": lambda **place: shared_type("text", **place),
    "element": lambda **place: shared_type("xmlelement", "p", **place),
    "fragment": lambda **place: shared_type("xmlfragment", **place),
    "xml text": lambda **place: shared_type("xmltext", **place),
    "subdocument": lambda **place: subdocument("guid", {}, **place),
    "deleted": lambda **place: deleted(2, **place),
}
HONEST: dict[str, bytes] = {
    "text": text("xy", root="root"),
    "array": values(1, root="root"),
    "xml": shared_type("xmlelement", "p", root="root"),
    "map": values(1, root="root", key="key"),
}
NESTED = ("array", "map", "text", "xmlelement", "xmltext", "xmlfragment")


class Follower:
    """A log whose operations a model follows; beside the root in question it has another one, which must not be touched."""

    def __init__(self) -> None:
        self.log = LogDocument.empty()
        self.model = Model()
        self.clock = 0
        self.commit(write_update([block(9, 0, text("untouched", root="other"))]))

    def commit(self, update: bytes) -> list[OperationDraft]:
        change = self.log.commit([update], [inspect(update)])
        operations = list(change.operations) if change is not None else []
        for draft in operations:
            self.model.apply(json.loads(json.dumps(draft.to_json())))
        return operations

    def check(self) -> None:
        """The model has followed, and an edit of the other root comes through."""
        at = 9 + self.clock
        self.clock += 1
        self.commit(write_update([block(9, at, text("!", origin=(9, at - 1)))]))
        state = json.loads(json.dumps(get_state(self.log)))
        assert self.model.state == state
        assert state["other"] == {"$text": [{"insert": "untouched" + "!" * self.clock}]}
        again = LogDocument.from_state(self.log.encode(), self.log.roots)
        assert json.loads(json.dumps(get_state(again))) == state


@pytest.mark.rule("OP21", "OP22", "OP23")
@pytest.mark.parametrize("kind", HONEST)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("keyed", [False, True], ids=["listed", "keyed"])
def test_what_does_not_fit_a_root(kind: str, content: str, keyed: bool) -> None:
    """A root that gets content of every sort, in its list or as an entry, before or after honest content."""
    if keyed and content == "mark":
        return
    place: dict[str, Any] = {"root": "root", "key": "other" if keyed else None}
    for honest_first in (True, False):
        follower = Follower()
        updates = [write_update([block(1, 0, HONEST[kind])]), write_update([block(2, 0, CONTENTS[content](**place))])]
        for update in updates if honest_first else reversed(updates):
            follower.commit(update)
            follower.check()
        if follower.log.roots.get("root") is not RootKind.MIXED and kind in {"text", "map"} and honest_first:
            assert follower.log.roots["root"] == kind


@pytest.mark.rule("OP21", "OP22", "OP23")
@pytest.mark.parametrize("holder", NESTED)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("keyed", [False, True], ids=["listed", "keyed"])
def test_what_does_not_fit_a_nested_type(holder: str, content: str, keyed: bool) -> None:
    """The same in a nested type, which is as new as its content, or was there before; and an edit below that content."""
    if keyed and content == "mark":
        return
    name = "p" if holder == "xmlelement" else None
    made = shared_type(holder, name, root="root", key="key")
    place: dict[str, Any] = {"parent": (1, 0), "key": "other" if keyed else None}
    misfit = CONTENTS[content](**place)
    below = values(7, parent=(1, 1), key="below")
    for updates in (
        [write_update([block(1, 0, made, misfit)])],
        [write_update([block(1, 0, made)]), write_update([block(1, 1, misfit)])],
    ):
        follower = Follower()
        follower.commit(write_update([block(8, 0, values(1, root="root", key="first"))]))
        for update in updates:
            follower.commit(update)
            follower.check()
        if content in {"map", "element", "xml text"}:
            follower.commit(write_update([block(3, 0, below)]))
            follower.check()


@pytest.mark.rule("OP22")
@pytest.mark.parametrize(
    ("honest", "misfit"),
    [
        (HONEST["xml"], values(1, origin=(1, 0))),
        (HONEST["xml"], text("ab", origin=(1, 0))),
        (HONEST["array"], text("a😀b", origin=(1, 0))),
        (HONEST["array"], mark("bold", True, origin=(1, 0))),
        (HONEST["text"], embed("three", origin=(1, 1))),
    ],
    ids=["values among nodes", "text among nodes", "emoji among values", "a mark among values", "an embedded string"],
)
def test_a_root_becomes_mixed(honest: bytes, misfit: bytes) -> None:
    """A delete on its name takes it away for good: later edits of it have no operations, and it is not in the state."""
    follower = Follower()
    follower.commit(write_update([block(1, 0, honest)]))
    operations = follower.commit(write_update([block(2, 0, misfit)]))
    assert operations == [OperationDraft(OperationType.DELETE, ("root",))]
    follower.check()
    assert follower.log.roots == {"other": RootKind.TEXT, "root": RootKind.MIXED}
    assert follower.commit(write_update([block(4, 0, values(3, root="root"))])) == []
    again = LogDocument.from_state(follower.log.encode(), follower.log.roots)
    assert again.roots["root"] is RootKind.MIXED
    assert get_state(again).keys() == {"other"}
    follower.check()


@pytest.mark.rule("OP22")
def test_a_root_is_mixed_from_the_beginning() -> None:
    """A root whose first content does not go together never has operations."""
    follower = Follower()
    element = shared_type("xmlelement", "p", root="root")
    assert follower.commit(write_update([block(1, 0, element, values(1, parent=(1, 0)))])) == []
    assert follower.log.roots["root"] is RootKind.MIXED
    follower.check()


@pytest.mark.rule("OP22")
def test_a_type_in_a_text_that_counts_more_than_it_shows() -> None:
    """An edit below a text with plain values in it has no place that could be told: the root becomes mixed then."""
    follower = Follower()
    follower.commit(write_update([block(1, 0, text("ab", root="root"), shared_type("map", origin=(1, 1)))]))
    follower.commit(write_update([block(2, 0, values(1, 2, root="root"))]))
    assert follower.log.roots["root"] is RootKind.TEXT
    follower.check()
    operations = follower.commit(write_update([block(3, 0, values(1, parent=(1, 2), key="k"))]))
    assert operations == [OperationDraft(OperationType.DELETE, ("root",))]
    follower.check()


@pytest.mark.rule("OP22")
def test_a_type_in_a_type_in_such_a_text() -> None:
    """The same two levels below."""
    follower = Follower()
    nested = shared_type("map", origin=(1, 1))
    deeper = shared_type("map", parent=(1, 2), key="deeper")
    follower.commit(write_update([block(1, 0, text("ab", root="root"), nested, deeper)]))
    follower.commit(write_update([block(2, 0, values(1, 2, root="root"))]))
    follower.commit(write_update([block(3, 0, values(1, parent=(1, 3), key="k"))]))
    assert follower.log.roots["root"] is RootKind.MIXED
    follower.check()


@pytest.mark.rule("OP4", "OP23")
@pytest.mark.parametrize("holder", ["map", "xml"])
def test_a_mark_under_a_key_is_a_fault(holder: str) -> None:
    """The engine panics on it while it tells what has changed: the document is unusable, the process is not."""
    follower = Follower()
    follower.commit(write_update([block(1, 0, HONEST[holder])]))
    update = write_update([block(2, 0, mark("bold", True, root="root", key="key2"))])
    with pytest.raises(EngineFault):
        follower.commit(update)
    assert not follower.log.usable
    with pytest.raises(EngineFault):
        get_state(follower.log)


@pytest.mark.rule("OP23")
def test_a_state_of_unknown_origin_is_looked_at_before_it_is_read() -> None:
    """A state that comes without kinds may hold what must not be read; its other roots are there."""
    array = shared_type("array", root="list")
    state = write_update(
        [
            block(1, 0, text("fine", root="fine"), array, text("a😀b", parent=(1, 4))),
            block(2, 0, text("x", root="text"), embed("three", origin=(2, 0))),
            block(3, 0, values(1, root="values"), shared_type("array", root="values"), text("a", parent=(3, 1))),
        ]
    )
    document = LogDocument.from_state(state)
    assert get_state(document) == {"fine": {"$text": [{"insert": "fine"}]}}
    assert document.roots == {
        "fine": RootKind.TEXT,
        "list": RootKind.MIXED,
        "text": RootKind.MIXED,
        "values": RootKind.MIXED,
    }


@pytest.mark.rule("OP4")
def test_a_state_that_is_none_is_a_fault() -> None:
    """Bytes that are no update make no document."""
    with pytest.raises(EngineFault):
        LogDocument.from_state(b"\x01\x02\x03", {})
    legacy = write_update([block(1, 0, Raw(b"\x02\x01\x01r\x01\x011").content)])
    with pytest.raises(EngineFault):
        LogDocument.from_state(legacy)
