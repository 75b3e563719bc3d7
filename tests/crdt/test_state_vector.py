"""State vectors."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from pycrdt import Doc, Text

from cowrite.crdt.state_vector import MAX_CLIENTS, MalformedStateVector, decode_state_vector, encode_state_vector
from cowrite.testing.yjs_writer import varuint
from timing import MS

pytestmark = pytest.mark.rule("GU17")


def test_engine_and_codec_agree() -> None:
    doc: Doc[Any] = Doc(client_id=2**53 - 1)
    doc.get("t", type=Text).insert(0, "abc")
    assert decode_state_vector(doc.get_state()) == {2**53 - 1: 3}
    assert encode_state_vector({2**53 - 1: 3}) == doc.get_state()


def test_encoding_and_decoding_are_inverse() -> None:
    rng = random.Random(1)
    for _ in range(200):
        state = {
            rng.randrange(2 ** rng.randrange(1, 54)): rng.randrange(1, 2 ** rng.randrange(1, 32))
            for _ in range(rng.randrange(9))
        }
        assert decode_state_vector(encode_state_vector(state)) == state


def test_a_clock_of_zero_is_read_and_not_written() -> None:
    assert decode_state_vector(b"\x01\x05\x00") == {5: 0}
    assert encode_state_vector({5: 0, 6: 1}) == b"\x01\x06\x01"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends too early"),
        (b"\x01", "ends too early"),
        (b"\x01\x85", "ends too early"),
        (b"\x00\x00", "follow its end"),
        (b"\x02\x01\x01\x01\x02", "names a client twice"),
        (b"\x81\x00\x01\x01", "shortest form"),
        (b"\x01\x01\x81\x00", "shortest form"),
        (b"\x01\x01" + varuint(2**31), "beyond 2147483647"),
        (b"\x01" + varuint(2**53) + b"\x01", "beyond 2^53 - 1"),
        (b"\x01" + varuint(2**56) + b"\x01", "longer than 8 bytes"),
        (varuint(MAX_CLIENTS + 1) + b"\x01\x01" * (MAX_CLIENTS + 1), "at most 100000"),
    ],
)
def test_what_is_no_state_vector_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedStateVector, match=reason.replace("^", r"\^")) as caught:
        decode_state_vector(data)
    assert reason in caught.value.reason


def test_a_long_run_of_continuation_bytes_costs_nothing() -> None:
    started = time.thread_time()
    with pytest.raises(MalformedStateVector):
        decode_state_vector(b"\xff" * 400_000)
    assert time.thread_time() - started < 10 * MS


@pytest.mark.parametrize("state", [{-1: 1}, {2**53: 1}, {1: -1}, {1: 2**31}])
def test_what_no_state_vector_can_hold_is_not_written(state: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        encode_state_vector(state)
