"""Documents that count in UTF-16 code units.

pycrdt counts text in UTF-8 bytes and offers no other way, but its engine does: a *subdocument* brings its own options, one of
which is the unit. So an update is written by hand that holds a subdocument with that option, it is applied to a host document,
and the subdocument that comes out is a document like any other that counts in UTF-16. It takes over the host's client id.

This leans on the engine's inside (yrs, ``Options::decode``); ``tests/crdt/test_text_index.py`` would fail with an engine
that has changed.
"""

from __future__ import annotations

import weakref
from typing import Any

from pycrdt import Doc, Map

_GUID = "cowrite"


def utf16_document(client_id: int | None = None, *, keep_deleted: bool = False) -> Doc[Any]:
    """Make an empty document that counts in UTF-16, with that Yjs client id (0 to 2^53 - 1; by default a random one).

    Deleted content is collected, as in any Yjs document. ``keep_deleted`` True: what is deleted in this document from now on is
    kept, and encoded with the rest: for looking at the past, never for serving.
    """
    host: Doc[Any] = Doc(client_id=client_id)
    root = host.get("s", type=Map)
    host.apply_update(_KEEPING if keep_deleted else _COLLECTING)
    document = root["k"]
    assert isinstance(document, Doc), "the engine gives the subdocument back"
    document.host = host  # type: ignore[attr-defined]  # the engine points back to the host: it has to live as long
    return document


class EngineMemory:
    """Owns what such a document takes in the engine: gives it back when this object goes. Keep it where the document is kept.

    The engine would keep it for ever: the document and its host point at each other, and an observer at the document that holds
    it, both out of sight of Python's collector.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, document: Doc[Any], subscription: Any) -> None:
        weakref.finalize(self, _give_back, document, subscription).atexit = False


def _give_back(document: Doc[Any], subscription: Any) -> None:
    try:
        document.unobserve(subscription)
        del document.host.get("s", type=Map)["k"]  # type: ignore[attr-defined]
    except BaseException as error:  # a panic is no Exception; after one there is nothing that could be given back
        if not isinstance(error, Exception) and type(error).__module__ != "pyo3_runtime":
            raise


def _string(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


def _subdocument(gc: bytes) -> bytes:
    return (
        b"\x01\x01\x01\x00"  # one client, one struct, client 1, clock 0
        b"\x29\x01" + _string("s") + _string("k") + _string(_GUID)  # content 9 (a document) under the key k of the root s
        + b"\x76\x02" + _string("encoding") + b"\x7d\x00" + _string("gc") + gc  # {"encoding": 0, "gc": …}
        + b"\x00"  # nothing deleted
    )  # fmt: skip


_COLLECTING = _subdocument(b"\x78")
_KEEPING = _subdocument(b"\x79")
