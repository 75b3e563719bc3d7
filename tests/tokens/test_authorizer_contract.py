"""The authorizers that go by session tokens, held against the port's contract."""

from __future__ import annotations

import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ports import Authorizer
from cowrite.testing.authorizer_contract import AuthorizerContract, Subject
from cowrite.tokens import DemoAuthorizer, TokenAuthorizer, generate_secret, issue, parse_secrets

KEYS = parse_secrets(generate_secret())


def subject_of(authorize: Authorizer) -> Subject:
    token, stranger = (issue(KEYS[0], sub="ana", documents={document: "write"}) for document in ("notes/1", "other"))
    return Subject(authorize, document="notes/1", token=token, stranger=stranger)


class TestTokenAuthorizer(AuthorizerContract):
    @pytest.fixture
    def subject(self) -> Subject:
        return subject_of(TokenAuthorizer(KEYS, SystemClock()))


class TestDemoAuthorizer(AuthorizerContract):
    @pytest.fixture
    def subject(self) -> Subject:
        return subject_of(DemoAuthorizer(KEYS, SystemClock()))
