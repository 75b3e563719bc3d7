"""Many updates as one."""

from __future__ import annotations

import random
from typing import Any

import pycrdt
import pytest
from pycrdt import Doc, Text

from cowrite.crdt.errors import EngineFault
from cowrite.crdt.merging import AT_ONCE, merge_updates

_MERGE = pycrdt.merge_updates


def typed(dice: random.Random, count: int) -> tuple[list[bytes], bytes]:
    """So many updates of three people who see one another's, who type and delete; and the document."""
    docs, updates = [Doc[Any](client_id=number) for number in (1, 2, 3)], list[bytes]()
    heard = [doc.observe(lambda event: updates.append(event.update)) for doc in docs]
    texts = [doc.get("body", type=Text) for doc in docs]
    while len(updates) < count:
        doc, text = dice.choice(list(zip(docs, texts, strict=True)))
        before = len(updates)
        if len(text) > 3 and dice.random() < 0.3:
            del text[dice.randrange(len(text))]
        else:
            text.insert(dice.randrange(len(text) + 1), "x")
        new = updates[before]
        for other in docs:
            if other is not doc:
                other.apply_update(new)
        del updates[before + 1 :]  # what the others say of the same
    del heard
    return updates, docs[0].get_update()


@pytest.mark.rule("GU38")
@pytest.mark.parametrize("count", [1, AT_ONCE, AT_ONCE + 1, AT_ONCE**2 + 5])
def test_many_updates_are_merged_some_at_a_time(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of it does the same as all of them."""
    calls: list[int] = []

    def counted(*updates: bytes) -> bytes:
        calls.append(len(updates))
        return bytes(_MERGE(*updates))

    monkeypatch.setattr(pycrdt, "merge_updates", counted)
    updates, state = typed(random.Random(count), count)
    merged = Doc[Any]()
    merged.apply_update(merge_updates(updates))
    assert merged.get_update() == state
    assert max(calls) <= AT_ONCE
    assert len(calls) <= 1 + 2 * count / AT_ONCE


def test_what_cannot_be_read_is_a_fault() -> None:
    with pytest.raises(EngineFault):
        merge_updates([b"\xff"] * (AT_ONCE + 1))
