"""What is remembered of documents' pasts."""

from __future__ import annotations

import pytest

from cowrite.core.history.cache import Cache
from cowrite.core.records import DocumentInfo, Head


def info(document_id: str = "a", epoch: str = "e", first: int = 1) -> DocumentInfo:
    return DocumentInfo(document_id, Head(epoch, 9, ""), 0, 0, None, 0, first)


def put(cache: Cache[str], about: DocumentInfo, key: int, value: str, size: int) -> None:
    with cache.making(about, key) as keep:
        keep(value, size)


@pytest.mark.rule("HV14")
def test_what_was_used_last_is_kept_within_bounds() -> None:
    cache: Cache[str] = Cache(100)
    for key in range(3):
        put(cache, info(), key, f"value {key}", 40)
        cache.get(info(), 0)
    assert [cache.get(info(), key) for key in range(3)] == ["value 0", None, "value 2"]
    assert cache.bytes == 80
    put(cache, info(), 0, "larger", 60)
    assert (cache.get(info(), 0), cache.bytes) == ("larger", 100)
    put(cache, info(), 0, "too large", 101)
    assert (cache.get(info(), 0), cache.bytes) == (None, 40)


@pytest.mark.rule("HV14")
def test_what_is_being_computed_while_history_is_forgotten_is_not_kept() -> None:
    """Of that document alone; what is begun afterwards is kept."""
    cache: Cache[str] = Cache(100)
    with cache.making(info(), 0) as keep, cache.making(info("b"), 0) as keep_other:
        cache.forget("a")
        with cache.making(info(), 1) as keep_later:
            keep_later("later", 10)
            keep("of what was forgotten", 10)
        keep_other("other", 10)
    assert [cache.get(info(), key) for key in (0, 1)] == [None, "later"]
    assert (cache.get(info("b"), 0), cache.bytes) == ("other", 20)


@pytest.mark.rule("HV14")
def test_what_is_of_an_older_past_takes_nothing_from_a_newer_one() -> None:
    """Whoever asked before something was forgotten gets it computed, and no more."""
    cache: Cache[str] = Cache(100)
    put(cache, info(first=3), 0, "new", 10)
    put(cache, info(first=2), 1, "old", 10)
    assert [cache.get(info(first=2), key) for key in (0, 1)] == [None, None]
    assert [cache.get(info(first=3), key) for key in (0, 1)] == ["new", None]
    assert cache.bytes == 10


@pytest.mark.rule("HV14")
@pytest.mark.parametrize("later", [info(epoch="f"), info(first=2)])
def test_it_goes_with_the_history_that_it_is_of(later: DocumentInfo) -> None:
    """Of that document alone, and whether something is looked for or put first."""
    for put_first in (False, True):
        cache: Cache[str] = Cache(100)
        for key in range(2):
            put(cache, info(), key, "old", 10)
        put(cache, info("b"), 0, "other", 10)
        if put_first:
            put(cache, later, 2, "new", 10)
        assert cache.get(later, 0) is None
        assert cache.get(info("b"), 0) == "other"
        assert cache.bytes == (20 if put_first else 10)
