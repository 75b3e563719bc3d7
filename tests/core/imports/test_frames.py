"""Frames in the pipes between the server and the process that looks at a large update."""

from __future__ import annotations

from io import BytesIO

import pytest

from cowrite.core.imports.frames import Kind, PipeClosed, read_frame, write_frame

pytestmark = pytest.mark.rule("IM6")


def frame(kind: Kind, payload: bytes) -> bytes:
    pipe = BytesIO()
    write_frame(pipe, kind, payload)
    return pipe.getvalue()


def test_a_frame_comes_as_it_was_sent() -> None:
    pipe = BytesIO(frame(Kind.SLICE, b"abc") + frame(Kind.END, b""))
    assert read_frame(pipe, 3) == (Kind.SLICE, b"abc")
    assert read_frame(pipe, 3) == (Kind.END, b"")
    with pytest.raises(PipeClosed):
        read_frame(pipe, 3)


@pytest.mark.parametrize(
    "sent",
    [
        frame(Kind.SLICE, b"abc")[:5],
        frame(Kind.SLICE, b"abc")[:-1],
        frame(Kind.SLICE, b"four"),
        b"\xff" + frame(Kind.SLICE, b"abc")[1:],
    ],
    ids=["head", "cut", "large", "unknown"],
)
def test_what_is_no_frame_is_an_end(sent: bytes) -> None:
    with pytest.raises(PipeClosed):
        read_frame(BytesIO(sent), 3)


def test_a_pipe_that_is_closed_is_an_end() -> None:
    pipe = BytesIO()
    pipe.close()
    with pytest.raises(PipeClosed):
        write_frame(pipe, Kind.END)
    with pytest.raises(PipeClosed):
        read_frame(pipe, 3)
