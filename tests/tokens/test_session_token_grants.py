"""What session tokens open: patterns, and the authorizers that take them."""

from __future__ import annotations

import fnmatch
import random
import re
import secrets as random_secrets
import time

import pytest

from cowrite.core.clock import SystemClock
from cowrite.core.ports import Access, AccessDenied, Grant
from cowrite.tokens import (
    DemoAuthorizer,
    SessionClaims,
    TokenAuthorizer,
    generate_secret,
    issue,
    verify,
)
from tokens.token_tools import KEYS, NOW, OUTSIDE, made


class FixedClock(SystemClock):
    def now(self) -> int:
        return NOW


CLOCK = FixedClock()


# --- patterns


@pytest.mark.rule("TO11")
@pytest.mark.parametrize(
    ("pattern", "document_id", "matches"),
    [
        ("doc_1", "doc_1", True),
        ("doc_1", "doc_12", False),
        ("doc_1", "DOC_1", False),
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("doc_*", "doc_", True),
        ("doc_*", "doc_7/x", True),
        ("doc_*", "my/doc_7", False),
        ("*/draft", "a/b/draft", True),
        ("*/draft", "draft", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("ab*bc", "abc", False),
        ("**", "x", True),
        ("doc_?", "doc_1", False),
        ("doc_[12]", "doc_1", False),
        ("doc.1", "doc_1", False),
        ("doc_[12]", "doc_[12]", True),
        ("a*b", "a*b", True),
    ],
)
def test_a_star_is_the_only_wildcard(pattern: str, document_id: str, matches: bool) -> None:
    """``*`` stands for any characters, also none and also ``/``; everything else for itself."""
    claims = verify(made(documents={pattern: "read"}), KEYS, NOW)
    assert (claims.grant_for(document_id) is Grant.READ) is matches


@pytest.mark.rule("TO11")
def test_patterns_agree_with_a_slow_oracle() -> None:
    """Random patterns match what the same pattern matches as a regular expression."""
    rng = random.Random(11)
    seen = set()
    for _ in range(5000):
        pattern = "".join(rng.choices("ab*", k=rng.randint(1, 6)))
        document_id = "".join(rng.choices("ab", k=rng.randint(0, 8)))
        matches = re.fullmatch(fnmatch.translate(pattern), document_id) is not None
        claims = SessionClaims("ana", {pattern: Grant.READ}, 0, 1, "")
        assert (claims.grant_for(document_id) is not None) is matches, (pattern, document_id)
        seen.add(matches)
    assert seen == {True, False}


@pytest.mark.rule("TO11")
def test_many_stars_take_no_time() -> None:
    """A pattern that would keep a regular expression busy for years is compared at once."""
    claims = SessionClaims("ana", {"*a" * 100 + "b": Grant.READ}, 0, 1, "")
    started = time.process_time()
    assert claims.grant_for("a" * 255) is None
    assert time.process_time() - started < 0.1


@pytest.mark.rule("TO12")
def test_the_strongest_grant_counts() -> None:
    """Of all patterns that match, the strongest grant counts, in whatever order they stand."""
    documents = {"*": "read", "team/*": "write", "team/plan": "comment", "other": "admin"}
    for _ in range(5):
        items = list(documents.items())
        random_secrets.SystemRandom().shuffle(items)
        claims = verify(made(documents=dict(items)), KEYS, NOW)
        assert claims.grant_for("team/plan") is Grant.WRITE
        assert claims.grant_for("else") is Grant.READ
        assert claims.grant_for("other") is Grant.ADMIN
    assert verify(made(documents={}), KEYS, NOW).grant_for("doc_1") is None


# --- authorizers


@pytest.mark.rule("TO13")
async def test_a_valid_token_gives_its_access() -> None:
    """Who has a grant gets in, as the user of the token."""
    authorize = TokenAuthorizer(KEYS, CLOCK)
    access = await authorize(made(name="Ana", colour="teal"), "doc_1")
    assert (access.user_id, access.grant, access.name, access.colour) == ("ana", Grant.WRITE, "Ana", "teal")


@pytest.mark.rule("TO13")
@pytest.mark.parametrize(
    "token", [None, "", "nonsense", made(now=NOW - 10**7), issue(generate_secret(), sub="a", documents={})]
)
async def test_no_valid_token_is_401(token: str | None) -> None:
    """Without a valid token nobody is known, and the answer does not say what is wrong with it."""
    with pytest.raises(AccessDenied) as caught:
        await TokenAuthorizer(KEYS, CLOCK)(token, "doc_1")
    assert not caught.value.known
    assert str(caught.value) == (OUTSIDE if token else "A token is needed.")


@pytest.mark.rule("TO13")
async def test_no_grant_is_403() -> None:
    """Somebody who is known and has no grant for the document is told so."""
    with pytest.raises(AccessDenied, match="The token gives no access to this document") as caught:
        await TokenAuthorizer(KEYS, CLOCK)(made(), "doc_2")
    assert caught.value.known


@pytest.mark.rule("TO13")
def test_an_authorizer_needs_keys() -> None:
    """Without a key nobody could ever get in: that is a mistake of who sets it up."""
    with pytest.raises(ValueError, match="set COWRITE_SECRET"):
        TokenAuthorizer((), CLOCK)


@pytest.mark.rule("TO14")
@pytest.mark.parametrize("token", [None, ""])
async def test_the_demo_lets_guests_write(token: str | None) -> None:
    """In the demo everybody without a token writes, as a guest of their own."""
    authorize = DemoAuthorizer(KEYS, CLOCK)
    guests = [await authorize(token, "any/document") for _ in range(20)]
    assert all(re.fullmatch("guest-[0-9a-f]{8}", guest.user_id) and guest.grant is Grant.WRITE for guest in guests)
    assert len({guest.user_id for guest in guests}) == 20


@pytest.mark.rule("TO14")
async def test_a_guest_of_the_demo_may_say_a_name() -> None:
    """The name is part of the guest's id, which no user with a token of that name has; elsewhere it lets nobody in."""
    access = await DemoAuthorizer((), CLOCK)("guest-Zo%C3%AB%20Lima", "doc_1")
    assert access == Access("guest-Zoë Lima", Grant.WRITE, "Zoë Lima")
    for nobody in ("guest-", "guest-%00", "guest-%E2%80%A8", "guest-%FF%0A", "guest-" + 65 * "x"):
        with pytest.raises(AccessDenied, match="A guest's name has 1 to 64 characters"):
            await DemoAuthorizer(KEYS, CLOCK)(nobody, "doc_1")
    with pytest.raises(AccessDenied):
        await TokenAuthorizer(KEYS, CLOCK)("guest-Ana", "doc_1")


@pytest.mark.rule("TO14")
async def test_the_demo_checks_a_token_that_is_sent() -> None:
    """A token counts in the demo as elsewhere: it gives its grant, and a bad one lets nobody in."""
    authorize = DemoAuthorizer(KEYS, CLOCK)
    assert (await authorize(made(documents={"*": "read"}), "doc_1")).grant is Grant.READ
    for token, document_id, known in ((made(), "doc_2", True), ("nonsense", "doc_1", False)):
        with pytest.raises(AccessDenied) as caught:
            await authorize(token, document_id)
        assert caught.value.known is known
    with pytest.raises(AccessDenied, match=OUTSIDE):
        await DemoAuthorizer((), CLOCK)(made(), "doc_1")
