"""The bytes choose what hostile updates are written: they look valid, and go deeper than changed bytes do."""

from __future__ import annotations

import random
from collections.abc import Iterable

from fuzz.admission import Admission
from fuzz.hostile import Dice, Writer

MAX_BYTES = 512


def check(data: bytes) -> None:
    dice = Dice(data)
    writer = Writer(dice, scale=20)
    admission = Admission()
    while dice.left:
        if admission.send(writer.update()) in {"taken", "known"}:
            writer.remember()
    if admission.taken:
        admission.end()


def seeds() -> Iterable[bytes]:
    return [random.Random(seed).randbytes(60) for seed in range(40)]
