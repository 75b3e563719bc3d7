"""Mutated updates: whatever the guard lets pass does no harm. Runs in a process of its own, with bounded memory and time."""

from __future__ import annotations

import base64
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text

from cowrite.crdt.document import Document
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import inspect, outline_of_state
from cowrite.crdt.outline import missing
from cowrite.crdt.slices import ready_part
from cowrite.crdt.state_vector import decode_state_vector
from yjs_replicas import FUZZ, play

CORPUS = Path(__file__).parent / "yjs_corpus.jsonl"
VARUINTS = (b"\x00", b"\x01", b"\x7f", b"\x80\x01", b"\xff\xff\xff\xff\x07", b"\x80\x80\x80\x80\x10", b"\xff" * 7 + b"\x0f")


def mutate(rng: random.Random, update: bytes, others: list[bytes]) -> bytes:
    """Flip bits, cut, splice, repeat, and put integers of another size in."""
    data = bytearray(update)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        other = rng.choice(others)
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.randrange(256)
            case 2:
                del data[at : at + rng.randrange(1, 8)]
            case 3:
                start = rng.randrange(len(other) + 1)
                data[at:at] = other[start : start + rng.randrange(1, 40)]
            case 4:
                start = rng.randrange(len(other) + 1)
                data[at : at + 20] = other[start : start + 20]
            case 5:
                data[at : at + 1] = rng.choice(VARUINTS)
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 20)]
    return bytes(data)


def check(seed: int, counts: Counter[str], corpus: list[bytes]) -> None:
    """Send mutations of what replicas wrote to documents that hold some of it."""
    rng = random.Random(seed)
    played = play(rng, steps=15)
    written = [update for replica in played for update in replica.written] + rng.sample(corpus, 10)
    made = Document.empty()
    for _ in range(200):
        update = rng.choice(written)
        if rng.random() < 0.8:
            update = mutate(rng, update, written)
        started = time.thread_time()
        take(update, made, counts)
        counts["slowest"] = max(counts["slowest"], int(1000 * (time.thread_time() - started)))
    again = Document.from_state(made.encode())
    assert again.state == made.state == decode_state_vector(made._engine.get_state())
    outline = outline_of_state(made.encode())
    assert not again.contradicts(made.encode(), outline)
    doc: Doc[Any] = Doc()
    doc.apply_update(made.encode())
    for name in outline.roots:
        assert str(doc.get(name, type=Text)) == str(made._engine.get(name, type=Text))


def take(update: bytes, made: Document, counts: Counter[str]) -> None:
    try:
        outline = inspect(update)
        if missing(outline, made.state):
            counts["missing"] += 1
            update = ready_part(update, outline, made.state)
            outline = inspect(update)
            assert not missing(outline, made.state)
        if made.contradicts(update, outline):
            counts["contradicting"] += 1
            return
        made.admit(update, outline)
        counts["applied"] += 1
    except HostileUpdate as refused:
        counts[refused.code] += 1


def run(first: int, last: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    corpus = [base64.b64decode(json.loads(line)["update"]) for line in CORPUS.read_text().splitlines()]
    for seed in range(first, last):
        try:
            check(seed, counts, corpus)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    return counts


@pytest.mark.fuzz
@pytest.mark.rule("GU26")
@pytest.mark.rule("GU13")
def test_what_passes_is_applied_and_does_no_harm() -> None:
    program = f"""
import sys
sys.path[:] = {sys.path!r}
import json
from test_guard_fuzz import run
print(json.dumps(run(0, {40 * FUZZ})))
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=55 * FUZZ, check=False, preexec_fn=limit
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["applied"] > 500 * FUZZ
    assert counts["missing"] > 100 * FUZZ
    assert len(counts) > 20, "most of the guard's refusals were met"
    assert counts["slowest"] < 500
