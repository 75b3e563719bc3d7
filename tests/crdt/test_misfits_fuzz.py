"""Updates that no editor writes, at random: every sort of content in every sort of place, from many clients, in any order."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.outline import missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state import get_state
from cowrite.testing.model import Model
from cowrite.testing.yjs_writer import (
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
from crdt.random_edits import seeds

pytestmark = [pytest.mark.fuzz, pytest.mark.rule("OP1", "OP22", "OP23")]

TYPES = ("array", "map", "text", "xmlelement", "xmltext", "xmlfragment")
STRINGS = ("a", "bc", "😀", "é😀")


class Writer:
    """Writes structs of one document at random.

    Left out is what the engine itself reads in two ways: several values in one entry, neighbours in different lists; and marks
    that do not follow text, which go unnoticed.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.clocks: dict[int, int] = {}
        self.types: list[tuple[int, int]] = []
        self.ids: list[tuple[int, int]] = []
        self.ends_of_text: list[tuple[int, int]] = []
        self.keyed: set[tuple[int, int]] = set()

    def update(self) -> bytes:
        client = self.rng.randrange(1, 5)
        start = self.clocks.setdefault(client, 0)
        structs = [self._struct(client) for _ in range(self.rng.choice((1, 1, 2, 4)))]
        deletes = {}
        if self.ids and self.rng.random() < 0.2:
            other, clock = self.rng.choice(self.ids)
            deletes = {other: [(clock, 1)]}
        return write_update([block(client, start, *structs)], deletes)

    def _struct(self, client: int) -> bytes:
        rng = self.rng
        clock = self.clocks[client]
        place: dict[str, Any] = {}
        choice = rng.random()
        if choice < 0.4 or not self.ids:
            place = {"root": rng.choice("rst")}
        elif choice < 0.7 and self.types:
            place = {"parent": rng.choice(self.types)}
        else:
            place = {"origin": rng.choice(self.ids)}
        if "origin" not in place and rng.random() < 0.3:
            place["key"] = rng.choice("kl")
        if place.get("origin") in self.keyed:
            del place["origin"]
            place["root"] = "r"
        content, length = self._content(place, (client, clock))
        self.clocks[client] += length
        self.ids.append((client, clock + length - 1))
        if "key" in place:
            self.keyed.add(self.ids[-1])
        return content

    def _content(self, place: dict[str, Any], own: tuple[int, int]) -> tuple[bytes, int]:
        rng = self.rng
        ends = [end for end in self.ends_of_text if end not in self.keyed and "key" not in place]
        match rng.randrange(9):
            case 0 | 1:
                string = rng.choice(STRINGS) if "key" not in place else "a"
                length = len(string.encode("utf-16-le")) // 2
                self.ends_of_text.append((own[0], own[1] + length - 1))
                return text(string, **place), length
            case 2:
                return (values(1, "😀", **place), 2) if "key" not in place else (values("😀", **place), 1)
            case 3:
                return embed(rng.choice(({"i": 1}, None, "long", "x")), **place), 1
            case 4:
                return rng.choice((binary(b"\1", **place), subdocument(f"g{own}", {}, **place), deleted(1, **place))), 1
            case 5 if ends:
                return mark("bold", rng.choice((True, None)), origin=rng.choice(ends)), 1
            case _:
                kind = rng.choice(TYPES)
                self.types.append(own)
                return shared_type(kind, "p" if kind == "xmlelement" else None, **place), 1


def play(seed: int) -> int:
    rng = random.Random(seed)
    writer = Writer(rng)
    log = LogDocument.empty()
    first = write_update([block(9, 0, text("untouched", root="other"))])
    log.commit([first], [inspect(first)])
    model = Model(get_state(log))
    told = 0
    for _ in range(rng.randrange(5, 30)):
        update = writer.update()
        try:
            outline = inspect(update)
            if missing(outline, log.state):
                return told  # what follows would only be refused, too
            log.check_places(outline)
        except HostileUpdate:
            return told
        change = log.commit([update], [outline])
        for draft in change.operations if change is not None else ():
            model.apply(json.loads(json.dumps(draft.to_json())))
            told += 1
        state = json.loads(json.dumps(get_state(log)))
        assert model.state == state
        assert state["other"] == {"$text": [{"insert": "untouched"}]}
        again = LogDocument.from_state(log.encode(), log.roots)
        assert json.loads(json.dumps(get_state(again))) == state
        assert RootKind.MIXED not in {log.roots[name] for name in state}
    return told


def test_whatever_is_written_the_operations_are_the_document() -> None:
    """No panic, no hang; the operations, replayed, are always what the state shows."""
    told = 0
    for seed in seeds(200):
        try:
            told += play(seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
    assert told > 200
