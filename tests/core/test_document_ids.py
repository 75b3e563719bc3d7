"""What a document can be called."""

from __future__ import annotations

import pytest

from cowrite.core.document_ids import MAX_ID_CHARACTERS, is_document_id


@pytest.mark.rule("HT12")
@pytest.mark.parametrize("id_", ["a", "a/b", "*/a", "ö 😀", "x" * MAX_ID_CHARACTERS])
def test_ids(id_: str) -> None:
    assert is_document_id(id_)


@pytest.mark.rule("HT12")
@pytest.mark.parametrize("id_", ["", "*", "a\0b", "\ud800", "x" * (MAX_ID_CHARACTERS + 1)])
def test_no_ids(id_: str) -> None:
    assert not is_document_id(id_)
