"""Damage at random, with a seed: what tests do on every machine, and a campaign does where there is no atheris.

python -m fuzz.mutation TARGET SECONDS [SEED]
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import structlog

from fuzz.corpus import begin
from fuzz.expense import expense
from fuzz.targets import load

_PIECES = (
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80\x01",
    b"\xff\xff\xff\xff\x07",
    b"\x80\x80\x80\x80\x10",
    b"\xff" * 7 + b"\x0f",
    b'"',
    b"[",
)


def damaged(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Flip bits, cut, splice, repeat, and put integers of another size in."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if out:
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 1:
                del out[at : at + rng.randrange(1, 8)]
            case 2:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                out[at : at + rng.choice((0, 20))] = other[start : start + rng.randrange(1, 40)]
            case 3:
                out[at : at + 1] = rng.choice(_PIECES)
            case 4:
                out[at:at] = out[at : at + rng.randrange(1, 20)]
            case _:
                out[at : at + 1] = rng.randbytes(1)
    return bytes(out)


def mutations(seed: int, corpus: Sequence[bytes], *, max_bytes: int) -> Iterator[bytes]:
    """Endlessly many damaged ones of a corpus."""
    rng = random.Random(seed)
    while True:
        yield damaged(rng, rng.choice(corpus), corpus)[:max_bytes]


def attack(check: Callable[[bytes], None], some: Iterator[bytes], *, seconds: float) -> int:
    """Give some bytes after the other to a check, for so long. What it raises has the bytes as a note. Returns how many."""
    ends = time.monotonic() + seconds
    count = 0
    while time.monotonic() < ends:
        data = next(some)
        try:
            check(data)
        except BaseException as error:
            error.add_note(f"bytes: {data.hex()}")
            raise
        count += 1
    return count


def main(name: str, seconds: float, seed: int) -> None:
    """Attack one target for so long; print how often, and the longest call in seconds of CPU time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target = load(name)
    slowest = 0.0

    def measured(data: bytes) -> None:
        nonlocal slowest
        spent = expense(lambda: target.check(data))
        slowest = max(slowest, spent.seconds)
        assert not spent.excessive, f"{len(data)} bytes took {spent.seconds:.2f} s and {spent.grown >> 20} MB"

    count = attack(measured, mutations(seed, begin(name), max_bytes=target.MAX_BYTES), seconds=seconds)
    print(json.dumps({"executions": count, "slowest": slowest}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32))
