"""The wire that other tests trust."""

from __future__ import annotations

import pytest

from cowrite.testing.wire import FakeWire


class Watched(FakeWire):
    """Counts how often it said that it is writable again."""

    def __init__(self, *, capacity: int = 100) -> None:
        super().__init__(capacity=capacity)
        self.calls = 0
        self.drained = self.count

    def count(self) -> None:
        assert self.writable()
        self.calls += 1


@pytest.fixture
def wire() -> Watched:
    return Watched()


def test_what_is_written_is_read_at_once(wire: Watched) -> None:
    wire.write(b"a" * 1000)
    wire.write(b"b")
    assert wire.received == [b"a" * 1000, b"b"]
    assert wire.writable()
    assert wire.calls == 0


def test_a_wire_that_nobody_reads_fills_up(wire: Watched) -> None:
    wire.stop_reading()
    wire.write(b"." * 99)
    assert wire.writable()
    wire.write(b"." * 500)
    assert not wire.writable()
    wire.write(b"taken all the same")
    assert wire.buffered == 617
    assert wire.received == []


def test_it_says_once_that_it_is_writable_again(wire: Watched) -> None:
    wire.stop_reading()
    for _ in range(3):
        wire.write(b"." * 60)
    assert not wire.writable()
    assert not wire.writable()
    assert wire.read(1) == [b"." * 60]
    assert wire.calls == 0
    assert wire.read(1) == [b"." * 60]
    assert wire.calls == 1
    wire.read()
    wire.read()
    assert wire.calls == 1


def test_it_does_not_say_so_to_whom_it_did_not_refuse(wire: Watched) -> None:
    wire.stop_reading()
    wire.write(b"." * 1000)
    wire.read_on()
    assert wire.calls == 0


def test_the_other_side_may_read_on(wire: Watched) -> None:
    wire.stop_reading()
    wire.write(b"a" * 100)
    assert not wire.writable()
    wire.drained = lambda: wire.write(b"b")
    wire.read_on()
    wire.write(b"c")
    assert wire.received == [b"a" * 100, b"b", b"c"]


def test_a_buffer_may_be_filled_with_nothing_to_look_at(wire: Watched) -> None:
    wire.fill()
    assert not wire.writable()
    wire.write(b"a")
    wire.fill()
    assert wire.buffered == 101
    assert wire.read() == [b"a"]
    assert wire.calls == 1
    assert wire.received == [b"a"]


def test_a_closed_wire_swallows_what_is_written(wire: Watched) -> None:
    wire.write(b"before")
    wire.close(4400, "first")
    wire.close(1000, "second")
    wire.write(b"after")
    assert wire.closed == (4400, "first")
    assert wire.received == [b"before"]
