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

import re
from array import array
from dataclasses import dataclass
from typing import NoReturn

from cowrite.crdt.conflicts import Lists
from cowrite.crdt.content import CONTENT_READERS, MAX_CLOCK, MAX_KEY_BYTES, MAX_ROOT_BYTES, read_long, read_text, read_varuint
from cowrite.crdt.errors import HostileUpdate
from cowrite.crdt.integration import Order, Reference, integration_order, needs_alone, needs_and_inner
from cowrite.crdt.joins import check_joins
from cowrite.crdt.outline import CLOCK_BITS, CLOCK_MASK, CONTENT, HAS_KEY, SKIP, STRING, TYPE, ClockRange, Layout, Outline
from cowrite.crdt.places import MAX_LEVELS, Places
from cowrite.crdt.roots import RootKind


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """How much one update may hold. Names, nesting and clocks are bounded in :mod:`cowrite.crdt.content`, alike for all."""

    structs: int
    types: int
    clients: int
    delete_ranges: int
    roots: int
    waits: int
    """Looks at waiting structs while the order of integration is found (about 3 ns each in the engine)."""
    conflicts: int
    """Steps past other structs while places among concurrent ones are found (about 0.3 µs each in the engine)."""
    joins: int
    """Steps while neighbouring structs are joined (about 40 ns each in the engine)."""


LIVE_LIMITS = GuardLimits(
    structs=200_000,
    types=50_000,
    clients=10_000,
    delete_ranges=200_000,
    roots=1_000,
    waits=10**8,
    conflicts=200_000,
    joins=5 * 10**6,
)
"""For an update as editors send it while people type (up to about 1 MB)."""
SYNC_LIMITS = GuardLimits(
    structs=2_000_000,
    types=500_000,
    clients=100_000,
    delete_ranges=2_000_000,
    roots=10_000,
    waits=5 * 10**8,
    conflicts=2_000_000,
    joins=2 * 10**7,
)
"""For a whole document: SyncStep2, an import, a stored state (up to about 32 MB)."""

_FEW, _SHORT = 64, 16_384  # structs and bytes, up to which even the worst update costs no more than a few milliseconds
_CHUNK = 16_384  # integers of rows that are gathered in a list, before they move to an array (8 bytes each instead of about 40)
_FEW_ROWS = 8  # so many stay in a list: an array of its own takes as much, and keystrokes are inspected sooner without
_LONG = 5  # bytes: so many the ids of most clients have at least; shorter ones are read as soon as they are looked up
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_new = tuple.__new__  # makes a named tuple in a third of the time
_XML_TYPES = (3, 6)
_KIND_OF_CONTENT = dict.fromkeys((4, 5, 6), RootKind.TEXT) | dict.fromkeys((3, 8, 9), RootKind.ARRAY)


def inspect(update: bytes, limits: GuardLimits = LIVE_LIMITS) -> Outline:
    """Make the outline of an update that is safe to apply to a document that has what the update needs.

    Raises :class:`HostileUpdate`. Safe means: well-formed, read alike by the engine and by browsers, within ``limits``, no cost
    out of proportion to its size. Not looked at, because it takes a document: whether that has what the update needs
    (:func:`cowrite.crdt.outline.missing`), holds other content for the same clocks (``Document.contradicts``), or would be
    nested too deep (``Document.nests_too_deep``). Nor who may use which client id.
    """
    outline = _read(update, limits)
    if outline.structs > _FEW or len(update) > _SHORT:
        if outline.types > MAX_LEVELS:
            Places().check(outline)
        lists = Lists(outline.layout, limits.conflicts)
        lists.integrate()
        check_joins(outline.layout, lists, limits.joins)
        outline = outline._replace(loose=lists.loose)
    return outline


def outline_of_state(state: bytes) -> Outline:
    """Make the outline of what a document has encoded itself: as :func:`inspect`, without limits and the check of costs.

    Raises :class:`HostileUpdate` when that is not what it is.
    """
    return _read(state, _NO_LIMITS)


def places_of(encoded: bytes) -> Places:
    """Return what a document remembers of the structs in its encoded state, for judging where an update puts new ones. Takes
    about as long as ``inspect``.
    """
    places = Places()
    places.note(outline_of_state(encoded))
    return places


def read_delete_set(data: bytes, at: int = 0) -> tuple[ClockRange, ...]:
    """Read a delete set of the engine's own, which begins at that place."""
    return _read_deletes(data, at, _NO_LIMITS)[0]


def deletes_of(update: bytes) -> tuple[ClockRange, ...]:
    """Return what an update deletes that is in the log already. Raises :class:`HostileUpdate` when it is none."""
    if update.startswith(b"\0"):  # it brings nothing: nothing needs to be read before
        return _read_deletes(update, 1, _NO_LIMITS)[0]
    return outline_of_state(update).deletes


_NO_LIMITS = GuardLimits(*[2**63] * 8)


def _read(update: bytes, limits: GuardLimits) -> Outline:
    try:
        return _walk(update, limits)
    except IndexError:
        raise HostileUpdate("truncated", "it ends too early") from None
    except UnicodeDecodeError:
        raise HostileUpdate("utf8", "a string in it is not valid UTF-8") from None


def _walk(data: bytes, limits: GuardLimits) -> Outline:  # noqa: C901  (see the module's docstring)
    size = len(data)
    clients: list[int] = []
    numbers: dict[int, int] = {}
    heads: list[int] = []
    heads_by_place: dict[tuple[int | str, str | None], int] = {}
    brings: list[ClockRange] = []
    roots: dict[str, RootKind | None] = {}
    blocks: list[tuple[int, int, int, int]] = []
    references: list[list[Reference]] = []
    rows: list[int] | array[int] = []
    fresh: list[int] = []  # rows that are not yet in rows
    halves: list[int] = []
    seen: dict[bytes, tuple[bytes, int, int]] = {}  # the first bytes of a client's id → all of them, the id, its base
    types = row = 0

    count = data[0]
    at = 1
    if count > 127:
        count, at = read_long(data, 1, count)
    if count > limits.clients:
        _refuse("clients", f"structs of {count} clients, at most {limits.clients} are taken")
    for _ in range(count):
        structs, at = read_varuint(data, at)
        before = at
        client, at = read_varuint(data, at)
        own = data[before:at]
        width = at - before
        clock, at = read_varuint(data, at)
        if not 0 < structs <= size - at:
            _refuse("count", f"{structs} structs are announced for client {client} where {size - at} bytes are left")
        if row + structs > limits.structs:
            _refuse("structs", f"more than {limits.structs} structs")
        number = numbers.setdefault(client, len(clients))
        if number == len(clients):
            clients.append(client)
        base = number + 1 << CLOCK_BITS
        abroad: list[Reference] = []
        references.append(abroad)
        start = clock  # of the range without holes that is being read
        first = row
        for row in range(first, first + structs):
            here = at
            info = data[at]
            content = info & CONTENT
            at += 1
            left = right = 0
            if info & 0x80:
                if data.startswith(own, at):
                    at += width
                    left = data[at]
                    at += 1
                    if left > 127:
                        left, at = read_long(data, at, left)
                    if left >= clock:
                        _refuse_future(client, clock, left)
                    left |= base
                else:
                    left, at = _foreign_id(data, at, clients, numbers, abroad, row, clock, seen)
            if info & 0x40:
                if data.startswith(own, at):
                    at += width
                    right = data[at]
                    at += 1
                    if right > 127:
                        right, at = read_long(data, at, right)
                    if right >= clock:
                        _refuse_future(client, clock, right)
                    right |= base
                else:
                    right, at = _foreign_id(data, at, clients, numbers, abroad, row, clock, seen)
            elif not left and content and content != SKIP:
                if data[at] == 1:
                    parent: int | str
                    parent, at = read_text(data, at + 1, MAX_ROOT_BYTES, "a root's name")
                elif data[at] == 0:
                    parent, at = _foreign_id(data, at + 1, clients, numbers, abroad, row, clock, seen)
                    if parent & ~CLOCK_MASK == base:
                        abroad.pop()
                        if parent & CLOCK_MASK >= clock:
                            _refuse_future(client, clock, parent & CLOCK_MASK)
                else:
                    _refuse("parent", "a struct's parent is neither a root nor a type")
                key = None
                if info & HAS_KEY:
                    key, at = read_text(data, at, MAX_KEY_BYTES, "a key")
                left = heads_by_place.setdefault((parent, key), len(heads) + 1)
                if left > len(heads):
                    heads.append(0 if isinstance(parent, str) else parent)
                if isinstance(parent, str):
                    _learn(roots, parent, info, data[at])
                    if len(roots) > limits.roots:
                        _refuse("roots", f"more than {limits.roots} roots")
            fresh += (info << CLOCK_BITS | clock, left, right, here)

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
                    length = _read_unicode(text, base | clock, halves)
            elif content and content != SKIP:
                at, length = CONTENT_READERS[content](data, at)
                if content == TYPE:
                    types += 1
            else:
                if info & ~CONTENT:
                    _refuse("flags", "a struct without content names neighbours")
                length, at = read_varuint(data, at)
                if content:
                    if clock > start:
                        brings.append(_new(ClockRange, (client, start, clock)))
                    start = clock + length
            if not length:
                _refuse("empty_struct", f"a struct of no length at clock {clock} of client {client}")
            clock += length
            if clock > MAX_CLOCK:
                _refuse("clock", f"client {client} would reach a clock beyond {MAX_CLOCK}")
            if len(fresh) > _CHUNK:
                rows = rows or array("Q")
                rows.extend(fresh)
                fresh.clear()
        row = first + structs
        if clock > start:
            brings.append(_new(ClockRange, (client, start, clock)))
        blocks.append((number, first, row, clock))
    if row > _FEW_ROWS:
        rows = rows or array("Q")
        rows.extend(fresh)
    if types > limits.types:
        _refuse("types", f"{types} shared types, at most {limits.types} are taken")

    deletes_at = at
    deletes, at = _read_deletes(data, at, limits) if data[at] else ((), at + 1)
    if at != size:
        _refuse("trailing", f"{size - at} bytes follow its end")
    if count == 1:
        needs = needs_alone(brings, deletes, abroad)
        order: Order = ((0, row),)
    elif len({block[0] for block in blocks}) < count:
        _refuse("duplicate", "two lists of structs for one client")
    else:
        needs, inner = needs_and_inner(brings, deletes, references)
        order = integration_order(clients, blocks, rows or fresh, inner, limits.waits)
    layout = _new(Layout, (clients, blocks, rows or fresh, heads, order, halves, deletes_at))
    return _new(Outline, (tuple(brings), deletes, needs, roots, row, types, row, layout))


def _foreign_id(
    data: bytes,
    at: int,
    clients: list[int],
    numbers: dict[int, int],
    abroad: list[Reference],
    row: int,
    clock: int,
    seen: dict[bytes, tuple[bytes, int, int]],
) -> tuple[int, int]:
    first = data[at : at + _LONG]
    known = seen.get(first)
    if known is not None and data.startswith(known[0], at):  # as nearly always: few clients are referred to often
        own, client, base = known
        at += len(own)
    else:
        before = at
        client, at = read_varuint(data, at)
        number = numbers.setdefault(client, len(clients))
        if number == len(clients):
            clients.append(client)
        base = number + 1 << CLOCK_BITS
        if at - before >= _LONG:
            seen[first] = data[before:at], client, base
    other = data[at]
    at += 1
    if other > 127:
        other, at = read_long(data, at, other)
    if other >= MAX_CLOCK:
        _refuse("clock", f"it refers to clock {other} of client {client}")
    abroad.append((row, clock, client, other))
    return base | other, at


def _learn(roots: dict[str, RootKind | None], name: str, info: int, next_byte: int) -> None:
    """Note what a struct that stands directly in a root tells of the root's kind."""
    if info & HAS_KEY:
        kind: RootKind | None = RootKind.MAP
    elif info & CONTENT == TYPE:
        kind = RootKind.XML if next_byte in _XML_TYPES else RootKind.ARRAY
    else:
        kind = _KIND_OF_CONTENT.get(info & CONTENT)
    # A text may have attributes of its own, which look like map entries: what stands in the list tells more.
    if roots.get(name) is None or (roots[name] is RootKind.MAP and kind is not None):
        roots[name] = kind


def _read_unicode(raw: bytes, first: int, halves: list[int]) -> int:
    text = str(raw, "utf-8")
    length = len(text.encode("utf-16-le")) >> 1
    if length > len(text):
        for before, match in enumerate(_ASTRAL.finditer(text)):
            halves.append(first + match.start() + before)
    return length


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
            deletes.append(_new(ClockRange, (client, start, end)))
    return tuple(deletes), at


def _refuse(code: str, reason: str) -> NoReturn:
    raise HostileUpdate(code, reason)


def _refuse_future(client: int, clock: int, other: int) -> NoReturn:
    raise HostileUpdate("future", f"client {client} refers at clock {clock} to its own clock {other}")
