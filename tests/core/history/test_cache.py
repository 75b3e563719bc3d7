"""What is remembered of documents' pasts."""

from __future__ import annotations

import pytest

from cowrite.core.history.cache import Cache
from cowrite.core.records import DocumentInfo, Head


def info(document_id: str = "a", epoch: str = "e", first: int = 1) -> DocumentInfo:
    return DocumentInfo(document_id, Head(epoch, 9, ""), 0, 0, None, 0, first)


@pytest.mark.rule("HV14")
def test_what_was_used_last_is_kept_within_bounds() -> None:
    cache: Cache[str] = Cache(100)
    for key in range(3):
        cache.put(info(), key, f"value {key}", 40)
        cache.get(info(), 0)
    assert [cache.get(info(), key) for key in range(3)] == ["value 0", None, "value 2"]
    assert cache.bytes == 80
    cache.put(info(), 0, "larger", 60)
    assert (cache.get(info(), 0), cache.bytes) == ("larger", 100)
    cache.put(info(), 0, "too large", 101)
    assert (cache.get(info(), 0), cache.bytes) == (None, 40)


@pytest.mark.rule("HV14")
@pytest.mark.parametrize("later", [info(epoch="f"), info(first=2)])
def test_it_goes_with_the_history_that_it_is_of(later: DocumentInfo) -> None:
    """Of that document alone, and whether something is looked for or put first."""
    for put in (False, True):
        cache: Cache[str] = Cache(100)
        for key in range(2):
            cache.put(info(), key, "old", 10)
        cache.put(info("b"), 0, "other", 10)
        if put:
            cache.put(later, 2, "new", 10)
        assert cache.get(later, 0) is None
        assert cache.get(info("b"), 0) == "other"
        assert cache.bytes == (20 if put else 10)
