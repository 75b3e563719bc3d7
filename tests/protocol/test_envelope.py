"""Several messages in one body."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cowrite.protocol.envelope import MAX_MESSAGES, seal, unseal
from cowrite.protocol.lib0 import MalformedFrame

VECTORS = Path(__file__).parents[2] / "spec" / "vectors" / "envelope.json"


@pytest.mark.rule("PO20")
@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"], ids=lambda vector: vector["id"])
def test_vector(vector: dict[str, Any]) -> None:
    """A body holds the messages of its vector, or is refused as its vector says."""
    body = bytes.fromhex(vector["hex"])
    if "error" in vector:
        with pytest.raises(MalformedFrame) as malformed:
            unseal(body)
        assert malformed.value.at == vector["at"]
        return
    messages = [bytes.fromhex(message) for message in vector["messages"]]
    assert unseal(body) == messages
    assert (seal(messages) == body) is vector.get("canonical", True)


@pytest.mark.rule("PO20")
def test_bounded() -> None:
    """A body holds at most so many messages."""
    assert len(unseal(b"\0" * MAX_MESSAGES)) == MAX_MESSAGES
    with pytest.raises(MalformedFrame):
        unseal(b"\0" * (MAX_MESSAGES + 1))
    with pytest.raises(MalformedFrame):
        unseal(b"\0\0\0", max_messages=2)


@pytest.mark.rule("PO20")
def test_what_is_written_is_read() -> None:
    """Whatever the messages are, they come out as they went in."""
    chance = random.Random(7)
    for _ in range(200):
        messages = [chance.randbytes(chance.choice((0, 1, 127, 128, 300))) for _ in range(chance.randrange(6))]
        assert unseal(seal(messages)) == messages
