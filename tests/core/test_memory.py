"""Memory that is free goes back to the system."""

from __future__ import annotations

import ctypes
import gc
from typing import NoReturn

import psutil
import pytest

from cowrite.core.memory import _trim, give_back_memory


@pytest.mark.rule("RO25")
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_what_was_freed_is_given_back() -> None:
    """Blocks that the C library keeps for itself, because something in use lies behind each of them."""
    kept = [(bytes(8000), bytes(600)) for _ in range(5000)]
    full = psutil.Process().memory_info().rss
    kept = [(b"", last) for _, last in kept]
    gc.collect()
    give_back_memory()
    assert psutil.Process().memory_info().rss < full - 20_000_000
    assert len(kept) == 5000


@pytest.mark.rule("RO25")
def test_a_library_that_cannot_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: object) -> NoReturn:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", fail)
    _trim.cache_clear()
    give_back_memory()
    _trim.cache_clear()
