"""The document at a moment, quickly: the same as entry by entry."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

import pytest

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import inspect
from cowrite.crdt.history.moments import document_at
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update
from crdt.history.recorded import record
from crdt.random_edits import seeds
from crdt.test_misfits_fuzz import Writer

pytestmark = pytest.mark.rule("RS1")

ALL = ["text", "xml", "map", "array"]


def compare(
    state: bytes | None, roots: Mapping[str, RootKind], updates: Sequence[bytes], later: Mapping[str, RootKind] | None
) -> LogDocument:
    slowly = rebuild_at(state, roots, updates)
    for until in (None, slowly.state):
        quickly = document_at(state, roots, updates, later=later, until=until)
        assert quickly.roots == slowly.roots
        assert json.dumps(get_state(quickly)) == json.dumps(get_state(slowly))
        assert quickly.state == slowly.state
    return slowly


def compare_moments(rng: random.Random, updates: Sequence[bytes], later: Mapping[str, RootKind]) -> None:
    """From the beginning, and from a checkpoint on."""
    between = rng.randrange(len(updates) + 1)
    checkpoint = compare(None, {}, updates[:between], later)
    compare(checkpoint.encode(), checkpoint.roots, updates[between : rng.randrange(between, len(updates) + 1)], later)


@pytest.mark.fuzz
@pytest.mark.parametrize(("roots", "count"), [(["text"], 15), (["xml"], 15), (ALL, 20)], ids=["text", "xml", "all"])
def test_moments_of_random_histories(roots: list[str], count: int) -> None:
    for seed in seeds(count):
        log = record(seed, roots)
        try:
            compare_moments(random.Random(seed), log.updates, log.document.roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


@pytest.mark.fuzz
def test_moments_of_what_no_editor_writes() -> None:
    for seed in seeds(40):
        log = LogDocument.empty()
        updates = []
        writer = Writer(random.Random(seed))
        for _ in range(random.Random(seed).randrange(2, 20)):
            update = writer.update()
            try:
                outline = inspect(update)
                log.check_places(outline)
            except HostileUpdate:
                continue
            if not missing(outline, log.state) and (change := log.commit([update], [outline])) is not None:
                updates.append(change.update)
        try:
            compare_moments(random.Random(seed), updates, log.roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


def test_a_random_history() -> None:
    """Some of the above, so that it is counted."""
    log = record(5, ALL)
    compare_moments(random.Random(5), log.updates, log.document.roots)


STRAY = [
    write_update([block(1, 0, values(1, 2, root="list"))]),
    write_update([block(1, 2, text("stray", origin=(1, 1)))]),
    write_update([], {1: [(2, 5)]}),
    write_update([block(1, 7, values(3, origin=(1, 1)))]),
]


def test_what_does_not_belong_and_goes_again() -> None:
    """What the log calls mixed stays so. Only the kinds of a later moment tell that it ever was."""
    head = compare(None, {}, STRAY, {"list": RootKind.MIXED})
    assert head.roots == {"list": RootKind.MIXED}
    assert document_at(None, {}, STRAY).roots == {"list": RootKind.ARRAY}
    compare(None, {}, STRAY[:2], None)
    compare(head.encode(), head.roots, [], head.roots)


def test_what_changes_nothing() -> None:
    checkpoint = compare(None, {}, STRAY[:1], None)
    compare(checkpoint.encode(), checkpoint.roots, STRAY[:1], None)


def test_roots_that_show_their_kind_late() -> None:
    """A root in which nothing can be seen yet gets its kind from the entry that shows something, whatever comes next to it."""
    updates = [
        write_update([block(1, 0, text("a", root="t"), text("b", root="late"))], {1: [(1, 1)]}),
        write_update([block(1, 2, text("c", origin=(1, 0)))]),
        write_update([block(1, 3, values(1, origin=(1, 1)))]),
        write_update([block(1, 4, shared_type("xmlelement", "p", root="new"))]),
        write_update([block(1, 5, text("d", origin=(1, 2)), shared_type("map", origin=(1, 3)))]),
        write_update([block(1, 7, text("e", origin=(1, 5)))]),
        write_update([block(1, 8, values(1, root="newer"))]),
    ]
    for offset in range(len(updates) + 1):
        at = compare(None, {}, updates[:offset], None)
        compare(at.encode(), at.roots, updates[offset:], None)
    assert at.roots == {"late": RootKind.ARRAY, "new": RootKind.XML, "newer": RootKind.ARRAY, "t": RootKind.TEXT}


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ([STRAY[0], b"\1"], "entry 2 of the log cannot be read"),
        ([STRAY[0], STRAY[3]], "entry 2 of the log builds on something that is not there"),
    ],
    ids=["cut off", "not whole"],
)
def test_what_is_no_log_is_a_fault(updates: list[bytes], message: str) -> None:
    with pytest.raises(EngineFault, match=message):
        document_at(None, {}, updates)
    # Also behind a checkpoint, where nobody looks at each entry unless something is wrong.
    nothing = write_update([])
    for until in (None, {1: 8}):
        with pytest.raises(EngineFault, match=message):
            document_at(updates[0], {"list": RootKind.ARRAY}, [nothing, *updates[1:]], until=until)
