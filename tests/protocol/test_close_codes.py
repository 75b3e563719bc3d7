"""The table of close codes, and reasons that fit into a close frame."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cowrite.protocol.close_codes import MAX_REASON_BYTES, CloseCode, close_code_table, cut_reason

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "spec"
PAGE = ROOT / "docs" / "reference" / "close-codes.md"


@pytest.mark.rule("PR17")
@pytest.mark.parametrize("code", CloseCode)
def test_the_number_says_whether_to_come_back(code: CloseCode) -> None:
    """4400 to 4499: stop; every other code: retry. A code has a sentence for people, which fits into a close frame."""
    assert code.reconnect is (code not in range(4400, 4500))
    assert code.meaning.endswith(".")
    assert cut_reason(code.meaning) == code.meaning
    assert CloseCode(int(code)) is code


@pytest.mark.rule("PR17")
def test_codes_that_clients_may_rely_on() -> None:
    """These numbers stay."""
    assert {code.name.lower(): int(code) for code in CloseCode if not code.reconnect} == {
        "malformed_frame": 4400,
        "unauthorized": 4401,
        "forbidden": 4403,
        "bad_document_id": 4404,
        "connection_timeout": 4408,
        "contradicting_content": 4409,
        "document_deleted": 4410,
        "message_too_large": 4413,
        "hostile_update": 4422,
        "edit_not_kept": 4424,
    }
    assert {code.name.lower(): int(code) for code in CloseCode if code.reconnect} == {
        "normal": 1000,
        "going_away": 1001,
        "service_restart": 1012,
        "reset_connection": 4205,
        "internal_error": 4500,
        "store_unavailable": 4503,
        "missing_dependencies": 4504,
        "document_rebuilt": 4505,
        "new_epoch": 4506,
        "idle": 4508,
        "too_fast": 4529,
    }


@pytest.mark.rule("PR18")
def test_the_written_table_is_the_table() -> None:
    """spec/close_codes.json, which other languages read, is this table."""
    assert json.loads((SPEC / "close_codes.json").read_text(encoding="utf-8")) == close_code_table()


@pytest.mark.rule("PR18")
def test_every_code_is_on_the_page() -> None:
    """With its name, whether to come back, its meaning, and what to do."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (yes|\*\*no\*\*) \| (.+?) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    expected = [
        (str(int(code)), code.name.lower(), "yes" if code.reconnect else "**no**", code.meaning) for code in sorted(CloseCode)
    ]
    assert [row[:4] for row in rows] == expected


@pytest.mark.rule("PR19")
@pytest.mark.parametrize("character", ["a", "é", "€", "😀"])
def test_reasons_fit_into_a_close_frame(character: str) -> None:
    """A reason is at most 123 bytes of UTF-8, cut between characters; what fits is left alone."""
    for length in range(130):
        reason = character * length
        cut = cut_reason(reason)
        assert len(cut.encode()) <= MAX_REASON_BYTES
        if len(reason.encode()) <= MAX_REASON_BYTES:
            assert cut == reason
        else:
            assert cut.endswith("…")
            assert reason.startswith(cut[:-1])
            assert len(cut.encode()) > MAX_REASON_BYTES - len(character.encode())


@pytest.mark.rule("PR19")
def test_reasons_that_are_no_unicode_are_mended() -> None:
    """A lone surrogate in a reason does not keep the socket from being closed."""
    assert cut_reason("a\ud800b") == "a?b"
