"""Every promise of the port ``Authorizer``, as tests. A host application's own tests subclass :class:`AuthorizerContract`:

    class TestMyAuthorizer(AuthorizerContract):
        @pytest.fixture
        def subject(self) -> Subject:
            return Subject(authorize, document="notes/1", token="…", stranger="…")

It needs pytest and pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from cowrite.core.ports import Access, AccessDenied, Authorizer, Grant

_NOT_TOKENS = (" ", "x", "a.b.c", "a.b.c.d.e", "." * 8, "\0", "\n", "é😀", "\ud800", "x" * 100_000)
"""What may stand where a token should: everything that a URL can carry."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The authorizer under test, and who it knows."""

    authorize: Authorizer
    document: str
    """A document to which ``token`` gives access, and ``stranger`` does not."""
    token: str
    stranger: str
    """A valid token of somebody who may not open ``document``."""


class AuthorizerContract:
    """The tests; see the module."""

    @pytest.mark.rule("TO50")
    async def test_a_valid_token_gives_access(self, subject: Subject) -> None:
        """An id that the database takes, and one of the grants; the same user each time."""
        access = await subject.authorize(subject.token, subject.document)
        assert isinstance(access, Access)
        assert 0 < len(access.user_id) <= 255
        assert "\0" not in access.user_id
        assert isinstance(access.grant, Grant)
        assert (await subject.authorize(subject.token, subject.document)).user_id == access.user_id

    @pytest.mark.rule("TO13", "TO50")
    async def test_a_known_user_without_a_grant(self, subject: Subject) -> None:
        """Somebody who is known and may not open this document is told that, and not to log in again."""
        with pytest.raises(AccessDenied) as caught:
            await subject.authorize(subject.stranger, subject.document)
        assert caught.value.known

    @pytest.mark.rule("TO13", "TO50")
    @pytest.mark.parametrize("token", _NOT_TOKENS, ids=lambda token: repr(token[:9]))
    async def test_what_is_no_token(self, subject: Subject, token: str) -> None:
        """Whatever text comes, the answer is a denial that does not repeat it, and no other error."""
        with pytest.raises(AccessDenied) as caught:
            await subject.authorize(token, subject.document)
        assert not caught.value.known
        assert len(str(caught.value)) < 1000

    @pytest.mark.rule("TO50")
    async def test_no_token(self, subject: Subject) -> None:
        """Without a token people are let in as guests, or denied as nobody who is known; an empty token is none."""
        answers = [await _answer(subject, token) for token in (None, "")]
        assert answers in ([True, True], [False, False])

    @pytest.mark.rule("TO50")
    async def test_many_at_once(self, subject: Subject) -> None:
        """Calls that overlap do not get one another's answers."""
        calls = [subject.authorize(token, subject.document) for token in (subject.token, subject.stranger) * 10]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(answer, Access) for answer in answers] == [True, False] * 10
        assert [isinstance(answer, AccessDenied) for answer in answers] == [False, True] * 10


async def _answer(subject: Subject, token: str | None) -> bool:
    try:
        return isinstance(await subject.authorize(token, subject.document), Access)
    except AccessDenied as denied:
        return denied.known
