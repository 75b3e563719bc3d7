"""The structural check of a Yjs update (v1) before anything else reads it.

Theory of operation. One walk over the bytes, in pure Python, in time linear in their number. It accepts what Yjs and pycrdt
write, and nothing that the engine or a browser would read differently, choke on or be stalled by; what it accepts it describes
as an :class:`Outline`. The loop over structs is one long function on purpose: it runs for every keystroke, and a call per
integer would double its time.

The format: the number of clients; for each the number of its structs, its id, the clock of the first struct, and the structs;
then the delete set: the number of clients, for each its id, the number of ranges, and a clock and a length for each range.
Integers are lib0's variable-length ones. A struct begins with a byte of flags: its kind of content, the neighbours written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from cowrite.crdt.content import CONTENT_READERS, MAX_CLOCK, MAX_KEY_BYTES, MAX_ROOT_BYTES, read_long, read_text, read_varuint
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.integration import Reference, needs_and_order
from cowrite.crdt.outline import ClockRange, Outline
from cowrite.crdt.roots import RootKind
from cowrite.crdt.structs import CLOCK_BITS, GC, HAS_KEY, SKIP, STRING, TYPE, Structs


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How much one update may hold. Names, nesting and clocks are bounded in :mod:`cowrite.crdt.content`, alike for all."""

    structs: int
    types: int
    clients: int
    delete_ranges: int
    roots: int


LIVE_LIMITS = GuardLimits(structs=200_000, types=50_000, clients=10_000, delete_ranges=200_000, roots=1_000)
"""For an update as editors send it while people type (up to about 1 MB)."""
SYNC_LIMITS = GuardLimits(structs=2_000_000, types=500_000, clients=100_000, delete_ranges=2_000_000, roots=10_000)
"""For a whole document: SyncStep2, an import, a stored state (up to about 32 MB)."""

_XML_TYPES = (3, 6)
_KIND_OF_CONTENT = dict.fromkeys((4, 5, 6), RootKind.TEXT) | dict.fromkeys((3, 8, 9), RootKind.ARRAY)


def inspect(update: bytes, limits: GuardLimits = LIVE_LIMITS) -> Outline:
    """Make the outline of an update that is safe to apply to a document that has what the update needs.

    Raises :class:`HostileUpdate`. Safe means: well-formed, read alike by the engine and by browsers, within ``limits``, no cost
    out of proportion to its size. Not looked at, because it takes a document: whether that has what the update needs
    (:func:`cowrite.crdt.outline.missing`), holds other content for the same clocks (``Document.contradicts``), or would be
    nested too deep (``Document.nests_too_deep``). Nor who may use which client id.
    """
    try:
        return _walk(update, limits)
    except IndexError:
        raise HostileUpdate("truncated", "it ends too early") from None
    except UnicodeDecodeError:
        raise HostileUpdate("utf8", "a string in it is not valid UTF-8") from None


def _walk(data: bytes, limits: GuardLimits) -> Outline:  # noqa: C901  (see the module's docstring)
    size = len(data)
    structs = Structs(size)
    infos, clocks, lefts, rights = structs.infos, structs.clocks, structs.lefts, structs.rights
    brings: list[ClockRange] = []
    roots: dict[str, RootKind | None] = {}
    references: list[list[Reference]] = []
    own_blocks: set[int] = set()
    types = 0

    count, at = read_varuint(data, 0)
    if count > limits.clients:
        _refuse("clients", f"structs of {count} clients, at most {limits.clients} are taken")
    for _ in range(count):
        rows, at = read_varuint(data, at)
        before = at
        client, at = read_varuint(data, at)
        own = data[before:at]
        clock, at = read_varuint(data, at)
        row = len(infos)
        if not 0 < rows <= size - at:
            _refuse("count", f"{rows} structs are announced for client {client} where {size - at} bytes are left")
        if row + rows > limits.structs:
            _refuse("structs", f"more than {limits.structs} structs")
        if client in own_blocks:
            _refuse("duplicate", f"two lists of structs for client {client}")
        own_blocks.add(client)
        number = structs.number(client)
        base = number + 1 << CLOCK_BITS
        abroad: list[Reference] = []
        references.append(abroad)
        start = clock  # of the range without holes that is being read
        first = row
        last = row + rows
        while row < last:
            info = data[at]
            at += 1
            left = right = 0
            if info & 0xC0:
                if info & 0x80:
                    if data.startswith(own, at):
                        at += len(own)
                        other = data[at]
                        at += 1
                        if other > 127:
                            other, at = read_long(data, at, other)
                        if other >= clock:
                            _refuse_future(client, clock, other)
                        left = base | other
                    else:
                        left, at = _foreign_id(data, at, structs, abroad, row, clock)
                if info & 0x40:
                    if data.startswith(own, at):
                        at += len(own)
                        other = data[at]
                        at += 1
                        if other > 127:
                            other, at = read_long(data, at, other)
                        if other >= clock:
                            _refuse_future(client, clock, other)
                        right = base | other
                    else:
                        right, at = _foreign_id(data, at, structs, abroad, row, clock)
            elif info & 31 not in (GC, SKIP):
                if data[at] == 1:
                    left, at = _named_place(data, at + 1, structs, info, roots, limits)
                else:
                    left, at = _nested_place(data, at, structs, info, abroad, row, clock, number)
            infos.append(info)
            clocks.append(clock)
            lefts.append(left)
            rights.append(right)
            row += 1

            content = info & 31
            if content == STRING:
                length = data[at]
                at += 1
                if length > 127:
                    length, at = read_long(data, at, length)
                before = at
                at += length
                if at > size:
                    raise IndexError
                text = data[before:at]
                if not text.isascii():
                    length = len(str(text, "utf-8").encode("utf-16-le")) >> 1
            elif content and content != SKIP:
                if content == TYPE:
                    types += 1
                at, length = CONTENT_READERS[content](data, at)
            else:
                if info & 0xE0:
                    _refuse("flags", "a struct without content names neighbours")
                length, at = read_varuint(data, at)
                if content:
                    if clock > start:
                        brings.append(ClockRange(client, start, clock))
                    start = clock + length
            if not length:
                _refuse("empty_struct", f"a struct of no length at clock {clock} of client {client}")
            clock += length
            if clock > MAX_CLOCK:
                _refuse("clock", f"client {client} would reach a clock beyond {MAX_CLOCK}")
        if clock > start:
            brings.append(ClockRange(client, start, clock))
        structs.blocks.append((number, first, last, clock))
    if types > limits.types:
        _refuse("types", f"{types} shared types, at most {limits.types} are taken")

    deletes, at = _read_deletes(data, at, limits) if data[at] else ((), at + 1)
    if at != size:
        _refuse("trailing", f"{size - at} bytes follow its end")
    needs = needs_and_order(structs, brings, deletes, references)
    return Outline(tuple(brings), deletes, needs, roots, len(infos), types, structs)


def _foreign_id(data: bytes, at: int, structs: Structs, abroad: list[Reference], row: int, clock: int) -> tuple[int, int]:
    client, at = read_varuint(data, at)
    other, at = read_varuint(data, at)
    if other >= MAX_CLOCK:
        _refuse("clock", f"it refers to clock {other} of client {client}")
    abroad.append((row, clock, client, other))
    return structs.number(client) + 1 << CLOCK_BITS | other, at


def _named_place(
    data: bytes, at: int, structs: Structs, info: int, roots: dict[str, RootKind | None], limits: GuardLimits
) -> tuple[int, int]:
    name, at = read_text(data, at, MAX_ROOT_BYTES, "a root's name")
    key = None
    if info & HAS_KEY:
        key, at = read_text(data, at, MAX_KEY_BYTES, "a key")
        kind: RootKind | None = RootKind.MAP
    elif info & 31 == TYPE:
        kind = RootKind.XML if data[at] in _XML_TYPES else RootKind.ARRAY
    else:
        kind = _KIND_OF_CONTENT.get(info & 31)
    # A text may have attributes of its own, which look like map entries: what stands in the list tells more.
    if roots.get(name) is None or (roots[name] is RootKind.MAP and kind is not None):
        roots[name] = kind
        if len(roots) > limits.roots:
            _refuse("roots", f"more than {limits.roots} roots")
    return structs.head(name, key), at


def _nested_place(
    data: bytes, at: int, structs: Structs, info: int, abroad: list[Reference], row: int, clock: int, number: int
) -> tuple[int, int]:
    if data[at] != 0:
        _refuse("parent", "a struct's parent is neither a root nor a type")
    parent, at = _foreign_id(data, at + 1, structs, abroad, row, clock)
    if parent >> CLOCK_BITS == number + 1:
        _, _, client, other = abroad.pop()
        if other >= clock:
            _refuse_future(client, clock, other)
    key = None
    if info & HAS_KEY:
        key, at = read_text(data, at, MAX_KEY_BYTES, "a key")
    return structs.head(parent, key), at


def _read_deletes(data: bytes, at: int, limits: GuardLimits) -> tuple[tuple[ClockRange, ...], int]:
    count, at = read_varuint(data, at)
    if count > limits.clients:
        _refuse("clients", f"deletions of {count} clients, at most {limits.clients} are taken")
    deletes: list[ClockRange] = []
    seen: set[int] = set()
    for _ in range(count):
        client, at = read_varuint(data, at)
        ranges, at = read_varuint(data, at)
        if not 0 < ranges <= (len(data) - at) // 2:
            _refuse("count", f"{ranges} deleted ranges are announced where {len(data) - at} bytes are left")
        if len(deletes) + ranges > limits.delete_ranges:
            _refuse("delete_ranges", f"more than {limits.delete_ranges} deleted ranges")
        if client in seen:
            _refuse("duplicate", f"two lists of deletions for client {client}")
        seen.add(client)
        end = 0
        for _ in range(ranges):
            start = data[at]
            at += 1
            if start > 127:
                start, at = read_long(data, at, start)
            length = data[at]
            at += 1
            if length > 127:
                length, at = read_long(data, at, length)
            if start < end or not length:
                _refuse("delete_order", f"the deleted ranges of client {client} are not ascending")
            end = start + length
            if end > MAX_CLOCK:
                _refuse("clock", f"deletions of client {client} beyond clock {MAX_CLOCK}")
            deletes.append(ClockRange(client, start, end))
    return tuple(deletes), at


def _refuse(code: str, reason: str) -> NoReturn:
    raise HostileUpdate(code, reason)


def _refuse_future(client: int, clock: int, other: int) -> NoReturn:
    raise HostileUpdate("future", f"client {client} refers at clock {clock} to its own clock {other}")
