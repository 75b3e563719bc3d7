"""What the guard lets pass, and what it refuses."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Array, Doc, Text, merge_updates

from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import LIVE_LIMITS, SYNC_LIMITS, GuardLimits, inspect
from cowrite.crdt.outline import ClockRange, missing
from cowrite.crdt.roots import RootKind
from cowrite.crdt.state_vector import decode_state_vector
from cowrite.testing.yjs_writer import (
    Raw,
    binary,
    block,
    deleted,
    embed,
    gc,
    item,
    mark,
    shared_type,
    sized,
    skip,
    subdocument,
    text,
    values,
    varint,
    varuint,
    write_update,
)
from yjs_replicas import FUZZ, play

AB = text("ab", root="t")


def one(*structs: bytes) -> bytes:
    return write_update([block(1, 0, *structs)])


def refusal(update: bytes, limits: GuardLimits = LIVE_LIMITS) -> str:
    with pytest.raises(HostileUpdate) as caught:
        inspect(update, limits)
    assert caught.value.code in str(caught.value)
    assert caught.value.reason in str(caught.value)
    return caught.value.code


# ---- what editors write ---------------------------------------------------------------------------------------------------


@pytest.mark.rule("GU1")
@pytest.mark.rule("GU16")
def test_what_yjs_writes_passes_and_needs_what_yjs_says() -> None:
    """500 updates of Yjs 13.6.33 from random schedules, with a receiver's state and whether Yjs left something pending there.

    Of texts, marks, embeds, maps, arrays, XML, nested types, subdocuments; with and without collection; undone, merged, cut.
    yjs_corpus.mjs has made them, and makes the same again.
    """
    lines = (Path(__file__).parent / "yjs_corpus.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        outline = inspect(base64.b64decode(line["update"]))
        state = decode_state_vector(base64.b64decode(line["state_vector"]))
        assert bool(missing(outline, state)) == line["pending"], line
    assert len(lines) == 500


@pytest.mark.fuzz
@pytest.mark.rule("GU1")
def test_what_pycrdt_writes_passes() -> None:
    count = 0
    for seed in range(60 * FUZZ):
        rng = random.Random(seed)
        played = play(rng, steps=20)
        written = [update for replica in played for update in replica.written]
        states = [replica.doc.get_update() for replica in played]
        parts = [replica.doc.get_update(rng.choice(played).doc.get_state()) for replica in played]
        for update in (*written, *states, *parts, merge_updates(*written), merge_updates(*written[::2])):
            inspect(update)
            count += 1
    assert count > 1500 * FUZZ


@pytest.mark.rule("GU1")
def test_nothing_at_all_passes() -> None:
    outline = inspect(b"\x00\x00")
    assert outline.is_empty
    assert (outline.brings, outline.deletes, outline.needs, dict(outline.roots), outline.structs) == ((), (), (), {}, 0)
    assert not inspect(one(AB)).is_empty
    assert not inspect(write_update([], {1: [(0, 1)]})).is_empty


EVERY_KIND = [
    AB,
    text("é漢😀", root="t"),
    deleted(3, root="t"),
    binary(b"\xff\x00", root="t"),
    embed({"a": [1.5, None, "ü"]}, root="t"),
    mark("bold", True, root="t"),
    shared_type("array", root="t"),
    shared_type("xmlelement", "p", root="t"),
    shared_type("xmltext", root="t"),
    values(..., None, True, False, 5, -70, 2**40, 1.5, "s", b"b", [1, [2]], {"k": {"l": []}}, root="t"),
    values(Raw(b"\x7c\x3f\x80\x00\x00"), Raw(b"\x7a" + bytes(8)), root="t"),
    subdocument("guid", {"autoLoad": True}, root="t"),
    gc(5),
    text("in", parent=(1, 0), key="k"),
]


@pytest.mark.rule("GU1")
def test_every_kind_of_content_passes() -> None:
    outline = inspect(one(AB, *EVERY_KIND))
    assert outline.structs == len(EVERY_KIND) + 1
    assert outline.types == 3
    assert outline.brings == (ClockRange(1, 0, 2 + 2 + 4 + 3 + 1 + 1 + 1 + 1 + 1 + 1 + 12 + 2 + 1 + 5 + 2),)


@pytest.mark.rule("GU14")
def test_lengths_are_utf16_units() -> None:
    for content in ("ab", "é", "漢字", "😀", "a😀é", "\U0010ffff\uffff"):
        assert inspect(one(text(content))).brings == (ClockRange(1, 0, len(content.encode("utf-16-le")) // 2),)


@pytest.mark.rule("GU1")
@pytest.mark.rule("GU11")
@pytest.mark.large
def test_large_documents_that_were_written_in_many_places_pass() -> None:
    """Thousands of structs whose ids follow one another, with others put between them: they can not be joined any more."""
    rng = random.Random(1)
    doc: Doc[Any] = Doc()
    typed, listed = doc.get("t", type=Text), doc.get("a", type=Array)
    with doc.transaction():
        typed += "x" * 20_000
        listed.extend([1] * 5_000)
        for _ in range(8_000):
            typed.insert(rng.randrange(len(typed)), "y")
        for _ in range(2_000):
            listed.insert(rng.randrange(len(listed)), 2)
    outline = inspect(doc.get_update())
    assert outline.structs > 15_000
    assert outline.loose == 2


# ---- roots ----------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("GU15")
@pytest.mark.parametrize(
    ("struct", "kind"),
    [
        (text("a"), RootKind.TEXT),
        (mark("b", True), RootKind.TEXT),
        (embed(1), RootKind.TEXT),
        (values(1), RootKind.ARRAY),
        (binary(b"b"), RootKind.ARRAY),
        (subdocument("g", {}), RootKind.ARRAY),
        (shared_type("map"), RootKind.ARRAY),
        (shared_type("xmlfragment"), RootKind.ARRAY),
        (shared_type("xmlelement", "p"), RootKind.XML),
        (shared_type("xmltext"), RootKind.XML),
        (deleted(1), None),
        (text("a", key="k"), RootKind.MAP),
        (deleted(1, key="k"), RootKind.MAP),
        (shared_type("xmltext", key="k"), RootKind.MAP),
    ],
)
def test_a_roots_kind_shows_in_its_content(struct: bytes, kind: RootKind | None) -> None:
    assert dict(inspect(one(struct)).roots) == {"t": kind}


@pytest.mark.rule("GU15")
def test_the_list_tells_more_than_keys_and_the_first_content_counts() -> None:
    assert dict(inspect(one(text("v", key="k"), text("a"))).roots) == {"t": RootKind.TEXT}
    assert dict(inspect(one(text("a"), text("v", key="k"))).roots) == {"t": RootKind.TEXT}
    assert dict(inspect(one(text("v", key="k"), deleted(1))).roots) == {"t": RootKind.MAP}
    assert dict(inspect(one(deleted(1), values(1))).roots) == {"t": RootKind.ARRAY}
    assert dict(inspect(one(text("a"), values(1))).roots) == {"t": RootKind.TEXT}


@pytest.mark.rule("GU15")
def test_structs_with_neighbours_and_in_nested_types_name_no_root() -> None:
    assert not inspect(one(text("a", origin=(2, 0)))).roots
    assert not inspect(one(text("a", parent=(2, 0)))).roots
    assert dict(inspect(one(text("a", root=""), values(1, root="b"))).roots) == {"": RootKind.TEXT, "b": RootKind.ARRAY}


# ---- refused --------------------------------------------------------------------------------------------------------------

DEEP_LIST = b"\x75\x01" * 100 + b"\x7e"
TOO_DEEP_LIST = b"\x75\x01" * 101 + b"\x7e"


@pytest.mark.parametrize(
    ("update", "code"),
    [
        pytest.param(b"", "truncated", marks=pytest.mark.rule("GU2")),
        pytest.param(b"\x00", "truncated", marks=pytest.mark.rule("GU2")),
        pytest.param(one(AB)[:-1], "truncated", marks=pytest.mark.rule("GU2")),
        pytest.param(one(AB)[:-3], "truncated", marks=pytest.mark.rule("GU2")),
        pytest.param(one(text(b"ab", root=b"r" * 200))[:40], "truncated", marks=pytest.mark.rule("GU2")),
        pytest.param(write_update([], {1: [(0, 1)]})[:-1], "count", marks=pytest.mark.rule("GU5")),
        pytest.param(one(AB) + b"\x00", "trailing", marks=pytest.mark.rule("GU2")),
        pytest.param(b"\x80\x00\x00", "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(b"\x81\x80\x00\x00", "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(b"\x80" * 9, "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(b"\x00" + varuint(2**53), "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(write_update([block(2**53, 0, AB)]), "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(one(values(Raw(b"\x7d\x80\x00"))), "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(one(values(Raw(b"\x7d" + varint(2**53)))), "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(one(values(Raw(b"\x7d" + b"\xff" * 8 + b"\x01"))), "varint", marks=pytest.mark.rule("GU2")),
        pytest.param(one(values(Raw(b"\x7c\x00"))), "truncated", marks=pytest.mark.rule("GU2")),
        pytest.param(one(values(Raw(b"\x7b")))[:-1], "truncated", marks=pytest.mark.rule("GU2")),
        pytest.param(one(text(b"\xff")), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(text(b"\xed\xa0\x80")), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(text("a", root=b"\xff")), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(text("a", key=b"\xff")), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(text("a", parent=(2, 0), key=b"\xff")), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(embed(b'"\xff"')), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(embed(b'"\\ud800"')), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(mark(b"\xff", 1)), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(shared_type("xmlelement", b"\xff")), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(values(Raw(b"\x77\x01\xff"))), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(values(Raw(b"\x76\x01\x01\xff\x7e"))), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(subdocument(b"\xff", {})), "utf8", marks=pytest.mark.rule("GU3")),
        pytest.param(one(deleted(2**31)), "clock", marks=pytest.mark.rule("GU4")),
        pytest.param(one(gc(2**32 - 1)), "clock", marks=pytest.mark.rule("GU4")),
        pytest.param(write_update([block(1, 2**31 - 1, AB)]), "clock", marks=pytest.mark.rule("GU4")),
        pytest.param(one(text("a", origin=(2, 2**31))), "clock", marks=pytest.mark.rule("GU4")),
        pytest.param(one(text("a", right=(2, 2**31))), "clock", marks=pytest.mark.rule("GU4")),
        pytest.param(one(text("a", parent=(2, 2**31))), "clock", marks=pytest.mark.rule("GU4")),
        pytest.param(write_update([], {1: [(2**31 - 1, 1)]}), "clock", marks=pytest.mark.rule("GU4")),
        pytest.param(b"\x01\x00\x01\x00\x00", "count", marks=pytest.mark.rule("GU5")),
        pytest.param(b"\x01\x7f\x01\x00" + AB + b"\x00", "count", marks=pytest.mark.rule("GU5")),
        pytest.param(one(item(8, b"\x7f\x7e")), "count", marks=pytest.mark.rule("GU5")),
        pytest.param(one(values(Raw(b"\x75" + varuint(2**26)))), "count", marks=pytest.mark.rule("GU5")),
        pytest.param(one(values(Raw(b"\x76\x02\x00\x7e"))), "count", marks=pytest.mark.rule("GU5")),
        pytest.param(b"\x00\x01\x01\x00", "count", marks=pytest.mark.rule("GU5")),
        pytest.param(one(text("")), "empty_struct", marks=pytest.mark.rule("GU5")),
        pytest.param(one(deleted(0)), "empty_struct", marks=pytest.mark.rule("GU5")),
        pytest.param(one(values()), "empty_struct", marks=pytest.mark.rule("GU5")),
        pytest.param(one(gc(0)), "empty_struct", marks=pytest.mark.rule("GU5")),
        pytest.param(one(skip(0)), "empty_struct", marks=pytest.mark.rule("GU5")),
        pytest.param(write_update([block(1, 0, AB), block(1, 2, AB)]), "duplicate", marks=pytest.mark.rule("GU6")),
        pytest.param(b"\x00\x02\x01\x01\x00\x01\x01\x01\x01\x01", "duplicate", marks=pytest.mark.rule("GU6")),
        pytest.param(write_update([], {1: [(5, 1), (0, 1)]}), "delete_order", marks=pytest.mark.rule("GU6")),
        pytest.param(write_update([], {1: [(0, 2), (1, 1)]}), "delete_order", marks=pytest.mark.rule("GU6")),
        pytest.param(write_update([], {1: [(0, 0)]}), "delete_order", marks=pytest.mark.rule("GU6")),
        pytest.param(one(item(2, b"\x01" + sized('"a"'))), "legacy_json", marks=pytest.mark.rule("GU7")),
        pytest.param(one(shared_type("xmlhook", "hook")), "type", marks=pytest.mark.rule("GU7")),
        pytest.param(one(shared_type(7)), "type", marks=pytest.mark.rule("GU7")),
        pytest.param(one(shared_type(15)), "type", marks=pytest.mark.rule("GU7")),
        pytest.param(one(item(11, b"")), "content", marks=pytest.mark.rule("GU7")),
        pytest.param(one(item(20, sized("hi"))), "content", marks=pytest.mark.rule("GU7")),
        pytest.param(one(item(16, b"\x01")), "content", marks=pytest.mark.rule("GU7")),
        pytest.param(one(item(0, b"\x01", origin=(2, 0))), "flags", marks=pytest.mark.rule("GU7")),
        pytest.param(one(item(10, b"\x01", right=(2, 0))), "flags", marks=pytest.mark.rule("GU7")),
        pytest.param(one(b"\x20\x01"), "flags", marks=pytest.mark.rule("GU7")),
        pytest.param(one(values(Raw(b"\x73"))), "any", marks=pytest.mark.rule("GU7")),
        pytest.param(one(b"\x04\x02\x01\x00\x01a"), "parent", marks=pytest.mark.rule("GU7")),
        pytest.param(one(values(Raw(TOO_DEEP_LIST))), "depth", marks=pytest.mark.rule("GU8")),
        pytest.param(one(values(Raw(b"\x76\x01\x00" * 101 + b"\x7e"))), "depth", marks=pytest.mark.rule("GU8")),
        pytest.param(one(subdocument("g", Raw(TOO_DEEP_LIST))), "depth", marks=pytest.mark.rule("GU8")),
        pytest.param(one(embed(b"[" * 101 + b"]" * 101)), "depth", marks=pytest.mark.rule("GU8")),
        pytest.param(one(embed(b"[" + b"[1]," * 99)), "json", marks=pytest.mark.rule("GU9")),
        pytest.param(
            one(embed(b"[" * 60 + (b"[" * 50 + b"]" * 50 + b",") * 3 + b"1" + b"]" * 60)),
            "depth",
            marks=pytest.mark.rule("GU8"),
        ),
        pytest.param(one(embed(b"[" * 60 + b"[]," + b"[" * 60 + b"]" * 120)), "depth", marks=pytest.mark.rule("GU8")),
        pytest.param(one(embed(b'{"]":' * 101 + b"1" + b"}" * 101)), "depth", marks=pytest.mark.rule("GU8")),
        pytest.param(one(mark("k", b"[" * 50_000)), "depth", marks=pytest.mark.rule("GU8")),
        pytest.param(write_update([block(1, 5, text("a", origin=(1, 5)))]), "future", marks=pytest.mark.rule("GU10")),
        pytest.param(write_update([block(1, 5, text("a", right=(1, 9)))]), "future", marks=pytest.mark.rule("GU10")),
        pytest.param(write_update([block(1, 5, text("a", parent=(1, 5)))]), "future", marks=pytest.mark.rule("GU10")),
        pytest.param(write_update([block(1, 500, text("a", origin=(1, 500)))]), "future", marks=pytest.mark.rule("GU10")),
        pytest.param(write_update([block(1, 500, text("a", right=(1, 500)))]), "future", marks=pytest.mark.rule("GU10")),
        pytest.param(one(text("a", root="x" * 1025)), "long_name", marks=pytest.mark.rule("GU12")),
        pytest.param(one(shared_type("xmlelement", "x" * 1025)), "long_name", marks=pytest.mark.rule("GU12")),
        pytest.param(one(text("a", key="x" * 32_769)), "long_name", marks=pytest.mark.rule("GU12")),
        pytest.param(one(mark("x" * 32_769, 1)), "long_name", marks=pytest.mark.rule("GU12")),
        pytest.param(one(values({"x" * 32_769: 1})), "long_name", marks=pytest.mark.rule("GU12")),
    ],
)
def test_refused(update: bytes, code: str) -> None:
    assert refusal(update) == code


@pytest.mark.rule("GU8")
def test_values_at_the_limit_of_depth_pass() -> None:
    inspect(one(values(Raw(DEEP_LIST)), embed(b"[" * 100 + b"]" * 100), embed(b"[" + b"[]," * 500 + b"[]]")))
    inspect(one(embed(b'["' + b"[" * 500 + b'\\""]'), embed(b'{"a\\\\":[' + b"[],{}," * 60 + b"[]]}")))


@pytest.mark.rule("GU2")
def test_the_largest_integers_pass() -> None:
    inspect(write_update([block(2**53 - 1, 2**31 - 2, text("a", origin=(2**53 - 1, 2**31 - 3)))]))
    inspect(one(values(Raw(b"\x7d" + varint(2**53 - 1)), Raw(b"\x7d" + varint(-(2**53) + 1)))))


JSON = [
    *(
        "",
        "undefined",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1" * 400,
        "18446744073709551615",
        "9223372036854775808",
    ),
    *(
        "9223372036854775807",
        "-9223372036854775809",
        "18446744073709551616",
        "123456789012345678901234567890",
        "1" * 300,
        "1e-400",
    ),
    *(
        "[1,]",
        "{a:1}",
        '{"a":1,}',
        '{"a":1,"a":2}',
        ' {"a" : 1}\t\r\n',
        "\u00a01",
        "\ufeff1",
        '"a" x',
        "01",
        "-",
        "-0",
        "-01",
        "1.",
        ".5",
    ),
    *(
        "+1",
        "1E5",
        "1.5e-7",
        '"\\x"',
        '"\\/"',
        '"\x01"',
        '"\x7f"',
        '"\\u0000"',
        '"\\ud83d\\ude00"',
        '"\\ude00\\ud83d"',
        '"\\ud83dx"',
    ),
    *(
        "true",
        "True",
        "null",
        "nul",
        "[]",
        "{}",
        "[[[]]]",
        '"é"',
        '"',
        '"\\',
        "0",
        "00",
        "123456789012345",
        "1234567890123456789",
        '""',
    ),
]


@pytest.mark.rule("GU9")
@pytest.mark.parametrize("source", JSON)
def test_json_passes_exactly_when_the_engine_reads_it(source: str) -> None:
    update = one(embed(source.encode()), mark("k", source.encode(), origin=(1, 0)))
    doc: Doc[Any] = Doc()
    try:
        doc.apply_update(update)
    except ValueError:
        assert refusal(update) in {"json", "utf8"}
    else:
        inspect(update)


@pytest.mark.rule("GU12")
@pytest.mark.parametrize(
    ("update", "limits", "code"),
    [
        (one(AB, AB), {"structs": 1}, "structs"),
        (one(shared_type("map"), shared_type("map")), {"types": 1}, "types"),
        (write_update([block(1, 0, AB), block(2, 0, AB)]), {"clients": 1}, "clients"),
        (write_update([block(client, 0, AB) for client in range(128)]), {"clients": 127}, "clients"),
        (write_update([], {1: [(0, 1)], 2: [(0, 1)]}), {"clients": 1}, "clients"),
        (write_update([], {1: [(0, 1), (2, 1)]}), {"delete_ranges": 1}, "delete_ranges"),
        (one(text("a", root="a"), text("b", root="b")), {"roots": 1}, "roots"),
    ],
)
def test_numbers_are_limited(update: bytes, limits: dict[str, int], code: str) -> None:
    generous = {name: getattr(SYNC_LIMITS, name) for name in GuardLimits.__slots__}
    inspect(update, GuardLimits(**generous))
    inspect(update, GuardLimits(**generous | {name: limit + 1 for name, limit in limits.items()}))
    assert refusal(update, GuardLimits(**generous | limits)) == code
