"""A moment of the past as a new edit, and a person's changes taken back as one: random concurrent histories."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pycrdt import Text

from cowrite.crdt.engine import rebuild_at
from cowrite.crdt.errors import EngineFault
from cowrite.crdt.guard import LIVE_LIMITS, SYNC_LIMITS, inspect
from cowrite.crdt.history.attribution import Attribution, Authored
from cowrite.crdt.history.blame import blame
from cowrite.crdt.history.copies import Copy
from cowrite.crdt.history.items import read_items
from cowrite.crdt.history.patching import EMPTY
from cowrite.crdt.history.proof import Proof
from cowrite.crdt.history.restoring import Restored, RestoreFailed, Undone, restore, undo_of
from cowrite.crdt.history.scratch import Scratch
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import STRING, missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.crdt.utf16 import utf16_document
from cowrite.crdt.values import Json
from cowrite.testing.yjs_writer import block, shared_type, text, values, write_update
from crdt.history.recorded import Position, RecordedLog, record
from crdt.random_edits import STRINGS, RandomReplica, commit, seeds

ALL = ["text", "xml", "map", "array"]
WAYS = [["text"], ["xml"], ["map"], ["array"], ALL]
NAMES = ["text", "xml", "map", "array", "all"]


def written(value: Any) -> str:
    return json.dumps(value)


def copy_of(log: LogDocument) -> LogDocument:
    return LogDocument.from_state(log.encode(), log.roots)


def restore_to(log: RecordedLog, offset: int, wanted: Sequence[str] | None = None) -> Restored:
    """Restore, and look at what comes out: one update that can be merged, of one new Yjs client."""
    at = rebuild_at(None, {}, log.updates[:offset])
    result = restore(at.encode(), log.document.roots, log.document.encode(), wanted, get_state(at))
    look_at(result, log.document)
    return result


def look_at(result: Restored | Undone, head: LogDocument) -> None:
    if result.update is not None:
        outline = inspect(result.update, SYNC_LIMITS)
        assert not missing(outline, head.state)
        assert len(outline.brings) <= 1
        assert all(client not in head.state and start == 0 for client, start, _ in outline.brings)
        copy_of(head).check_places(outline)


def shows(document: LogDocument, target: Mapping[str, Any]) -> bool:
    """Whether all but mixed roots are as they were; a root that was not there yet shows nothing."""
    content = get_state(document)
    return all(written(content[name]) == written(target.get(name, EMPTY[document.roots[name]])) for name in content)


def credits_of(document: LogDocument, attribution: Attribution) -> dict[Position, Any]:
    """The offset of each unit's entry."""
    found = {}
    for run in blame(read_items(document.encode()), attribution, document.roots):
        *path, last = run["position"]
        for at in range(run["length"]):
            found[(*path, last + at if run["length"] > 1 else last)] = run["offset"]
    return found


def play(seed: int, roots: list[str]) -> Restored:
    """Restore to a random moment. What is seen, and who wrote it, is as it was; what others write meanwhile stays."""
    rng = random.Random(seed)
    log = record(seed, roots)
    offset = rng.randrange(len(log.updates) + 1)
    target = rebuild_at(None, {}, log.updates[:offset])
    result = restore_to(log, offset)
    other = RandomReplica(rng, roots, 2**44)
    other.receive(log.document.encode())
    other.edit(3)
    meanwhile = other.take()
    check_merge(log.document, result.update, meanwhile)
    attribution = log.attribution
    if result.update is not None:
        change = commit(log.document, [result.update])
        assert change is not None
        attribution.append([Authored(len(log.updates) + 1, "r", 0, change.ranges, result.copies)])
    assert shows(log.document, get_state(target))
    assert not result.left
    assert credits_of(log.document, attribution) == credits_of(target, log.attribution)
    return result


def check_merge(head: LogDocument, update: bytes | None, meanwhile: Sequence[bytes]) -> None:
    """In whatever order it comes together, everybody sees the same."""
    if update is not None:
        one, other = copy_of(head), copy_of(head)
        commit(one, [update])
        commit(one, meanwhile)
        commit(other, meanwhile)
        commit(other, [update])
        assert written(get_state(one)) == written(get_state(other))


@pytest.mark.fuzz
@pytest.mark.rule("RS2", "RS3", "RS4", "RS5", "RS7")
@pytest.mark.parametrize("roots", WAYS, ids=NAMES)
def test_restore_is_the_target(roots: list[str]) -> None:
    for seed in seeds(25):
        try:
            play(seed, roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


@pytest.mark.rule("RS2", "RS7")
def test_some_random_histories() -> None:
    """Some of the above, so that they are counted."""
    for seed in (1, 4, 11):
        play(seed, ALL)


@pytest.mark.rule("RS2", "RS3", "RS7")
@pytest.mark.parametrize("seed", [1, 11])
def test_where_the_engine_panics(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is undone, and all of it is mended; who wrote what comes back is known none the less."""

    def panic(_: Scratch) -> list[bytes]:
        raise EngineFault("The engine failed (PanicException: mid > len).")

    monkeypatch.setattr(Scratch, "undo", panic)
    assert play(seed, ALL).patched


@pytest.mark.rule("RS2", "RS3")
def test_other_roots_stay_as_they_are() -> None:
    """An update that would change one that nobody asked for is not given out."""
    head = rebuild_at(None, {}, MIXED[:1])
    proof = Proof(head.encode(), head.roots, SYNC_LIMITS)
    update = write_update([block(2, 0, text("b", origin=(1, 1)))])
    with pytest.raises(RestoreFailed, match="The root 't' would be changed"):
        proof.differing(update, {"odd": {"$array": [1]}})
    assert proof.differing(update, {"odd": {"$array": [1]}, "t": {"$text": [{"insert": "ab"}]}}) == []


@pytest.mark.rule("RS3")
def test_a_root_that_would_become_mixed_is_not_what_it_should_be() -> None:
    head = rebuild_at(None, {}, MIXED[:1])
    proof = Proof(head.encode(), head.roots, SYNC_LIMITS)
    update = write_update([block(2, 0, text("b", origin=(1, 0)))])
    assert proof.differing(update, {"odd": {"$array": [1]}}) == ["odd"]
    assert proof.differing(write_update([]), {"odd": {"$array": [1]}}) == []


# -- one root, nothing to do, what cannot be done ------------------------------------------------------------------------------


@pytest.mark.rule("RS2")
def test_one_root_alone() -> None:
    log = record(11, ALL)
    before = get_state(log.document)
    result = restore_to(log, 3, ["map", "unheard of"])
    assert result.update is not None
    commit(log.document, [result.update])
    after = get_state(log.document)
    assert after.pop("map") == get_state(rebuild_at(None, {}, log.updates[:3]))["map"] != before.pop("map")
    assert after == before


@pytest.mark.rule("RS2")
def test_nothing_to_restore() -> None:
    log = record(4, ALL)
    assert restore_to(log, len(log.updates)) == Restored(None)
    assert undo_of(
        log.states[0], log.document.roots, [(update, False) for update in log.updates], log.document.encode()
    ) == Undone(None)


MIXED = [
    write_update([block(1, 0, values(1, root="odd"), text("a", root="t"))]),
    write_update([block(1, 2, text("b", origin=(1, 0)), text("c", origin=(1, 1)))], {1: [(1, 1)]}),
]


@pytest.mark.rule("RS8")
def test_mixed_roots_stay() -> None:
    head = rebuild_at(None, {}, MIXED)
    assert head.roots == {"odd": RootKind.MIXED, "t": RootKind.TEXT}
    at = rebuild_at(None, {}, MIXED[:1])
    result = restore(at.encode(), head.roots, head.encode(), None, get_state(at))
    assert result.left == ("odd",)
    assert result.update is not None
    commit(head, [result.update])
    assert get_state(head)["t"] == {"$text": [{"insert": "a"}]}
    assert restore(at.encode(), head.roots, head.encode(), None, get_state(at)) == Restored(None, left=("odd",))
    with pytest.raises(RestoreFailed, match="root 'odd' holds things that do not go together"):
        restore(at.encode(), head.roots, head.encode(), ["odd"], get_state(at))


@pytest.mark.rule("RS9")
def test_a_target_that_cannot_be_written() -> None:
    """Fragments among XML nodes, subdocuments: the engine offers no way. The undo manager alone would be enough for others."""
    update = write_update([block(1, 0, shared_type("xmlelement", "p", root="x"))])
    head = rebuild_at(None, {}, [update])
    fragment: Json = {"$xml": None, "attrs": {}, "children": []}
    with pytest.raises(RestoreFailed, match="cannot write again what was there: the engine cannot write a fragment"):
        restore(head.encode(), head.roots, head.encode(), None, {"x": {"$xml": None, "attrs": {}, "children": [fragment]}})


@pytest.mark.rule("RS9")
def test_a_target_that_reads_back_as_something_else() -> None:
    head = rebuild_at(None, {}, MIXED[:1])
    split = {"$text": [{"insert": "x"}, {"insert": "y"}]}  # always read as one piece
    with pytest.raises(RestoreFailed, match="root 't' cannot be made what it was"):
        restore(head.encode(), head.roots, head.encode(), ["t"], {"t": split})


@pytest.mark.rule("RS9")
def test_what_is_too_much_for_one_update() -> None:
    at = rebuild_at(None, {}, MIXED[:1])
    head = rebuild_at(None, {}, MIXED[:1])
    commit(head, [write_update([], {1: [(1, 1)]})])
    with pytest.raises(RestoreFailed, match="too much for one update"):
        restore(at.encode(), head.roots, head.encode(), ["t"], get_state(at), limits=replace(LIVE_LIMITS, structs=0))


@pytest.mark.rule("RS9")
def test_a_root_that_cannot_be_read() -> None:
    update = write_update([block(1, 0, values(1, root="x"))])
    with pytest.raises(RestoreFailed, match="cannot be read"):
        undo_of(update, {"x": RootKind.XML}, [], update)
    with pytest.raises(EngineFault):
        restore(update, {"x": RootKind.XML}, update, None, {})


@pytest.mark.rule("RS9")
def test_a_client_id_is_used_once() -> None:
    head = rebuild_at(None, {}, MIXED)
    with pytest.raises(EngineFault, match="cannot be merged"):
        restore(MIXED[0], head.roots, head.encode(), ["t"], {"t": {"$text": [{"insert": "a"}]}}, client_id=1)


@pytest.mark.rule("RS9")
def test_what_is_no_state_is_a_fault() -> None:
    with pytest.raises(EngineFault):
        restore(b"\1", {}, b"\1", None, {})
    with pytest.raises(EngineFault):
        undo_of(MIXED[0], {"t": RootKind.TEXT}, [(b"\1", True)], MIXED[0])


# -- a person's changes --------------------------------------------------------------------------------------------------------


class Typists:
    """Three people who type in one text, and seldom know of one another."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.log = RecordedLog()
        self.people: list[int] = []
        typists = [RandomReplica(rng, ["t"], 2**40 + number) for number in range(3)]
        for _ in range(rng.randrange(5, 40)):
            number = rng.randrange(3)
            typist = typists[number]
            self._type(rng, typist.doc.get("t", type=Text))
            if rng.random() < 0.6:
                self.log.commit(typist.take())
                self.people += [number] * (len(self.log.updates) - len(self.people))
            if rng.random() < 0.4:
                typist.receive(self.log.document.encode())

    def _type(self, rng: random.Random, typed: Text) -> None:
        characters = list(str(typed))
        units = [len(character.encode("utf-16-le")) // 2 for character in characters]
        start = rng.randrange(len(units) + 1)
        end = min(len(units), start + rng.randrange(4))
        at = sum(units[:start])
        if rng.random() < 0.4 and end > start:
            del typed[at : sum(units[:end])]
        else:
            typed.insert(at, rng.choice(STRINGS))

    def expected(self, person: int, first: int) -> list[tuple[str, int]]:
        """Each character that should be there when a person's entries from one on are taken back, with its entry's offset."""
        everything = utf16_document(keep_deleted=True)
        theirs: tuple[set[tuple[int, int]], set[tuple[int, int]]] = set(), set()
        entries = {}
        for offset, update in enumerate(self.log.updates, 1):
            everything.apply_update(update)
            outline = inspect(update)
            for ids, ranges in zip(theirs, (outline.brings, outline.deletes), strict=True):
                found = {(client, clock) for client, start, end in ranges for clock in range(start, end)}
                entries.update(dict.fromkeys(found, offset) if ids is theirs[0] else {})
                if self.people[offset - 1] == person and offset > first:
                    ids |= found
        items = read_items(everything.get_update())
        units = []
        for piece in items.root("t").pieces:
            if piece.content != STRING:
                continue  # inserted and deleted by one entry
            string = items.text(piece).encode("utf-16-le")
            for at in range(piece.length):
                known = (piece.client, piece.clock + at)
                if known not in theirs[0] and (not piece.deleted or known in theirs[1]):
                    units.append((string[2 * at : 2 * at + 2].decode("utf-16-le", "surrogatepass"), entries[known]))
        return units


def undo_randomly(seed: int) -> Sequence[Copy]:
    rng = random.Random(seed)
    typists = Typists(seed)
    log = typists.log
    person, first = rng.randrange(3), rng.randrange(len(log.updates) + 1)
    at = rebuild_at(None, {}, log.updates[:first])
    entries = zip(log.updates[first:], [number == person for number in typists.people[first:]], strict=True)
    result = undo_of(at.encode(), log.document.roots, entries, log.document.encode())
    look_at(result, log.document)
    expected = typists.expected(person, first)
    attribution = log.attribution
    if result.update is not None:
        change = commit(log.document, [result.update])
        assert change is not None
        attribution.append([Authored(len(log.updates) + 1, "r", 0, change.ranges, result.copies)])
    units = text_of(log.document).encode("utf-16-le")
    assert units == "".join(unit for unit, _ in expected).encode("utf-16-le", "surrogatepass")
    credited = credits_of(log.document, attribution)
    assert [credited["t", index] for index in range(len(units) // 2)] == [offset for _, offset in expected]
    return result.copies


@pytest.mark.fuzz
@pytest.mark.rule("RS6", "RS7")
def test_undo_of_a_person_in_a_text() -> None:
    """What they inserted is gone, what they deleted is back where it was and theirs who wrote it; all else stays."""
    for seed in seeds(60):
        try:
            undo_randomly(seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.rule("RS6", "RS7")
def test_some_random_undos() -> None:
    """Some of the above, so that they are counted."""
    assert sum(len(undo_randomly(seed)) for seed in range(5)) > 2


@pytest.mark.rule("RS5")
def test_what_others_type_meanwhile_stays() -> None:
    for seed in range(10):
        typists = Typists(seed)
        log, rng = typists.log, random.Random(seed)
        offset = rng.randrange(1, len(log.updates))
        result = restore_to(log, offset)
        other = RandomReplica(rng, ["t"])
        other.receive(log.document.encode())
        typed = other.doc.get("t", type=Text)
        typed.insert(rng.choice((0, len(typed))), "MEANWHILE")
        commit(log.document, other.take())
        if result.update is not None:
            commit(log.document, [result.update])
        shown = text_of(log.document)
        assert "MEANWHILE" in shown, seed
        assert shown.replace("MEANWHILE", "") == text_of(rebuild_at(None, {}, log.updates[:offset])), seed


def text_of(document: LogDocument) -> str:
    return "".join(piece["insert"] for piece in get_state(document).get("t", {"$text": []})["$text"])


def undo_anything(seed: int, roots: list[str]) -> None:
    """Some entries are taken back: nothing that they inserted is left, and it merges with what others write meanwhile."""
    log = record(seed, roots)
    rng = random.Random(seed)
    theirs = [rng.random() < 0.4 for _ in log.updates]
    result = undo_of(log.states[0], log.document.roots, zip(log.updates, theirs, strict=True), log.document.encode())
    look_at(result, log.document)
    other = RandomReplica(rng, roots, 2**44)
    other.receive(log.document.encode())
    other.edit(3)
    check_merge(log.document, result.update, other.take())
    attribution = log.attribution
    if result.update is not None:
        change = commit(log.document, [result.update])
        assert change is not None
        attribution.append([Authored(len(log.updates) + 1, "r", 0, change.ranges, result.copies)])
    left = set(credits_of(log.document, attribution).values())
    assert not left & {offset for offset, taken in enumerate(theirs, 1) if taken}


@pytest.mark.fuzz
@pytest.mark.rule("RS5", "RS6")
@pytest.mark.parametrize("roots", WAYS, ids=NAMES)
def test_undo_of_anything_can_be_merged(roots: list[str]) -> None:
    for seed in seeds(15):
        try:
            undo_anything(seed, roots)
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


@pytest.mark.rule("RS6")
def test_undo_where_the_engine_panics() -> None:
    """At ids that begin and end within one run of values: then each of the person's steps is undone by itself."""
    undo_anything(105, ALL)
