"""Integers, byte strings and texts of lib0."""

from __future__ import annotations

import time

import pytest

from cowrite.protocol.lib0 import (
    MAX_INTEGER,
    MalformedFrame,
    read_bytes,
    read_string,
    read_varuint,
    write_bytes,
    write_string,
    write_varuint,
)


@pytest.mark.rule("PR2")
@pytest.mark.parametrize("value", [0, 127, 128, 16383, 16384, 2**32, MAX_INTEGER])
def test_integer_survives_the_wire(value: int) -> None:
    """An integer is read back from where it starts, and the index behind it is returned."""
    written = write_varuint(value)
    assert read_varuint(b"\xff" + written + b"\xff", 1) == (value, 1 + len(written))


@pytest.mark.rule("PR2")
def test_integer_may_be_ten_bytes_long() -> None:
    """An integer may be written longer than needed, up to 10 bytes."""
    assert read_varuint(b"\x85" + b"\x80" * 8 + b"\x00", 0) == (5, 10)


@pytest.mark.rule("PR1")
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the frame ends inside an integer"),
        (b"\x80" * 9, "the frame ends inside an integer"),
        (b"\x80" * 10 + b"\x00", "integer longer than 10 bytes"),
        (b"\x80" * 7 + b"\x10", "integer above 2^53-1"),
        (b"\xff" * 9 + b"\x7f", "integer above 2^53-1"),
    ],
)
def test_integer_out_of_bounds_is_malformed(data: bytes, what: str) -> None:
    """An integer that is cut, longer than 10 bytes or above 2^53-1 is malformed; the error says what and where."""
    with pytest.raises(MalformedFrame, match="byte 2") as caught:
        read_varuint(b"\x00\x00" + data, 2)
    assert (caught.value.what, caught.value.at) == (what, 2)
    assert str(caught.value) == f"{what} at byte 2"


@pytest.mark.rule("PR1")
def test_a_run_of_ff_costs_nothing() -> None:
    """400 KB of 0xff cost what 10 bytes cost. (A reader without the bound needs seconds.)"""
    hostile = b"\xff" * 400_000
    started = time.process_time()
    for _ in range(100):
        with pytest.raises(MalformedFrame):
            read_varuint(hostile, 0)
    assert time.process_time() - started < 0.1


@pytest.mark.rule("PR1")
@pytest.mark.parametrize("value", [-1, MAX_INTEGER + 1])
def test_integer_out_of_bounds_is_not_written(value: int) -> None:
    """What nobody could read is not written."""
    with pytest.raises(ValueError, match=f"{value} cannot be sent"):
        write_varuint(value)


@pytest.mark.rule("PR3")
def test_bytes_are_exactly_as_long_as_announced() -> None:
    """A byte string ends where its length says, at the latest with the frame."""
    assert read_bytes(write_bytes(b"abc") + b"d", 0) == (b"abc", 4)
    assert read_bytes(b"\x00", 0) == (b"", 1)
    with pytest.raises(MalformedFrame, match="length 4 with only 3 bytes left at byte 0"):
        read_bytes(b"\x04abc", 0)
    with pytest.raises(MalformedFrame, match=f"length {MAX_INTEGER} with only 1 bytes left"):
        read_bytes(write_varuint(MAX_INTEGER) + b"a", 0)


@pytest.mark.rule("PR4")
def test_text_is_strict_utf8() -> None:
    """Text is UTF-8, its length counts bytes; the error points at the first bad byte."""
    assert read_string(write_string("é😀\0"), 0) == ("é😀\0", 8)
    with pytest.raises(MalformedFrame, match="text that is not UTF-8 at byte 3"):
        read_string(b"\x04ab\xffc", 0)


@pytest.mark.rule("PR4")
def test_lone_surrogates_are_not_written() -> None:
    """A text that is no Unicode is not written."""
    with pytest.raises(UnicodeEncodeError):
        write_string("\ud800")
