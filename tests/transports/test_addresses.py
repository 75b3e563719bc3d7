"""Which address counts, and how many sockets it has."""

from __future__ import annotations

import pytest

from cowrite.transports.addresses import AddressSockets, trusted_proxies

CASES = [
    (None, None, None),
    ("not an address", None, None),
    ("127.0.0.1", None, None),
    ("10.1.2.3", None, None),
    ("9.9.9.9", None, "9.9.9.9"),
    ("9.9.9.9", "8.8.8.8", "9.9.9.9"),
    ("10.1.2.3", "8.8.8.8", None),
    ("127.0.0.1", "8.8.8.8", "8.8.8.8"),
    ("::1", "8.8.8.8", "8.8.8.8"),
    ("::ffff:127.0.0.1", "8.8.8.8", "8.8.8.8"),
    ("::ffff:9.9.9.9", None, "9.9.9.9"),
    ("10.0.0.7", "1.1.1.1, 8.8.8.8, 10.0.0.7", "8.8.8.8"),
    ("127.0.0.1", "1.1.1.1, made up", None),
    ("127.0.0.1", "10.0.0.7", None),
    ("127.0.0.1", "", None),
    ("2a00:1450:4001:80b::200e", None, "2a00:1450:4001:80b::/64"),
    ("2a00:1450:4001:80b:1:2:3:4", None, "2a00:1450:4001:80b::/64"),
]


@pytest.mark.rule("LM2")
@pytest.mark.parametrize(("peer", "forwarded", "counts"), CASES)
def test_the_address_that_counts(peer: str | None, forwarded: str | None, counts: str | None) -> None:
    """The other end's, if it is of the open Internet; of trusted proxies the last that is none of them."""
    assert AddressSockets(1, trusted=("10.0.0.7",)).client_of(peer, forwarded) == counts


@pytest.mark.rule("LM2")
def test_who_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvicorn's variable says; ``*``: every address, of several the first."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.7, 10.0.0.8")
    assert trusted_proxies() == {"10.0.0.7", "10.0.0.8"}
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert AddressSockets(1).client_of("10.1.1.1", "8.8.8.8, 9.9.9.9") == "8.8.8.8"


@pytest.mark.rule("LM2")
def test_places() -> None:
    """Each address has its own; who goes gives one back; what is not counted has no end."""
    sockets = AddressSockets(2, trusted=())
    places = [sockets.take("9.9.9.9") for _ in range(3)]
    assert [place is not None for place in places] == [True, True, False]
    assert sockets.take("8.8.8.8") is not None
    assert places[0] is not None
    places[0]()
    assert sockets.take("9.9.9.9") is not None
    assert sockets.take("9.9.9.9") is None
    for _ in range(5):
        place = sockets.take(None)
        assert place is not None
        place()
