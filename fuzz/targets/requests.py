"""What is read of a request before anybody is known: address, query, origin, and headers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cowrite.core.document_ids import is_document_id
from cowrite.core.seldom import Seldom
from cowrite.http.contents import accepts_gzip, matches
from cowrite.http.credentials import bearer_of, parameters_of
from cowrite.http.document_formats import chosen_format
from cowrite.http.problems import Refusal
from cowrite.http.raw_paths import _below_root, _decode
from cowrite.testing.clock import ManualClock
from cowrite.transports.origins import OriginPolicy
from cowrite.transports.upgrade import Accepted, UpgradeRequest, answer, split_protocols

MAX_BYTES = 1024
_POLICIES = (OriginPolicy(), OriginPolicy(demo=True), OriginPolicy(frozenset({"https://a.example"}), demo=True))


def check(data: bytes) -> None:
    """The first byte chooses what is read, where that differs."""
    fields = [*data[1:].split(b"\n"), b"", b"", b"", b""]
    try:
        _CHECKS[data[0] % len(_CHECKS) if data else 0](fields)
    except Refusal as refusal:
        assert 400 <= refusal.status < 500


def _upgrade(fields: list[bytes]) -> None:
    path, query, host, origin, protocols = (*fields, b"")[:5]
    names = split_protocols(protocols.decode("latin-1").split("\r"))
    request = UpgradeRequest(path, query, host.decode("latin-1") or None, origin.decode("latin-1") or None, names)
    for policy in _POLICIES:
        reply = answer(request, policy, Seldom(ManualClock()))
        if isinstance(reply, Accepted):
            assert reply.protocol is None or reply.protocol in names
            assert reply.document_id is None or is_document_id(reply.document_id)
        else:
            assert reply.detail


def _address(fields: list[bytes]) -> None:
    path, query = fields[:2]
    parameters_of(query)
    _below_root({"path": "/x", "raw_path": path, "root_path": "/x"})
    assert is_document_id(_decode(path.decode("latin-1")))


def _headers(fields: list[bytes]) -> None:
    value, other = fields[:2]
    bearer_of([(b"authorization", value)])
    text = value.decode("latin-1")
    accepts_gzip(text)
    matches(text, other.decode("latin-1"))
    chosen_format(None, text)


_CHECKS: tuple[Callable[[list[bytes]], None], ...] = (_upgrade, _address, _headers)


def seeds() -> Iterable[bytes]:
    return [
        b"\0/yjs/doc%2F1\ntoken=abc&x=%zz\nexample.com:8000\nhttps://example.com\ncowrite.ack.v1, other",
        b"\0/hocuspocus\n\n[::1]:80\nhttp://[::1]",
        b"\0/api/v2/realtime/ws\n\nlocalhost\nnull\ncowrite.v2.json",
        b"\1a%2Fb\naccess_token=t&a=b",
        b'\2Bearer abc\nW/"1"',
        b"\2gzip;q=0.5, text/html;q=nan, */*;q=1e9",
    ]
