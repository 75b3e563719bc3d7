"""Who wrote what, against the operations of the log: they tell it, too, without identities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cowrite.crdt.history.attribution import Attribution, Authored
from cowrite.crdt.history.blame import blame
from cowrite.crdt.history.copies import Copy
from cowrite.crdt.history.items import read_items
from cowrite.crdt.history.showing import Now, Showing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.testing.yjs_writer import block, embed, mark, shared_type, text, values, write_update
from crdt.history.recorded import Position, RecordedLog, record, record_subdocuments, writers
from crdt.random_edits import seeds

ALL = ["text", "xml", "map", "array"]


def spread(runs: Sequence[Any]) -> list[tuple[Position, Any]]:
    """Each unit of each run: (position, run)."""
    return [
        ((*run["position"][:-1], run["position"][-1] + at), run)
        for run in runs
        if run["length"] > 1
        for at in range(run["length"])
    ] + [(tuple(run["position"]), run) for run in runs if run["length"] == 1]


def check(log: RecordedLog) -> None:
    units = spread(blame(read_items(log.document.encode()), log.attribution, log.document.roots))
    found = {position: run["offset"] for position, run in units}
    assert len(found) == len(units), "something is covered twice"
    assert found == writers(log)
    assert all(run["author"] == f"by {run['offset']}" and run["created_at"] == run["offset"] * 3_600_000 for _, run in units)


@pytest.mark.fuzz
@pytest.mark.rule("HI3", "HI4")
@pytest.mark.parametrize(("roots", "count"), [(ALL[:1], 20), (ALL[1:2], 20), (ALL, 20)], ids=["text", "xml", "all"])
def test_blame_is_what_the_operations_tell(roots: list[str], count: int) -> None:
    for seed in seeds(count, start=1000):
        try:
            check(record(seed, roots))
        except BaseException as error:
            raise AssertionError(f"seed {seed}, roots {roots}") from error


@pytest.mark.fuzz
@pytest.mark.rule("HI2", "HI3")
def test_subdocuments_are_blamed() -> None:
    for seed in seeds(10, start=5000):
        log = record_subdocuments(seed)
        try:
            shown = Showing(read_items(log.document.encode()), Now()).content(log.document.roots)
            assert shown == get_state(log.document)
            check(log)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.rule("HI3", "HI4")
def test_two_random_histories() -> None:
    """Some of the above, so that it is counted."""
    for seed in (1, 2):
        check(record(seed, ALL))


def run(
    position: Sequence[str | int], length: int, offset: int | None, author: str | None = None, **more: Any
) -> dict[str, Any]:
    author = author or (f"by {offset}" if offset else None)
    time = 40_000 * offset if offset else None
    return {"position": list(position), "length": length, "author": author, "created_at": time, "offset": offset, **more}


def attributed(*entries: tuple[str, int, int, int], copies: Sequence[Copy] = ()) -> Attribution:
    """Entries of (author, client, first clock, clock behind) every 40 seconds; the last one has the copies."""
    attribution = Attribution()
    for offset, (author, *brought) in enumerate(entries, 1):
        last = offset == len(entries)
        attribution.append(
            [Authored(offset, author, 40_000 * offset, [(brought[0], brought[1], brought[2])], copies if last else ())]
        )
    return attribution


def blamed(attribution: Attribution, *structs: bytes, root: RootKind, client: int = 1) -> list[Any]:
    return blame(read_items(write_update([block(client, 0, *structs)])), attribution, {"r": root, "mixed": RootKind.MIXED})


@pytest.mark.rule("HI8")
def test_neighbours_of_one_author_are_one_run() -> None:
    """With pauses of at most a minute; the last entry of a run gives its time. Nobody's are one run, too."""
    entries = [("a", 1, 2, 3), ("a", 1, 3, 4), ("b", 1, 4, 5), ("a", 1, 5, 6), ("c", 9, 0, 1), ("a", 1, 6, 7)]
    runs = blamed(attributed(*entries), text("abcdefgh", root="r"), root=RootKind.TEXT)
    assert runs == [
        run(["r", 0], 2, None),
        run(["r", 2], 2, 2, "a"),
        run(["r", 4], 1, 3, "b"),
        run(["r", 5], 1, 4, "a"),
        run(["r", 6], 1, 6, "a"),
        run(["r", 7], 1, None),
    ]


@pytest.mark.rule("HI8")
def test_an_author_goes_on_in_another_place_of_the_log() -> None:
    """What stands side by side is one run wherever it came from, and has the time of the last entry, in whatever order."""
    attribution = attributed(("a", 1, 0, 1), ("a", 2, 0, 1), ("a", 1, 1, 2))
    update = write_update([block(2, 0, text("y", origin=(1, 0), right=(1, 1))), block(1, 0, text("xz", root="r"))])
    assert blame(read_items(update), attribution, {"r": RootKind.TEXT}) == [run(["r", 0], 3, 3, "a")]


@pytest.mark.rule("HI7")
def test_what_was_brought_back_says_so() -> None:
    attribution = attributed(("a", 7, 0, 3), ("r", 1, 0, 6), copies=[(1, 2, 2, 7, 1)])
    restored = {"author": "r", "created_at": 80_000, "offset": 2}
    assert blamed(attribution, text("abcdef", root="r"), root=RootKind.TEXT) == [
        run(["r", 0], 2, 2, "r"),
        run(["r", 2], 2, 1, "a", restored=restored),
        run(["r", 4], 2, 2, "r"),
    ]


@pytest.mark.rule("HI3")
def test_types_are_units_and_what_they_hold_follows() -> None:
    """Values and text that cannot be seen are nothing; a run goes on behind a type in which nothing is."""
    structs = [
        text("a😀", root="r"),  # clocks 0 to 2
        mark("bold", True, origin=(1, 2)),
        shared_type("map", origin=(1, 3)),
        embed({"e": 1}, origin=(1, 4)),
        shared_type("text", origin=(1, 5)),
        values(1, origin=(1, 6)),
        text("z", origin=(1, 7)),
        values("v", "w", parent=(1, 4), key="k"),
    ]
    runs = blamed(attributed(("a", 1, 0, 9), ("b", 1, 9, 11)), *structs, root=RootKind.TEXT)
    assert runs == [run(["r", 0], 4, 1, "a"), run(["r", 3, "k"], 1, 2, "b"), run(["r", 4], 3, 1, "a")]


@pytest.mark.rule("HI3")
def test_attributes_are_parts_of_their_node() -> None:
    """Null ones are none; a fragment among the nodes has none."""
    structs = [
        shared_type("xmlelement", "p", root="r"),
        shared_type("xmltext", parent=(1, 0)),
        text("t", parent=(1, 1)),
        values("v", parent=(1, 1), key="x"),
        values(None, parent=(1, 0), key="null"),
        values("v", root="r", key="own"),
        shared_type("xmlfragment", origin=(1, 0)),
        shared_type("array", parent=(1, 0), key="list"),
        values(1, 2, parent=(1, 7)),
    ]
    runs = blamed(attributed(("a", 1, 0, 20)), *structs, root=RootKind.XML)
    places: list[list[Any]] = [
        ["r", "own"],
        ["r", 0],
        ["r", 0, "list"],
        ["r", 0, "list", 0],
        ["r", 0, 0],
        ["r", 0, 0, "x"],
        ["r", 0, 0, 0],
        ["r", 1],
    ]
    assert [(run["position"], run["length"]) for run in runs] == [
        (place, 2 if place[-2:] == ["list", 0] else 1) for place in places
    ]
