"""What tests of session tokens share."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cowrite.tokens import Key, TokenInvalid, issue, parse_secrets, verify

NOW = 1_790_000_000_000
SECRET = "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMhISE"  # not random: it is part of names of tests
KEYS = parse_secrets(SECRET)
OUTSIDE = "The token is not valid."
HEADER = {"alg": "dir", "enc": "A256GCM"}


def made(**claims: Any) -> str:
    arguments: dict[str, Any] = {"sub": "ana", "documents": {"doc_1": "write"}, "now": NOW}
    return issue(SECRET, **(arguments | claims))


def refused(token: str, reason: str = "", *, keys: tuple[Key, ...] = KEYS, now: int = NOW) -> None:
    """The token opens nothing; the outside learns nothing else, the log learns why."""
    with pytest.raises(TokenInvalid) as caught:
        verify(token, keys, now)
    assert str(caught.value) == OUTSIDE
    assert re.search(reason, caught.value.reason)
