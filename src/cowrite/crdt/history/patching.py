"""Making a root hold what it should hold, by edits that leave alone what is right already.

What is compared is JSON, as :func:`cowrite.crdt.state.get_state` gives it. Entries and attributes are set; texts and lists are
replaced between what they have in common at both ends; a shared type whose kind (and tag) is right is mended, not replaced, so
that carets and comments in it survive.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from cowrite.crdt.building import Builder
from cowrite.crdt.roots import RootKind
from cowrite.crdt.shared_types import Handle, Transaction, text_units, units_of
from cowrite.crdt.text_index import utf16_length
from cowrite.crdt.values import Json, tag_of

_TYPES = ("$text", "$xmltext", "$xml", "$map", "$array")
_Insert = Callable[[Handle, int, Json, str, int], None]


def same(have: Json, want: Json) -> bool:
    """Tell whether two values are the same JSON: for Python, 1 and true are equal."""
    return have is want or _written(have) == _written(want)


def _written(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


class Unpatchable(Exception):
    """A text holds what cannot be seen: no position in it means anything. The document may be half changed."""


class Patcher:
    """Edits within one transaction. What the engine offers no way to write raises :class:`~cowrite.crdt.values.InvalidValue`;
    the document is half changed then.
    """

    def __init__(self, txn: Transaction) -> None:
        self._txn = txn
        self._builder = Builder(txn)

    def patch(self, kind: RootKind, root: Handle, entries: Handle, have: Json, want: Json) -> None:
        """Edit a root that holds ``have`` so that it holds ``want``. ``entries`` is the same root as a map.

        Raises :class:`Unpatchable`.
        """
        if kind is RootKind.XML:
            self._entries(entries, have["attrs"], want["attrs"], 0)
            self._list(root, have["children"], want["children"], self._builder.insert_node, 0)
        else:
            self._inside(root, have, want, 0)

    def replace(self, kind: RootKind, root: Handle, entries: Handle, items: Handle, want: Json) -> None:
        """Empty a root, also of what cannot be seen in it, and write ``want``. ``items`` is the same root as an array."""
        for key in sorted(entries.keys(self._txn)):
            entries.remove(self._txn, key)
        items.remove_range(self._txn, 0, items.len(self._txn))
        self.patch(kind, root, entries, EMPTY[kind], want)

    def _inside(self, holder: Handle, have: Json, want: Json, depth: int) -> None:
        """Mend a shared type of the right kind. ``depth`` is how many shared types are above what it holds."""
        tag = tag_of(want, "")
        if tag in ("$text", "$xmltext"):
            self._text(holder, have[tag], want[tag], depth)
        elif tag == "$array":
            self._list(holder, have[tag], want[tag], self._builder.insert_item, depth)
        elif tag == "$map":
            self._entries(holder, have[tag], want[tag], depth)
        else:
            self._list(holder, have["children"], want["children"], self._builder.insert_node, depth)
        self._attributes(holder, have.get("attrs", {}), want.get("attrs", {}), depth)

    def _list(self, holder: Handle, have: Sequence[Json], want: Sequence[Json], insert: _Insert, depth: int) -> None:
        start, end = _in_common(list(map(_written, have)), list(map(_written, want)))
        have, want = have[start : len(have) - end], want[start : len(want) - end]
        paired = min(len(have), len(want))
        for index in range(paired):
            if same(have[index], want[index]):
                continue
            if _mendable(have[index], want[index]):
                self._inside(holder.get(self._txn, start + index), have[index], want[index], depth + 1)
            else:
                holder.remove_range(self._txn, start + index, 1)
                insert(holder, start + index, want[index], "", depth)
        if len(have) > paired:
            holder.remove_range(self._txn, start + paired, len(have) - paired)
        for index in range(paired, len(want)):
            insert(holder, start + index, want[index], "", depth)

    def _entries(self, holder: Handle, have: Mapping[str, Json], want: Mapping[str, Json], depth: int) -> None:
        for key in have:
            if key not in want:
                holder.remove(self._txn, key)
        for key, value in _changed(have, want):
            if key in have and _mendable(have[key], value):
                self._inside(holder.get(self._txn, key), have[key], value, depth + 1)
            else:
                self._builder.set_entry(holder, key, value, "", depth)

    def _attributes(self, node: Handle, have: Mapping[str, Json], want: Mapping[str, Json], depth: int) -> None:
        for name in have:
            if name not in want:
                node.remove_attribute(self._txn, name)
        for name, value in _changed(have, want):
            if name in have and _mendable(have[name], value):
                self._inside(node.attribute(self._txn, name), have[name], value, depth + 1)
            else:
                self._builder.set_attribute(node, name, value, "")

    # -- texts ----------------------------------------------------------------------------------------------------------------

    def _text(self, text: Handle, have: Sequence[Json], want: Sequence[Json], depth: int) -> None:
        if text_units(text, self._txn) is None:
            raise Unpatchable
        there, wanted = list(_parts(have)), list(_parts(want))
        start, end = _in_common(there, wanted)
        at = sum(part.units for part in there[:start])
        there, wanted = there[start : len(there) - end], wanted[start : len(wanted) - end]
        if len(there) == len(wanted) and all(map(_may_stay, there, wanted)):
            self._mend_text(text, at, there, wanted, depth)
            return
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

    def _mend_text(self, text: Handle, at: int, there: Sequence[_Part], wanted: Sequence[_Part], depth: int) -> None:
        """Change formats, and what is inside of embedded types."""
        for formats, pairs in groupby(zip(there, wanted, strict=True), key=_formats_of):
            units = 0
            for part, want in pairs:
                if not _is_text(part) and part.written != want.written:
                    self._inside(self._embedded(text, at + units), part.content, want.content, depth + 1)
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
                yield _Part(character, attributes, utf16_length(character), character)
        else:
            yield _Part("embed " + _written(piece["embed"]), attributes, 1, piece["embed"])


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


def _changed(have: Mapping[str, Json], want: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    return ((name, value) for name, value in want.items() if name not in have or not same(have[name], value))


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
