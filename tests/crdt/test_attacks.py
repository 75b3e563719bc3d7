"""Updates made to crash, stall or poison the server: each is refused, soon, and before the engine sees it.

What each does to the engine was measured with pycrdt 0.14.13.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cowrite.crdt.document import Document
from cowrite.crdt.errors import EngineFault, HostileUpdate
from cowrite.crdt.guard import LIVE_LIMITS, SYNC_LIMITS, GuardLimits, inspect
from cowrite.crdt.outline import missing
from cowrite.testing.yjs_writer import (
    Place,
    Raw,
    block,
    embed,
    gc,
    item,
    mark,
    shared_type,
    subdocument,
    text,
    values,
    varuint,
    write_update,
)
from timing import MS

CPU_MS = MS * (10 if sys.gettrace() is not None else 1)
"""One millisecond of CPU, ten while coverage is measured."""


def nested_lists(depth: int) -> bytes:
    """60 KB at 30 000 levels: the process dies of a stack overflow in apply_update."""
    return write_update([block(1, 0, values(Raw(b"\x75\x01" * depth + b"\x7e"), root="t"))])


def nested_maps(depth: int) -> bytes:
    return write_update([block(1, 0, values(Raw(b"\x76\x01\x00" * depth + b"\x7e"), root="t"))])


def nested_json(depth: int) -> bytes:
    return write_update([block(1, 0, embed(b"[" * depth + b"]" * depth, root="t"))])


def nested_elements(depth: int) -> bytes:
    """250 KB at 30 000 levels: the process dies when the document is read; at 40 000 when it is deleted."""
    structs = [shared_type("xmlelement", "p", root="t")]
    structs += [shared_type("xmlelement", "p", parent=(1, level)) for level in range(depth - 1)]
    return write_update([block(1, 0, *structs)])


def nested_by_neighbours(depth: int) -> bytes:
    """As above, with places that name a neighbour instead of the parent: an element is put beside a text in the one above."""
    structs = [text("a", root="t")]
    for level in range(depth):
        structs += [shared_type("array", origin=(1, 2 * level)), text("a", parent=(1, 2 * level + 1))]
    return write_update([block(1, 0, *structs)])


def nested_across_clients(depth: int) -> bytes:
    """As above, each level by another client, so that no client's structs are deep."""
    blocks = [block(1, 0, shared_type("map", root="t", key="k"))]
    blocks += [block(level + 2, 0, shared_type("map", parent=(level + 1, 0), key="k")) for level in range(depth)]
    return write_update(blocks)


def map_of_many(count: int) -> bytes:
    """15 bytes at 2^26 entries: 135 MB are allocated before the first is read."""
    return write_update([block(1, 0, values(Raw(b"\x76" + varuint(count)), root="t"))])


def one_origin_two_clients(count: int) -> bytes:
    """160 KB at 2 x 10 000: 21 s; each struct of the second client steps past all of the first one's."""
    first = [text("o", root="t"), *(embed(1, origin=(1, 0)) for _ in range(count))]
    second = [embed(2, origin=(1, count)), *(embed(2, origin=(1, 0)) for _ in range(count))]
    return write_update([block(2, 0, *second), block(1, 0, *first)])


def one_origin_many_rights(count: int) -> bytes:
    """55 KB at 4 000: 2.5 s; one client alone, each struct between the first and another of a row of structs."""
    structs = [text("o", root="t"), *(embed(1, origin=(1, at)) for at in range(count))]
    structs += [embed(2, origin=(1, 0), right=(1, at)) for at in range(1, count)]
    return write_update([block(1, 0, *structs)])


def many_origins_one_right(count: int) -> bytes:
    """90 KB at 10 000: 23 s; each struct between another character of a text and its last."""
    structs = [text("a" * count, root="t")]
    structs += [text("x", origin=(1, at), right=(1, count - 1)) for at in range(count - 3, -1, -1)]
    return write_update([block(1, 0, *structs)])


def before_all_others(count: int) -> bytes:
    """60 KB at 2 x 5 000: 2.6 s; each client goes on writing before its own first struct."""
    first = [text("a", root="t"), *(text("a", right=(1, at)) for at in range(count - 1))]
    second = [text("b", origin=(1, 0)), text("b", right=(1, count - 1))]
    second += [text("b", right=(2, 0)) for at in range(count)]
    return write_update([block(1, 0, *first), block(2, 0, *second)])


def chain_of_clients(count: int) -> bytes:
    """1 MB at 90 000: 12 s; each client waits for the next lower one."""
    blocks = [block(1, 0, text("x", root="t"))]
    blocks += [block(client, 0, text("x", origin=(client - 1, 0))) for client in range(2, count + 1)]
    return write_update(blocks)


def joined(struct: Callable[..., bytes], count: int, length: int = 1) -> bytes:
    """240 KB of 20 000 values: 61 s; 1 MB of 1 000 strings: 3 s. The engine joins them, and copies each time what it has."""
    first = struct(root="t")
    return write_update([block(1, 0, first, *(struct(origin=(1, at * length - 1)) for at in range(1, count)))])


def poisoned_client() -> bytes:
    """11 bytes: the client id can never be used again."""
    return write_update([block(1, 0, gc(2**32 - 1))])


def struct_for_the_price_of_none() -> bytes:
    return write_update([block(1, 0, *[gc(0)] * 1000)])


ATTACKS: list[tuple[Callable[[], bytes], str]] = [
    (lambda: nested_lists(30_000), "depth"),
    (lambda: nested_lists(400_000), "depth"),
    (lambda: nested_maps(30_000), "depth"),
    (lambda: nested_json(500_000), "depth"),
    (lambda: write_update([block(1, 0, mark("k", b'{"a":' * 60_000, root="t"))]), "depth"),
    (lambda: write_update([block(1, 0, subdocument("g", Raw(b"\x75\x01" * 30_000), root="t"))]), "depth"),
    (lambda: write_update([block(1, 0, embed(b'"' + b'\\"' * 400_000, root="t"))]), "json"),
    (lambda: write_update([block(1, 0, embed(b'["' * 200 + b'\\"' * 400_000, root="t"))]), "json"),
    (lambda: write_update([block(1, 0, embed(b"1" * 900_000, root="t"))]), "json"),
    (lambda: write_update([block(1, 0, embed(b"[" + b"1" * 4000 + b"]", root="t"))]), "json"),
    (lambda: nested_elements(15_000), "levels"),
    (lambda: nested_elements(101), "levels"),
    (lambda: nested_by_neighbours(8_000), "levels"),
    (lambda: nested_by_neighbours(102), "levels"),
    (lambda: nested_across_clients(1_000), "levels"),
    (lambda: map_of_many(2**26), "count"),
    (lambda: write_update([block(1, 0, values(Raw((b"\x76" + varuint(2**22) + b"\x01k") * 30), root="t"))]), "count"),
    (lambda: write_update([block(1, 0, item(8, varuint(2**31), root="t"))]), "count"),
    (lambda: b"\x01" + varuint(2**40) + b"\x01\x00", "count"),
    (lambda: varuint(2**40), "clients"),
    (lambda: b"\x00\x01\x01" + varuint(2**40), "count"),
    (lambda: write_update([block(1, 0, item(4, varuint(2**40) + b"a", root="t"))]), "truncated"),
    (lambda: one_origin_two_clients(300), "conflicts"),
    (lambda: one_origin_many_rights(300), "conflicts"),
    (lambda: many_origins_one_right(300), "conflicts"),
    (lambda: before_all_others(300), "conflicts"),
    (lambda: chain_of_clients(2_000), "waits"),
    (lambda: joined(partial(text, "a"), 3_000), "joins"),
    (lambda: joined(partial(text, "a" * 1_000), 1_000, 1_000), "joins"),
    (lambda: joined(partial(values, 1), 1_000), "joins"),
    (lambda: joined(partial(values, *[1] * 1_000), 30, 1_000), "joins"),
    (poisoned_client, "clock"),
    (struct_for_the_price_of_none, "empty_struct"),
    (lambda: b"\xff" * 1_000_000, "varint"),
    (lambda: b"\x01\x01" + b"\xff" * 1_000_000, "varint"),
    (lambda: write_update([block(1, 0, values(Raw(b"\x7d" + b"\xff" * 900_000), root="t"))]), "varint"),
    (lambda: write_update([block(1, 0, text("a", root="x" * 900_000))]), "long_name"),
    (lambda: write_update([block(1, 0, *(text("a", root=f"{at}") for at in range(20_000)))]), "roots"),
    (lambda: write_update([block(client, 0, text("a", root="t")) for client in range(12_000)]), "clients"),
]


SMALL_LIMITS = replace(LIVE_LIMITS, conflicts=20_000, waits=10**6, joins=4 * 10**5)
"""A tenth of the real ones: most attacks can then be a tenth as long."""


@pytest.mark.rule("GU8")
@pytest.mark.rule("GU11")
@pytest.mark.rule("GU13")
@pytest.mark.parametrize(("make", "code"), ATTACKS)
def test_an_attack_is_refused_soon(make: Callable[[], bytes], code: str) -> None:
    update = make()
    started = time.thread_time()
    with pytest.raises(HostileUpdate) as caught:
        inspect(update, SMALL_LIMITS)
    assert caught.value.code == code
    assert time.thread_time() - started < 1000 * CPU_MS


@pytest.mark.rule("GU11")
@pytest.mark.rule("GU13")
@pytest.mark.parametrize(
    ("make", "limits", "code"),
    [
        (lambda: many_origins_one_right(10_000), LIVE_LIMITS, "conflicts"),
        (lambda: joined(partial(values, 1), 20_000), SYNC_LIMITS, "joins"),
        (lambda: chain_of_clients(15_000), replace(SYNC_LIMITS, waits=10**8), "waits"),
    ],
)
@pytest.mark.large
def test_an_attack_in_full_is_refused_soon(make: Callable[[], bytes], limits: GuardLimits, code: str) -> None:
    update = make()
    started = time.thread_time()
    with pytest.raises(HostileUpdate) as caught:
        inspect(update, limits)
    assert caught.value.code == code
    assert time.thread_time() - started < 3000 * CPU_MS


@pytest.mark.rule("GU11")
def test_runs_that_are_joined_end_where_another_kind_stands() -> None:
    """Each run by itself is cheap; all of them as one would not be."""

    def runs(length: int) -> bytes:
        structs = [embed(1, origin=(1, at - 1)) if at % length == 0 else values(1, origin=(1, at - 1)) for at in range(1, 2000)]
        return write_update([block(1, 0, values(1, root="t"), *structs)])

    inspect(runs(20))
    with pytest.raises(HostileUpdate) as refused:
        inspect(runs(2000), replace(LIVE_LIMITS, joins=10**6))
    assert refused.value.code == "joins"
    inspect(runs(20), replace(LIVE_LIMITS, joins=10**6))


@pytest.mark.rule("GU11")
@pytest.mark.large
def test_many_people_at_one_place_pass() -> None:
    at_once = [block(client, 0, text("x", root="t")) for client in range(1, 600)]
    inspect(write_update(at_once))
    log = [text("x", root="t"), *(text("x", right=(1, at)) for at in range(5_000))]
    inspect(write_update([block(1, 0, *log)]))
    by_turns = [text("x", right=(2, at)) for at in range(1_000)]
    others = [text("x", root="t"), *(text("x", right=(1, at)) for at in range(999))]
    inspect(write_update([block(1, 0, *by_turns), block(2, 0, *others)]))
    inspect(before_all_others(300))
    inspect(chain_of_clients(5_000))
    inspect(joined(partial(text, "a"), 5_000))
    inspect(joined(partial(values, 1), 1_000))


def nest_by_parent(level: int) -> bytes:
    parent = {"parent": (1, level - 1)} if level else {"root": "t"}
    return write_update([block(1, level, shared_type("xmlelement", "p", **parent))])


def nest_by_neighbour(level: int) -> bytes:
    """One update for each level: a text in the innermost array, and beside it the next array."""
    inner = text("a", parent=(1, 2 * level - 1)) if level else text("a", root="t")
    return write_update([block(1, 2 * level, inner, shared_type("array", origin=(1, 2 * level)))])


def nest_by_right_neighbour(level: int) -> bytes:
    inner = text("a", parent=(1, 2 * level - 1)) if level else text("a", root="t")
    return write_update([block(1, 2 * level, inner, shared_type("array", right=(1, 2 * level)))])


@pytest.mark.rule("GU23")
@pytest.mark.parametrize("reload", [False, True])
@pytest.mark.parametrize("nest", [nest_by_parent, nest_by_neighbour, nest_by_right_neighbour])
def test_levels_built_up_by_small_updates_stop_at_100(nest: Callable[[int], bytes], reload: bool) -> None:
    document = Document.empty()
    for level in range(100):
        update = nest(level)
        outline = inspect(update)
        assert not missing(outline, document.state)
        document.admit(update, outline)
        if reload and level % 30 == 29:
            document = Document.from_state(document.encode())
    before = document.encode()
    with pytest.raises(HostileUpdate) as caught:
        document.admit(nest(100), inspect(nest(100)))
    assert caught.value.code == "levels"
    assert document.usable
    assert document.encode() is before


@pytest.mark.rule("GU16")
def test_a_flood_of_updates_that_build_on_nothing_never_reaches_the_engine() -> None:
    started = time.thread_time()
    for clock in range(1, 4_000):
        assert missing(inspect(write_update([block(1, 2 * clock, text("x", origin=(1, 2 * clock - 1)))])), {})
        assert missing(inspect(write_update([], {1: [(2 * clock, 1)]})), {})
    assert time.thread_time() - started < 3000 * CPU_MS


def scattered(count: int, *, farthest: bool) -> bytes:
    """Inserts by a second client all over a text of the first one; each before the text's end, or where it belongs."""
    rights = (count - 1 if farthest else at + 1 for at in range(count - 3, -1, -1))
    places = zip(range(count - 3, -1, -1), rights, strict=True)
    return write_update([block(2, 0, *(text("x", origin=(1, at), right=(1, right)) for at, right in places))])


@pytest.mark.rule("GU32")
def test_an_attack_in_two_updates_is_refused() -> None:
    """The first one is what somebody types, the second one costs the square of its length together with it: 23 s."""
    document = Document.empty()
    typed = write_update([block(1, 0, text("a" * 10_000, root="t"))])
    document.admit(typed, inspect(typed))
    attack = scattered(10_000, farthest=True)
    started = time.thread_time()
    with pytest.raises(HostileUpdate) as refused:
        document.admit(attack, inspect(attack))
    assert refused.value.code == "neighbours"
    assert time.thread_time() - started < 1000 * CPU_MS
    assert document.usable


@pytest.mark.rule("GU31")
def test_a_piece_under_a_key_does_not_outlive_its_type() -> None:
    """What is cut under a key the engine forgets but for its last piece: the first keeps pointing to the map that is gone. Of
    what is put beside it the process dies, or goes round in circles for good."""
    document = Document.empty()
    entry = write_update([block(1, 0, shared_type("map", root="m", key="k"))])
    document.admit(entry, inspect(entry))
    inner = write_update([block(2, 0, text("xxxx", parent=(1, 0), key="a"))])
    with pytest.raises(HostileUpdate) as caught:
        document.admit(inner, inspect(inner))
    assert caught.value.code == "no_entry"


@pytest.mark.rule("GU25")
@pytest.mark.parametrize("place", [{"origin": (1, 0)}, {"root": "t"}, {"right": (1, 0)}], ids=["origin", "head", "right"])
def test_many_small_updates_at_one_place_do_not_add_up(place: Place) -> None:
    """Each is cheap by itself, and steps past all that those before it have put there: 0.9 s for 900 structs after 20 000."""
    document = Document.empty()
    typed = write_update([block(1, 0, text("o", root="t"))])
    document.admit(typed, inspect(typed))
    clocks = {2: 0, 3: 0}
    stopped = ""
    for turn in range(60):
        client = 3 - turn % 2
        update = write_update([block(client, clocks[client], *[embed(client, **place)] * 900)])
        clocks[client] += 900
        outline = inspect(update)
        assert outline.loose == 900
        started = time.thread_time()
        try:
            document.admit(update, outline)
        except EngineFault as fault:
            stopped = str(fault)
            break
        finally:
            assert time.thread_time() - started < 1000 * CPU_MS
    assert "CPU time" in stopped, "each of them takes longer than the one before it"


@pytest.mark.rule("GU25")
def test_thousands_of_edits_at_places_of_their_own_pass() -> None:
    document = Document.empty()
    typed = write_update([block(1, 0, text("a" * 10_000, root="t"))])
    document.admit(typed, inspect(typed))
    edits = scattered(10_000, farthest=False)
    fresh = document.admit(edits, inspect(edits))
    assert fresh is not None
    assert document.state == {1: 10_000, 2: 9_998}
    copy = Document.from_state(typed)
    copy.apply(edits, inspect(edits))
    assert document.encode() == copy.encode()
    assert inspect(fresh).brings == inspect(edits).brings


# ---- in processes of their own --------------------------------------------------------------------------------------------


def run_limited(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with at most 1 GB of address space and 60 s."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=limit)


@pytest.mark.rule("GU13")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process its largest size")
@pytest.mark.large
def test_no_attack_costs_memory() -> None:
    program = """
from test_attacks import ATTACKS, SMALL_LIMITS
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.guard import inspect
for make, code in ATTACKS:
    try:
        inspect(make(), SMALL_LIMITS)
    except HostileUpdate as refused:
        assert refused.code == code
    else:
        raise AssertionError(code)
# Not getrusage(): what it says begins with the size of the process that started this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = run_limited(program)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300 * 1024  # KB, the interpreter and the attacks themselves included


@pytest.mark.parametrize("attack", ["nested_lists(100_000)", "nested_elements(60_000)"], ids=["values", "elements"])
def test_the_engine_still_dies_of_what_is_refused(attack: str) -> None:
    """Should this fail one day, the engine has been mended."""
    done = run_limited(f"""
from test_attacks import *
from pycrdt import Doc, XmlFragment
doc = Doc()
doc.apply_update({attack})
str(doc.get("t", type=XmlFragment))
""")
    assert done.returncode in {-signal.SIGSEGV, -signal.SIGABRT}
