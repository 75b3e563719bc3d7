"""The forms in which a document's state can be had, and which of them a client asks for."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from cowrite.core.operations.state import State
from cowrite.formats import to_html, to_markdown, to_prosemirror, to_text
from cowrite.formats.reading import State as Contents
from cowrite.http.refusals import Refusal

_IN_THREAD_BYTES: Final = 64 << 10
"""States from this size on are rendered beside the event loop."""

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class Format(StrEnum):
    """What ``format=`` takes."""

    JSON = "json"
    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"
    PROSEMIRROR = "prosemirror"
    YJS = "yjs"


MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.TEXT: "text/plain; charset=utf-8",
    Format.HTML: "text/html; charset=utf-8",
    Format.MARKDOWN: "text/markdown; charset=utf-8",
    Format.PROSEMIRROR: "application/vnd.prosemirror+json",
    Format.YJS: "application/octet-stream",
}


def _to_prosemirror(state: Contents, root: str | None) -> str:
    return _encode(to_prosemirror(state, root))


_RENDERERS: Final = {
    Format.TEXT: to_text,
    Format.HTML: to_html,
    Format.MARKDOWN: to_markdown,
    Format.PROSEMIRROR: _to_prosemirror,
}


def chosen_format(asked: Format | None, accept: str | None) -> Format:
    """The form that was asked for, else the best that the client accepts, JSON before others. Raises 406 ``not_acceptable``."""
    if asked is not None:
        return asked
    weights = _weights(accept or "*/*")
    best, chosen = 0.0, None
    for form, media_type in MEDIA_TYPES.items():
        bare = media_type.partition(";")[0]
        weight = next((weights[name] for name in (bare, f"{bare.partition('/')[0]}/*", "*/*") if name in weights), 0.0)
        if weight > best:
            best, chosen = weight, form
    if chosen is None:
        detail = f"The state can be had as {', '.join(one.partition(';')[0] for one in MEDIA_TYPES.values())}."
        raise Refusal(HTTPStatus.NOT_ACCEPTABLE, "not_acceptable", detail)
    return chosen


async def rendered(state: State, document_id: str, form: Format, root: str | None) -> bytes:
    """The state in that form; of one root only, where it is named."""
    if form is Format.YJS:
        return state.committed.state
    if form is Format.JSON:
        return _json(state, document_id, root)
    render = _RENDERERS[form]
    if len(state.committed.state) >= _IN_THREAD_BYTES:
        text = await asyncio.to_thread(render, state.content, root)
    else:
        text = render(state.content, root)
    return text.encode(errors="replace")  # half a surrogate pair is no text


def _json(state: State, document_id: str, root: str | None) -> bytes:
    head = state.committed.head
    fields = {"document_id": document_id, "head": state.head, "offset": head.offset, "epoch": head.epoch}
    content = state.json
    if root is not None:
        content = _encode({root: state.content[root]} if root in state.content else {}).encode()
    return b'%s,"content":%s}' % (_encode(fields)[:-1].encode(), content)


def _weights(accept: str) -> dict[str, float]:
    weights = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            weights[name] = float(quality)
        except ValueError:
            weights[name] = 0.0
    return weights
