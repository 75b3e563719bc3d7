"""Making a root hold what it should hold, by edits that leave alone what is right already.

What is compared is JSON, as :func:`cowrite.crdt.state.get_state` gives it. Entries and attributes are set; texts and lists are
replaced between what they have in common at both ends; a shared type whose kind (and tag) is right is mended, not replaced, so
that carets and comments in it survive. Where it is known what stays (:class:`Along`), only what is between that is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import accumulate, groupby
from operator import attrgetter
from typing import NamedTuple, Protocol

from cowrite.crdt.building import Builder
from cowrite.crdt.roots import RootKind
from cowrite.crdt.shared_types import Handle, Transaction, text_units, units_of
from cowrite.crdt.text_index import utf16_length
from cowrite.crdt.values import Json, tag_of

_UNITS = attrgetter("units")
_TYPES = ("$text", "$xmltext", "$xml", "$map", "$array")
_Insert = Callable[[Handle, int, Json, str, int], None]


def same(have: Json, want: Json) -> bool:
    """Tell whether two values are the same JSON: for Python, 1 and true are equal."""
    return have is want or _written(have) == _written(want)


def _written(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


Kept = tuple[int, int, int, "Along | None"]
"""(Place in a list as it is, place in it as it should be, length, what stays of a shared type). A shared type stands alone;
places are indexes, in texts of UTF-16 code units.
"""


class Unpatchable(Exception):
    """A text holds what cannot be seen: no position in it means anything. The document may be half changed."""


class Held(Enum):
    """What can be seen of a shared type's list."""

    TEXT = auto()
    ITEMS = auto()
    NODES = auto()


class Along(Protocol):
    """What stays of a shared type that is to be mended."""

    def kept(self, what: Held) -> Sequence[Kept]:
        """Return what stays of a list, ascending in both."""
        ...

    def stays(self, key: str) -> bool:
        """Tell whether what is under a key stays."""
        ...

    def entry(self, key: str) -> Along | None:
        """Return what stays of a shared type under a key."""
        ...


class Patcher:
    """Edits within one transaction. What the engine offers no way to write raises :class:`~cowrite.crdt.values.InvalidValue`;
    the document is half changed then.
    """

    def __init__(self, txn: Transaction) -> None:
        self._txn = txn
        self._builder = Builder(txn)

    def patch(self, kind: RootKind, root: Handle, entries: Handle, have: Json, want: Json, along: Along | None = None) -> None:
        """Edit a root that holds ``have`` so that it holds ``want``. ``entries`` is the same root as a map.

        Raises :class:`Unpatchable`.
        """
        if kind is RootKind.XML:
            self._entries(entries, have["attrs"], want["attrs"], 0, along)
            self._list(root, have["children"], want["children"], self._builder.insert_node, 0, along)
        else:
            self._inside(root, have, want, 0, along)

    def replace(self, kind: RootKind, root: Handle, entries: Handle, items: Handle, want: Json) -> None:
        """Empty a root, also of what cannot be seen in it, and write ``want``. ``items`` is the same root as an array."""
        for key in sorted(entries.keys(self._txn)):
            entries.remove(self._txn, key)
        items.remove_range(self._txn, 0, items.len(self._txn))
        self.patch(kind, root, entries, EMPTY[kind], want)

    def _inside(self, holder: Handle, have: Json, want: Json, depth: int, along: Along | None) -> None:
        """Mend a shared type of the right kind. ``depth`` is how many shared types are above what it holds."""
        tag = tag_of(want, "")
        if tag in ("$text", "$xmltext"):
            self._text(holder, have[tag], want[tag], depth, along)
        elif tag == "$array":
            self._list(holder, have[tag], want[tag], self._builder.insert_item, depth, along)
        elif tag == "$map":
            self._entries(holder, have[tag], want[tag], depth, along)
        else:
            self._list(holder, have["children"], want["children"], self._builder.insert_node, depth, along)
        self._attributes(holder, have.get("attrs", {}), want.get("attrs", {}), depth, along)

    def _list(
        self, holder: Handle, have: Sequence[Json], want: Sequence[Json], insert: _Insert, depth: int, along: Along | None
    ) -> None:
        end, want_end = len(have), len(want)
        held = Held.NODES if insert == self._builder.insert_node else Held.ITEMS
        kept = along.kept(held) if along is not None else ()
        for at, want_at, within in reversed(list(_kept_items(have, want, kept))):
            self._between(holder, at + 1, have[at + 1 : end], want[want_at + 1 : want_end], insert, depth, along)
            if not same(have[at], want[want_at]):
                self._inside(holder.get(self._txn, at), have[at], want[want_at], depth + 1, within)
            end, want_end = at, want_at
        self._between(holder, 0, have[:end], want[:want_end], insert, depth, along)

    def _between(
        self,
        holder: Handle,
        at: int,
        have: Sequence[Json],
        want: Sequence[Json],
        insert: _Insert,
        depth: int,
        along: Along | None,
    ) -> None:
        """Replace items from one on: all of them where it is known that none stays, though it may look the same."""
        if along is not None:
            if have:
                holder.remove_range(self._txn, at, len(have))
            have = ()
        start, end = _in_common(list(map(_written, have)), list(map(_written, want)))
        at += start
        have, want = have[start : len(have) - end], want[start : len(want) - end]
        paired = min(len(have), len(want))
        for index in range(paired):
            if same(have[index], want[index]):
                continue
            if _mendable(have[index], want[index]):
                self._inside(holder.get(self._txn, at + index), have[index], want[index], depth + 1, None)
            else:
                holder.remove_range(self._txn, at + index, 1)
                insert(holder, at + index, want[index], "", depth)
        if len(have) > paired:
            holder.remove_range(self._txn, at + paired, len(have) - paired)
        for index in range(paired, len(want)):
            insert(holder, at + index, want[index], "", depth)

    def _entries(
        self, holder: Handle, have: Mapping[str, Json], want: Mapping[str, Json], depth: int, along: Along | None
    ) -> None:
        for key in have:
            if key not in want:
                holder.remove(self._txn, key)
        for key, value in _changed(have, want, along):
            within = along.entry(key) if along is not None else None
            if key in have and _mendable(have[key], value) and (along is None or within is not None):
                self._inside(holder.get(self._txn, key), have[key], value, depth + 1, within)
            else:
                self._builder.set_entry(holder, key, value, "", depth)

    def _attributes(
        self, node: Handle, have: Mapping[str, Json], want: Mapping[str, Json], depth: int, along: Along | None
    ) -> None:
        for name in have:
            if name not in want:
                node.remove_attribute(self._txn, name)
        for name, value in _changed(have, want, along):
            within = along.entry(name) if along is not None else None
            if name in have and _mendable(have[name], value) and (along is None or within is not None):
                self._inside(node.attribute(self._txn, name), have[name], value, depth + 1, within)
            else:
                self._builder.set_attribute(node, name, value, "")

    # -- texts ----------------------------------------------------------------------------------------------------------------

    def _text(self, text: Handle, have: Sequence[Json], want: Sequence[Json], depth: int, along: Along | None) -> None:
        if text_units(text, self._txn) is None:
            raise Unpatchable
        there, wanted = list(_parts(have)), list(_parts(want))
        kept = along.kept(Held.TEXT) if along is not None else ()
        places = [0, *accumulate(part.units for part in there)]
        end, want_end = len(there), len(wanted)
        for at, want_at, length, within in reversed(_kept_parts(there, wanted, kept)):
            behind, want_behind = at + length, want_at + length
            self._replace(text, places[behind], there[behind:end], wanted[want_behind:want_end], depth, along)
            stay, same_there = wanted[want_at:want_behind], there[at:behind]
            if stay != same_there:
                self._mend_text(text, places[at], same_there, stay, depth, within)
            end, want_end = at, want_at
        self._replace(text, 0, there[:end], wanted[:want_end], depth, along)

    def _replace(
        self, text: Handle, at: int, there: Sequence[_Part], wanted: Sequence[_Part], depth: int, along: Along | None
    ) -> None:
        """Replace parts from a place on: all of them where it is known that none stays, though it may look the same."""
        start, end = _in_common(there, wanted) if along is None else (0, 0)
        at += sum(part.units for part in there[:start])
        there, wanted = there[start : len(there) - end], wanted[start : len(wanted) - end]
        if along is None and len(there) == len(wanted) and all(map(_may_stay, there, wanted)):
            self._mend_text(text, at, there, wanted, depth, None)
            return
        if there:
            text.remove_range(self._txn, at, sum(part.units for part in there))
        for attributes, parts in groupby(wanted, key=_attributes_of):
            at = self._insert(text, at, json.loads(attributes), list(parts), depth)

    def _insert(self, text: Handle, at: int, attributes: Mapping[str, Json], parts: Sequence[_Part], depth: int) -> int:
        """Write neighbours with the same attributes; returns the place behind them."""
        for is_text, alike in groupby(parts, key=_is_text):
            if is_text:
                string = "".join(part.content for part in alike)
                self._builder.insert_text(text, at, string, attributes, "")
                at += utf16_length(string)
            else:
                for part in alike:
                    self._builder.insert_embed(text, at, part.content, attributes, "", depth)
                    at += 1
        return at

    def _mend_text(
        self, text: Handle, at: int, there: Sequence[_Part], wanted: Sequence[_Part], depth: int, within: Along | None
    ) -> None:
        """Change formats, and what is inside of embedded types. ``within`` is for a type that stands alone."""
        for formats, pairs in groupby(zip(there, wanted, strict=True), key=_formats_of):
            units = 0
            for part, want in pairs:
                if not _is_text(part) and part.written != want.written:
                    self._inside(self._embedded(text, at + units), part.content, want.content, depth + 1, within)
                units += part.units
            have, want_formats = map(json.loads, formats)
            changed = dict.fromkeys(have.keys() - want_formats.keys()) | dict(_changed(have, want_formats))
            if changed:
                self._builder.format(text, at, units, changed, "")
            at += units

    def _embedded(self, text: Handle, index: int) -> Handle:
        at = 0
        found: Handle = None
        for chunk, _ in text.diff(self._txn):
            if at == index:
                found = chunk
            at += units_of(chunk)
        return found


EMPTY: Mapping[RootKind, Json] = {
    RootKind.TEXT: {"$text": []},
    RootKind.MAP: {"$map": {}},
    RootKind.ARRAY: {"$array": []},
    RootKind.XML: {"$xml": None, "attrs": {}, "children": []},
}
"""What a root holds in which nothing can be seen."""


_new = tuple.__new__  # makes a named tuple in a third of the time


class _Part(NamedTuple):
    """A character of a text, or a value or type in it."""

    written: str
    attributes: str
    units: int
    content: Json
    """Of a character the character."""


def _parts(delta: Sequence[Json]) -> Iterator[_Part]:
    for piece in delta:
        attributes = _written(piece.get("attributes", {}))
        if "insert" in piece:
            for character in piece["insert"]:
                yield _new(_Part, (character, attributes, 1 if character < "\U00010000" else 2, character))
        else:
            yield _Part("embed " + _written(piece["embed"]), attributes, 1, piece["embed"])


def _check(kept: Sequence[Kept], have: int, want: int) -> None:
    """A string that is embedded as a value takes one place, and is shown as a text of its own length."""
    if kept and (kept[-1][0] + kept[-1][2] > have or kept[-1][1] + kept[-1][2] > want):
        raise Unpatchable


def _kept_items(have: Sequence[Json], want: Sequence[Json], kept: Sequence[Kept]) -> Iterator[tuple[int, int, Along | None]]:
    """Cut what stays into items; those that would not be right are left out."""
    _check(kept, len(have), len(want))
    for start, want_start, length, within in kept:
        for at, want_at in zip(range(start, start + length), range(want_start, want_start + length), strict=True):
            if same(have[at], want[want_at]) or _mendable(have[at], want[want_at]):
                yield at, want_at, within


def _kept_parts(there: Sequence[_Part], wanted: Sequence[_Part], kept: Sequence[Kept]) -> Sequence[Kept]:
    """Find the parts of a text that stay; those that would not be right, or are cut in two, are left out."""
    starts, want_starts = (_starts(parts) if kept else (0,) for parts in (there, wanted))
    _check(kept, len(starts) - 1, len(want_starts) - 1)
    found: list[Kept] = []
    for start, want_start, length, within in kept:
        at, want_at = starts[start], want_starts[want_start]
        count = starts[start + length] - at
        if min(at, want_at) >= 0 and count > 0 and there[at : at + count] == wanted[want_at : want_at + count]:
            found.append((at, want_at, count, within))  # most of a text, as a rule
            continue
        for unit in range(length):
            at, want_at = starts[start + unit], want_starts[want_start + unit]
            if min(at, want_at) >= 0 and there[at].units <= length - unit and _may_stay(there[at], wanted[want_at]):
                found.append((at, want_at, 1, within))
    return _joined(found)


def _joined(kept: Sequence[Kept]) -> list[Kept]:
    """Join neighbours, but for shared types."""
    joined: list[Kept] = []
    for at, want_at, count, within in kept:
        begin, want_begin, before, open_within = joined[-1] if joined else (-1, -1, 0, None)
        if within is open_within is None and (at, want_at) == (begin + before, want_begin + before):
            joined[-1] = begin, want_begin, before + count, None
        else:
            joined.append((at, want_at, count, within))
    return joined


def _starts(parts: Sequence[_Part]) -> Sequence[int]:
    """For each code unit, and the end, the number of the part that begins there; -1: none does."""
    if sum(map(_UNITS, parts)) == len(parts):
        return range(len(parts) + 1)
    starts: list[int] = []
    for number, part in enumerate(parts):
        starts += [number, *[-1] * (part.units - 1)]
    return [*starts, len(parts)]


def _is_text(part: _Part) -> bool:
    return part.written is part.content


def _attributes_of(part: _Part) -> str:
    return part.attributes


def _formats_of(pair: tuple[_Part, _Part]) -> tuple[str, str]:
    return pair[0].attributes, pair[1].attributes


def _may_stay(part: _Part, want: _Part) -> bool:
    return part.written == want.written or (not _is_text(part) and not _is_text(want) and _mendable(part.content, want.content))


def _mendable(have: Json, want: Json) -> bool:
    """Tell whether both are shared types of the same kind and tag."""
    if not isinstance(have, dict) or not isinstance(want, dict):
        return False
    tag = tag_of(want, "")
    return tag in _TYPES and tag == tag_of(have, "") and have.get("$xml") == want.get("$xml")


def _changed(have: Mapping[str, Json], want: Mapping[str, Json], along: Along | None = None) -> Iterator[tuple[str, Json]]:
    for name, value in want.items():
        if name not in have or not same(have[name], value) or (along is not None and not along.stays(name)):
            yield name, value


def _in_common(have: Sequence[object], want: Sequence[object]) -> tuple[int, int]:
    """Return how many are the same at the beginning, and how many of the others at the end."""
    most = min(len(have), len(want))
    start = 0
    while start < most and have[start] == want[start]:
        start += 1
    end = 0
    while end < most - start and have[-1 - end] == want[-1 - end]:
        end += 1
    return start, end
