"""What people write is what Yjs clients write."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pycrdt import Awareness, Doc, Text

from cowrite.loadtest.edits import TOKEN, IndexTypist, YjsTypist, seed_updates, token
from cowrite.protocol import yjs
from cowrite.protocol.lib0 import read_bytes
from cowrite.protocol.messages import AwarenessUpdate


def document() -> tuple[Doc[Any], Text]:
    doc: Doc[Any] = Doc()
    return doc, doc.get("body", type=Text)


@pytest.mark.rule("LG20")
@pytest.mark.parametrize("size", [0, 700])
def test_a_slip_is_taken_back_with_the_next_edit(size: int) -> None:
    typist = YjsTypist(1, size, random.Random(1), slips=True)
    doc, text = document()
    for _, update in seed_updates(size):
        doc.apply_update(update)
    tokens = [token(1, at) for at in range(15)]
    for number, typed in enumerate(tokens, 1):
        doc.apply_update(typist.type(typed))
        assert ("".join(tokens[:number]) + "x" * (number == 10)) in str(text)
        assert len(str(text)) == size + len("".join(tokens[:number])) + (number == 10)


@pytest.mark.rule("LG2")
@pytest.mark.rule("LG7")
@pytest.mark.parametrize("size", [0, 1, 2, 700])
def test_updates_of_many_hands_make_one_text(size: int) -> None:
    """Yjs takes the updates in any order that keeps each author's; every token stays in one piece, and the seed around them."""
    seeds = [update for _, update in seed_updates(size, block=100)]
    rng = random.Random(1)
    typists = [YjsTypist(number, size, random.Random(number)) for number in range(5)]
    tokens = [[token(typist.number, at) for at in range(45)] for typist in typists]
    updates = [[typist.type(text) for text in texts] for typist, texts in zip(typists, tokens, strict=True)]
    texts = []
    for _ in range(2):
        doc, text = document()
        for update in seeds:
            doc.apply_update(update)
        lines = [list(line) for line in updates]
        while waiting := [line for line in lines if line]:
            doc.apply_update(rng.choice(waiting).pop(0))
        texts.append(str(text))
    assert texts[0] == texts[1]
    found = TOKEN.findall(texts[0].encode())
    assert sorted(found) == sorted((b"%d" % typist.number, b"%d" % at) for typist in typists for at in range(45))
    assert len(TOKEN.sub(b"", texts[0].encode())) == size


@pytest.mark.rule("LG7")
def test_hands_type_all_over_the_text() -> None:
    """Not only at its end."""
    doc, text = document()
    for _, update in seed_updates(1000):
        doc.apply_update(update)
    typist = YjsTypist(1, 1000, random.Random(1))
    for at in range(200):
        doc.apply_update(typist.type(token(1, at)))
    places = {found.start() * 4 // len(str(text)) for found in TOKEN.finditer(str(text).encode())}
    assert places == {0, 1, 2, 3}


@pytest.mark.rule("LG2")
def test_cursors_are_awareness() -> None:
    """y-protocols reads them, and takes each newer one."""
    typist, others = YjsTypist(7, 0, random.Random(1)), Awareness(Doc())
    for at in (5, 6):
        frame = typist.point(at)
        assert isinstance(yjs.decode(frame), AwarenessUpdate)
        others.apply_awareness_update(read_bytes(frame, 1)[0], "")
        assert others.states[typist.client]["at"] == at


@pytest.mark.rule("LG7")
def test_an_index_moves_with_what_others_type() -> None:
    """And its own, which it counts before it has read it back."""
    typist = IndexTypist(10)
    assert typist.type("12345") == 10
    assert typist.type("67") == 15
    typist.read(3, 4, 0)
    typist.read(50, 4, 0)
    assert typist.type("8") == 21
    typist.read(14, 5, 5)
    typist.read(19, 2, 2)
    typist.read(21, 1, 1)
    assert typist.type("9") == 22
