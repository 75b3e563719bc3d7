"""Awareness entries, and which states are fit to be relayed."""

from __future__ import annotations

import sys
import time

import pytest

from cowrite.protocol.awareness import (
    MAX_STATE_BYTES,
    AwarenessEntry,
    decode_entries,
    encode_entries,
    is_valid_state,
)
from cowrite.protocol.lib0 import MAX_INTEGER, MalformedFrame, write_varuint
from timing import MS


@pytest.mark.rule("PR12")
def test_entries_survive_the_wire() -> None:
    """Entries come back in order, states as the text that was sent, also when it is not JSON."""
    entries = (
        AwarenessEntry(1, 0, "{}"),
        AwarenessEntry(MAX_INTEGER, MAX_INTEGER, None),
        AwarenessEntry(1, 1, ' {"name": "é😀"'),
    )
    assert decode_entries(encode_entries(entries)) == entries
    assert decode_entries(encode_entries([])) == ()


@pytest.mark.rule("PR12")
@pytest.mark.parametrize(("text", "state"), [("null", None), (" \t\r\nnull ", None), ('"null"', '"null"'), ("nul", "nul")])
def test_null_means_gone(text: str, state: str | None) -> None:
    """A state that is JSON's null, spaces around it or not, means that the client is gone."""
    assert decode_entries(encode_entries([AwarenessEntry(1, 2, text)])) == (AwarenessEntry(1, 2, state),)


@pytest.mark.rule("PR13")
def test_a_count_alone_costs_nothing() -> None:
    """More entries than the body has room for are refused before the first is read."""
    with pytest.raises(MalformedFrame, match=f"{MAX_INTEGER} awareness entries announced in 6 bytes at byte 0"):
        decode_entries(write_varuint(MAX_INTEGER) + b"\x01\x00\x010\x01\x00")
    with pytest.raises(MalformedFrame, match="3 awareness entries announced in 8 bytes"):
        decode_entries(b"\x03" + b"\x01\x01\x00" * 2 + b"\x01\x01")


@pytest.mark.rule("PR13")
def test_entries_are_bounded() -> None:
    """A message holds at most as many entries as allowed."""
    body = encode_entries(AwarenessEntry(client, 1, "{}") for client in range(1000))
    assert len(decode_entries(body)) == 1000
    assert len(decode_entries(body, max_entries=1000)) == 1000
    with pytest.raises(MalformedFrame, match="1000 awareness entries; at most 999 are allowed at byte 0"):
        decode_entries(body, max_entries=999)


@pytest.mark.rule("PR14")
def test_states_are_bounded_in_bytes() -> None:
    """A state has at most 16 KB of UTF-8, or what the caller allows."""
    full = "é" * (MAX_STATE_BYTES // 2)
    assert decode_entries(encode_entries([AwarenessEntry(1, 1, full)]))[0].state == full
    with pytest.raises(MalformedFrame, match="awareness state of 16385 bytes; at most 16384 are allowed at byte 3"):
        decode_entries(encode_entries([AwarenessEntry(1, 1, full + "x")]))
    with pytest.raises(MalformedFrame, match="awareness state of 3 bytes; at most 2 are allowed at byte 8"):
        decode_entries(encode_entries([AwarenessEntry(1, 1, "é"), AwarenessEntry(1, 1, "éx")]), max_state_bytes=2)


@pytest.mark.rule("PR5")
def test_bytes_after_the_last_entry_are_malformed() -> None:
    """The body is the entries and nothing else."""
    with pytest.raises(MalformedFrame, match="1 bytes after the last awareness entry at byte 6"):
        decode_entries(encode_entries([AwarenessEntry(1, 1, "{}")]) + b"\x00")


@pytest.mark.rule("PR15")
@pytest.mark.parametrize("text", ["[" * 10_000, "[" * 10_000 + "]" * 10_000, '{"a":' * 10_000, "9" * 100_000])
def test_hostile_states_are_judged_and_never_raise(text: str) -> None:
    """Nesting that exhausts the parser's stack is refused, a long number is harmless; neither raises."""
    assert is_valid_state(text) is text.startswith("9")


@pytest.mark.rule("PR15")
def test_nesting_is_bounded() -> None:
    """A state is nested at most as deep as allowed; brackets in texts do not count."""
    assert is_valid_state('{"a":[{}]}', max_depth=3)
    assert not is_valid_state('{"a":[{}]}', max_depth=2)
    assert is_valid_state('{"a":["[[[", "\\"[{"], "}": [1, "]"]}', max_depth=2)


@pytest.mark.rule("PR15")
def test_deep_stacks_refuse_instead_of_raising() -> None:
    """Where the stack is nearly used up, a state that cannot be parsed there is refused."""

    def ask(depth: int) -> bool:
        return is_valid_state("[" * 60 + "]" * 60) if depth == 0 else ask(depth - 1)

    frame, used = sys._getframe(), 0
    while frame.f_back is not None:
        frame, used = frame.f_back, used + 1
    assert ask(0)
    assert ask(sys.getrecursionlimit() - used - 30) in (True, False)


@pytest.mark.rule("PR15")
def test_objects_can_be_demanded() -> None:
    """Any JSON is taken unless the caller wants an object."""
    assert is_valid_state("[]")
    assert not is_valid_state("[]", must_be_object=True)
    assert is_valid_state('{"user": 1}', must_be_object=True)


@pytest.mark.rule("PR15")
@pytest.mark.parametrize("text", ['"' + '\\"' * 8000, '"' * 16_383, "[" + '"[",' * 4000 + "[]]", "[" + "[]," * 5000 + "[]]"])
def test_judging_a_state_takes_linear_time(text: str) -> None:
    """No text of 16 KB costs more than a few milliseconds."""
    started = time.process_time()
    is_valid_state(text)
    assert time.process_time() - started < 50 * MS
