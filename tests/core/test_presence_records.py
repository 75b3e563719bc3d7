"""A record of presence as text. What storages take and refuse is in ``cowrite.testing.presence_contract``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from cowrite.core.presence_records import (
    MAX_METADATA_BYTES,
    as_kept,
    beginning_with_lease,
    check_document_ids,
    check_process,
    check_records,
    checked,
    decode_object,
    decode_with_lease,
    encode_metadata,
    encode_with_lease,
    expired,
    text_or_none,
    whole_or_none,
)
from cowrite.testing.presence_contract import make_record


@pytest.mark.rule("PS1")
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, '{"process":"one","name":"Ω\\u0000"}'),
        ({"expires_at": 5}, '{"process":"one","expires_at":5,"name":"Ω\\u0000"}'),
        ({"process": None, "expires_at": 5, "metadata": {}}, '{"expires_at":5}'),
        ({"metadata": {"name": "Ω\ud800"}}, '{"process":"one","name":"\\u03a9\\ud800"}'),
    ],
)
def test_text(changes: dict[str, Any], text: str) -> None:
    """With what keeps the record, and so that every database takes it."""
    record = make_record(**{"metadata": {"name": "Ω\0"}, **changes})
    assert encode_with_lease(record) == text
    assert text.startswith(beginning_with_lease("one")) is (record.process == "one")
    assert not text.startswith(beginning_with_lease("on"))
    assert decode_with_lease(text) == (record.process, record.expires_at, record.metadata)
    assert as_kept(record) == record


@pytest.mark.rule("PS12")
@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"process":1}', '{"expires_at":"5"}', '{"expires_at":true}', "[" * 100_000]
)
def test_what_another_version_may_have_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_with_lease(text)


def test_parts() -> None:
    assert decode_object(b'{"a":1}') == {"a": 1}
    assert [text_or_none("a"), text_or_none(None), whole_or_none(7), whole_or_none(None)] == ["a", None, 7, None]


@pytest.mark.rule("PS10")
def test_metadata_that_is_not_kept() -> None:
    """Each time with a line in the log that says why."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with capture_logs() as lines:
        for metadata in ({"a": float("inf")}, {"a": object()}, {"a": deep}, {"a": "x" * MAX_METADATA_BYTES}):
            assert encode_metadata(make_record("s", metadata=metadata)) == "{}"
    assert [line["session"] for line in lines] == ["s"] * 4
    assert lines[-1]["bytes"] == MAX_METADATA_BYTES + 8


@pytest.mark.rule("PS10")
def test_mistakes() -> None:
    """The messages say what is wrong."""
    check_records([make_record(), make_record(process=None, expires_at=1)])
    for changes, message in (
        ({"session_id": "s" * 37}, "The session id"),
        ({"user_id": ""}, "1 to 255 characters"),
        ({"document_id": "\ud800"}, "surrogate pair"),
        ({"process": "p" * 101}, "The process"),
        ({"process": None}, "for ever"),
        ({"last_active": -1}, "the time -1"),
        ({"metadata": {"process": 1}}, "has a 'process'"),
    ):
        with pytest.raises(ValueError, match=message):
            check_records([make_record(**changes)])
    check_document_ids(["😀" * 255])
    check_process("p" * 100)


@pytest.mark.rule("PS8")
def test_expired() -> None:
    record = make_record(expires_at=5)
    assert [expired(record, now) for now in (4, 5, 6)] == [False, True, True]
    assert not expired(make_record(), 2**60)


@pytest.mark.rule("PS12")
@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"name": "x" * MAX_METADATA_BYTES}},
        {"metadata": {"cursor": float("nan")}},
        {"metadata": {"cursor": object()}},
        {"user_id": b"u"},
        {"last_active": -1},
    ],
)
def test_what_was_read_and_could_not_have_been_written(changes: dict[str, Any]) -> None:
    assert checked(make_record("1")) == make_record("1")
    with pytest.raises(ValueError, match=r"\w"):
        checked(replace(make_record("1"), **changes))
