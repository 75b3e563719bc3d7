"""What is imported: any bytes as Markdown, HTML, text and the JSON of ProseMirror, for every editor."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cowrite.crdt.apply_operations import apply_operations
from cowrite.crdt.guard import SYNC_LIMITS, inspect
from cowrite.crdt.log_document import LogDocument
from cowrite.crdt.operations import OperationDraft, OperationType
from cowrite.crdt.state import get_state
from cowrite.formats import to_html, to_markdown, to_prosemirror, to_text
from cowrite.formats.shapes import Shape, Source
from cowrite.formats.shaping import shaped
from cowrite.formats.sources.invalid import SourceInvalid

MAX_BYTES = 512
_EMPTY = b"\0\0"
_SOURCES = list(Source)


def check(data: bytes) -> None:
    """The first byte says what the rest is."""
    if not data:
        return
    source = _SOURCES[data[0] % len(_SOURCES)]
    for shape in Shape:
        try:
            made = shaped(data[1:], source, shape)
        except SourceInvalid as invalid:
            assert invalid.reason
            continue
        if made.nodes:
            _check_tree(made.nodes, shape)


def _check_tree(nodes: Iterable[object], shape: Shape) -> None:
    """The engine takes it, a peer could have sent it, and it can be had in every form."""
    draft = OperationDraft(OperationType.INSERT, ("default", 0), content=list(nodes))
    update = apply_operations(_EMPTY, {}, [draft], client_id=7)
    assert update is not None
    log = LogDocument.empty()
    log.commit([update], [inspect(update, SYNC_LIMITS)])
    state = json.loads(json.dumps(get_state(log)))
    page = to_html(state).lower()
    assert "<script" not in page
    assert "<iframe" not in page
    assert isinstance(to_text(state), str)
    again = shaped(json.dumps(to_prosemirror(state)).encode(), Source.PROSEMIRROR, shape)
    assert again.nodes is not None
    assert isinstance(to_markdown(state), str)


def seeds() -> Iterable[bytes]:
    """One for each thing that is read."""
    yield b'\0# a\n\n- [x] *b* **c** ~~d~~ `e` [f](/g "h") ![i](/j)\n\n> k\n\n|l|\n|-|\n|m<br>n|\n\n```o\np\n```\n<u>q</u>'
    yield b"\1<h1>a</h1><ul><li data-checked=true>b<ol start=2><li><p>c</ol></ul><table><tr><th colspan=2>d<td>e</table>"
    yield b"\1<a href='/f'>g</a><img src=/h alt=i><span style='color:red'>j</span><pre class=lang-k>l\n</pre>&amp;"
    yield "\2a\nb\u20ac\U0001f600\r\n".encode()
    yield b'\3{"type":"doc","content":[{"type":"p","attrs":{"a":[1,{"$b":null}]},"content":[{"type":"text","text":"c","marks":['
    yield b'\3{"type":"doc","content":[{"type":"text","text":"c","marks":[{"type":"m"},{"type":"m","attrs":{}}]},{"type":"x"}]}'
