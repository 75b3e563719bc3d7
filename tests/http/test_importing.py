"""POST /api/v2/documents/{id}/import."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from pycrdt import Doc, Text, XmlElement, XmlFragment, XmlText

from cowrite.core.limits import Limits
from cowrite.formats.sources.invalid import MAX_SOURCE_BYTES
from cowrite.testing.records import new_id
from http_api import Api, api, bearer, problem, token

PATH = "/api/v2/documents/d"
WRITER = bearer(token("ana"))
READER = bearer(token("rita", d="read"))
MARKDOWN = {"content-type": "text/markdown; charset=utf-8"}


@pytest.fixture
async def server() -> AsyncIterator[Api]:
    async with api() as started:
        yield started


async def bring(
    server: Api, content: bytes, content_type: str | None = "text/markdown", path: str = PATH, **query: str
) -> httpx.Response:
    headers = WRITER | ({"content-type": content_type} if content_type is not None else {})
    params = {name.rstrip("_"): value for name, value in query.items()}
    return await server.client.post(f"{path}/import", params=params, content=content, headers=headers)


async def read(server: Api, form: str, path: str = PATH) -> httpx.Response:
    answer = await server.client.get(path, params={"format": form}, headers=WRITER)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.rule("EX15", "EX10", "EX13", "EX9")
async def test_what_is_imported_can_be_read(server: Api) -> None:
    """Of every format, by its Content-Type or by name; and exported."""
    markdown = "# Grüße 😀\n\n- **b**\n- שלום"
    answer = await bring(server, markdown.encode(), "Text/Markdown; Charset=UTF-8")
    assert (answer.status_code, answer.json()) == (200, {"offset": 1, "root": "default", "version": None, "left_out": []})
    assert (await read(server, "markdown")).text == markdown
    written = (await read(server, "prosemirror")).json()
    assert [node["type"] for node in written["content"]] == ["heading", "bulletList"]
    accepted = await server.client.get(PATH, headers=WRITER | {"accept": "application/vnd.prosemirror+json"})
    assert accepted.json() == written

    for path, content, kind, query in (
        ("json", json.dumps(written).encode(), "application/json", {}),
        ("html", (await read(server, "html")).content, "text/html", {}),
        ("named", markdown.encode(), "application/x-www-form-urlencoded", {"format": "markdown"}),
        ("none", markdown.encode(), None, {"format": "markdown", "as_": "tiptap"}),
    ):
        other = f"/api/v2/documents/{path}"
        answer = await bring(server, content, kind, other, **query)
        assert answer.status_code == 200, answer.text
        assert (await read(server, "markdown", other)).text == markdown
    text = await bring(server, markdown.encode(), "text/plain", as_="text", root="source")
    assert text.json()["root"] == "source"
    named = await bring(server, b"~~a~~", as_="prosemirror")
    assert (named.json()["root"], named.json()["left_out"]) == ("prosemirror", ["strike"])
    activity = await server.client.get(f"{PATH}/activity", headers=WRITER)
    assert activity.json()["activity"][0]["cause"] == {
        "kind": "import",
        "until": 2,
        "after": None,
        "root": "prosemirror",
        "author": None,
    }


@pytest.mark.rule("EX11", "EX12")
async def test_what_is_there_stays_unless_it_is_said(server: Api) -> None:
    assert (await bring(server, b"a", mode="empty")).status_code == 200
    refused = await bring(server, b"b")
    assert problem(refused) == (409, "not_empty")
    again = [await bring(server, b"b", mode="append", id=id_) for id_ in [new_id()] * 2]
    assert again[0].json() == again[1].json()
    assert (await read(server, "text")).text == "a\nb"
    replaced = await bring(server, b"c", mode="replace")
    version = await server.client.get(f"{PATH}/versions/{replaced.json()['version']}", headers=WRITER)
    assert (version.json()["offset"], (await read(server, "text")).text) == (2, "c")


@pytest.mark.rule("EX5", "EX6", "EX15")
async def test_what_is_not_taken(server: Api) -> None:
    """Nothing of it is written, and each has its code."""
    anyone = await server.client.post(f"{PATH}/import", content=b"a", headers=MARKDOWN)
    assert problem(anyone) == (401, "unauthorized")
    reader = await server.client.post(f"{PATH}/import", content=b"a", headers=READER | MARKDOWN)
    assert problem(reader) == (403, "grant_too_low")
    for kind in (None, "image/png", "text/plain; charset=latin-1", "application/x-www-form-urlencoded"):
        assert problem(await bring(server, b"a", kind)) == (415, "unsupported_media_type")
    for content, query, wanted in (
        (b"a" * (MAX_SOURCE_BYTES + 1), {}, (413, "too_large")),
        (b"a\xff", {}, (422, "not_utf8")),
        (b"a\0", {}, (422, "null_character")),
        (b"> " * 60, {}, (422, "too_deep")),
        (b"a\n" * 30_000, {}, (422, "too_many_nodes")),
        (b"[" * 20_000, {}, (422, "too_costly")),
        (b"[]", {"format": "prosemirror"}, (422, "not_prosemirror")),
        (b'{"type":"doc","content":[{"type":"text","text":"\\ud800"}]}', {"format": "prosemirror"}, (422, "lone_surrogate")),
        (b"a", {"as_": "word"}, (422, "unprocessable_entity")),
        (b"a", {"mode": "merge"}, (422, "unprocessable_entity")),
        (b"a", {"format": "yjs", "root": "x"}, (422, "unprocessable_entity")),
        (b"a", {"place": "x"}, (422, "unprocessable_entity")),
        (b"", {"format": "yjs"}, (422, "hostile_update")),
        (b"\1\2\3", {"format": "yjs"}, (422, "hostile_update")),
    ):
        assert problem(await bring(server, content, **query)) == wanted, query
    assert (await server.client.get(PATH, headers=WRITER)).status_code == 404
    await bring(server, b"a", root="r")
    assert problem(await bring(server, b"a", root="r", as_="text", mode="append")) == (422, "kind")


@pytest.mark.rule("EX5", "CL52")
async def test_limits_of_sources() -> None:
    """They are those of the settings, for each kind of source."""
    async with api(limits=Limits(source_bytes=5000, source_nodes=100)) as server:
        assert problem(await bring(server, b"a" * 5001)) == (413, "too_large")
        many = {
            "markdown": b"a\n\n" * 70,
            "html": b"<p>a" * 70,
            "text": b"a\n" * 70,
            "prosemirror": json.dumps({"type": "doc", "content": [{"type": "paragraph"}] * 101}).encode(),
        }
        for form, content in many.items():
            answer = await bring(server, content, format=form)
            assert problem(answer) == (422, "too_many_nodes"), form
            assert "more than 100 " in answer.json()["detail"]
        assert (await bring(server, b"a\n\n" * 30)).status_code == 200
    async with api(limits=Limits(source_nodes=50_000)) as server:
        assert (await bring(server, b"a\n" * 20_001, format="text", as_="text")).status_code == 200


def update_of(*texts: str) -> tuple[bytes, bytes]:
    """A document with paragraphs; and what was written last alone, which builds on the rest."""
    doc: Doc[XmlFragment] = Doc({"default": XmlFragment([XmlElement("paragraph", {}, [XmlText("first")])])})
    before = doc.get_state()
    fragment = doc.get("default", type=XmlFragment)
    for text in texts:
        fragment.children.append(XmlElement("paragraph", {}, [XmlText(text)]))
    return doc.get_update(), doc.get_update(before)


@pytest.mark.rule("EX14")
async def test_a_yjs_update(server: Api) -> None:
    """Merged with what is there, whatever that is, as often as it is sent."""
    whole, last = update_of("second 😀")
    binary = "application/octet-stream"
    assert problem(await bring(server, last, binary, "/api/v2/documents/other")) == (409, "missing_dependencies")
    answers = [await bring(server, whole, binary), await bring(server, whole, binary)]
    assert [(one.status_code, one.json()["offset"], one.json()["root"]) for one in answers] == [(200, 1, None)] * 2
    await bring(server, b"third", mode="append")
    assert (await read(server, "text")).text == "first\nsecond 😀\nthird"
    copy = (await read(server, "yjs")).content
    assert (await bring(server, copy, binary, "/api/v2/documents/copy")).status_code == 200
    assert (await read(server, "text", "/api/v2/documents/copy")).text == "first\nsecond 😀\nthird"


@pytest.mark.rule("EX14", "EX6")
async def test_a_yjs_update_of_which_there_is_too_much() -> None:
    async with api(limits=Limits(document_bytes=4000)) as server:
        update = Doc({"body": Text("x" * 5000)}).get_update()
        assert problem(await bring(server, update, "application/octet-stream")) == (413, "document_full")
        assert problem(await bring(server, b"x" * 5000, as_="text")) == (413, "document_full")
